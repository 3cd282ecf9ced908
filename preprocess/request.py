"""What a store is to hold: the options shared by all verbs that plan an extraction.

`request_options` gives a command the options and passes it one `ExtractionRequest` in their place,
so that ``avsc-prep extract`` and ``avsc-prep plan`` mean the same by the same options.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from avsc.features.limits import MAX_JPEG_PIXELS, Limits
from avsc.features.specs import DEFAULT_PRODUCTS, SPECS, Spec
from avsc.features.store.layout import Description, description_file, read_description
from avsc.manifests.clips import Dataset
from avsc.manifests.errors import DamagedError, SettingError, StoreError
from avsc.manifests.files import occupied
from avsc.manifests.table import name_warnings, read_table
from avsc.manifests.tau2021 import DATASETS, find_dataset
from avsc.preprocess.plan import ALL, BlockTask, Check, Plan, make_plan

# Options of specs: name -> (product, parameter, help). An omitted one leaves the spec unchanged.
SPEC_OPTIONS = {
    "image_short_side": (
        "images",
        "short_side",
        "Shorter side of the stored images, pixels; 0 keeps the source's size.",
    ),
    "image_quality": ("images", "quality", "JPEG quality, 1 to 100."),
    "images_per_second": ("images", "per_second", "Images kept of each second, 1 to 30."),
    "scalogram_q": ("scalogram", "q", "Wavelets per octave."),
    "fbank_bands": ("fbank", "bands", "Mel bands."),
}
DEFAULTS: dict[str, Spec] = {name: spec() for name, spec in SPECS.items()}
SPEC_CHOICES = tuple(
    click.option(
        f"--{name.replace('_', '-')}",
        type=int,
        help=f"{text}  [default: {getattr(DEFAULTS[product], parameter)}]",
    )
    for name, (product, parameter, text) in SPEC_OPTIONS.items()
)
OPTIONS = (
    click.option("--dataset", type=click.Choice(list(DATASETS)), help="A known data set."),
    click.option("--manifest", type=click.Path(path_type=Path), help="CSV list of other clips."),
    click.option(
        "--root",
        type=click.Path(path_type=Path),
        help="Folder of the data set.  [default: $AVSC_DATA/NAME, ./data/NAME; the manifest's "
        "folder]",
    ),
    click.option(
        "--out", type=click.Path(path_type=Path), help="The store.  [default: stores/NAME]"
    ),
    click.option(
        "--products",
        default=",".join(DEFAULT_PRODUCTS),
        show_default=True,
        help="Products to keep of each clip, separated by commas.",
    ),
    *SPEC_CHOICES,
    click.option(
        "--block-size",
        type=click.IntRange(1),
        default=64,
        show_default=True,
        help="Clips in a part file; fixed once a store exists.",
    ),
    click.option(
        "--check",
        type=click.Choice(["time", "content"]),
        default="time",
        show_default=True,
        help="How to detect changed recordings: by size and mtime, or by content hash.",
    ),
    click.option(
        "--max-megabytes",
        type=click.IntRange(1),
        default=Limits().megabytes,
        show_default=True,
        help="Refuse larger files.",
    ),
    click.option(
        "--max-seconds",
        type=click.IntRange(1),
        default=Limits().seconds,
        show_default=True,
        help="Refuse longer recordings.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(1, MAX_JPEG_PIXELS),
        default=Limits().pixels,
        show_default=True,
        help="Refuse video with more pixels per frame.",
    ),
    click.option(
        "--clip-timeout",
        type=click.IntRange(1),
        default=Limits().timeout,
        show_default=True,
        help="Give up a clip after so many seconds.",
    ),
)
OPTION_GROUPS = {
    "Data": "dataset manifest root store out block_size check",
    "What is kept": "products image_short_side image_quality images_per_second scalogram_q "
    "fbank_bands",
    "Limits": "max_megabytes max_seconds max_pixels clip_timeout",
    "Where it runs": "workers memory_limit cluster cluster_config scheduler dashboard part",
    "Measurement": "sample seed",
    "Batch script": "cluster_script walltime cores",
}
"""Headings of the options in the help, and which options they have."""


@dataclass(frozen=True)
class ExtractionRequest:
    """What an extraction is asked to make.

    Attributes:
        store: the store's folder; absolute, as is the data set's, because workers start elsewhere.
        description: what the store is to hold: what it holds already, and the products asked for.
        check: how to detect changed recordings.
        limits: what of a recording is refused.
        only: as of `make_plan`.
    """

    store: Path
    dataset: Dataset
    description: Description
    check: Check
    limits: Limits = field(default_factory=Limits)
    only: Mapping[str, frozenset[str]] | None = None

    def plan(self, which: slice = ALL) -> Plan:
        """Return what is to be done in all blocks, or in some; changes nothing."""
        what = (self.store, self.dataset, self.description, self.check)
        return make_plan(*what, which, self.limits, self.only)

    def renew(self, block: int) -> BlockTask | None:
        """Plan one block again; None if nothing is left to do in it."""
        tasks = self.plan(slice(block, block + 1)).tasks
        return tasks[0] if tasks else None


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; it takes an `ExtractionRequest` as ``request`` instead.

    The request is read when the command is called, and its faults are those of `read_request`.
    """

    @wraps(command)
    def read(
        dataset: str | None,
        manifest: Path | None,
        root: Path | None,
        out: Path | None,
        products: str,
        block_size: int,
        check: Check,
        max_megabytes: int,
        max_seconds: int,
        max_pixels: int,
        clip_timeout: int,
        **others: Any,
    ) -> Any:
        changes = {name: others.pop(name) for name in SPEC_OPTIONS}
        specs = _chosen(products, changed(DEFAULTS, changes))
        clips = _clips(dataset, manifest, root)
        for warning in name_warnings(clips.clips):
            click.echo(f"Note: {warning}", err=True)
        clips = replace(clips, root=clips.root.absolute())
        store = (out or Path("stores") / clips.name).absolute()
        description = _description(store, clips, specs, block_size)
        limits = Limits(
            megabytes=max_megabytes, seconds=max_seconds, pixels=max_pixels, timeout=clip_timeout
        )
        return command(
            request=ExtractionRequest(store, clips, description, check, limits), **others
        )

    return with_options(read, OPTIONS)


def with_options(command: Callable[..., Any], options: Sequence[Any]) -> Callable[..., Any]:
    """Give a command options, in their order."""
    for option in reversed(options):
        command = option(command)
    return command


def explicit_options(request: ExtractionRequest) -> list[str]:
    """Return the options of a request that the running command got, for another command.

    Folders and files are absolute. Those left at their defaults are left out, but for the data
    set's root and the store, which depend on where the command was called.
    """
    context = click.get_current_context()
    ours = {option.name for option in vars(with_options(lambda: None, OPTIONS))["__click_params__"]}
    flags = {p.name: p.opts[0] for p in context.command.params if p.name in ours and p.name}
    said = {
        name: value.absolute() if isinstance(value, Path) else value
        for name in flags
        if (value := context.params[name]) is not None
        and context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    said |= {"root": request.dataset.root, "out": request.store}
    return [
        text for name, flag in flags.items() if name in said for text in (flag, str(said[name]))
    ]


def changed(specs: Mapping[str, Spec], changes: Mapping[str, int | None]) -> dict[str, Spec]:
    """Return specs with the parameters that options give; those of None are left as they are."""
    result = dict(specs)
    for name, value in changes.items():
        product, parameter, _ = SPEC_OPTIONS[name]
        if value is not None and product in result:
            result[product] = replace(result[product], **{parameter: value})
    return result


def _chosen(products: str, known: Mapping[str, Spec]) -> dict[str, Spec]:
    names = [name.strip() for name in products.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise SettingError(f"--products: {name!r} is not known; known are {', '.join(known)}.")
    if not names:
        raise SettingError(f"--products: nothing named; known are {', '.join(known)}.")
    return {name: known[name] for name in names}


def _clips(dataset: str | None, manifest: Path | None, root: Path | None) -> Dataset:
    if (dataset is None) == (manifest is None):
        raise click.UsageError("Name either --dataset NAME or --manifest FILE.")
    if manifest is not None:
        return read_table(manifest, root or manifest.parent)
    return find_dataset(str(dataset), root)


def _description(store: Path, clips: Dataset, specs: dict[str, Spec], size: int) -> Description:
    """Return what the store is to hold: what it holds already, and the products asked for."""
    wanted = Description(clips.name, clips.classes, size, specs)
    if not description_file(store).exists():
        # Another run may have begun the store since it was looked for.
        if occupied(store) and not description_file(store).exists():
            raise StoreError(f"{store}: not empty, and no store; name another folder with --out.")
        return wanted
    try:
        held = read_description(store)
    except DamagedError as fault:
        click.echo(f"{fault} It is rewritten now, with the products named here.", err=True)
        return wanted
    if held.dataset != clips.name:
        raise StoreError(
            f"{store}: a store of {held.dataset}, not of {clips.name}; name another folder with "
            "--out."
        )
    others = sorted(set(held.specs) - set(SPECS))
    if others:
        raise StoreError(
            f"{store}: holds {others[0]}, which avsc-fit made; name another folder with --out."
        )
    if held.block_size != size:
        raise StoreError(
            f"{store}: made with --block-size {held.block_size}, not {size}. Use "
            f"--block-size {held.block_size}, or name another folder with --out."
        )
    return replace(wanted, specs={**held.specs, **specs}, first_clips=held.first_clips)
