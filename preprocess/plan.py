"""The plan: which clips of which blocks must be made, for which products, and why.

A clip of a block is done when the block's receipt is intact and names the same clips, the part has
the size that the receipt says, the clip's recordings are unchanged and nothing of it failed.
Changed recordings are detected by size and mtime (any other mtime is a change, also an earlier
one); under ``check="content"`` by their digests, and the part by its own. What is done is kept,
record by record, also when its block must be rewritten. A block that is done is not touched.
`avsc-prep explain` gives the same reasons in full.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from avsc.features.limits import Limits
from avsc.features.recording import SourceFile, look
from avsc.features.specs import Spec
from avsc.features.store.layout import (
    Description,
    part_file,
    product_folder,
    receipt_file,
    sha256_file,
)
from avsc.manifests.clips import Clip, Dataset, located
from avsc.preprocess.receipt import Receipt, read_receipt

Check = Literal["time", "content"]
ALL = slice(None)
Receipts = dict[str, tuple[int, int] | None]
KEEPABLE = ("failed before", "source changed")  # reasons of clips that the part holds as they were


@dataclass(frozen=True)
class Reason:
    """Why a product of a clip is to be made.

    Attributes:
        kind: one of a few words, by which reasons are counted.
        detail: what was found, and what was expected.
    """

    kind: str
    detail: str


@dataclass(frozen=True)
class BlockTask:
    """One block's work.

    Attributes:
        store: the store's folder.
        root: the data set's folder.
        clips: the block's clips, in row order.
        specs: specs of the products that have something to be made.
        todo: for each of them, the rows of the clips to be made; other rows are kept.
        limits: what of a recording is refused.
        isolate: decode each clip in a process of its own, so that a crash costs that clip only.
        planned_with: what its receipts were when it was planned: see `receipts`.
    """

    store: Path
    root: Path
    block: int
    clips: tuple[Clip, ...]
    specs: dict[str, Spec]
    todo: dict[str, frozenset[int]]
    limits: Limits = field(default_factory=Limits)
    isolate: bool = False
    planned_with: Receipts = field(default_factory=dict)

    @property
    def n_clips(self) -> int:
        """Number of clips of which something is to be made."""
        return len(frozenset[int]().union(*self.todo.values()))

    @property
    def is_stale(self) -> bool:
        """Whether another run has been at the block since this was planned."""
        return receipts(self.store, self.specs, self.block) != self.planned_with


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        tasks: one for each block that is not done.
        reasons: how many (clip, product) are to be made for each reason.
    """

    tasks: tuple[BlockTask, ...]
    blocks: int
    reasons: Counter[str]

    @property
    def n_clips(self) -> int:
        """Number of clips of which something is to be made."""
        return sum(task.n_clips for task in self.tasks)


def make_plan(
    store: Path,
    dataset: Dataset,
    description: Description,
    check: Check,
    which: slice = ALL,
    limits: Limits | None = None,
    only: Mapping[str, frozenset[str]] | None = None,
) -> Plan:
    """Compare a store with the data set and return what is to be done; changes nothing.

    Args:
        store: the store's folder.
        description: what the store is to hold.
        check: how to detect changed recordings.
        which: of the blocks; the others are not looked at.
        limits: what of a recording is refused; the defaults when None.
        only: ids of clips by product: of those that failed or whose recordings changed, no others
            are made; their records and failures are kept.
    """
    limits = Limits() if limits is None else limits
    size = description.block_size
    tasks: list[BlockTask] = []
    reasons: Counter[str] = Counter()
    blocks = range(-(-len(dataset.clips) // size))
    alike: dict[frozenset[int], frozenset[int]] = {}  # most blocks want the same rows
    for block in blocks[which]:
        clips = dataset.clips[block * size : (block + 1) * size]
        before = receipts(store, description.specs, block)
        current = [sources(dataset.root, clip, check == "content") for clip in clips]
        todo: dict[str, frozenset[int]] = {}
        for name, spec in description.specs.items():
            why = reasons_to_make(store, spec, block, clips, current, check)
            if only is not None:
                why = {
                    row: reason
                    for row, reason in why.items()
                    if reason.kind not in KEEPABLE or clips[row].id in only.get(name, ())
                }
            reasons.update(reason.kind for reason in why.values())
            if why:
                rows = frozenset(why)
                todo[name] = alike.setdefault(rows, rows)
        if todo:
            specs = {name: description.specs[name] for name in todo}
            seen = {name: before[name] for name in todo}
            task = BlockTask(
                store, dataset.root, block, clips, specs, todo, limits, planned_with=seen
            )
            tasks.append(task)
    return Plan(tuple(tasks), len(blocks), reasons)


def receipts(store: Path, specs: Mapping[str, Spec], block: int) -> Receipts:
    """Return what tells a block's receipts, by product, from any written later; None for absent."""
    states: Receipts = {}
    for name, spec in specs.items():
        try:
            state = receipt_file(store, spec, block).stat()
            states[name] = (state.st_mtime_ns, state.st_ino)
        except OSError:
            states[name] = None
    return states


def sources(root: Path, clip: Clip, content: bool = False) -> dict[str, SourceFile]:
    """Return how a clip's recordings are found now, by their paths relative to the root."""
    names = sorted({name for name in (clip.audio, clip.video) if name is not None})
    return {name: look(located(root, name), content) for name in names}


def reasons_to_make(
    store: Path,
    spec: Spec,
    block: int,
    clips: Sequence[Clip],
    current: Sequence[Mapping[str, SourceFile]],
    check: Check = "time",
) -> dict[int, Reason]:
    """Return the rows of a block that must be made by a spec, and why.

    Args:
        store: the store's folder.
        clips: the block's clips, in row order.
        current: for each of them, its recordings as they are now.
        check: ``"content"`` to compare the part's bytes with its receipt, and not its size alone.
    """
    part, receipt_path = part_file(store, spec, block), receipt_file(store, spec, block)
    receipt = read_receipt(receipt_path)
    if receipt is None or not _has_size(part, receipt.part_size):
        return dict.fromkeys(range(len(clips)), _block_reason(store, spec, block, receipt))
    if check == "content" and sha256_file(part) != receipt.part_sha256:
        damage = Reason("part damaged", f"{part}: its bytes are not those that its receipt names")
        return dict.fromkeys(range(len(clips)), damage)
    old = {name: row for row, name in enumerate(receipt.ids)}
    failed = {failure.clip: failure for failure in receipt.failures}
    why = {}
    for row, clip in enumerate(clips):
        if clip.id not in old:
            why[row] = Reason("new in this block", f"{receipt_path} does not name it")
        elif change := _change(receipt, old[clip.id], clip, current[row]):
            why[row] = Reason("source changed", change)
        elif clip.id in failed:
            fault = failed[clip.id]
            why[row] = Reason("failed before", f"{fault.code}: {fault.message}")
    if not why and receipt.ids != tuple(clip.id for clip in clips):
        why[0] = Reason("clips removed from this block", f"{receipt_path} names others")
    return why


def _block_reason(store: Path, spec: Spec, block: int, receipt: Receipt | None) -> Reason:
    """Return why a whole block is to be made."""
    part, receipt_path = part_file(store, spec, block), receipt_file(store, spec, block)
    if receipt is not None:
        size = part.stat().st_size if part.exists() else None
        said = "is missing" if size is None else f"has {size} bytes"
        return Reason("part damaged", f"{part} {said}; its receipt says {receipt.part_size} bytes")
    if receipt_path.exists():
        return Reason("receipt damaged", f"{receipt_path} is not what was written")
    others = [folder.name for folder in other_folders(store, spec, block)]
    if others:
        return Reason("spec changed", f"made by {', '.join(others)}; wanted {spec.digest[:12]}")
    return Reason("missing", f"{receipt_path} is not there")


def other_folders(store: Path, spec: Spec, block: int) -> list[Path]:
    """Return the folders in which other specs of the same product have made a block."""
    folder = product_folder(store, spec)
    receipt = receipt_file(store, spec, block).relative_to(folder)
    siblings = sorted(folder.parent.glob("*"))
    return [one for one in siblings if one != folder and (one / receipt).exists()]


def _change(receipt: Receipt, row: int, clip: Clip, now: Mapping[str, SourceFile]) -> str:
    """Return how a clip's recordings differ from those it was made of; empty when they do not."""
    before, roles = receipt.sources[row], (clip.audio, clip.video)
    if receipt.roles and receipt.roles[row] != roles:
        made = " and ".join(str(name) for name in receipt.roles[row])
        return f"made of {made} for sound and images; the manifest names {roles[0]} and {roles[1]}"
    if before.keys() != now.keys():
        return f"made of {_list(before)}; the manifest names {_list(now)}"
    return "; ".join(
        f"{name}: was {describe_source(before[name])}, is {describe_source(source)}"
        for name, source in now.items()
        if not _is_same(before[name], source)
    )


def _is_same(before: SourceFile, now: SourceFile) -> bool:
    if now.sha256:
        return (now.size, now.sha256) == (before.size, before.sha256)
    return (now.size, now.modified) == (before.size, before.modified)


def describe_source(source: SourceFile) -> str:
    """Return a recording's state for the reader.

    >>> describe_source(SourceFile(2880044, 1_000_000_000_123_456_789, "c0ffee" * 10))
    '2880044 bytes of 2001-09-09T01:46:40.123456789Z (sha256 c0ffeec0ffee)'
    """
    if source.size < 0:
        return "absent"
    seconds, nanoseconds = divmod(source.modified, 10**9)
    moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
    digest = f" (sha256 {source.sha256[:12]})" if source.sha256 else ""
    return f"{source.size} bytes of {moment}{digest}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
