"""settings.json: what a run was made from, and whether another run is the same.

A run's *identity* is everything that affects its results: the system, its settings, the contents of
the store (by the digest of each part that is used) or the list of the labelled images, the split,
the encoders it starts from (by the digest of their weights), stored embeddings and vector files (by
fingerprint). A run resumes only from checkpoints with the same identity; otherwise the first
difference is named.
"""

import hashlib
import importlib.metadata
import json
import platform
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, overload

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.refs import (
    STORE_PARTS,
    EmbeddingRef,
    EncoderRef,
    ImagesRef,
    StoreRef,
    TeacherRef,
)
from avsc.train.settings.declared import option
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS, System

PACKAGES = ("avsc", "numpy", "timm", "torch", "torchvision")
PLACES = "places"
"""What runs on labelled images have in the place of a system's name."""


class RunRecord(ABC):
    """What settings.json holds, whatever the run is trained on.

    Attributes:
        settings: every setting.
        visual: the visual encoder that the run starts from; None where there is none.
        versions: of Python and the packages that computed.
    """

    FORMAT: ClassVar[int]
    settings: Settings | PlacesSettings
    visual: EncoderRef | None
    versions: dict[str, str]

    @property
    @abstractmethod
    def system_name(self) -> str:
        """Name of the system, or `PLACES`."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""

    @property
    @abstractmethod
    def has_image_model(self) -> bool:
        """Whether the network has an image model, whose initial weights the folder keeps."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return everything that affects the run's results, by name, in JSON's types."""

    def origins(self) -> dict[str, str]:
        """Return what the digests in `identity` are of, where their names do not say."""
        return {} if self.visual is None else {"visual encoder": f" ({self.visual.origin})"}

    @property
    def digest(self) -> str:
        """SHA-256 of `identity`; checkpoints carry it."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def encode(self) -> bytes:
        """Return the bytes of settings.json."""
        values = {
            **asdict(self),  # type: ignore[call-overload]
            "system": self.system_name,
            "settings": self.settings.record(),
            "format": self.FORMAT,
            "digest": self.digest,
        }
        return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    @abstractmethod
    def decode(cls, values: dict[str, Any]) -> Self:
        """Return the record of what `encode` wrote."""


@dataclass(frozen=True)
class SceneRecord(RunRecord):
    """What settings.json holds of a run on a store.

    Attributes:
        settings: every setting.
        split: SHA-256 of split.csv.
        frame: shape of an acoustic input: channels and bins of a frame, or values of a vector; None
            without audio.
        vector: values of a vector in an image's place; None for images, or without visual input.
        acoustic: the acoustic encoder that the run starts from; None where it starts from scratch.
        visual: the visual encoder that the run starts from; None where there is none.
        embeddings: stored embeddings and vector files that are read, by product.
        versions: of Python and the packages that computed.
        teacher: the run that teaches it; None where there is none.
    """

    FORMAT = 2
    system: System
    settings: Settings
    store: StoreRef
    split: str
    frame: tuple[int, ...] | None
    vector: int | None
    acoustic: EncoderRef | None
    visual: EncoderRef | None
    embeddings: dict[str, EmbeddingRef]
    versions: dict[str, str]
    teacher: TeacherRef | None = None

    @property
    def system_name(self) -> str:
        """Name of the system."""
        return self.system.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Scene labels in the order of their class indices."""
        return self.store.classes

    @property
    def has_image_model(self) -> bool:
        """Whether the network has an image model, whose initial weights the folder keeps."""
        return self.visual is not None and self.vector is None

    def identity(self) -> dict[str, Any]:
        """Return everything that affects the run's results, by name, in JSON's types."""
        chosen = self.settings.identity(self.system)
        return {
            "system": self.system.name,
            **{option(name): value for name, value in chosen.items()},
            **self.store.identity(),
            "split": self.split,
            "acoustic frame": None if self.frame is None else list(self.frame),
            "acoustic encoder": None if self.acoustic is None else self.acoustic.digest,
            "visual encoder": None if self.visual is None else self.visual.digest,
            **{f"{name}' fingerprint": ref.fingerprint for name, ref in self.embeddings.items()},
            **({} if self.teacher is None else self.teacher.identity()),
        }

    def origins(self) -> dict[str, str]:
        """Return what the digests in `identity` are of, where their names do not say."""
        acoustic = self.acoustic
        return {
            **{f"store's {name}": f" ({what})" for name, what in STORE_PARTS.items()},
            **({} if acoustic is None else {"acoustic encoder": f" ({acoustic.origin})"}),
            **({} if self.teacher is None else {"teacher": f" ({self.teacher.origin})"}),
            **super().origins(),
        }

    @classmethod
    def decode(cls, values: dict[str, Any]) -> Self:
        """Return the record of what `encode` wrote."""
        return cls(
            SYSTEMS[values["system"]],
            Settings.from_record(values["settings"]),
            StoreRef(**{**values["store"], "classes": tuple(values["store"]["classes"])}),
            values["split"],
            None if values["frame"] is None else tuple(values["frame"]),
            values["vector"],
            _encoder_ref(values["acoustic"]),
            _encoder_ref(values["visual"]),
            {name: EmbeddingRef(**ref) for name, ref in values["embeddings"].items()},
            values["versions"],
            None if values.get("teacher") is None else TeacherRef(**values["teacher"]),
        )


@dataclass(frozen=True)
class ImagesRecord(RunRecord):
    """What settings.json holds of a run on labelled images.

    Attributes:
        settings: every setting.
        pictures: the images.
        visual: the initial weights of the backbone.
        versions: of Python and the packages that computed.
    """

    FORMAT = 1
    settings: PlacesSettings
    pictures: ImagesRef
    visual: EncoderRef | None
    versions: dict[str, str]
    system_name = PLACES
    has_image_model = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self.pictures.classes

    def identity(self) -> dict[str, Any]:
        """Return everything that affects the run's results, by name, in JSON's types."""
        values = self.settings.record()
        fixed = [
            f.name
            for f in fields(self.settings)
            if not f.metadata.get("free") and values[f.name] != f.metadata.get("absent", values)
        ]
        return {
            "system": PLACES,
            **{option(name): values[name] for name in fixed},
            "set of pictures": self.pictures.digest,
            "visual encoder": None if self.visual is None else self.visual.digest,
        }

    @classmethod
    def decode(cls, values: dict[str, Any]) -> Self:
        """Return the record of what `encode` wrote."""
        pictures = values["pictures"]
        return cls(
            PlacesSettings.from_record(values["settings"]),
            ImagesRef(**{**pictures, "classes": tuple(pictures["classes"])}),
            _encoder_ref(values["visual"]),
            values["versions"],
        )


def _encoder_ref(values: dict[str, Any] | None) -> EncoderRef | None:
    return None if values is None else EncoderRef(**values)


R = TypeVar("R", bound=RunRecord)


@overload
def read_record(path: Path) -> SceneRecord: ...
@overload
def read_record(path: Path, kind: type[R]) -> R: ...
def read_record(path: Path, kind: type[RunRecord] = SceneRecord) -> RunRecord:
    """Read settings.json.

    Raises:
        AvscError: it is missing, damaged, edited, or of another format or kind of run.
    """
    try:
        values = json.loads(path.read_bytes())
        if (values["system"] == PLACES) != (kind is ImagesRecord):
            raise ValueError(f"it is a run of {values['system']}")
        if values["format"] != kind.FORMAT:
            raise ValueError(f"format {values['format']}, wanted {kind.FORMAT}")
        record = kind.decode(values)
        if record.digest != values["digest"]:
            raise ValueError("its values do not match its digest")
    except OSError as fault:
        missing = isinstance(fault, FileNotFoundError)
        raise AvscError(
            f"{path.parent}: holds no run that can be read "
            f"({'settings.json is missing' if missing else fault.strerror}). Name a folder that "
            "`avsc-fit SYSTEM --out` wrote."
        ) from fault
    except (ValueError, KeyError, TypeError, SettingError) as fault:
        raise AvscError(
            f"{path}: not the settings of a run of this version ({fault}). Name another "
            "folder; to train here, start over with --no-resume, which keeps the old folder beside "
            "the new."
        ) from fault
    return record


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}
