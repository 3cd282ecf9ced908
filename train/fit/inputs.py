"""What a run reads: a store of recordings, stored embeddings, vector files.

A new run makes the embeddings that it lacks; a run that is resumed or evaluated reads those that it
started with and no others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avsc.features.specs import EmbeddingSpec
from avsc.features.store.layout import index_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.source import (
    EmbeddingSet,
    Source,
    StoredVectors,
    Stream,
    acoustic_frames,
    encoded_images,
)
from avsc.train.data.vector_file import VECTORS, VectorFile
from avsc.train.fit.compute import Session
from avsc.train.fit.embeddings import (
    Encoder,
    embeddings_folder,
    open_embeddings,
    set_folder,
)
from avsc.train.fit.encoders import ACOUSTIC, VISUAL, EncoderSet
from avsc.train.fit.make_embeddings import make_embeddings
from avsc.train.fit.refs import EmbeddingRef, EncoderRef, find, is_store
from avsc.train.fit.run_record import SceneRecord
from avsc.train.fit.trained_run import first_visual
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.visual import VisualEncoder
from avsc.train.settings.scenes import Settings
from avsc.train.systems import System


@dataclass(frozen=True)
class Inputs:
    """What a run reads, opened.

    Attributes:
        store: the store of the recordings.
        system: with its branches as the settings have them.
        feature: acoustic product.
        stored: what is read in place of frames or images, by product.
    """

    store: Store
    system: System
    feature: str
    stored: dict[str, StoredVectors]

    def source(self, rows: Sequence[int]) -> Source:
        """Return the samples of some clips; records of other clips are not read.

        Raises:
            AvscError: a record is damaged, or a vector cannot be used.
        """
        return Source.of(self.audio(rows), self.visual(rows))

    def audio(self, rows: Sequence[int]) -> Stream | None:
        """Return the audio of some clips; None where none is read."""
        if self.system.audio is None:
            return None
        if ACOUSTIC in self.stored:
            return self.stored[ACOUSTIC].frames(self.store, rows)
        return acoustic_frames(self.store, self.feature, rows)

    def visual(self, rows: Sequence[int]) -> Stream | None:
        """Return the images of some clips, or vectors in their place; None where none is read."""
        if self.system.visual is None:
            return None
        if VISUAL in self.stored:
            return self.stored[VISUAL].images(self.store, rows)
        return encoded_images(self.store, rows)


def products(system: System, feature: str) -> list[str]:
    """Return the products of a store of recordings that a system's inputs are, or are made of."""
    made_of = {"audio": feature, "visual": "images"}
    return [made_of[name] for name, it in system.branches.items() if it.reads != "vectors"]


def shapes(
    system: System, settings: Settings, store: Store, encoders: EncoderSet
) -> tuple[tuple[int, ...] | None, int | None]:
    """Return the shape of an acoustic input, and the values of a vector in an image's place."""
    frame: tuple[int, ...] | None = None
    if system.audio is not None and system.audio.reads == "raw":
        frame = store.records(settings.feature).item_shape
    elif system.audio is not None:
        frame = (_features(encoders, ACOUSTIC, encoders.acoustic),)
    vector = None
    if system.visual is not None and system.visual.reads != "raw":
        vector = _features(encoders, VISUAL, encoders.visual)
    return frame, vector


def _features(encoders: EncoderSet, product: str, encoder: EncoderRef | None) -> int:
    """Return the values of a vector or of an encoder's embedding; 0 where neither is known."""
    if product in encoders.vectors:
        return encoders.vectors[product].features
    return 0 if encoder is None else encoder.features


def embedding_ref(stored: StoredVectors) -> EmbeddingRef:
    """Return the reference of a run's record to stored embeddings or to a vector file."""
    return EmbeddingRef(str(stored.path), stored.spec, stored.content)


def new_embeddings(
    system: System, settings: Settings, store: Store, encoders: EncoderSet, session: Session
) -> dict[str, EmbeddingRef]:
    """Return what a new run reads in place of frames or images; embeddings it lacks are made.

    Args:
        system: with its branches as the settings have them.
        store: the store of the recordings.
        encoders: that the run starts from.

    Raises:
        AvscError: embeddings are damaged, or cannot be made.
    """
    refs = {product: embedding_ref(file) for product, file in encoders.vectors.items()}
    folder = embeddings_folder(store.path, settings.embeddings)
    models = {ACOUSTIC: (system.audio, encoders.donors.get("audio")), VISUAL: (system.visual, None)}
    for product, (branch, donor) in models.items():
        if branch is not None and branch.reads == "embeddings":
            encoder = encoders.image_model if donor is None else donor.encoder
            assert isinstance(encoder, AcousticEncoder | VisualEncoder)
            made = make_embeddings(store, settings.feature, encoder, folder, session)
            refs[product] = embedding_ref(EmbeddingSet(made))
    return refs


def kept_embeddings(
    previous: SceneRecord, settings: Settings, store: Store, encoders: EncoderSet
) -> dict[str, EmbeddingRef]:
    """Return what a resumed run reads in place of frames or images: what it started with.

    Args:
        previous: the run's record.
        settings: as it is resumed, which may name another folder of embeddings.
        store: the store of the recordings.
        encoders: whose vector files may be other ones, which `check_same` would find.
    """
    folder = embeddings_folder(store.path, settings.embeddings)
    refs = {
        product: replace(ref, path=str(set_folder(folder, product, ref.spec)))
        for product, ref in previous.embeddings.items()
        if ref.spec != VECTORS
    }
    return {**refs, **{product: embedding_ref(file) for product, file in encoders.vectors.items()}}


def open_inputs(
    record: SceneRecord, store: Store, encoders: EncoderSet, session: Session
) -> Inputs:
    """Open what a run reads; its embeddings are made again if they are gone.

    Args:
        record: the run's.
        store: the store of the recordings.
        encoders: that the run starts from.

    Raises:
        AvscError: embeddings are damaged, not those that the run started with, or cannot be made.
    """
    system, feature = record.settings.chosen(record.system), record.settings.feature
    stored: dict[str, StoredVectors] = {**encoders.vectors}
    for product, ref in record.embeddings.items():
        if product in stored:
            continue
        path = Path(ref.path)
        if index_file(path).exists():
            embedded = open_embeddings(path, product, ref.spec)
        else:
            encoder = _encoder(product, record, encoders)
            embedded = make_embeddings(
                store, feature, encoder, path.parent, session, known=ref.spec
            )
        stored[product] = EmbeddingSet(embedded)
        _check_content(path, stored[product], ref)
    return Inputs(store, system, feature, stored)


def _encoder(product: str, record: SceneRecord, encoders: EncoderSet) -> Encoder:
    """Return the encoder that a run's embeddings were made with."""
    if product == VISUAL:
        return encoders.image_model or _same_visual(record)
    encoder = encoders.donors["audio"].encoder
    assert isinstance(encoder, AcousticEncoder)
    return encoder


def _same_visual(record: SceneRecord) -> VisualEncoder:
    """Load the image model that a run started with once more, because its embeddings are gone."""
    visual = first_visual(record.settings)
    if record.visual is None or visual.digest != record.visual.digest:
        raise AvscError(
            f"--visual-weights {record.settings.visual_weights}: found weights with digest "
            f"{visual.digest[:12]}, wanted {record.visual.digest[:12] if record.visual else None}, "
            "with which the run was started and whose embeddings are gone. Name those weights, or "
            "start over with --no-resume."
        )
    return visual


def trained_inputs(
    record: SceneRecord, store: Store, run: Path, system: System | None = None
) -> Inputs:
    """Open what a trained run reads.

    Args:
        store: its store, or one that is evaluated in its place.
        system: with those of the run's branches that are wanted; None for all.

    Raises:
        SettingError: embeddings or vectors are not those that the run started with, or are of
            another store.
    """
    system = record.settings.chosen(record.system) if system is None else system
    wanted = {ACOUSTIC: system.audio, VISUAL: system.visual}
    stored: dict[str, StoredVectors] = {}
    for product, ref in record.embeddings.items():
        if wanted[product] is None:
            continue
        if ref.spec == VECTORS:
            path = find(Path(ref.path), run, Path.is_file)
            stored[product] = VectorFile.open(path, store)
        else:
            path = find(Path(ref.path), run, is_store)
            if not index_file(path).exists():
                raise AvscError(
                    f"{path}: the run's embeddings are missing. Run the same `avsc-fit "
                    f"{record.system.name}` again, which makes them, or put them back."
                )
            embedded = open_embeddings(path, product, ref.spec)
            _check_source(embedded, product, store, record.settings.feature)
            stored[product] = EmbeddingSet(embedded)
        _check_content(path, stored[product], ref)
    return Inputs(store, system, record.settings.feature, stored)


def _check_content(path: Path, stored: StoredVectors, ref: EmbeddingRef) -> None:
    content = embedding_ref(stored).fingerprint
    if content != ref.fingerprint:
        raise SettingError(
            f"{path}: found content {content[:12]}, wanted {ref.fingerprint[:12]}, which the run "
            "was trained on. Put it back, or start over with --no-resume."
        )


def _check_source(embedded: Store, product: str, store: Store, feature: str) -> None:
    spec = embedded.spec(product)
    assert isinstance(spec, EmbeddingSpec)
    made_of = feature if product == ACOUSTIC else "images"
    if spec.source != store.content(made_of):
        raise SettingError(
            f"{embedded.path}: embeddings of another store's {made_of} than {store.path} has. "
            "Evaluate the run on the store that it was trained on."
        )
