"""Small closed stores with made-up content, written through the store's own writers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import simplejpeg

from avsc.features.specs import FbankSpec, ImageSpec, ScalogramSpec, Spec
from avsc.features.store.failures import Failure, encode_failures
from avsc.features.store.index import gather, write_index
from avsc.features.store.labels import Labels
from avsc.features.store.layout import (
    Description,
    clips_file,
    failures_file,
    part_file,
    sha256_file,
    write_description,
)
from avsc.features.store.part import Record, read_part, write_part
from avsc.manifests.clips import Clip, found_labels
from avsc.manifests.files import publish
from avsc.manifests.label_spans import parse_spans
from avsc.manifests.table import encode_table

SPECS: dict[str, Spec] = {
    "scalogram": ScalogramSpec(),
    "fbank": FbankSpec(),
    "images": ImageSpec(short_side=40),
}
BINS = {"scalogram": 290, "fbank": 256}
SPANS = ("0-1 a; 1-3 b", "0-2 b; 2-3 a", "0-3 a", "0-1.2 b; 1.2-1.8 a; 1.8-3 b")
"""Labels that change, in clips of three seconds."""


def small_clips(
    classes: int = 3, locations: int = 4, clips_per_location: int = 2
) -> tuple[Clip, ...]:
    """Return clips of a few scenes; the last location of each scene is in the test fold."""
    clips = []
    for scene in range(classes):
        for place in range(locations):
            number = 10 * scene + place
            for take in range(clips_per_location):
                name = f"scene{scene}-city-{number:02d}-{take}"
                fold = "test" if place == locations - 1 else "train"
                audio, video = f"audio/{name}.wav", f"video/{name}.mp4"
                location = f"city-{number:02d}"
                clips.append(Clip(name, f"scene{scene}", audio, video, fold, "city", location))
    return tuple(clips)


def timed_clips():
    """Return clips with two or three locations to a fold, whose labels change in four ways."""
    clips = small_clips(classes=2, locations=6)
    return tuple(
        replace(
            clip,
            scene=None,
            fold="test" if int(clip.location[-1]) > 2 else "train",
            segments=parse_spans(SPANS[row % 4], clip.id),
        )
        for row, clip in enumerate(clips)
    )


def small_store(
    folder: Path,
    *,
    products: tuple[str, ...] = ("scalogram", "fbank", "images"),
    clips: tuple[Clip, ...] | None = None,
    seconds: int = 3,
    block_size: int = 8,
    failed: tuple[int, ...] = (),
    seed: int = 0,
) -> Path:
    """Write a closed store whose scenes can be told by sound and by sight.

    Args:
        folder: where.
        products: which products it holds.
        clips: the clip table; `small_clips()` when None.
        seconds: images of a clip; frames are those that so many seconds hold.
        block_size: clips in a part.
        failed: rows of clips without records.
        seed: of the content.
    """
    clips = small_clips() if clips is None else clips
    classes = tuple(sorted(found_labels(clips)))
    labels = Labels.of(clips, classes)
    specs = {name: SPECS[name] for name in products}
    description = Description("small", classes, block_size, specs)
    write_description(folder, description)
    publish(clips_file(folder), encode_table(clips))
    tables = {}
    for name, spec in specs.items():
        parts, digests = [], []
        for block, first in enumerate(range(0, len(clips), block_size)):
            rows = range(first, min(first + block_size, len(clips)))
            records = [
                record
                for row in rows
                if row not in failed
                for record in _records(name, row - first, row, labels, seconds, seed)
            ]
            path = part_file(folder, spec, block)
            write_part(path, spec, [clips[row].id for row in rows], records, _empty(name))
            parts.append(read_part(path))
            digests.append(sha256_file(path))
        tables[name] = gather(folder, parts, digests, block_size)
    failures = [
        Failure(clips[row].id, name, None, "sound", "truncated", "made to fail")
        for row in failed
        for name in products
    ]
    publish(failures_file(folder), encode_failures(failures))
    write_index(folder, description, tables)
    return folder


def _empty(product: str) -> np.ndarray:
    if product == "images":
        return np.empty(0, np.uint8)
    return np.empty((0, 2, BINS[product]), np.float32)


def _records(
    product: str,
    row_in_block: int,
    row: int,
    labels: Labels,
    seconds: int,
    seed: int,
) -> list[Record]:
    draw = np.random.default_rng((seed, row, len(product)))
    if product != "images":
        frames = (seconds * 16_000 - 8192) // 2736 + 1
        data = draw.normal(-8, 1, (frames, 2, BINS[product])).astype(np.float32)
        second = (np.arange(frames) * 2736 + 4096) // 16_000
        for frame, scene in zip(data, labels.at(np.full(frames, row), second), strict=True):
            frame[:, scene * 40 : scene * 40 + 40] += 3
        return [Record(row_in_block, 0, data)]
    records = []
    for second in range(seconds):
        image = draw.integers(0, 90, (40, 60, 3), dtype=np.uint8)
        (scene,) = labels.at(np.array([row]), np.array([second]))
        image[..., scene % 3] += 150
        jpeg = simplejpeg.encode_jpeg(image, quality=90, colorsubsampling="420")
        records.append(Record(row_in_block, second, np.frombuffer(jpeg, np.uint8)))
    return records
