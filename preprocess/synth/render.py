"""From what a clip is to be to its two files, on every core.

A clip's noise comes from generators keyed by (seed, what it is for, number of the place or clip),
so that each file has the same bytes whoever makes it, in whatever order, alone or with others.
Files are whole or absent; a rerun makes those that are absent.
"""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsc.manifests.errors import AvscError
from avsc.manifests.publish import publish
from avsc.preprocess.synth.design import Kinds
from avsc.preprocess.synth.media import encode_mp4, encode_wav
from avsc.preprocess.synth.sights import SIGHTS, make_pictures
from avsc.preprocess.synth.sounds import RATE, SOUNDS, make_sound

SOUND_OF_PLACE, SOUND_OF_CLIP, SIGHT_OF_PLACE, SIGHT_OF_CLIP = range(4)


@dataclass(frozen=True)
class Job:
    """One clip to be made.

    Attributes:
        kinds: what is to be heard and seen.
        seed: of the data set.
        place: number of the place, unique in the data set.
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
    place: int
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


def render(job: Job) -> None:
    """Make those of a clip's files that do not exist."""
    if not job.audio.exists():
        place, clip = _generators(job, SOUND_OF_PLACE, SOUND_OF_CLIP)
        sound = make_sound(SOUNDS[job.kinds.sound], place, clip, job.samples)
        publish(job.audio, encode_wav(sound, RATE))
    if not job.video.exists():
        place, clip = _generators(job, SIGHT_OF_PLACE, SIGHT_OF_CLIP)
        pictures = make_pictures(SIGHTS[job.kinds.sight], place, clip, job.pictures, job.size)
        publish(job.video, encode_mp4(pictures, job.size, job.rate))


def render_all(jobs: Sequence[Job], workers: int, done: Callable[[], None]) -> None:
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


def _generators(job: Job, place: int, clip: int) -> tuple[np.random.Generator, np.random.Generator]:
    return (
        np.random.default_rng([job.seed, place, job.place]),
        np.random.default_rng([job.seed, clip, job.clip]),
    )
