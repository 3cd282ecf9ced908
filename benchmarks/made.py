"""A closed store of made-up content, written by the store's own writers, for the benchmarks.

Sound is noise. Images have the 1 / frequency spectrum of natural scenes, so that as JPEGs they
are about as large and as slow to decode; a few dozen different ones are used over and over, each
record with its own bytes in its own place.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from avsc.features.specs import ImageSpec, ScalogramSpec, Spec
from avsc.features.store.failures import encode_failures
from avsc.features.store.index import gather, write_index
from avsc.features.store.layout import (
    Description,
    clips_file,
    failures_file,
    part_file,
    sha256_file,
    write_description,
)
from avsc.features.store.part import Record, read_part, write_part
from avsc.manifests.clips import Clip
from avsc.manifests.files import publish
from avsc.manifests.table import encode_table

SECONDS, FRAMES, BINS = 10, 56, 290
DIFFERENT = 32


def scene(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return an image with the 1 / frequency spectrum of natural scenes, uint8 RGB."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(rng.normal(size=(3, height, width))) / frequency**1.6
    planes = np.fft.irfft2(noise, (height, width))
    planes = planes.mean(0) + 0.4 * planes
    image = np.clip(128 + 55 * planes / planes.std(), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def synthetic(
    rng: np.random.Generator, number: int, short_side: int, quality: int = 90
) -> Iterator[bytes]:
    """Yield such images, 16:9, as JPEG 4:2:0."""
    for _ in range(number):
        image = scene(rng, short_side, round(short_side * 16 / 9))
        yield simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling="420")


def make_store(folder: Path, clips: int, block_size: int = 64, short_side: int = 320) -> Path:
    """Write a store of so many clips of ten seconds, of two scenes and as many places as clips."""
    rng = np.random.default_rng(0)
    listed = tuple(
        Clip(f"{n:06d}", f"scene{n % 2}", "a.wav", "a.mp4", "train", "city", f"{n:06d}")
        for n in range(clips)
    )
    specs: dict[str, Spec] = {
        spec.product: spec for spec in (ScalogramSpec(), ImageSpec(short_side=short_side))
    }
    description = Description("made", ("scene0", "scene1"), block_size, specs)
    write_description(folder, description)
    publish(clips_file(folder), encode_table(listed))
    publish(failures_file(folder), encode_failures([]))
    some = min(DIFFERENT, clips * SECONDS)
    jpegs = [np.frombuffer(one, np.uint8) for one in synthetic(rng, some, short_side)]
    frames = rng.normal(-8, 1, (some, FRAMES, 2, BINS)).astype(np.float32)
    tables = {}
    for name, spec in specs.items():
        parts, digests = [], []
        for block, first in enumerate(range(0, clips, block_size)):
            rows = range(first, min(first + block_size, clips))
            if name == "images":
                records = [
                    Record(row - first, k, jpegs[(row * SECONDS + k) % some])
                    for row in rows
                    for k in range(SECONDS)
                ]
                empty = np.empty(0, np.uint8)
            else:
                records = [Record(row - first, 0, frames[row % some]) for row in rows]
                empty = np.empty((0, 2, BINS), np.float32)
            path = part_file(folder, spec, block)
            write_part(path, spec, [listed[row].id for row in rows], records, empty)
            parts.append(read_part(path))
            digests.append(sha256_file(path))
        tables[name] = gather(folder, parts, digests, block_size)
    write_index(folder, description, tables)
    return folder
