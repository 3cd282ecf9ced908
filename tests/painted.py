"""Videos whose images carry their own numbers, made and decoded by the ffmpeg program.

A number is painted as bits: twelve blocks of white or black, four in a row, the lowest bit at the
upper left; coding does not disturb them, and a mirrored or turned image reads as another number.
"""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from avsc.features.images import frames_on_show, rgb
from avsc.features.recording import Recording
from avsc.manifests.errors import MediaError

WIDTH, HEIGHT, RATE = 96, 64, 25
ROWS, COLUMNS = 3, 4
PROGRAM = (imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-hide_banner", "-loglevel", "error")


def ffmpeg(*arguments: object, source: bytes = b"") -> bytes:
    """Run ffmpeg; return what it wrote to its output "-"."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, input=source, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def painted(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return a grey image, uint8 [height, width], that carries a number below 4096."""
    bits = (number >> np.arange(ROWS * COLUMNS)) & 1
    row, column = (np.arange(n) * parts // n for n, parts in ((height, ROWS), (width, COLUMNS)))
    return np.where(bits.reshape(ROWS, COLUMNS)[np.ix_(row, column)] == 1, 208, 48).astype(np.uint8)


def number(image: NDArray[np.uint8]) -> int:
    """Return the number that an image [height, width, ...] carries."""
    height, width = image.shape[:2]
    grey = image.reshape(height, width, -1).mean(-1)
    rows, columns = (
        (np.arange(parts) * n // parts + n // (2 * parts))
        for n, parts in ((height, ROWS), (width, COLUMNS))
    )
    bits = (grey[np.ix_(rows, columns)] > 128).ravel()
    return int(bits @ (1 << np.arange(bits.size)))


def encode(
    path: Path,
    *options: object,
    count: int = 75,
    first: int = 0,
    rate: object = RATE,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """Write images `first`, `first` + 1, ... as a video, by ffmpeg's options."""
    shape = f"{size[1]}x{size[0]}"
    source = b"".join(painted(i, *size).tobytes() for i in range(first, first + count))
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "gray", "-s", shape, "-r", rate, "-i", "-"),
        *("-pix_fmt", "yuv420p", *options, path),
        source=source,
    )
    return path


def decoded(path: Path, *options: object, size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[int]:
    """Return the numbers of all images that ffmpeg decodes, in the order of their display."""
    raw = ffmpeg(
        *options, "-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"
    )
    return [number(image) for image in np.frombuffer(raw, np.uint8).reshape(-1, *size)]


def shown(path: Path | Recording, seconds: int | None = None) -> list[int | str]:
    """Return the number of the image, or why there is none, of each second of a video."""
    return [
        frame.code if isinstance(frame, MediaError) else number(rgb(frame))
        for _, frame in frames_on_show(path, seconds)
    ]
