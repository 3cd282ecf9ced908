"""The sound of a store's recordings as Ogg Opus, to be played on a page."""

import io
import json
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


class ClipSounds:
    """The sound of a store's clips as Ogg Opus, from their recordings.

    Args:
        root: folder of the recordings; None for that of the last extraction.

    Attributes:
        lost: why clips have no sound, for those that should have.

    Raises:
        SettingError: the folder is not recorded with the store, or not there.
    """

    def __init__(self, store: Store, root: Path | None) -> None:
        folder = recordings_folder(store, root)
        if folder is None or not folder.is_dir():
            what = "is not recorded with it" if folder is None else f"{folder} is not there"
            raise SettingError(
                f"--media: the folder of the recordings of {store.path} {what}. Name it by --root."
            )
        self.store, self.folder = store, folder
        self.lost: list[str] = []

    def __call__(self, row: int) -> bytes | None:
        """Return the sound of the clip in a row of the clip table; None where there is none."""
        audio = self.store.clips[row].audio
        if audio is None:
            return None
        try:
            return opus(located(self.folder, audio))
        except MediaError as fault:
            self.lost.append(str(fault))
            return None

    def notes(self) -> list[str]:
        """Return what is said of lost sounds at the end: nothing, or one line."""
        if not self.lost:
            return []
        number = f"{len(self.lost):,} clip{'s have' if len(self.lost) > 1 else ' has'}"
        return [f"note: {number} no sound on the page; the first: {self.lost[0]}"]


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
