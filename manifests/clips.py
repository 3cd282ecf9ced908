"""Clips and data sets, the values that every room passes on.

A *clip* is one recording of a scene, audio and video (10 s in TAU2021). Clips are always in the
order of their ids, so that a row number means the same clip everywhere, whatever the order of the
lists.

Paths are kept relative to the data set's root, with forward slashes, as its lists have them. A list
of recordings is somebody else's text: a path in it must not leave the root. Links that the user
made (to a scratch disk, say) are followed; the rule is about the text.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from avsc.manifests.errors import ManifestError
from avsc.manifests.label_spans import LabelSpan

FOLDS = ("train", "test")

_NAME = r"[^/\\\0:.][^/\\\0:]*"
_PLAIN = re.compile(f"{_NAME}(?:/{_NAME})*")
"""Paths that are well formed at a glance: nearly all, in lists that may have a million."""
_DRIVE = re.compile("[A-Za-z]:")
_ADDRESS = re.compile("file:|[A-Za-z][A-Za-z0-9+.-]+://", re.IGNORECASE)
_FORMS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: unicodedata.normalize("NFD", name),
)
_FAULTS: dict[str, Callable[[str], bool]] = {
    "is empty": lambda path: not path,
    "holds a NUL": lambda path: "\0" in path,
    "holds a backslash": lambda path: "\\" in path,
    "is an address": lambda path: bool(_ADDRESS.match(path)),
    "is absolute": lambda path: path.startswith("/"),
    "begins with a drive letter": lambda path: bool(_DRIVE.match(_normal(path))),
    "leaves the data set's folder": lambda path: ".." in path.split("/"),
    "names no file": lambda path: not _normal(path),
}


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: of one scene, or with labels that change within it.

    Attributes:
        id: unique name within the data set, such as ``airport-helsinki-3-112``.
        scene: the scene's label; None where `segments` says what it is when.
        audio: path of the sound relative to the root. Equal to `video` when the sound is the
            video file's own track; None when the clip has no sound.
        video: path of the video relative to the root; None when the clip has no video.
        fold: ``"train"``, ``"test"``, or None when the set has no folds.
        city: city of the recording, or None.
        location: place of the recording, unique in the set (TAU2021: ``helsinki-3``), or None.
        segments: its labels in time, of a clip that has no scene; else empty.
    """

    id: str
    scene: str | None
    audio: str | None
    video: str | None
    fold: str | None = None
    city: str | None = None
    location: str | None = None
    segments: tuple[LabelSpan, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Its scene, or the labels of its segments, each once, as they first occur."""
        if self.scene is not None:
            return (self.scene,)
        return tuple(dict.fromkeys(span.label for span in self.segments))

    @property
    def label_text(self) -> str:
        """Its labels, for people.

        >>> spans = (LabelSpan(0, 4, "quiet"), LabelSpan(4, 10, "tram"))
        >>> Clip("a", None, "a.wav", None, segments=spans).label_text
        'quiet, tram'
        """
        return ", ".join(self.labels)


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
        unknown = sorted(found_labels(self.clips) - set(self.classes))
        if unknown:
            raise ManifestError(
                f"{self.name}: unknown scene {unknown[0]!r}; known are {', '.join(self.classes)}."
            )

    def path(self, relative: str) -> Path:
        """Return the file that a clip's `audio` or `video` names."""
        return located(self.root, relative)


def found_labels(clips: Iterable[Clip]) -> set[str]:
    """Return every label that clips have."""
    return {label for clip in clips for label in clip.labels}


def by_id(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return the clips in the order of their ids."""
    return tuple(sorted(clips, key=lambda clip: clip.id))


def inside(path: str, where: str) -> str:
    r"""Return a path from a list, in its normal form.

    >>> inside("audio/./park-1.wav", "clip park-1")
    'audio/park-1.wav'

    Args:
        path: as the list has it.
        where: what to name in the error: list, line, clip.

    Raises:
        ManifestError: the path is empty, absolute, holds ``..``, a backslash, a drive or NUL.
    """
    if _PLAIN.fullmatch(path):
        return path
    if reason := fault_of(path):
        raise ManifestError(
            f"{where}: path {path!r} {reason}; write it relative to the data set's folder, "
            "with forward slashes."
        )
    return _normal(path)


def _normal(path: str) -> str:
    """Return a relative path without the parts that say nothing."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def fault_of(path: str) -> str | None:
    """Return why a path may not be used below a root, or None when it may."""
    return next((reason for reason, holds in _FAULTS.items() if holds(path)), None)


def located(root: Path, path: str) -> Path:
    """Return the file below a root that a path from a list names.

    Systems compose accents in the names of files or decompose them (NFC, NFD), and lists that were
    made on another one name them differently. Where nothing has the name as it is written, the
    file or folder that has it in the other form is taken.
    """
    written = root / path
    if path.isascii() or _is_there(written):
        return written
    place = root
    for part in path.split("/"):
        named = (place / form(part) for form in _FORMS)
        found = next((one for one in named if _is_there(one)), None)
        if found is None:
            return written
        place = found
    return place


def _is_there(path: Path) -> bool:
    """Return whether there is such a file; what cannot be looked at is not there."""
    try:
        path.stat()
    except OSError:  # `Path.exists` raises what it does not take for absence, as ENAMETOOLONG
        return False
    return True


def missing_reason(path: Path) -> str:
    """Return why a file is not there; names the target of a broken link on the way to it."""
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to {place.readlink()}, which is not there"
    return "no such file"
