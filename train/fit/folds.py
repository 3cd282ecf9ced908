"""Which clips a fold holds.

``test`` is the data set's own test fold. ``train`` and ``validation`` are the two parts that the
run divided its training fold into, as its split.csv has them.
"""

import hashlib

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.fit.trained_run import Trained

PARTS = {"train": "training", "validation": "validation"}
FOLDS = ("test", *PARTS)


def fold_rows(store: Store, trained: Trained, fold: str) -> list[int]:
    """Return the rows of a fold's clips in the store's clip table.

    Raises:
        AvscError: it has none, the store lacks one of them, or split.csv is not the run's.
    """
    if fold == "test":
        rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
        if not rows:
            raise AvscError(
                f"{store.path}: none of its {len(store.clips)} clips is in the test fold. Give "
                "the manifest a column fold, or evaluate on other clips by --fold."
            )
        return rows
    names = part_clips(trained, PARTS[fold])
    row_of = {clip.id: row for row, clip in enumerate(store.clips)}
    lost = [name for name in names if name not in row_of]
    if lost:
        raise AvscError(
            f"{store.path}: it lacks {len(lost)} of the {len(names)} clips of the run's {fold} "
            f"part, {lost[0]!r} first. Name the store that the run was trained on by --store."
        )
    return [row_of[name] for name in names]


def part_clips(trained: Trained, part: str) -> list[str]:
    """Return the clips of a part of a run's split.csv, ``training`` or ``validation``.

    Raises:
        AvscError: there are none, or the file is not the run's.
    """
    path = trained.folder.split
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != trained.record.split:
        raise AvscError(
            f"{path}: its content is not what the run was trained by, as settings.json has it. "
            "Put the file back, or evaluate --fold test."
        )
    # An id is written as it is, without the quotes of CSV, and may hold commas; a part has none.
    rows = (line.rpartition(",") for line in content.decode().split("\n"))
    names = [clip for clip, _, mine in rows if mine == part]
    if not names:
        raise AvscError(
            f"{path}: the run kept no clips for {part} (--validation none). Evaluate another fold."
        )
    return names
