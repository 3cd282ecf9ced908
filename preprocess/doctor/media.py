"""What the decoders can do: tiny recordings are encoded, and go through extraction itself."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsc.features.isolate import make_clip_isolated
from avsc.features.jpeg import encode
from avsc.features.specs import ImageSpec, ScalogramSpec, Spec
from avsc.manifests.checks import CheckFailed
from avsc.preprocess.doctor.target import Target
from avsc.preprocess.synth.render import encode_mp4, encode_wav

RATE = 48_000
SIZE = (64, 48)  # width, height
COLOUR = (200, 60, 30)


def recordings(target: Target) -> str:
    """Make features and images of a WAV and an H.264 file."""
    audio, video = target.folder / "a.wav", target.folder / "a.mp4"
    noise = np.random.default_rng(0).normal(0, 0.01, (RATE, 2))
    audio.write_bytes(encode_wav(noise, RATE))
    image = np.full((SIZE[1], SIZE[0], 3), COLOUR, np.uint8)
    video.write_bytes(encode_mp4([image] * 25, SIZE, 25))
    made = _make(audio, video, ImageSpec(), ScalogramSpec())
    shown = _decode(made["images"][0])
    if np.abs(shown.mean((0, 1)) - COLOUR).max() > 10:
        raise CheckFailed(f"an image of colour {COLOUR} comes back as {shown.mean((0, 1))}")
    return "WAV and H.264 are decoded, JPEG is encoded"


def sound_track(target: Target) -> str:
    """Make features of the AAC sound of a video file."""
    path = target.folder / "b.mp4"
    noise = np.random.default_rng(0).normal(0, 0.01, (2, RATE)).astype(np.float32)
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        for first in range(0, RATE, 1024):
            part = np.ascontiguousarray(noise[:, first : first + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _make(path, None, ScalogramSpec())
    return "AAC is decoded (needed only for sound in video files)"


def jpeg(target: Target) -> str:
    """Encode and decode an image, as training does."""
    image = np.full((SIZE[1], SIZE[0], 3), COLOUR, np.uint8)
    data = np.frombuffer(encode(image, ImageSpec()), np.uint8)
    if _decode(data).shape != image.shape:
        raise CheckFailed("an image comes back in another size")
    return "images are encoded and decoded"


def _make(audio: Path, video: Path | None, *specs: Spec) -> dict[str, list[np.ndarray]]:
    """Return the records that extraction makes, by product; in a process that may crash."""
    made = make_clip_isolated("doctor", audio, video, {spec.product: spec for spec in specs})
    for failure in made.failures:
        raise CheckFailed(failure.message)
    return {name: [data for _, data in records] for name, records in made.records.items()}


def _decode(data: np.ndarray) -> np.ndarray:
    import simplejpeg

    return np.asarray(simplejpeg.decode_jpeg(data.tobytes()))
