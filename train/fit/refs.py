"""What a run was trained on and starts from, as its settings.json refers to it.

A reference tells where something was and, by digests, what it was. `difference` and `find_store`
say whether a run's store is still the same, and where it is now.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc.features.specs import ImageSpec
from avsc.features.store.identity import CLIPS, LACKING
from avsc.features.store.layout import description_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError, StoreError

STORE_PARTS = {
    CLIPS: "ids, scenes, folds, cities, locations",
    LACKING: "seconds without an image",
}
"""Parts of a store whose names do not say what they are."""


@dataclass(frozen=True)
class StoreRef:
    """The store that a run is trained on.

    Attributes:
        path: where it was.
        dataset: name of the data set.
        fingerprint: of its whole content.
        classes: scene labels in the order of their class indices.
        specs: digest of the spec of each product that is used.
        parts: digest of each part of it that is used; None in records older than such digests,
            whose fingerprint has the earlier form (`avsc.features.store.identity`).
    """

    path: str
    dataset: str
    fingerprint: str
    classes: tuple[str, ...]
    specs: dict[str, str]
    parts: dict[str, str] | None = None

    def identity(self) -> dict[str, Any]:
        """Return everything of the store that affects a run's results, by name."""
        parts = {"fingerprint": self.fingerprint} if self.parts is None else self.parts
        digests = {f"store's {name}": digest for name, digest in parts.items()}
        return {"store's classes": list(self.classes), **digests}


@dataclass(frozen=True)
class EncoderRef:
    """An encoder that a run starts from, or the vector file in its place.

    Attributes:
        origin: where its weights came from: timm, a file, a seed, a run.
        digest: SHA-256 of the weights, or of the vector file.
        features: values of its embeddings, or of the vectors.
    """

    origin: str
    digest: str
    features: int


@dataclass(frozen=True)
class TeacherRef:
    """The run that teaches another.

    Attributes:
        origin: which run.
        digest: SHA-256 of its weights and of the kind of images that it sees.
        parts: digest of each part of the store, or of the stored embeddings, that it alone reads.
    """

    origin: str
    digest: str
    parts: dict[str, str]

    def identity(self) -> dict[str, Any]:
        """Return everything of the teacher that affects a run's results, by name."""
        parts = {f"teacher's {name}": digest for name, digest in self.parts.items()}
        return {"teacher": self.digest, **parts}


@dataclass(frozen=True)
class EmbeddingRef:
    """Stored embeddings, or a vector file, that a run reads.

    Attributes:
        path: the store of the embeddings.
        spec: digest of what they are: encoder, source, view; ``vectors`` for a vector file.
        fingerprint: of its content; of a vector file, the SHA-256 of its bytes.
    """

    path: str
    spec: str
    fingerprint: str


@dataclass(frozen=True)
class ImagesRef:
    """The labelled images that a run is trained on.

    Attributes:
        path: where they were.
        name: of the data set.
        digest: of the images' names and labels; their contents are not looked at.
        classes: names in the order of their indices.
        training: how many are trained on.
        validation: how many are validated on.
    """

    path: str
    name: str
    digest: str
    classes: tuple[str, ...]
    training: int
    validation: int


def store_ref(
    store: Store, products: Sequence[str], images: bool, previous: StoreRef | None, run: Path
) -> StoreRef:
    """Return a run's reference to its store.

    Args:
        products: those that the run uses.
        images: whether it uses images, or vectors in their place: then it also depends on the
            seconds that lack one.
        previous: the reference that the run has already, if it is resumed; where that is a
            fingerprint of the earlier form, so is the new one.
        run: its folder.

    Raises:
        SettingError: the store has the records that the run was trained on, but its clips were
            corrected since.
    """
    used = (CLIPS, *([LACKING] if images else []), *products)
    parts: dict[str, str] | None = {name: store.identity.parts[name] for name in used}
    fingerprint = store.fingerprint
    if previous is not None and previous.parts is None:
        parts, fingerprint = None, store.identity.earlier
        if previous.fingerprint == fingerprint and _is_corrected(store):
            raise SettingError(
                f"{run}: the clips of {store.path} ({STORE_PARTS[CLIPS]}) were changed since the "
                "run was started. Extract again with the earlier manifest, name another folder by "
                "--out, or start over with --no-resume, which keeps the old folder beside the new."
            )
    return StoreRef(
        path=str(store.path),
        dataset=store.name,
        fingerprint=fingerprint,
        classes=store.classes,
        specs={name: store.spec(name).digest for name in products},
        parts=parts,
    )


def other_kind(store: Store, ref: StoreRef) -> tuple[str, Any, Any] | None:
    """Return whether a store has other classes or features than a run's.

    Returns:
        What differs (``classes`` or a product), what the store has and what the run's had; None if
        nothing does.
    """
    if store.classes != ref.classes:
        return "classes", store.classes, ref.classes
    for product, digest in ref.specs.items():
        spec = store.spec(product)
        if spec.digest != digest:
            rate = f" ({spec.per_second} a second)" if isinstance(spec, ImageSpec) else ""
            return product, f"{spec.digest[:12]}{rate}", digest[:12]
    return None


def difference(store: Store, fingerprint: str, parts: Mapping[str, str] | None) -> str | None:
    """Return which part of a store differs from what was recorded, in words, or None.

    Args:
        fingerprint: recorded; compared only where no parts were.
        parts: digests of the parts that were used; None in records of the earlier form.
    """
    now = store.identity
    if parts is None:
        if fingerprint != now.earlier:
            return "fingerprint"
        return f"clips ({STORE_PARTS[CLIPS]})" if _is_corrected(store) else None
    for name, digest in parts.items():
        if now.parts.get(name) != digest:
            return f"{name} ({STORE_PARTS[name]})" if name in STORE_PARTS else name
    return None


def _is_corrected(store: Store) -> bool:
    """Whether a store's clips are known to differ from those of its earlier fingerprint."""
    return store.first_clips not in ("", store.identity.parts[CLIPS])


def find_store(recorded: str, run: Path, remedy: str) -> Path:
    """Return where the store of a run lies.

    Args:
        recorded: the path in the run's settings.json.
        run: the run's folder.
        remedy: what to do when it is not found.

    Raises:
        StoreError: it is not found.
    """
    path = find(Path(recorded), run, is_store)
    if not is_store(path):
        where = "" if path.is_absolute() else f" (from {Path.cwd()}, or beside the run)"
        raise StoreError(
            f"{run}: was trained on the store {recorded}, and there is none{where}. {remedy}"
        )
    return path


def is_store(path: Path) -> bool:
    """Whether a path leads to a store, whatever else is wrong with it."""
    return description_file(path).is_file()


def find(recorded: Path, run: Path, suits: Callable[[Path], bool]) -> Path:
    """Return where a recorded path leads: from here, or from a folder above the run.

    A relative path starts from the folder in which the run was started, as the run's own mostly
    does.

    Args:
        recorded: the path in the run's settings.json.
        run: folder of the run.
        suits: whether a path leads to what is looked for.
    """
    for above in (Path(), *run.resolve().parents, *run.absolute().parents):
        if suits(above / recorded):
            return above / recorded
    return recorded
