"""Clips and data sets, the values that every room passes on.

A *clip* is one recording of a scene, sound and sight (10 s in TAU2021). Paths are kept relative to
the data set's root, with forward slashes, as its lists have them. Clips are always in the order of
their ids, so that a row number means the same clip everywhere, whatever the order of the lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from avsc.manifests.dataset_root import located
from avsc.manifests.errors import ManifestError

FOLDS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one scene.

    Attributes:
        id: unique name within the data set, such as ``airport-helsinki-3-112``.
        scene: the scene's label.
        audio: path of the sound relative to the root. Equal to `video` when the sound is the
            video file's own track; None when the clip has no sound.
        video: path of the video relative to the root; None when the clip has no pictures.
        fold: ``"train"``, ``"test"``, or None when the set has no folds.
        city: city of the recording, or None.
        location: place of the recording, unique in the set (TAU2021: ``helsinki-3``), or None.
    """

    id: str
    scene: str
    audio: str | None
    video: str | None
    fold: str | None = None
    city: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Clips of one data set, in the order of their ids.

    Attributes:
        name: such as ``TAU2021``.
        root: folder that the clips' paths are relative to.
        classes: scene labels in the order of their class indices.
        clips: the clips, ordered by id, ids unique.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        ids = [clip.id for clip in self.clips]
        if not ids:
            raise ManifestError(f"{self.name}: the manifest lists no clips.")
        for before, after in pairwise(ids):
            if before == after:
                raise ManifestError(f"{self.name}: clip {after!r} is listed twice; remove one.")
            if before > after:
                raise ManifestError(f"{self.name}: clips are not in the order of their ids.")
        unknown = sorted({clip.scene for clip in self.clips} - set(self.classes))
        if unknown:
            raise ManifestError(
                f"{self.name}: unknown scene {unknown[0]!r}; known are {', '.join(self.classes)}."
            )

    def path(self, relative: str) -> Path:
        """Return the file that a clip's `audio` or `video` names."""
        return located(self.root, relative)


def by_id(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return the clips in the order of their ids."""
    return tuple(sorted(clips, key=lambda clip: clip.id))
