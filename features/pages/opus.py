"""A recording's sound as Ogg Opus, to be played on a page."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsc.features.sound import read_sound

RATE = 48_000
BITS = 48_000
"""Bits per second, of both channels."""
BLOCK = 960  # samples of 20 ms, Opus's usual frame


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
