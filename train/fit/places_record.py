"""settings.json of a run on labelled pictures: what it was made from.

A run goes on only as the same run: with the same settings, names and labels of pictures, and first
weights. The contents of the pictures are not looked at.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.checked_settings import option
from avsc.train.fit.run_record import EncoderMark, numbers_digest
from avsc.train.settings import PlacesSettings

FORMAT = 1
SYSTEM = "places"


@dataclass(frozen=True)
class PicturesMark:
    """Which pictures a run was trained on.

    Attributes:
        path: where they were.
        name: of the set.
        digest: of their names and labels.
        classes: names in the order of their indices.
        training: how many were trained on.
        validation: how many were validated on.
    """

    path: str
    name: str
    digest: str
    classes: tuple[str, ...]
    training: int
    validation: int


@dataclass(frozen=True)
class PlacesRecord:
    """What settings.json says.

    Attributes:
        settings: every setting.
        pictures: the pictures.
        visual: the first weights of the backbone; None before they are known.
        versions: of Python and the packages that computed.
    """

    settings: PlacesSettings
    pictures: PicturesMark
    visual: EncoderMark | None
    versions: dict[str, str]

    def numbers(self) -> dict[str, Any]:
        """Return all that the run's numbers depend on, by name, in JSON's types."""
        values = self.settings.record()
        chosen = {
            each.name: values[each.name]
            for each in fields(self.settings)
            if not each.metadata.get("free")
        }
        return {
            "system": SYSTEM,
            **{option(name): value for name, value in chosen.items()},
            "set of pictures": self.pictures.digest,
            "visual encoder": None if self.visual is None else self.visual.digest,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of `numbers`; checkpoints carry it."""
        return numbers_digest(self.numbers())

    def encode(self) -> bytes:
        """Return the bytes of settings.json."""
        values = {
            **asdict(self),
            "system": SYSTEM,
            "settings": self.settings.record(),
            "format": FORMAT,
            "digest": self.digest,
        }
        return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def read_places_record(path: Path) -> PlacesRecord:
    """Read settings.json.

    Raises:
        AvscError: there is none, it is damaged or changed by hand, or it is another system's.
    """
    try:
        values = json.loads(path.read_bytes())
        if values["system"] != SYSTEM or values["format"] != FORMAT:
            raise ValueError(f"system {values['system']}, format {values['format']}")
        visual, pictures = values["visual"], values["pictures"]
        record = PlacesRecord(
            PlacesSettings.from_record(values["settings"]),
            PicturesMark(**{**pictures, "classes": tuple(pictures["classes"])}),
            None if visual is None else EncoderMark(**visual),
            values["versions"],
        )
        if record.digest != values["digest"]:
            raise ValueError("its values are not those that its digest was made of")
    except (OSError, ValueError, KeyError, TypeError, SettingError) as fault:
        raise AvscError(
            f"{path}: not the settings of a run of `avsc-fit places` of this version ({fault}). "
            "Name another folder by --out, or begin anew with --no-resume, which keeps the old "
            "folder beside the new."
        ) from fault
    return record
