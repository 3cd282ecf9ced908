"""Small videos for tests: no two images are alike, so that a wrong one is noticed."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from avsc.features.timeline import timeline_of
from avsc.features.video import opened

WIDTH, HEIGHT = 96, 64


def drawn(
    count: int, rng: np.random.Generator, height: int = HEIGHT, width: int = WIDTH
) -> Iterator[NDArray[np.uint8]]:
    """Yield RGB images [height, width, 3]: a texture under a moving camera, a crossing, grain."""
    texture = cv2.GaussianBlur(rng.normal(0, 1, (2 * height, 2 * width, 3)), (0, 0), 2.0)
    texture = 120 + 200 * texture
    for i in range(count):
        y = int(height / 2 * (1 + np.sin(i / 11)))
        x = int(width / 2 * (1 + np.cos(i / 17)))
        image = texture[y : y + height, x : x + width] + rng.normal(0, 6, (height, width, 1))
        left = (i * width // 40) % width
        image[height // 4 : height // 2, left : left + width // 6] += 80
        yield np.clip(image, 0, 255).astype(np.uint8)


def repeatable(codec: str, options: dict[str, str]) -> dict[str, str]:
    """Return an encoder's options with which it gives the same bytes each time.

    x264's macroblock tree reads memory that it never wrote where a clip is shorter than its
    look-ahead.
    """
    if codec != "libx264":
        return options
    params = [text for text in (options.get("x264-params"), "mbtree=0") if text]
    return {**options, "x264-params": ":".join(params)}


def write_video(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    *,
    rate: Fraction | int = 30,
    times: Iterable[Fraction] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    rotation: int = 0,
    silence: float = 0.0,
) -> Path:
    """Write images as a video.

    Args:
        path: the file; its suffix names the container.
        images: uint8 RGB [height, width, 3], all of one size.
        rate: images per second.
        times: when each image is on show, seconds; None for i / rate.
        codec: name of the encoder.
        pix_fmt: pixel format.
        options: of the encoder.
        container: options of the container.
        rotation: by how many degrees players are told to turn the images, counterclockwise.
        silence: seconds of silent sound from 0 on, as a second stream; 0 for none.
    """
    images = list(images)
    clock = Fraction(1, 90_000)
    shown = [Fraction(i) / rate for i in range(len(images))] if times is None else list(times)
    with av.open(path, "w", container_options=container or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=repeatable(codec, options or {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        sound = file.add_stream("aac", rate=48_000) if silence else None
        for image, time in zip(images, shown, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is None:
                frame.pts, frame.time_base = round(time * rate), 1 / Fraction(rate)
            else:
                frame.pts, frame.time_base = round(time / clock), clock
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if sound is not None:
            quiet = np.zeros((1, round(48_000 * silence)), np.float32)
            frame = av.AudioFrame.from_ndarray(quiet, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            file.mux(sound.encode(frame))
            file.mux(sound.encode(None))
    return path


def remuxed(path: Path, new: Path, change: Callable[[av.Packet], None] | None = None) -> Path:
    """Copy a video's packets into another file without decoding them; `change` edits each."""
    with av.open(path) as source, av.open(new, "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                if change is not None:
                    change(packet)
                packet.stream = stream
                target.mux(packet)
    return new


def video_seconds(path: Path, start: float | Fraction | None = None) -> float:
    """Return the time from `start` (None: the first stream's) to the video's end, seconds."""
    with opened(path) as video:
        zero = video.zero if start is None else Fraction(start)
        return float(timeline_of(video).end - zero)
