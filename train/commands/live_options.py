"""Options of ``avsc-fit predict`` for a source that is still running."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from avsc.manifests.errors import DONE, SettingError

if TYPE_CHECKING:
    from avsc.features.live.address import Address
    from avsc.train.infer.formats import Format
    from avsc.train.infer.model import Model
    from avsc.train.infer.windows import Windows

F = TypeVar("F", bound=Callable[..., Any])

LIVE = "live pace timeout reconnect give_up"
"""Names of the options, for the help."""

_OPTIONS = (
    click.option(
        "--live",
        metavar="SOURCE",
        help="In place of INPUT: an address (rtsp, http, udp), v4l2:DEVICE, alsa:DEVICE, or a file "
        "at its own pace; with a v4l2 device, --audio alsa:DEVICE. See docs/live.md.",
    ),
    click.option(
        "--pace",
        type=click.FloatRange(0.01, 1000),
        default=1.0,
        show_default=True,
        help="How much faster than its own pace a live file is read.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1),
        default=10.0,
        show_default=True,
        help="Seconds to wait for a live source, and for its data.",
    ),
    click.option(
        "--reconnect/--no-reconnect",
        default=True,
        show_default=True,
        help="Connect again when a live source breaks off, after 1, 2, 4 ... 30 s.",
    ),
    click.option(
        "--give-up",
        type=click.FloatRange(0),
        default=300.0,
        show_default=True,
        help="Seconds without data after which a live source is given up.",
    ),
)


def live_options(command: F) -> F:
    """Give a command the options of live sources."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def live_addresses(
    source: str, inputs: Sequence[str], audio: Path | None, values: dict[str, Any]
) -> "tuple[Address, ...]":
    """Return the addresses of a live source, before anything is loaded.

    Raises:
        SettingError: an address is wrong, or something is asked for that only recordings have.
    """
    from avsc.features.live.address import parse_addresses

    if inputs:
        raise SettingError(f"{inputs[0]}: wanted either INPUT or --live, not both.")
    for name in ("out", "root"):
        if values[name] is not None:
            raise SettingError(
                f"--{name} is for recordings; the answers for a live source go to standard output."
            )
    if values["audio_late"]:
        raise SettingError(
            "--audio-late is for recordings; of a live source, sound and images are taken as they "
            "come. Omit it."
        )
    return parse_addresses(source, None if audio is None else str(audio))


def predict_live(
    model: "Model",
    addresses: "tuple[Address, ...]",
    windows: "Windows",
    form: "Format",
    values: dict[str, Any],
) -> int:
    """Answer for a live source until it ends; return the exit status."""
    from avsc.features.live.feed import FeedSettings
    from avsc.train.infer.live_lines import write_live

    settings = FeedSettings(
        values["pace"], values["timeout"], values["reconnect"], values["give_up"]
    )
    write_live(model, addresses, windows, settings, form, sys.stdout)
    return DONE
