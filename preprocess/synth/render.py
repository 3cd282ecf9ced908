"""Rendering: from the symbols of a clip to its two files, on every core.

A clip is a row of shots of one second. Each has the symbols of its second, and all else about it
(level, tuning, background; texture, hue, light, who passes by) is drawn again, so that a network
can learn nothing but symbols: with a background for each place or clip it would learn the clips by
heart. That is wanted where a design gives locations a look.

A shot's noise comes from a generator keyed by (seed, what it is for, number of the clip, number of
the shot), so that each file has the same bytes in any process and any order. Files are whole or
absent; a rerun makes those that are absent.

The files are like TAU2021's. WAV: PCM, 24 bit. MP4: H.264, yuv420p, without sound, with B-frames
and a key frame every two seconds and nowhere else, cuts or no cuts. x264 runs with one thread and
without macroblock-tree rate control, so that the same images give the same bytes: with it, small
images gave others now and then, by its vectorised code alone.
"""

import io
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError
from avsc.manifests.files import publish
from avsc.preprocess.synth.sights import Look, SightKind, make_images
from avsc.preprocess.synth.sounds import RATE, SoundKind, make_sound

SHOT_SECONDS = 1.0
"""As long as a segment of the official task, and in step with it."""
SOUND, SIGHT = range(2)
Kind = TypeVar("Kind", SoundKind, SightKind)
X264 = {"preset": "veryfast", "crf": "23", "bf": "2", "x264-params": "mbtree=0:scenecut=0"}


@dataclass(frozen=True)
class RenderJob:
    """One clip to be made.

    Attributes:
        sounds: what is to be heard in each second that has begun.
        sights: what is to be seen in each.
        seed: of the data set.
        clip: number of the clip, unique in the data set.
        audio: the WAV file.
        samples: its length.
        video: the MP4 file.
        images: their number.
        rate: images a second.
        size: (width, height) of the images, pixels.
        look: of all images; None where each shot has its own.
    """

    sounds: Sequence[SoundKind]
    sights: Sequence[SightKind]
    seed: int
    clip: int
    audio: Path
    samples: int
    video: Path
    images: int
    rate: int
    size: tuple[int, int]
    look: Look | None = None

    @property
    def missing(self) -> bool:
        """Whether one of the files is still to be made."""
        return not (self.audio.exists() and self.video.exists())


def render(job: RenderJob) -> None:
    """Make those of a clip's files that do not exist."""
    if not job.audio.exists():
        publish(job.audio, encode_wav(np.concatenate(list(_sound(job))), RATE))
    if not job.video.exists():
        publish(job.video, encode_mp4(_images(job), job.size, job.rate))


def render_all(jobs: Sequence[RenderJob], workers: int, done: Callable[[], None]) -> None:
    """Make the files of all jobs in so many processes; `done` is called after each clip.

    Raises:
        AvscError: a file could not be written, or a process died.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)) or 1, context, _ignore_interrupts)
    try:
        futures: list[Future[None]] = [pool.submit(render, job) for job in jobs]
        for future in as_completed(futures):
            future.result()
            done()
    except BrokenProcessPool as fault:
        raise AvscError(
            "a process that made clips died (out of memory?). Run the command again, with fewer "
            "--workers; what is made is kept."
        ) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent process, which tells its workers to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _sound(job: RenderJob) -> Iterator[NDArray[np.float64]]:
    for kind, generator, samples in _shots(job, SOUND, job.sounds, job.samples, RATE):
        yield make_sound(kind, generator, samples)


def _images(job: RenderJob) -> Iterator[NDArray[np.uint8]]:
    for kind, generator, count in _shots(job, SIGHT, job.sights, job.images, job.rate):
        yield from make_images(kind, generator, count, job.size, job.look)


def _shots(
    job: RenderJob, purpose: int, kinds: Sequence[Kind], total: int, rate: int
) -> Iterator[tuple[Kind, np.random.Generator, int]]:
    """Yield each shot's kind, generator and length; the last one has what is left.

    A clip that is a sample too long has a shot of one sample, which is of the last kind.
    """
    length = round(SHOT_SECONDS * rate)
    for number, start in enumerate(range(0, total, length)):
        generator = np.random.default_rng([job.seed, purpose, job.clip, number])
        yield kinds[min(number, len(kinds) - 1)], generator, min(length, total - start)


def encode_wav(samples: NDArray[np.float64], rate: int) -> bytes:
    """Return [samples, channels] in [-1, 1) as a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_24")
    return file.getvalue()


def encode_mp4(images: Iterable[NDArray[np.uint8]], size: tuple[int, int], rate: int) -> bytes:
    """Return images, uint8 RGB [height, width, 3], as an MP4 file.

    Args:
        images: all of one size.
        size: (width, height), both even.
        rate: images a second.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=X264)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 2 * rate
        stream.codec_context.thread_count = 1
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
