"""A data set of small recordings and a store of it, made without Dask."""

from pathlib import Path

from digests import digests
from recordings import write_clips

from avsc.features.specs import SPECS
from avsc.features.store.layout import Description
from avsc.features.store.reader import Store
from avsc.manifests.clips import Dataset
from avsc.manifests.table import read_table
from avsc.preprocess.block import make_block
from avsc.preprocess.close import close, open_store
from avsc.preprocess.plan import Plan, make_plan

ALL = {name: spec() for name, spec in SPECS.items()}


class World:
    """A data set and a store of it."""

    def __init__(self, folder: Path, write: bool = True) -> None:
        self.root, self.store = folder / "root", folder / "store"
        self.manifest = write_clips(self.root) if write else self.root / "clips.csv"
        self.dataset: Dataset = read_table(self.manifest, self.root, "small")
        self.description = Description("small", self.dataset.classes, 2, ALL)

    def plan(self, check: str = "time") -> Plan:
        return make_plan(self.store, self.dataset, self.description, check)  # type: ignore[arg-type]

    def make(self, check: str = "time") -> Plan:
        plan = self.plan(check)
        open_store(self.store, self.dataset.clips, self.description)
        for task in plan.tasks:
            make_block(task)
        close(self.store, self.dataset.clips, self.description)
        return plan

    def parts(self) -> dict[str, str]:
        return digests(self.store, "*.h5")


def everything(store: Path) -> list[object]:
    """Return all that a reader can learn from a store."""
    opened = Store.open(store)
    found: list[object] = [opened.name, opened.classes, opened.clips, opened.failures]
    found += [opened.fingerprint]
    for product in opened.products:
        records = opened.records(product)
        found += [product, opened.spec(product), records.clip.tolist(), records.key.tolist()]
        found += [records.read(number).tobytes() for number in range(len(records))]
        found += [records.load()[0].tobytes()]
        records.close()
    return found
