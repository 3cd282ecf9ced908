"""What every fault is tried on: a small data set, and the store of it that met no fault.

Compared is what a store holds: parts, index.h5, store.json, clips.csv and failures.csv, byte for
byte. Receipts, request.json and events hold times and are left out.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from digests import timeless
from extraction import ALL
from preloaded import preloaded
from recordings import write_clips

from avsc.features.store.layout import Description
from avsc.features.store.reader import Store
from avsc.manifests.table import read_table
from avsc.preprocess.block import make_block
from avsc.preprocess.close import close, open_store
from avsc.preprocess.plan import make_plan

PREP = Path(sys.executable).with_name("avsc-prep")
CLIPS, SECONDS, BLOCK = 24, 1.0, 2
BLOCKS = CLIPS // BLOCK

Content = Mapping[str, str]
Records = Mapping[tuple[str, str, int], bytes]


class Ground:
    """A data set and the store of it that met no fault.

    Attributes:
        folder: of all that is tried on it.
        root: of the data set, whose files must not be changed in place.
        whole: the store that an extraction with two workers makes.
        seconds: that it takes.
        content, records: of that store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        write_clips(self.root, CLIPS, SECONDS)
        begin, self.whole = time.monotonic(), folder / "whole"
        command = [PREP, "extract", "--workers", 2, *self.options(self.root, self.whole)]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        self.seconds = time.monotonic() - begin
        self.content, self.records = timeless(self.whole), records(self.whole)

    @staticmethod
    def options(root: Path, store: Path) -> tuple[object, ...]:
        """Return the options that make a store of a data set."""
        return ("--manifest", root / "clips.csv", "--out", store, "--block-size", BLOCK)

    @cached_property
    def failing(self) -> dict[str, str]:
        """An environment for rules of failing.c."""
        return preloaded("failing", self.folder)

    @cached_property
    def clock(self) -> dict[str, str]:
        """An environment whose clock can be set back by SET_BACK; see clock.c."""
        return preloaded("clock", self.folder)


def made_here(root: Path, store: Path) -> Path:
    """Make a store in this process, with no command, no workers and no fault."""
    dataset = read_table(root / "clips.csv", root)
    description = Description(dataset.name, dataset.classes, BLOCK, ALL)
    open_store(store, dataset.clips, description)
    for task in make_plan(store, dataset, description, "time").tasks:
        make_block(task)
    close(store, dataset.clips, description)
    return store


def records(store: Path) -> dict[tuple[str, str, int], bytes]:
    """Return every record of a closed store by product, clip and key."""
    opened = Store.open(store)
    found = {}
    for product in opened.products:
        kept = opened.records(product)
        for number, (row, key) in enumerate(zip(kept.clip, kept.key, strict=True)):
            found[product, opened.clips[row].id, int(key)] = kept.read(number).tobytes()
        kept.close()
    return found
