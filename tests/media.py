"""Small recordings of sound, made for tests."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.float64]


def noise(seed: int, samples: int, channels: int = 2) -> Samples:
    """Return white noise in [-0.5, 0.5), [samples, channels]."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, channels))


def tone(hertz: float, rate: int, samples: int) -> Samples:
    """Return a sine of amplitude 1, [samples]."""
    return np.sin(2 * np.pi * hertz / rate * np.arange(samples))


def write_wav(path: Path, samples: Samples, rate: int = 48_000, subtype: str = "PCM_24") -> Path:
    """Write [samples, channels] to a WAV (or by its name FLAC, RF64) file."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def write_track(
    path: Path,
    samples: Samples,
    rate: int = 48_000,
    codec: str = "pcm_f32le",
    start: Fraction = Fraction(0),
    leave_out: range = range(0),
    late: Sequence[int] = (),
) -> Path:
    """Write [samples, channels] as the sound track of a file, in frames of 1024 samples.

    `start` is the time of the first sample; frames whose numbers are in `leave_out` are missing;
    `late` says for each frame by how many samples its time is late.
    An MP4 file has its index before the sound, a MOV file after it.
    """
    layout = {1: "mono", 2: "stereo", 4: "quad"}[samples.shape[1]]
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        sample_format = stream.codec_context.format.name
        for number, first in enumerate(range(0, len(samples), 1024)):
            part = samples[first : first + 1024].astype(np.float32)
            packed = part.T if sample_format == "fltp" else part.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(packed), format=sample_format, layout=layout
            )
            frame.sample_rate = rate
            frame.time_base = Fraction(1, rate)
            frame.pts = int(start * rate) + first + (late[number] if late else 0)
            if number not in leave_out:
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
