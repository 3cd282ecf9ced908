"""Conditions that a system is evaluated under: a modality missing, late, of another clip, altered.

Each is a row of `CONDITIONS`, with what the samples read instead (`changes`), or with what is done
to the recordings themselves (`alterations`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from avsc.manifests.errors import SettingError
from avsc.train.evaluate.robustness.alterations import (
    Alteration,
    Blurred,
    Dark,
    Level,
    Noise,
    Pictured,
    unaltered,
)
from avsc.train.evaluate.robustness.changes import Change, Missing, OtherClip, Shifted
from avsc.train.systems import Modality


@dataclass(frozen=True)
class Curve:
    """A curve of the figure.

    Attributes:
        axis: what is varied; curves of one axis share a panel.
        name: of the curve.
        complete: where on the axis the complete recordings are; None where they are not on it.
    """

    axis: str
    name: str
    complete: float | None = 0.0


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        name: as options and files have it.
        about: what it is.
        alters: the modality that is no longer what it was; None where both are as recorded.
        change: what the samples read instead; None where it is the same.
        alteration: of the recordings of the modality; None for none.
        curve: that it is a point of; None for none.
        level: where on that curve.
    """

    name: str
    about: str
    alters: Modality | None = None
    change: Change | None = None
    alteration: Alteration | None = None
    curve: Curve | None = None
    level: float = 0.0

    @property
    def left(self) -> tuple[Modality, ...]:
        """The modalities that are as recorded."""
        both: tuple[Modality, ...] = ("audio", "visual")
        return tuple(modality for modality in both if modality != self.alters)


SHARES = "segments without / %"
LATE = Curve("audio late / s", "audio late")


def _missing(modality: Modality, word: str, percent: int) -> Condition:
    name = f"no-{word}" if percent == 100 else f"no-{word}-{percent}"
    about = f"no {word}" if percent == 100 else f"no {word} in {percent} % of the segments"
    change = Missing(modality, percent / 100)
    curve = Curve(SHARES, f"no {word}")
    return Condition(name, about, modality, change, curve=curve, level=percent)


def _shifted(seconds: int) -> Condition:
    way = "late" if seconds > 0 else "early"
    name, about = f"audio-{way}-{abs(seconds)}s", f"audio {abs(seconds)} s {way}"
    return Condition(name, about, None, Shifted(seconds), curve=LATE, level=seconds)


def _altered(name: str, about: str, modality: Modality, alteration: Alteration) -> Condition:
    return Condition(name, about, modality, alteration=alteration)


def _noise(ratio: int) -> Condition:
    name, about = f"noise-{ratio}db", f"audio with white noise at {ratio} dB"
    curve = Curve("ratio of audio to noise / dB", "white noise", None)
    return Condition(name, about, "audio", alteration=Noise(ratio), curve=curve, level=ratio)


COMPLETE = Condition("complete", "complete")

CONDITIONS = {
    condition.name: condition
    for condition in (
        COMPLETE,
        *(_missing("audio", "audio", percent) for percent in (100, 50, 30, 10)),
        *(_missing("visual", "image", percent) for percent in (100, 50, 30, 10)),
        *(_shifted(seconds) for seconds in (-5, -2, -1, 1, 2, 5)),
        Condition(
            "image-same-scene", "image of another clip of the scene", "visual", OtherClip(True)
        ),
        Condition("image-other-scene", "image of another scene", "visual", OtherClip(False)),
        _altered("audio-20db", "audio at -20 dB", "audio", Level(-20)),
        *(_noise(ratio) for ratio in (20, 10, 0)),
        _altered("image-dark", "image dark (10 %)", "visual", Pictured(Dark(0.1))),
        _altered("image-blurred", "image blurred (2 % of its side)", "visual",
                 Pictured(Blurred(0.02))),
        _altered("image-jpeg-10", "image as JPEG of quality 10", "visual", Pictured(unaltered, 10)),
    )
}  # fmt: skip
"""Every condition, by name; the complete recordings first."""
ALL = "all"

PATTERNS: Mapping[Modality | None, str] = {
    None: "complete",
    "audio": "no-audio",
    "visual": "no-image",
}
"""By what is missing of a recording: the condition under which it is missing of all."""


def named_conditions(names: str) -> tuple[Condition, ...]:
    """Return the conditions that a list such as ``"no-audio,no-image"`` names, the complete first.

    Args:
        names: with commas between them; ``"all"`` is all of them.

    Raises:
        SettingError: one is unknown.
    """
    wanted = {name.strip() for name in names.split(",")}
    if wanted == {ALL}:
        return tuple(CONDITIONS.values())
    if unknown := sorted(wanted - set(CONDITIONS)):
        raise SettingError(
            f"--conditions: {unknown[0]!r} is unknown; {ALL}, or any of {', '.join(CONDITIONS)}, "
            "with commas between them."
        )
    wanted.add(COMPLETE.name)
    return tuple(condition for name, condition in CONDITIONS.items() if name in wanted)
