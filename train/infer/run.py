"""A model out of the folder of a run: network, encoders, and what its features are.

A run's records name its features by the digests of their specs. The parameters behind a digest are
this version's defaults or those of the run's store, so that a run on default features needs no
store. Systems that were trained on stored embeddings get their frozen encoders back: the acoustic
one from the run that it came from, the visual one from the weights that the settings name.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from avsc.features.specs import SPECS, AcousticSpec, ImageSpec, Spec
from avsc.features.store.layout import read_description
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.encoders import donor_encoder
from avsc.train.fit.refs import EncoderRef, find, is_store
from avsc.train.fit.run_record import SceneRecord
from avsc.train.fit.trained_run import Trained, first_visual, restore
from avsc.train.model.network import Network
from avsc.train.systems import ENCODER, Modality


@dataclass(frozen=True)
class NetworkRuntime:
    """A network of PyTorch as a model's runtime (see `avsc.train.infer.model.Runtime`).

    Attributes:
        network: in evaluation mode, on `device`.
        device: where it computes.
    """

    network: Network
    device: torch.device

    def __call__(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Tensor:
        """Return the logits of samples."""
        return self.network(frames, images, view)  # type: ignore[no-any-return]

    def embed(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Tensor:
        """Return what the classifier sees of samples: acoustic, then visual embedding.

        Raises:
            SettingError: unimodal heads answer.
        """
        if self.network.asks_heads:
            raise SettingError(
                "embeddings are inputs of the classifier of both modalities, and answer "
                f"{self.network.answer!r} is of unimodal heads, too. Load the run without it."
            )
        return self.network.embed(frames, images, view)


def restore_with_encoders(path: Path) -> Trained:
    """Return a run as `restore` does, with its encoders as `attach_encoders` does."""
    trained = restore(path)
    attach_encoders(trained)
    return trained


def attach_encoders(trained: Trained) -> None:
    """Give a run's network the encoders that its stored embeddings were made by.

    Raises:
        AvscError: an encoder is missing, damaged, or not what the records say.
        SettingError: the run reads vectors that were made elsewhere.
    """
    record, network, path = trained.record, trained.network, trained.folder.path
    system = record.settings.chosen(record.system)
    for modality, branch in system.branches.items():
        if branch.reads == "vectors":
            raise SettingError(
                f"{path}: a run of {record.system.name} on {ENCODER[modality]} vectors that were "
                "made elsewhere, which cannot be made of a recording. Name a run of audio, video, "
                "joint, end-to-end, pipeline, ablation-2 or ablation-3."
            )
    if system.audio is not None and system.audio.reads == "embeddings":
        network.acoustic = _acoustic_donor(trained)
    if system.visual is not None and system.visual.reads == "embeddings":
        network.visual = _visual_donor(trained)
    network.eval()


def _acoustic_donor(trained: Trained) -> torch.nn.Module:
    record = trained.record
    return _from_run(trained, record.settings.acoustic_run, "audio", record.acoustic)


def _visual_donor(trained: Trained) -> torch.nn.Module:
    record, path = trained.record, trained.folder.path
    if record.settings.visual_run is not None:
        return _from_run(trained, record.settings.visual_run, "visual", record.visual)
    visual = first_visual(record.settings)
    wanted = "" if record.visual is None else record.visual.digest
    if visual.digest != wanted:
        raise AvscError(
            f"{path}: its visual embeddings were made by weights with digest {wanted[:12]}, and "
            f"{record.settings.visual_weights} has {visual.digest[:12]}. Put those weights back."
        )
    return visual


def _from_run(
    trained: Trained, donor: Path | None, modality: Modality, ref: EncoderRef | None
) -> torch.nn.Module:
    path = trained.folder.path
    assert donor is not None and ref is not None, "embeddings are made by a run's encoder"
    encoder = ENCODER[modality]
    where = trained.earlier(donor)
    if not where.started:
        raise AvscError(
            f"{path}: its {encoder} encoder is of the run {donor}, which is not there (seen from "
            f"{Path.cwd()}, or beside the run). Put that run back."
        )
    found = donor_encoder(restore(where.path), modality)
    if found.ref.digest != ref.digest:
        raise AvscError(
            f"{path}: its {encoder} embeddings were made by an encoder with digest "
            f"{ref.digest[:12]}; that of {where.path} has {found.ref.digest[:12]} by now. Put that "
            "run back as it was, or train this one again with --no-resume."
        )
    return found.encoder


def run_specs(
    record: SceneRecord, run: Path, store: Path | None = None
) -> tuple[AcousticSpec | None, ImageSpec | None]:
    """Return the specs of the features that a run was trained on.

    Args:
        record: the run's.
        run: its folder.
        store: its store, where that is not found by the run's records.

    Raises:
        SettingError: the parameters of a spec cannot be found, or this version of avsc would
            compute the feature differently.
    """
    specs = {
        name: _spec(name, digest, record, run, store) for name, digest in record.store.specs.items()
    }
    acoustic, images = specs.get(record.settings.feature), specs.get(ImageSpec.product)
    assert acoustic is None or isinstance(acoustic, AcousticSpec)
    assert images is None or isinstance(images, ImageSpec)
    return acoustic, images


def _spec(product: str, digest: str, record: SceneRecord, run: Path, store: Path | None) -> Spec:
    default = SPECS[product]()
    if default.digest == digest:
        return default
    where = store or find(Path(record.store.path), run, is_store)
    if not is_store(where):
        raise SettingError(
            f"{run}: trained on {product} {digest[:12]}, which is not what this version of avsc "
            f"makes by default ({default.digest[:12]}); its parameters are those of the store "
            f"{where}, which is not there. Name that store by --store."
        )
    spec = read_description(where).specs.get(product)
    if spec is None or spec.digest != digest:
        raise SettingError(
            f"{where}: has {product} {spec.digest[:12] if spec else 'of no kind'}; wanted "
            f"{digest[:12]}, which the run in {run} was trained on. Name its store by --store."
        )
    check_version(spec, str(run))
    return spec


def check_version(spec: Spec, model: str) -> None:
    """Raise a `SettingError` if this version of avsc would compute a feature differently."""
    now = type(spec)().version
    if spec.version != now:
        raise SettingError(
            f"{model}: trained on {spec.product} {spec.digest[:12]} by version {spec.version} of "
            f"that feature, and this version of avsc computes version {now}. Use the avsc that it "
            "was trained by, or extract and train again."
        )
