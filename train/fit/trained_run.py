"""Trained networks and image models, restored from the folders of their runs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.build_network import build_network
from avsc.train.fit.checkpoint import load_weights
from avsc.train.fit.recovery import best_file, load_best
from avsc.train.fit.refs import find
from avsc.train.fit.run_folder import RunFolder, fold_path, in_same_fold, run_paths
from avsc.train.fit.run_record import RunRecord, SceneRecord, read_record
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder, visual_encoder
from avsc.train.model.weights import WORDS, digest
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import Answer


@dataclass(frozen=True)
class RecordedRun:
    """A run of which a folder holds at least the record.

    Attributes:
        folder: its folder.
        record: what it was made from.
    """

    folder: RunFolder
    record: SceneRecord

    def earlier(self, path: Path) -> RunFolder:
        """Return the folder of a run that this one took something from; it may be gone by now.

        Args:
            path: as this run's settings name it; of a cross-validation the run of the same fold.
        """
        where = find(path, self.folder.path, lambda folder: bool(run_paths(folder)))
        return RunFolder(in_same_fold(where, self.record.settings.fold_number))


@dataclass(frozen=True)
class Trained(RecordedRun):
    """A trained run.

    Attributes:
        network: with the checkpoint's weights, on the CPU, in evaluation mode.
        epoch: number of the epoch that the weights are of, from 1.
        file: that they were read from.
    """

    network: Network
    epoch: int
    file: Path

    @property
    def key(self) -> dict[str, Any]:
        """Identifies what was made by these weights: digests of run and weights, and the epoch.

        A checkpoint within an epoch has other weights than that at the end of the epoch before,
        though as many epochs. To be asked before the network is given encoders of other runs.
        """
        weights = digest(self.network)
        return {"run_digest": self.record.digest, "epoch": self.epoch, "weights": weights}


def restore(
    path: Path, checkpoint: Literal["best", "last"] = "best", answer: Answer = "fused"
) -> Trained:
    """Return the network of a run; no weights are downloaded.

    Args:
        path: folder of the run.
        checkpoint: which weights: of the best epoch, or of the last checkpoint.
        answer: whose answer counts.

    Raises:
        AvscError: something of the run is missing, damaged, or does not belong to it.
        SettingError: it has no unimodal heads, which are to answer; or the folder holds
            a cross-validation.
    """
    folder = RunFolder(path)
    if (folds := run_paths(path)) and not folder.started:
        raise SettingError(
            f"{path}: holds the {len(folds)} runs of a cross-validation, which are tests of one "
            f"recipe. Name one of them ({folds[0].name}), or train a run without --folds."
        )
    record = read_record(folder.settings)
    network = build_network(record, kept_visual(record, folder))
    network.answer = answer
    if network.asks_heads and network.heads is None:
        raise _without_heads(record, path, answer)
    if checkpoint == "best":
        epoch, file = load_best(folder, record.digest, network)
    else:
        epoch, file = load_weights(folder.last, record.digest, network), folder.last
    network.eval()
    return Trained(folder, record, network, epoch, file)


def _without_heads(record: SceneRecord, path: Path, answer: Answer) -> SettingError:
    if len(record.system.branches) == 1:
        return SettingError(
            f"{path}: a run of {record.system.name}, which has one modality and no other answer. "
            f"Omit --answer {answer}."
        )
    return SettingError(
        f"{path}: was trained without unimodal heads, which --answer {answer} asks. Omit it, or "
        "name a run that was trained with --unimodal-heads."
    )


def restore_runs(
    path: Path, checkpoint: Literal["best", "last"] = "best", answer: Answer = "fused"
) -> tuple[Trained, ...]:
    """Return the network of a run, or those of all runs of a cross-validation; as `restore`.

    Raises:
        AvscError: a run of the cross-validation is missing, or they are not of one.
    """
    paths = run_paths(path)
    if len(paths) < 2 and paths != (fold_path(path, 1),):
        return (restore(path, checkpoint, answer),)
    runs = tuple(restore(each, checkpoint, answer) for each in paths)
    first = _of_any_fold(runs[0].record)
    for number, run in enumerate(runs, 1):
        if run.record.settings.fold_number != number or _of_any_fold(run.record) != first:
            raise AvscError(
                f"{run.folder.path}: not fold {number} of the cross-validation that {paths[0]} is "
                "the first of: it has other settings, or another store. Train each in a folder of "
                "its own."
            )
    if len(runs) != runs[0].record.settings.folds:
        raise AvscError(
            f"{path}: holds {len(runs)} of the {runs[0].record.settings.folds} runs of a "
            f"cross-validation; {fold_path(path, len(runs) + 1).name} is missing. Run the same "
            "avsc-fit again, which trains what is missing."
        )
    return runs


def pooled_digest(digests: Sequence[str]) -> str:
    """Return the digest of a run, or one of those of a cross-validation's runs."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _of_any_fold(record: SceneRecord) -> dict[str, Any]:
    """Return what the runs of a cross-validation have in common."""
    own = ("--fold-number", "split", "acoustic encoder", "visual encoder", "fingerprint", "teacher")
    return {name: it for name, it in record.identity().items() if not name.endswith(own)}


def kept_visual(record: RunRecord, folder: RunFolder) -> VisualEncoder | None:
    """Return the visual encoder that a run started from, from its folder; None if it has none.

    Raises:
        AvscError: visual.pt is missing, damaged, or not what settings.json says.
    """
    if not record.has_image_model:
        return None
    assert record.visual is not None
    visual = _load_visual(record.settings, str(folder.visual))
    if visual.digest != record.visual.digest:
        raise AvscError(
            f"{folder.visual}: found weights with digest {visual.digest[:12]}, wanted "
            f"{record.visual.digest[:12]}, with which the run was started. Put the file back, or "
            "start over with --no-resume."
        )
    return visual


def first_visual(settings: Settings | PlacesSettings) -> VisualEncoder:
    """Return the visual encoder that a new run starts from.

    Raises:
        AvscError: there is no such model, or its weights are not available.
    """
    weights = settings.visual_weights
    folder = RunFolder(Path(weights))
    if weights in WORDS or not folder.settings.is_file():
        return _load_visual(settings, weights)
    run_digest, trained_on = _run_of_images(folder)
    file = best_file(folder, run_digest)
    visual = _load_visual(settings, str(file))
    if file == folder.best or trained_on is None:
        return visual
    # The other checkpoints do not say what they were trained on.
    return VisualEncoder(visual.model, visual.image_input, f"{trained_on}, {visual.origin}")


def check_run_of_images(weights: str) -> None:
    """Raise a `SettingError` if weights are named by a run on scenes.

    `--visual-run` takes the encoder of such a run, and checks which clips it has seen.
    """
    folder = RunFolder(Path(weights))
    if weights in WORDS or not folder.settings.is_file() or _run_of_images(folder)[1] is not None:
        return
    raise SettingError(
        f"--visual-weights is {weights}, a run on scenes; wanted a run of avsc-fit places, a file, "
        "pretrained or random. A run on scenes is named by --visual-run."
    )


def _run_of_images(folder: RunFolder) -> tuple[str, str | None]:
    """Return the digest of a run, and the name of the images if it was trained on such."""
    try:
        values = json.loads(folder.settings.read_bytes())
        name = values["pictures"]["name"] if "pictures" in values else None
        return str(values["digest"]), name
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise AvscError(
            f"{folder.settings}: not the settings of a run ({fault}). Name {folder.best} itself, "
            "or other weights, by --visual-weights."
        ) from fault


def _load_visual(settings: Settings | PlacesSettings, weights: str) -> VisualEncoder:
    return visual_encoder(
        settings.backbone, weights, settings.image_size, view=settings.view, seed=settings.seed
    )
