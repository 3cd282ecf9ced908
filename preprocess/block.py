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
from avsc.features.specs import Spec
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
        made, found = _make(task)
    failures: list[Failure] = []
    warnings: dict[str, None] = {}
    for name, spec in task.specs.items():
        mine = [made[row] for row in sorted(made) if row in task.todo[name]]
        lost = tuple(f for clip in mine for f in clip.failures if f.product == name)
        known = tuple(w for clip in mine for w in clip.warnings)
        _publish(task, name, spec, made, found, lost, known, begin)
        failures.extend(lost)
        warnings.update(dict.fromkeys(known))
    return BlockSummary(
        task.block,
        len(made),
        tuple(failures),
        tuple(warnings),
        time.perf_counter() - begin,
        peak_memory(),
    )


def _make(task: BlockTask) -> tuple[dict[int, ClipRecords], dict[int, dict[str, SourceFile]]]:
    """Return, for each row to be made, what it gave and the recordings it was made of."""
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
    return made, found


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


def _publish(
    task: BlockTask,
    name: str,
    spec: Spec,
    made: dict[int, ClipRecords],
    found: dict[int, dict[str, SourceFile]],
    failures: tuple[Failure, ...],
    warnings: tuple[str, ...],
    begin: float,
) -> None:
    """Write a product's part, then its receipt, which marks it as complete."""
    path = part_file(task.store, spec, task.block)
    receipt = receipt_file(task.store, spec, task.block)
    todo = task.todo[name]
    ids = tuple(clip.id for clip in task.clips)
    kept = _kept(task, spec) if len(todo) < len(ids) else None
    before = read_receipt(receipt)
    records, of = [], []
    roles: list[Roles] = []
    older: list[Failure] = []
    for row, clip in enumerate(ids):
        role: Roles = (task.clips[row].audio, task.clips[row].video)
        if row in todo:
            records += [Record(row, key, data) for key, data in made[row].records[name]]
            of.append(found[row])
        else:
            assert kept is not None and before is not None, "rows are kept only from whole parts"
            records += [Record(row, key, data) for key, data in kept.get(clip, [])]
            at = before.ids.index(clip)
            of.append(before.sources[at])
            role = before.roles[at] if before.roles else role
            older += [failure for failure in before.failures if failure.clip == clip]
        roles.append(role)
    remove(receipt)
    digest, size = write_part(path, spec, ids, records, empty(spec))
    write_receipt(
        receipt,
        Receipt(
            ids=ids,
            sources=tuple(of),
            failures=(*older, *failures),
            warnings=warnings,
            part_sha256=digest,
            part_size=size,
            seconds=time.perf_counter() - begin,
            peak_memory=peak_memory(),
            versions=versions(),
            roles=tuple(roles),
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
