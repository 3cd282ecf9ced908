"""The plan: which clips of which blocks must be made, for which products, and why.

A clip of a block is done when the block's receipt is whole and names the same clips, the part has
the size that the receipt says, the clip's recordings are as they were (size and time; digests under
``check="content"``) and nothing of it failed. What is done is kept, record by record, also when its
block must be written again. A block that is done entirely is not touched.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avsc.features.specs import Spec
from avsc.features.store.layout import Description, part_file, receipt_file
from avsc.manifests.clips import Clip, Dataset
from avsc.preprocess.receipt import Receipt, Source, look, read_receipt

Check = Literal["time", "content"]
ALL = slice(None)


@dataclass(frozen=True)
class Task:
    """One block's work.

    Attributes:
        store: the store's folder.
        root: the data set's folder.
        block: number of the block.
        clips: the block's clips, in row order.
        specs: specs of the products that have something to be made.
        todo: for each of them, the rows of the clips to be made; other rows are kept.
        isolate: decode each clip in a process of its own, so that a crash costs that clip only.
    """

    store: Path
    root: Path
    block: int
    clips: tuple[Clip, ...]
    specs: dict[str, Spec]
    todo: dict[str, frozenset[int]]
    isolate: bool = False

    @property
    def n_clips(self) -> int:
        """Number of clips of which something is to be made."""
        return len(frozenset[int]().union(*self.todo.values()))


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        tasks: one for each block that is not done.
        blocks: number of all blocks.
        reasons: how many (clip, product) are to be made for each reason.
    """

    tasks: tuple[Task, ...]
    blocks: int
    reasons: Counter[str]

    @property
    def n_clips(self) -> int:
        """Number of clips of which something is to be made."""
        return sum(task.n_clips for task in self.tasks)


def make_plan(
    store: Path, dataset: Dataset, description: Description, check: Check, which: slice = ALL
) -> Plan:
    """Compare a store with the data set and return what is to be done; changes nothing.

    Args:
        store: the store's folder.
        dataset: the clips.
        description: what the store is to hold.
        check: how a changed recording is told.
        which: of the blocks; the others are not looked at.
    """
    size = description.block_size
    tasks: list[Task] = []
    reasons: Counter[str] = Counter()
    blocks = range(-(-len(dataset.clips) // size))
    for block in blocks[which]:
        clips = dataset.clips[block * size : (block + 1) * size]
        found = [sources(dataset.root, clip, check == "content") for clip in clips]
        todo: dict[str, frozenset[int]] = {}
        for name, spec in description.specs.items():
            why = _why(store, spec, block, clips, found)
            reasons.update(why.values())
            if why:
                todo[name] = frozenset(why)
        if todo:
            specs = {name: description.specs[name] for name in todo}
            tasks.append(Task(store, dataset.root, block, clips, specs, todo))
    return Plan(tuple(tasks), len(blocks), reasons)


def sources(root: Path, clip: Clip, content: bool = False) -> dict[str, Source]:
    """Return how a clip's recordings are found now, by their paths relative to the root."""
    names = sorted({name for name in (clip.audio, clip.video) if name is not None})
    return {name: look(root / name, content) for name in names}


def _why(
    store: Path, spec: Spec, block: int, clips: tuple[Clip, ...], found: list[dict[str, Source]]
) -> dict[int, str]:
    """Return the rows that must be made, and the reason of each."""
    receipt = read_receipt(receipt_file(store, spec, block))
    if receipt is None or not _has_size(part_file(store, spec, block), receipt.part_size):
        return dict.fromkeys(range(len(clips)), "missing")
    old = {name: row for row, name in enumerate(receipt.ids)}
    failed = {failure.clip for failure in receipt.failures}
    why = {}
    for row, clip in enumerate(clips):
        if clip.id not in old:
            why[row] = "new in this block"
        elif _changed(receipt, old[clip.id], found[row]):
            why[row] = "source changed"
        elif clip.id in failed:
            why[row] = "failed before"
    if not why and receipt.ids != tuple(clip.id for clip in clips):
        why[0] = "clips removed from this block"
    return why


def _changed(receipt: Receipt, row: int, found: dict[str, Source]) -> bool:
    before = receipt.sources[row]
    if before.keys() != found.keys():
        return True
    return any(
        (now.size, now.sha256) != (then.size, then.sha256)
        if now.sha256
        else (now.size, now.modified) != (then.size, then.modified)
        for now, then in ((found[name], before[name]) for name in found)
    )


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
