"""From what a clip is to be to its two files, on every core.

A clip is a row of shots of one second. Each has its clip's symbols, and all else about it (level,
tuning, background; texture, hue, light, who passes by) is drawn anew, so that a network can learn
nothing but symbols: with a background for each place or clip it would learn the clips by heart.

A shot's noise comes from a generator keyed by (seed, what it is for, number of the clip, number of
the shot), so that each file has the same bytes whoever makes it, in whatever order, alone or with
others.
Files are whole or absent; a rerun makes those that are absent.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError
from avsc.manifests.files import publish
from avsc.preprocess.synth.design import Kinds
from avsc.preprocess.synth.encode import encode_mp4, encode_wav
from avsc.preprocess.synth.sights import SIGHTS, make_pictures
from avsc.preprocess.synth.sounds import RATE, SOUNDS, make_sound

SHOT_SECONDS = 1.0
"""As long as a segment of the official task, and in step with it."""
SOUND, SIGHT = range(2)


@dataclass(frozen=True)
class RenderJob:
    """One clip to be made.

    Attributes:
        kinds: what is to be heard and seen.
        seed: of the data set.
        clip: number of the clip, unique in the data set.
        audio: the WAV file.
        samples: its length.
        video: the MP4 file.
        pictures: their number.
        rate: pictures a second.
        size: (width, height) of the pictures, pixels.
    """

    kinds: Kinds
    seed: int
    clip: int
    audio: Path
    samples: int
    video: Path
    pictures: int
    rate: int
    size: tuple[int, int]

    @property
    def missing(self) -> bool:
        """Whether one of the files is still to be made."""
        return not (self.audio.exists() and self.video.exists())


def render(job: RenderJob) -> None:
    """Make those of a clip's files that do not exist."""
    if not job.audio.exists():
        publish(job.audio, encode_wav(np.concatenate(list(_sound(job))), RATE))
    if not job.video.exists():
        publish(job.video, encode_mp4(_pictures(job), job.size, job.rate))


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
    for generator, samples in _shots(job, SOUND, job.samples, RATE):
        yield make_sound(SOUNDS[job.kinds.sound], generator, samples)


def _pictures(job: RenderJob) -> Iterator[NDArray[np.uint8]]:
    for generator, count in _shots(job, SIGHT, job.pictures, job.rate):
        yield from make_pictures(SIGHTS[job.kinds.sight], generator, count, job.size)


def _shots(
    job: RenderJob, purpose: int, total: int, rate: int
) -> Iterator[tuple[np.random.Generator, int]]:
    """Yield each shot's generator and length; the last one has what is left."""
    length = round(SHOT_SECONDS * rate)
    for number, start in enumerate(range(0, total, length)):
        generator = np.random.default_rng([job.seed, purpose, job.clip, number])
        yield generator, min(length, total - start)
