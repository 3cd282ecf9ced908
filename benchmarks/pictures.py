"""Time of a clip's images on one core, beside other ways to get them, and whether they are right.

The ten images on show at k + 0.5 s are wanted, of streams made for the purpose (see `streams`).
The first table has decoding alone,

    full             every frame decoded with PyAV, one thread: what the others are measured by
    avsc             as `features.images` decodes them
    OpenCV           every frame grabbed, the wanted ones retrieved
    decord           get_batch
    torchcodec       get_frames_played_at

and how many of the ten are identical to the full decode's, plane by plane; of ways that give no
planes, how many are the wanted frames and not their neighbours. The second table has the whole
way to JPEG,

    full, stage      the full decode, then conversion, scaling and JPEG as avsc does them
    avsc, stage      what extraction does: short side 320, quality 90
    ffmpeg fps=1     `ffmpeg -vf fps=1 %02d.jpg`, images of the source's size

All have one core and one thread, and run in turn.

    python benchmarks/pictures.py [--rounds 5] [--megabits 7] [VIDEO ...]
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import streams
from numpy.typing import NDArray
from turns import in_turn, table

from avsc.features.images import frames_on_show, rgb
from avsc.features.jpeg import decode, encode
from avsc.features.specs import ImageSpec

SPEC = ImageSpec(short_side=320, quality=90)
Image = NDArray[np.uint8]
Way = Callable[[Path], Any]


def full(path: Path) -> list[av.VideoFrame]:
    """Decode every frame; keep those on show at k + 0.5 s, by the definition."""
    chosen: dict[int, av.VideoFrame] = {}
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        zero, k = stream.start_time or 0, 0
        for frame in file.decode(stream):
            while (frame.pts - zero) * stream.time_base > k + Fraction(1, 2):
                k += 1
            chosen[k] = frame
    end = (frame.pts + frame.duration - zero) * stream.time_base
    return [chosen[k] for k in sorted(chosen) if k + Fraction(1, 2) < end]


def fast(path: Path) -> list[av.VideoFrame]:
    return [frame for _, frame in frames_on_show(path) if isinstance(frame, av.VideoFrame)]


def staged(decoded: Way, path: Path) -> list[bytes]:
    return [encode(rgb(frame, SPEC.short_side), SPEC) for frame in decoded(path)]


def opencv(path: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    rate, number, found = capture.get(cv2.CAP_PROP_FPS), 0, []
    while capture.grab():
        if number == round(rate * (len(found) + 0.5)):
            found.append(capture.retrieve()[1][..., ::-1])
        number += 1
    return found


def decord_way() -> Way | None:
    try:
        import decord
    except (ImportError, OSError):
        return None

    def way(path: Path) -> list[Image]:
        reader = decord.VideoReader(str(path), num_threads=1)
        rate = reader.get_avg_fps()
        numbers = [round(rate * (k + 0.5)) for k in range(round(len(reader) / rate))]
        return list(reader.get_batch(numbers).asnumpy())

    return way


def torchcodec_way() -> Way | None:
    """Torchcodec needs FFmpeg's libraries, from the system's packages."""
    try:
        import torch
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):
        return None
    torch.set_num_threads(1)

    def way(path: Path) -> list[Image]:
        decoder = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC")
        seconds = [k + 0.5 for k in range(round(decoder.metadata.duration_seconds or 0))]
        return list(decoder.get_frames_played_at(seconds).data.numpy())

    return way


def ffmpeg_ways() -> dict[str, Way | None]:
    """Return a way for each ffmpeg: that of imageio-ffmpeg, and the system's."""
    programs = {"ffmpeg fps=1, the system's": shutil.which("ffmpeg")}
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        programs["ffmpeg fps=1, imageio's"] = None
    else:
        programs["ffmpeg fps=1, imageio's"] = get_ffmpeg_exe()
    ways: dict[str, Way | None] = {}
    for name, program in programs.items():
        if program is None:
            ways[name] = None
            continue
        version = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)
        ways[f"{name} {version.stdout.split()[2]}"] = partial(ffmpeg, program)
    return ways


def ffmpeg(program: str, path: Path) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-v", "error", "-threads", "1", "-i", path,
                   "-vf", "fps=1", "-threads", "1", f"{folder}/%02d.jpg"]  # fmt: skip
        subprocess.run(command, check=True)
        return [file.read_bytes() for file in sorted(Path(folder).iterdir())]


DECODING: dict[str, Way | None] = {
    "full": full,
    "avsc": fast,
    "OpenCV": opencv,
    "decord": decord_way(),
    "torchcodec": torchcodec_way(),
}
STAGES: dict[str, Way | None] = {
    "full, stage": partial(staged, full),
    "avsc, stage": partial(staged, fast),
    **ffmpeg_ways(),
}


class Reference:
    """The wanted images of a full decode; which of all frames another is."""

    def __init__(self, path: Path) -> None:
        self.planes = [frame.to_ndarray() for frame in full(path)]
        with av.open(path) as file:
            self._small = [_small(rgb(frame, 90)) for frame in file.decode(video=0)]
        self._numbers = [self._number(rgb(frame)) for frame in full(path)]

    def _number(self, image: Image) -> int:
        small = _small(image)
        return int(np.argmin([np.abs(small - other).mean() for other in self._small]))

    def said(self, got: Sequence[Any]) -> str:
        """Say of what a way gave whether it is what was wanted."""
        if isinstance(got[0], av.VideoFrame):
            same = sum(map(np.array_equal, (f.to_ndarray() for f in got), self.planes))
            return f"{same}/{len(self.planes)} identical"
        shown = [decode(one) if isinstance(one, bytes) else one for one in got]
        right = sum(map(int.__eq__, map(self._number, shown), self._numbers))
        return f"{right}/{len(self._numbers)} wanted"


def _small(image: Image) -> NDArray[np.float32]:
    scaled = cv2.resize(image, (160, 90), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.float32)


def report(videos: dict[str, Path], ways: dict[str, Way | None], rounds: int) -> None:
    """Print a table of milliseconds a clip, ratios to a full decode, and what came out."""
    rows = []
    for name, path in videos.items():
        here = {"full": full} | {way: run for way, run in ways.items() if run is not None}
        ms = in_turn({way: partial(run, path) for way, run in here.items()}, rounds)
        reference = Reference(path)
        for way, run in ways.items():
            if run is None:
                rows.append(f"{name} | {way} | not installed | | ")
                continue
            said = reference.said(run(path))
            rows.append(f"{name} | {way} | {ms[way]:.0f} | {ms[way] / ms['full']:.2f} | {said}")
    table("stream | way | ms per clip | of a full decode | frames", *rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, help="measure these in place of made ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabits", type=float, default=streams.MEGABITS, help="of made streams")
    parser.add_argument("--seconds", type=int, default=streams.SECONDS, help="of made streams")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        videos = {path.name: path for path in options.videos}
        if not videos:
            scene = list(streams.street(np.random.default_rng(7), options.seconds))
            for i, (name, coding) in enumerate(streams.STREAMS.items()):
                path = Path(folder) / f"{i}.mp4"
                videos[name] = streams.write(path, scene, coding, megabits=options.megabits)
            del scene
        plain = {name: path for name, path in videos.items() if "," not in name}
        ours = {name: way for name, way in DECODING.items() if name in ("full", "avsc")}
        report(plain, DECODING, options.rounds)
        print()
        report(plain, STAGES, options.rounds)
        if len(plain) < len(videos):
            print("\nOther streams:\n")
            others = {name: path for name, path in videos.items() if name not in plain}
            report(others, ours, options.rounds)


if __name__ == "__main__":
    main()
