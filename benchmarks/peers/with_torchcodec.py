"""torchcodec in a loop: `get_frames_played_at`, one thread of FFmpeg's. No rerun."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peers.peer import Image, Job, read_loose, write_loose

PACKAGES = ("torchcodec", "torch")
ADVICE = "`VideoDecoder(num_ffmpeg_threads=1).get_frames_played_at`"
RERUN = ""


def decoded(video: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames on show at k + 0.5 s."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(video, num_ffmpeg_threads=1, dimension_order="NHWC")
    seconds = [k + 0.5 for k in range(round(decoder.metadata.duration_seconds or 0))]
    yield from decoder.get_frames_played_at(seconds).data.numpy()


def extract(job: Job) -> None:
    """Make loose files."""
    import torch

    torch.set_num_threads(1)
    for video in job.videos:
        write_loose(job, video, decoded(video))


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    return read_loose(job)
