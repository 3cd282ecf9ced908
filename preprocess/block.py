"""The unit of work: one block of clips -> a part and a receipt for each product.

The same function runs in a local worker, on a cluster, and with no scheduler at all. Its result
depends on the clips and the specs alone. Records of clips that need not be made again are taken
from the part that is there, after their checksums were found right.
"""

import resource
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from avsc.features.clip import ClipRecords, empty
from avsc.features.isolate import make_clip_in_time, make_clip_isolated
from avsc.features.recording import SourceFile
from avsc.features.specs import AcousticSpec, Spec
from avsc.features.store.failures import Failure
from avsc.features.store.layout import part_file, receipt_file
from avsc.features.store.part import Record, crc32, read_part, write_part
from avsc.manifests.clips import located
from avsc.manifests.errors import StoreError
from avsc.manifests.files import remove
from avsc.preprocess.plan import BlockTask
from avsc.preprocess.receipt import Receipt, Roles, read_receipt, versions, write_receipt

Kept = dict[str, list[tuple[int, npt.NDArray[Any]]]]


@dataclass(frozen=True)
class BlockSummary:
    """What a block's work came to; small, because it travels back to the driver.

    Attributes:
        clips: clips of which something was made or tried.
        failures: what could not be made.
        warnings: what should be known.
        seconds: wall-clock time.
        peak_memory: largest resident set of the worker so far, bytes.
    """

    block: int
    clips: int
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: float
    peak_memory: int


def make_block(task: BlockTask) -> BlockSummary:
    """Make what a task asks for and publish it.

    Raises:
        AvscError: a file could not be written.
    """
    begin = time.perf_counter()
    with threadpool_limits(1):
        made = _make(task)
    for name in task.specs:
        _publish(task, name, made, begin)
    warnings = [warning for name in task.specs for warning in made.warnings(task, name)]
    return BlockSummary(
        task.block,
        len(made.clips),
        tuple(failure for name in task.specs for failure in made.failures(task, name)),
        tuple(dict.fromkeys(warnings)),
        time.perf_counter() - begin,
        peak_memory(),
    )


@dataclass(frozen=True)
class Made:
    """What was made of a block's clips.

    Attributes:
        clips: what each row to be made gave, in their order.
        sources: the recordings that each was made of.
    """

    clips: dict[int, ClipRecords]
    sources: dict[int, dict[str, SourceFile]]

    def of(self, task: BlockTask, product: str) -> list[ClipRecords]:
        """Return the clips that were to be made of a product."""
        return [clip for row, clip in self.clips.items() if row in task.todo[product]]

    def failures(self, task: BlockTask, product: str) -> tuple[Failure, ...]:
        """Return what could not be made of a product."""
        made = self.of(task, product)
        return tuple(f for clip in made for f in clip.failures if f.product == product)

    def warnings(self, task: BlockTask, product: str) -> tuple[str, ...]:
        """Return what should be known of the clips of a product."""
        return tuple(warning for clip in self.of(task, product) for warning in clip.warnings)


def _make(task: BlockTask) -> Made:
    """Make what a task asks for, in memory."""
    _forget_unreadable(task)
    make = make_clip_isolated if task.isolate else make_clip_in_time
    made, found = {}, {}
    for row in sorted(frozenset[int]().union(*task.todo.values())):
        clip = task.clips[row]
        specs = {name: spec for name, spec in task.specs.items() if row in task.todo[name]}
        files = {n: located(task.root, n) for n in (clip.audio, clip.video) if n is not None}
        audio, video = (None if n is None else files[n] for n in (clip.audio, clip.video))
        made[row] = make(clip.id, audio, video, specs, task.limits)
        # Under the manifest's names, as the plan has them; a file's own may be in another form.
        sources = made[row].sources
        found[row] = {
            name: sources[files[name]] for name in sorted(files) if files[name] in sources
        }
    return Made(made, found)


def _forget_unreadable(task: BlockTask) -> None:
    """Add the rows to the task that the parts which are there cannot give."""
    for name, spec in task.specs.items():
        others = frozenset(range(len(task.clips))) - task.todo[name]
        if others and _kept(task, spec) is None:
            task.todo[name] = task.todo[name] | others


def _kept(task: BlockTask, spec: Spec) -> Kept | None:
    """Return the records of a part that is there, by clip id; None when it is not all right."""
    path = part_file(task.store, spec, task.block)
    kept: Kept = defaultdict(list)
    try:
        part = read_part(path, spec)
        with path.open("rb") as file:
            for clip, key, first, last, checksum in zip(
                part.clip, part.key, part.offset[:-1], part.offset[1:], part.crc32, strict=True
            ):
                file.seek(part.data_offset + int(first) * part.row_bytes)
                data = np.frombuffer(file.read(int(last - first) * part.row_bytes), part.dtype)
                record = data.reshape(-1, *part.item_shape)
                if crc32(record) != checksum:
                    return None
                kept[part.ids[clip]].append((int(key), record))
    except (StoreError, OSError, ValueError):
        return None
    return kept


def _publish(task: BlockTask, name: str, made: Made, begin: float) -> None:
    """Write a product's part, then its receipt, which marks it as complete."""
    spec = task.specs[name]
    path = part_file(task.store, spec, task.block)
    receipt = receipt_file(task.store, spec, task.block)
    todo = task.todo[name]
    ids = tuple(clip.id for clip in task.clips)
    kept = _kept(task, spec) if len(todo) < len(ids) else None
    before = read_receipt(receipt)
    records, of = [], []
    roles: list[Roles] = []
    levels: list[float | None] = []
    older: list[Failure] = []
    for row, clip in enumerate(ids):
        role: Roles = (task.clips[row].audio, task.clips[row].video)
        if row in todo:
            records += [Record(row, key, data) for key, data in made.clips[row].records[name]]
            of.append(made.sources[row])
            level = made.clips[row].level
        else:
            assert kept is not None and before is not None, "rows are kept only from whole parts"
            records += [Record(row, key, data) for key, data in kept.get(clip, [])]
            at = before.ids.index(clip)
            of.append(before.sources[at])
            role = before.roles[at] if before.roles else role
            level = before.levels[at] if before.levels else None
            older += [failure for failure in before.failures if failure.clip == clip]
        roles.append(role)
        levels.append(None if level is None else round(level, 2))
    remove(receipt)
    digest, size = write_part(path, spec, ids, records, empty(spec))
    write_receipt(
        receipt,
        Receipt(
            ids=ids,
            sources=tuple(of),
            failures=(*older, *made.failures(task, name)),
            warnings=made.warnings(task, name),
            part_sha256=digest,
            part_size=size,
            seconds=time.perf_counter() - begin,
            peak_memory=peak_memory(),
            versions=versions(),
            roles=tuple(roles),
            levels=tuple(levels) if isinstance(spec, AcousticSpec) else (),
        ),
    )


def peak_memory() -> int:
    """Return the most memory that this process ever held, bytes.

    Linux's own count of the process: `getrusage` also counts what its parent held when it was made.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
