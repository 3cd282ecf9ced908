"""The recordings that a store was made of, to play their sound on a page."""

import json
from collections.abc import Callable
from pathlib import Path

from avsc.features.pages.opus import opus
from avsc.features.store.reader import Store
from avsc.manifests.clips import located
from avsc.manifests.errors import MediaError, SettingError


def clip_sounds(store: Store, root: Path | None) -> Callable[[int], bytes | None]:
    """Return what gives the sound of a clip, by its row, as Ogg Opus; None where it has none.

    Args:
        store: the store.
        root: folder of the recordings; None for that of the last extraction.

    Raises:
        SettingError: the folder is not recorded with the store, or not there.
    """
    folder = recordings_folder(store, root)
    if folder is None or not folder.is_dir():
        what = "is not recorded with it" if folder is None else f"{folder} is not there"
        raise SettingError(
            f"--media: the folder of the recordings of {store.path} {what}. Name it by --root."
        )

    def sound(row: int) -> bytes | None:
        audio = store.clips[row].audio
        if audio is None:
            return None
        try:
            return opus(located(folder, audio))
        except MediaError:
            return None  # the store's failures say what is wrong with it

    return sound


def recordings_folder(store: Store, root: Path | None = None) -> Path | None:
    """Return the folder of a store's recordings: the one named, or that of the last extraction."""
    if root is not None:
        return root
    try:
        return Path(json.loads((store.path / "request.json").read_bytes())["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
