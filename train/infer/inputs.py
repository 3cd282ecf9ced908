"""Which recordings are to be classified: files, folders, a manifest, or standard input."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from avsc.features.limits import Limits
from avsc.manifests.clips import located
from avsc.manifests.errors import AvscError, ManifestError, MediaError, SettingError
from avsc.manifests.files import reason_of
from avsc.manifests.table import lines

SOUND = {".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".caf", ".mp3", ".m4a", ".aac"}
SOUND |= {".ogg", ".oga", ".opus", ".wma", ".mka"}
VIDEO = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"}
VIDEO |= {".wmv", ".flv", ".3gp", ".ogv", ".mxf"}
MANIFESTS = {".csv", ".tsv"}
STDIN = "-"


@dataclass(frozen=True)
class Item:
    """A recording to be classified.

    Attributes:
        name: as it was named: a path, or the id in a manifest; each has its own.
        clip: for names of segments and of files: the id, or the file's name without its ending.
        audio: its sound; equal to `video` when that is the video file's own track.
        video: its images.
    """

    name: str
    clip: str
    audio: Path | None
    video: Path | None


@contextmanager
def opened_inputs(
    inputs: Sequence[str], audio: Path | None, root: Path | None, sees: bool, limits: Limits
) -> Iterator[list[Item]]:
    """Give the recordings that inputs name; what came on standard input goes with the body.

    Args:
        inputs: files, folders, manifests (``.csv``, ``.tsv``), or ``-``.
        audio: a file of the sound, where there is one input and that is not its own.
        root: folder that a manifest's paths are relative to; None: the manifest's own.
        sees: whether the model takes images; in folders it is only then that files of sound alone
            are passed over.
        limits: of what is read from standard input.

    Raises:
        SettingError: an input is none of these, or names none, or two are alike.
    """
    with ExitStack() as stack:
        items: list[Item] = []
        for name in inputs:
            if name == STDIN:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="avsc-predict-"))
                path = _spooled(Path(folder) / "stdin", limits)
                items.append(Item("stdin", "stdin", path, path))
            else:
                items += _items(name, root, sees)
        if audio is not None:
            items = [_with_audio(items, audio)]
        seen: set[str] = set()
        for item in items:
            if item.name in seen:
                raise SettingError(f"{item.name}: named twice; name it once.")
            seen.add(item.name)
        yield items


def _items(name: str, root: Path | None, sees: bool) -> Iterator[Item]:
    path = Path(name)
    if path.is_dir():
        yield from _in_folder(path, sees)
    elif path.suffix.lower() in MANIFESTS:
        yield from _listed(path, path.parent if root is None else root)
    else:
        yield _file(path)


def _spooled(path: Path, limits: Limits) -> Path:
    """Write standard input to a file, from which any container can be read."""
    if sys.stdin is None:
        raise MediaError("missing", "stdin: is closed; wanted a recording on standard input.")
    most = limits.megabytes * 10**6
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, _Bounded(file, most))
    except OSError as fault:
        raise AvscError(
            f"stdin: could not be copied to {path.parent.parent} ({reason_of(fault)}). Make room, "
            "or name another folder by the variable TMPDIR."
        ) from fault
    if not path.stat().st_size:
        raise MediaError("empty", "stdin: 0 bytes; wanted a recording on standard input.")
    return path


class _Bounded:
    """A file that refuses to grow beyond a limit."""

    def __init__(self, file: object, most: int) -> None:
        self._file, self._left, self._most = file, most, most

    def write(self, data: bytes) -> int:
        """Write, or raise a `MediaError`."""
        self._left -= len(data)
        if self._left < 0:
            raise MediaError(
                "too-large",
                f"stdin: more than {self._most // 10**6} MB (--max-megabytes): cut it into clips.",
            )
        return self._file.write(data)  # type: ignore[attr-defined,no-any-return]


def _in_folder(folder: Path, sees: bool) -> Iterator[Item]:
    endings = VIDEO if sees else VIDEO | SOUND
    # Hidden files are no recordings: macOS keeps a ._clip.mp4 beside a clip.mp4 on other disks.
    named = (p for p in folder.rglob("*") if p.suffix.lower() in endings and p.name[0] != ".")
    paths = sorted(p for p in named if p.is_file())
    if not paths:
        raise SettingError(
            f"{folder}: no recordings in this folder or those below it; wanted files that end in "
            f"{', '.join(sorted(endings))}. Name others by themselves, or list them in a manifest."
        )
    for path in paths:
        yield _file(path)


def _file(path: Path) -> Item:
    """Return a recording of which one file has the sound and the images."""
    name, clip = (text.encode(errors="surrogateescape").decode(errors="replace")
                  for text in (str(path), path.stem))  # fmt: skip
    return Item(name, clip, path, path)


def _listed(manifest: Path, root: Path) -> Iterator[Item]:
    """Yield the recordings of a table with columns ``audio`` or ``video``, and perhaps ``id``."""
    found = False
    for where, row in lines(manifest, ()):
        if "audio" not in row and "video" not in row:
            raise ManifestError(
                f"{manifest}: no column 'audio' and none 'video'; found {', '.join(row)}; wanted "
                "one of them or both, and an 'id' if names are to be others than the files'."
            )
        found = True
        audio, video = (
            located(root, row[column]) if row.get(column) else None for column in ("audio", "video")
        )
        first = video or audio
        if first is None:
            raise ManifestError(f"{where}: neither audio nor video; name the recording.")
        name = row.get("id") or row.get("video") or row["audio"]
        yield Item(name, row.get("id") or first.stem, audio, video)
    if not found:
        raise ManifestError(f"{manifest}: the manifest lists no recordings.")


def _with_audio(items: Sequence[Item], audio: Path) -> Item:
    if len(items) != 1:
        raise SettingError(
            f"--audio is {audio}, and the inputs are {len(items)} recordings; it goes with one. "
            "List the sound of several in a manifest, in a column 'audio'."
        )
    (item,) = items
    return Item(item.name, item.clip, audio, item.video)
