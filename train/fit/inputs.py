"""What a run reads: a store of recordings, stored embeddings, files of vectors.

A new run makes the embeddings that it lacks; one that goes on, or is evaluated, reads those that it
began with and no others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avsc.features.specs import EmbeddingSpec
from avsc.features.store.layout import index_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.source import (
    Source,
    Stream,
    acoustic_embeddings,
    acoustic_frames,
    encoded_images,
    visual_embeddings,
)
from avsc.train.data.vectors import Vectors
from avsc.train.fit.build_network import first_visual
from avsc.train.fit.console import Console
from avsc.train.fit.device import Computing
from avsc.train.fit.embeddings import (
    Encoder,
    embeddings_folder,
    make_embeddings,
    open_embeddings,
    set_folder,
)
from avsc.train.fit.encoder_set import ACOUSTIC, VISUAL, Given
from avsc.train.fit.run_record import EmbeddingMark, Record
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.store_ref import find, is_store
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.visual import VisualEncoder
from avsc.train.systems import System


@dataclass(frozen=True)
class Inputs:
    """What a run reads, opened.

    Attributes:
        store: the store of the recordings.
        system: with its branches as the settings have them.
        feature: acoustic product.
        stored: what is read in place of frames or pictures, by product.
    """

    store: Store
    system: System
    feature: str
    stored: dict[str, Store | Vectors]

    @property
    def marks(self) -> dict[str, EmbeddingMark]:
        """What a run's records say of what is stored, by product."""
        return {product: mark_of(found) for product, found in self.stored.items()}

    def source(self, rows: Sequence[int]) -> Source:
        """Return the samples of some clips; records of other clips are not read.

        Raises:
            AvscError: a record is damaged, or a vector cannot be used.
        """
        return Source.of(self._audio(rows), self._visual(rows))

    def _audio(self, rows: Sequence[int]) -> Stream | None:
        if self.system.audio is None:
            return None
        stored = self.stored.get(ACOUSTIC)
        if isinstance(stored, Vectors):
            return stored.sound(self.store, rows)
        if stored is not None:
            return acoustic_embeddings(self.store, self.feature, stored, rows)
        return acoustic_frames(self.store, self.feature, rows)

    def _visual(self, rows: Sequence[int]) -> Stream | None:
        if self.system.visual is None:
            return None
        stored = self.stored.get(VISUAL)
        if isinstance(stored, Vectors):
            return stored.images(self.store, rows)
        if stored is not None:
            return visual_embeddings(self.store, stored, rows)
        return encoded_images(self.store, rows)


def products(system: System, feature: str) -> list[str]:
    """Return the products of a store of recordings that a system's inputs are, or are made of."""
    made_of = {"audio": feature, "visual": "images"}
    return [made_of[name] for name, it in system.branches.items() if it.reads != "vectors"]


def mark_of(found: Store | Vectors) -> EmbeddingMark:
    """Return what a run's records say of stored embeddings or of a file of vectors."""
    if isinstance(found, Vectors):
        return EmbeddingMark(str(found.path), "vectors", found.sha256)
    (product,) = found.products
    return EmbeddingMark(str(found.path), found.spec(product).digest, found.content(product))


def open_inputs(
    record: Record,
    store: Store,
    given: Given,
    computing: Computing,
    console: Console,
    stop: StopRequest | None = None,
) -> Inputs:
    """Open what a run reads, and make the embeddings that it lacks.

    Args:
        record: the run's; embeddings that it names are those that it began with.
        store: the store of the recordings.
        given: encoders and vectors.
        computing: where and how embeddings are made.
        console: told what is made.
        stop: looked at while embeddings are made.

    Raises:
        AvscError: embeddings are damaged, or cannot be made.
    """
    settings = record.settings
    system = settings.chosen(record.system)
    stored: dict[str, Store | Vectors] = {**given.vectors}
    folder = embeddings_folder(store.path, settings.embeddings)
    for product, branch in ((ACOUSTIC, system.audio), (VISUAL, system.visual)):
        if branch is None or branch.reads != "embeddings":
            continue
        known = record.embeddings.get(product)
        if known and index_file(set_folder(folder, product, known.spec)).exists():
            path = set_folder(folder, product, known.spec)
            stored[product] = open_embeddings(path, product, known.spec)
            continue
        stored[product] = make_embeddings(
            store,
            settings.feature,
            _encoder(product, given, record),
            folder,
            computing,
            console,
            stop,
            known.spec if known else "",
        )
    return Inputs(store, system, settings.feature, stored)


def _encoder(product: str, given: Given, record: Record) -> Encoder:
    if product == VISUAL:
        return given.visual or _same_visual(record)
    encoder = given.taken["audio"].encoder
    assert isinstance(encoder, AcousticEncoder)
    return encoder


def _same_visual(record: Record) -> VisualEncoder:
    """Load the image model that a run began with once more, because its embeddings are gone."""
    visual = first_visual(record.settings)
    if record.visual is None or visual.digest != record.visual.digest:
        raise AvscError(
            f"--visual-weights {record.settings.visual_weights}: found weights with digest "
            f"{visual.digest[:12]}, wanted {record.visual.digest[:12] if record.visual else None}, "
            "with which the run began and whose embeddings are gone. Name those weights, or begin "
            "anew with --no-resume."
        )
    return visual


def trained_inputs(record: Record, store: Store, run: Path) -> Inputs:
    """Open what a trained run reads.

    Args:
        record: the run's.
        store: its store, or one that is evaluated in its place.
        run: its folder.

    Raises:
        SettingError: embeddings or vectors are not those that the run began with, or are of
            another store.
    """
    system = record.settings.chosen(record.system)
    stored: dict[str, Store | Vectors] = {}
    for product, mark in record.embeddings.items():
        opened: Store | Vectors
        if mark.spec == "vectors":
            path = find(Path(mark.path), run, Path.is_file)
            opened = Vectors.open(path, store)
        else:
            path = find(Path(mark.path), run, is_store)
            if not index_file(path).exists():
                raise AvscError(
                    f"{path}: the run's embeddings are not there. Run the same `avsc-fit "
                    f"{record.system.name}` again, which makes them, or put them back."
                )
            opened = open_embeddings(path, product, mark.spec)
            _check_source(opened, product, store, record.settings.feature)
        found = mark_of(opened).fingerprint
        if found != mark.fingerprint:
            raise SettingError(
                f"{path}: found content {found[:12]}, wanted {mark.fingerprint[:12]}, which the "
                "run was trained on. Put it back, or train the run anew."
            )
        stored[product] = opened
    return Inputs(store, system, record.settings.feature, stored)


def _check_source(embedded: Store, product: str, store: Store, feature: str) -> None:
    spec = embedded.spec(product)
    assert isinstance(spec, EmbeddingSpec)
    made_of = feature if product == ACOUSTIC else "images"
    if spec.source != store.content(made_of):
        raise SettingError(
            f"{embedded.path}: embeddings of another store's {made_of} than {store.path} has. "
            "Evaluate the run on the store that it was trained on."
        )
