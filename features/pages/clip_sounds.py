"""The sound of a store's recordings as Ogg Opus, to be played on a page."""

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsc.features.sound import read_sound
from avsc.features.store.reader import Store
from avsc.manifests.clips import located
from avsc.manifests.errors import MediaError, SettingError

RATE = 48_000
BITS = 48_000
"""Bits per second, of both channels."""
BLOCK = 960  # samples of 20 ms, Opus's usual frame


def clip_sounds(store: Store, root: Path | None) -> Callable[[int], bytes | None]:
    """Return what gives the sound of a clip, by its row, as Ogg Opus; None where it has none.

    Args:
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


def opus(recording: Path) -> bytes:
    """Return a recording's two channels as Ogg Opus, decoded as extraction decodes them.

    Raises:
        MediaError: as of `avsc.features.sound.read_sound`.
    """
    average, difference = read_sound(recording, RATE).samples
    stereo = np.stack([average + difference, average - difference])
    stereo = np.ascontiguousarray(np.clip(stereo, -1, 1), np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="stereo")
        stream.bit_rate = BITS
        for start in range(0, stereo.shape[1], BLOCK):
            block = np.ascontiguousarray(stereo[:, start : start + BLOCK].T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="stereo")
            frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
