"""The store of a run: where it lies now, and whether it is still what the run was trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc.features.store.identity import CLIPS, LACKING
from avsc.features.store.layout import description_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError, StoreError

STORE_PARTS = {
    CLIPS: "ids, scenes, folds, cities, locations",
    LACKING: "seconds without a picture",
}
"""Parts of a store whose names do not say what they are."""


@dataclass(frozen=True)
class StoreMark:
    """Which store a run was trained on.

    Attributes:
        path: where it was.
        dataset: name of the data set.
        fingerprint: of all that it is.
        classes: scene labels in the order of their class indices.
        specs: digest of the spec of each product that was used.
        parts: digest of each part of it that was used; None in the records of before there were
            any, whose fingerprint is of the former form (`avsc.features.store.identity`).
    """

    path: str
    dataset: str
    fingerprint: str
    classes: tuple[str, ...]
    specs: dict[str, str]
    parts: dict[str, str] | None = None

    def numbers(self) -> dict[str, Any]:
        """Return all of it that a run's numbers depend on, by name."""
        parts = {"fingerprint": self.fingerprint} if self.parts is None else self.parts
        found = {f"store's {name}": digest for name, digest in parts.items()}
        return {"store's classes": list(self.classes), **found}


def mark_store(
    store: Store, products: Sequence[str], pictures: bool, former: StoreMark | None, run: Path
) -> StoreMark:
    """Return what a run's records say of its store.

    Args:
        store: the store.
        products: those that the run uses.
        pictures: whether it uses pictures, or vectors in their place: then it also depends on the
            seconds that lack one.
        former: what the records say already, if the run goes on; where that is a fingerprint of the
            former form, so is what is returned.
        run: its folder.

    Raises:
        SettingError: the store has the records that the run was trained on, but its clips were
            corrected since.
    """
    used = (CLIPS, *([LACKING] if pictures else []), *products)
    parts: dict[str, str] | None = {name: store.identity.parts[name] for name in used}
    fingerprint = store.fingerprint
    if former is not None and former.parts is None:
        parts, fingerprint = None, store.identity.former
        if former.fingerprint == fingerprint and _is_corrected(store):
            raise SettingError(
                f"{run}: the clips of {store.path} ({STORE_PARTS[CLIPS]}) were changed since the "
                "run was begun. Extract again with the manifest of then, name another folder by "
                "--out, or begin anew with --no-resume, which keeps the old folder beside the new."
            )
    return StoreMark(
        path=str(store.path),
        dataset=store.name,
        fingerprint=fingerprint,
        classes=store.classes,
        specs={name: store.spec(name).digest for name in products},
        parts=parts,
    )


def difference(store: Store, fingerprint: str, parts: Mapping[str, str] | None) -> str | None:
    """Return what of a store is not as it was recorded, in words, or None when all is.

    Args:
        store: the store as it is.
        fingerprint: that was recorded; looked at only without parts.
        parts: digests of the parts that were used; None in records of the former form.
    """
    now = store.identity
    if parts is None:
        if fingerprint != now.former:
            return "fingerprint"
        return f"clips ({STORE_PARTS[CLIPS]})" if _is_corrected(store) else None
    for name, digest in parts.items():
        if now.parts.get(name) != digest:
            return f"{name} ({STORE_PARTS[name]})" if name in STORE_PARTS else name
    return None


def _is_corrected(store: Store) -> bool:
    """Tell whether a store's clips are known not to be those of its former fingerprint."""
    return store.first_clips not in ("", store.identity.parts[CLIPS])


def find_store(recorded: str, run: Path, remedy: str) -> Path:
    """Return where the store of a run lies.

    Args:
        recorded: the path in the run's records.
        run: the run's folder.
        remedy: what to do when it is not found.

    Raises:
        StoreError: it is not found.
    """
    found = find(Path(recorded), run, is_store)
    if not is_store(found):
        where = "" if found.is_absolute() else f" (seen from {Path.cwd()}, or beside the run)"
        raise StoreError(
            f"{run}: was trained on the store {recorded}, and there is none{where}. {remedy}"
        )
    return found


def is_store(path: Path) -> bool:
    """Whether a path leads to a store, whatever else is wrong with it."""
    return description_file(path).is_file()


def find(recorded: Path, run: Path, suits: Callable[[Path], bool]) -> Path:
    """Return where a path of a run's records leads: from here, or from a folder above the run.

    A relative path is one of the folder in which the run was begun, and so mostly is the run's own.

    Args:
        recorded: the path.
        run: folder of the run.
        suits: whether what is found there is of the kind that is looked for.
    """
    for above in (Path(), *run.resolve().parents, *run.absolute().parents):
        if suits(above / recorded):
            return above / recorded
    return recorded
