"""settings.json: what a run was made from, and whether another is the same.

Two runs are the same when all that their numbers depend on is: the system, its settings, the
contents of the store (by the digest of each part that is used), the split, the encoders that were
given (by the digest of their weights), stored embeddings and files of vectors (by fingerprint). A
run goes on only from checkpoints of the same run; the first difference is named.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.checked_settings import option
from avsc.train.fit.store_ref import STORE_PARTS, StoreMark
from avsc.train.settings import Settings
from avsc.train.systems import SYSTEMS, System

FORMAT = 2
PACKAGES = ("avsc", "numpy", "timm", "torch", "torchvision")


@dataclass(frozen=True)
class EncoderMark:
    """Which encoder a run was given, or which file of vectors in its place.

    Attributes:
        origin: where its weights came from: timm, a file, a seed, a run.
        digest: SHA-256 of them; of the file of vectors.
        features: values of its embeddings; of the vectors.
    """

    origin: str
    digest: str
    features: int


@dataclass(frozen=True)
class EmbeddingMark:
    """Which stored embeddings a run read.

    Attributes:
        path: the store of the embeddings.
        spec: digest of what they are: encoder, source, view.
        fingerprint: of its content; of a file of vectors, the SHA-256 of its bytes.
    """

    path: str
    spec: str
    fingerprint: str


@dataclass(frozen=True)
class Record:
    """What settings.json says.

    Attributes:
        system: the system trained.
        settings: every setting.
        store: the store.
        split: SHA-256 of split.csv.
        frame: shape of an acoustic input: channels and bins of a frame, or values of a vector; None
            without audio.
        vector: values of a vector in a picture's place; None for images, or without visual input.
        acoustic: the acoustic encoder that was given; None where it is trained from the start.
        visual: the visual encoder that was given; None where there is none.
        embeddings: stored embeddings that were read, by product.
        versions: of Python and the packages that computed.
    """

    system: System
    settings: Settings
    store: StoreMark
    split: str
    frame: tuple[int, ...] | None
    vector: int | None
    acoustic: EncoderMark | None
    visual: EncoderMark | None
    embeddings: dict[str, EmbeddingMark]
    versions: dict[str, str]

    @property
    def has_image_model(self) -> bool:
        """Whether an image model is part of the network, and its first weights of the folder."""
        return self.visual is not None and self.vector is None

    def numbers(self) -> dict[str, Any]:
        """Return all that the run's numbers depend on, by name, in JSON's types."""
        chosen = self.settings.numbers(self.system)
        return {
            "system": self.system.name,
            **{option(name): value for name, value in chosen.items()},
            **self.store.numbers(),
            "split": self.split,
            "acoustic frame": None if self.frame is None else list(self.frame),
            "acoustic encoder": None if self.acoustic is None else self.acoustic.digest,
            "visual encoder": None if self.visual is None else self.visual.digest,
            **{f"{name}' fingerprint": e.fingerprint for name, e in self.embeddings.items()},
        }

    def origins(self) -> dict[str, str]:
        """Return what digests are of, where it is not plain, by their names in `numbers`."""
        marks = {"acoustic encoder": self.acoustic, "visual encoder": self.visual}
        return {
            **{f"store's {name}": f" ({what})" for name, what in STORE_PARTS.items()},
            **{name: f" ({mark.origin})" for name, mark in marks.items() if mark is not None},
        }

    @property
    def digest(self) -> str:
        """SHA-256 of `numbers`; checkpoints carry it."""
        return numbers_digest(self.numbers())

    def encode(self) -> bytes:
        """Return the bytes of settings.json."""
        values = {
            **asdict(self),
            "system": self.system.name,
            "settings": self.settings.record(),
            "format": FORMAT,
            "digest": self.digest,
        }
        return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def numbers_digest(numbers: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all that a run's numbers depend on."""
    text = json.dumps(numbers, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: Path) -> Record:
    """Read settings.json.

    Raises:
        AvscError: there is none, or it is damaged, changed by hand, or of another format.
    """
    try:
        values = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, wanted {FORMAT}")
        store = {**values["store"], "classes": tuple(values["store"]["classes"])}
        record = Record(
            SYSTEMS[values["system"]],
            Settings.from_record(values["settings"]),
            StoreMark(**store),
            values["split"],
            None if values["frame"] is None else tuple(values["frame"]),
            values["vector"],
            _encoder_mark(values["acoustic"]),
            _encoder_mark(values["visual"]),
            {name: EmbeddingMark(**mark) for name, mark in values["embeddings"].items()},
            values["versions"],
        )
        if record.digest != values["digest"]:
            raise ValueError("its values are not those that its digest was made of")
    except FileNotFoundError:
        raise AvscError(
            f"{path.parent}: no run was begun here (settings.json is missing). Name the folder "
            "that `avsc-fit SYSTEM --out` wrote."
        ) from None
    except OSError as fault:
        raise AvscError(
            f"{path.parent}: no run that can be read ({fault.strerror}). Name the folder that "
            "`avsc-fit SYSTEM --out` wrote."
        ) from fault
    except (ValueError, KeyError, TypeError, SettingError) as fault:
        raise AvscError(
            f"{path}: not the settings of a run of this version ({fault}). Name another folder by "
            "--out, or begin anew with --no-resume, which keeps the old folder beside the new."
        ) from fault
    return record


def _encoder_mark(values: dict[str, Any] | None) -> EncoderMark | None:
    return None if values is None else EncoderMark(**values)


def check_same(found: Record, wanted: Record, folder: Path) -> None:
    """Raise a `SettingError` naming the first thing that keeps a run from going on.

    What `wanted` cannot know yet may be left out of it: a visual encoder (None), which a run keeps
    as it began with, and the embeddings (empty).
    """
    if wanted.visual is None:
        wanted = replace(wanted, visual=found.visual)
    wanted = replace(wanted, embeddings={**found.embeddings, **wanted.embeddings})
    check_same_numbers(
        found.numbers(), wanted.numbers(), folder, (found.origins(), wanted.origins())
    )


def check_same_numbers(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    folder: Path,
    origins: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> None:
    """Raise a `SettingError` naming the first difference of all that two runs depend on.

    Where a value is a digest, `origins` may say of what, in both.
    """
    # A split differs also because the store does, which says more.
    ranks = {"system": -1, "split": 1}
    for name in sorted({*before, *now}, key=lambda name: (ranks.get(name, 0), name)):
        if before.get(name) != now.get(name):
            raise SettingError(
                f"{folder}: holds a run with another {name}: found {before.get(name)!r}"
                f"{origins[0].get(name, '')}, wanted {now.get(name)!r}{origins[1].get(name, '')}. "
                "Give the settings it was begun with, name another folder by --out, or begin anew "
                "with --no-resume, which keeps the old folder beside the new."
            )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def encode_split(training: Sequence[str], validation: Sequence[str]) -> bytes:
    """Return the bytes of split.csv: ``clip,part``, ordered by clip."""
    parts = {**dict.fromkeys(training, "training"), **dict.fromkeys(validation, "validation")}
    rows = (f"{clip},{part}\n" for clip, part in sorted(parts.items()))
    return "".join(["clip,part\n", *rows]).encode()
