"""Training and test of a run's offset head, on frozen embeddings of the run's own clips.

Clips of a store are in step. A window of one whose image begins at second s and whose audio at
second s - d is a recording with the audio d seconds late; all windows are as long, so that their
length says nothing. For training, offsets and windows are drawn; in validation and test every clip
has every offset, in the middle one of its windows. The best epoch is that of the lowest log-loss in
validation, epoch 0 among them, in which all offsets are as probable: a head that finds nothing says
so by its probabilities.
"""

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.folder_claims import publish_together
from avsc.train.data.samples import Ints
from avsc.train.evaluate.by_second import BySecond, clips_by_second
from avsc.train.evaluate.predict import clip_samples
from avsc.train.evaluate.robustness.classifier_inputs import embed_clips
from avsc.train.evaluate.tested_runs import check_same_run, evaluated_store
from avsc.train.evaluate.writing import json_bytes
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.model.offset_head import OffsetHead
from avsc.train.model.state_dict import load_archive
from avsc.train.model.weights import starting_weights

FOLDER, HEAD, REPORT = "offset", "head.pt", "offset.json"
FORMAT = 1
OFFSETS = 10
"""What a generator is for: the first word of its key; 1 to 6 and 9 are taken in training."""
BATCH, RATE, DECAY = 32, 1e-3, 1e-4
TEMPERATURES = [2 ** (step / 8) for step in range(-24, 25)]
"""That are tried, from 1/8 to 8."""


@dataclass(frozen=True)
class OffsetRequest:
    """What to train, and how.

    Attributes:
        run: folder of a run of both modalities.
        most: largest offset, seconds.
        epochs: of the head.
        patience: epochs without a better validation after which it stops.
        seed: of its weights and of the offsets and windows that are drawn.
        store: None means that of the run.
    """

    run: Path
    most: int = 3
    epochs: int = 200
    patience: int = 30
    seed: int = 0
    store: Path | None = None


@dataclass(frozen=True)
class OffsetResult:
    """How well a head finds the offset of clips that it has not seen.

    Attributes:
        clips: number of clips; each has every offset.
        log_loss: mean over the windows, nats.
        accuracy: share of the windows whose offset is found.
        within_1s: share of those whose offset is found to within a second.
        confidence: mean probability of the offset that is found.
    """

    clips: int
    log_loss: float
    accuracy: float
    within_1s: float
    confidence: float


def train_offset(request: OffsetRequest, computing: Computing, console: Console) -> OffsetResult:
    """Train a run's offset head, test it, and write both to RUN/offset.

    Raises:
        AvscError: the run or its store cannot be used.
        SettingError: the run is not of both modalities, has no validation clips, or its clips are
            too short.
    """
    trained = restore(request.run)
    _check_streams(trained)
    if trained.record.settings.validation == "none":
        raise SettingError(
            f"{request.run}: trained with --validation none, which leaves no clips to choose the "
            "head's epoch by. Name another run."
        )
    store = evaluated_store(trained, request.store, allow_other=False)
    parts = {
        fold: _clips(trained, store, fold, computing, console)
        for fold in ("train", "validation", "test")
    }
    for fold, clips in parts.items():
        console.say(f"{fold}: {len(clips)} clips of {clips.seconds} s")
        if not len(clips) or clips.seconds < request.most + 2:
            raise SettingError(
                f"{store.path}: its {fold} part has {len(clips)} whole clips of {clips.seconds} s; "
                f"wanted some of {request.most + 2} s or more, for offsets of up to "
                f"{request.most} s (--max-offset)."
            )
    head, epoch = fit_head(parts["train"], parts["validation"], request, console)
    result = measure_head(head, parts["test"])
    report = {
        **{name: value for name, value in asdict(request).items() if name not in ("run", "store")},
        "run": {"digest": trained.record.digest, "epoch": trained.epoch},
        "epoch": epoch,
        "log_loss_by_chance": math.log(2 * request.most + 1),
        "accuracy_by_chance": 1 / (2 * request.most + 1),
        "test": asdict(result),
    }
    check_same_run(trained)
    files = {HEAD: _encoded(head, trained), REPORT: json_bytes(report)}
    publish_together(request.run / FOLDER, files)
    return result


def _clips(
    trained: Trained, store: Store, fold: str, computing: Computing, console: Console
) -> BySecond:
    rows = fold_rows(store, trained, fold)
    clips = clip_samples(trained, store, rows, ("centred",), allow_missing=True)
    return clips_by_second(embed_clips(trained.network, clips, computing, console))


def fit_head(
    training: BySecond, validation: BySecond, request: OffsetRequest, console: Console
) -> tuple[OffsetHead, int]:
    """Return a trained head with the weights of its best epoch, and the number of that epoch."""
    most, length = request.most, training.seconds - request.most
    with starting_weights(request.seed):
        head = OffsetHead(training.audio.shape[2], training.visual.shape[2], most)
    head.audio.normalise_by(torch.from_numpy(training.audio).flatten(0, 1))
    head.visual.normalise_by(torch.from_numpy(training.visual).flatten(0, 1))
    optimiser = torch.optim.Adam(head.parameters(), RATE, weight_decay=DECAY)
    best, epoch_of_best, state = measure_head(head, validation).log_loss, 0, _copy(head)
    for epoch in range(1, request.epochs + 1):
        draw = np.random.default_rng((OFFSETS, request.seed, epoch))
        torch.manual_seed(int(draw.integers(2**63)))  # of the head's dropout
        head.train()
        order = draw.permutation(len(training))
        for first in range(0, len(order), BATCH):
            which = order[first : first + BATCH]
            offset = draw.integers(-most, most, len(which), endpoint=True)
            start = draw.integers(
                np.maximum(offset, 0), most + np.minimum(offset, 0), endpoint=True
            )
            clips = BySecond(training.audio[which], training.visual[which])
            loss = cross_entropy(*_inputs(head, clips.late(offset, start, length), offset))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        found = measure_head(head, validation)
        if console.due():
            console.show(f"validation log-loss {found.log_loss:.3f}", epoch, request.epochs)
        if found.log_loss < best:
            best, epoch_of_best, state = found.log_loss, epoch, _copy(head)
        if epoch - epoch_of_best >= request.patience:
            break
    head.load_state_dict(state)
    best = _fit_temperature(head, validation)
    console.say(f"offset head: epoch {epoch_of_best}, validation log-loss {best:.3f}")
    return head, epoch_of_best


def _fit_temperature(head: OffsetHead, validation: BySecond) -> float:
    """Set the temperature that has the lowest log-loss in validation, and return that."""
    found = {}
    for temperature in TEMPERATURES:
        head.temperature.fill_(temperature)
        found[temperature] = measure_head(head, validation).log_loss
    best = min(found, key=lambda temperature: found[temperature])
    head.temperature.fill_(best)
    return found[best]


def _inputs(head: OffsetHead, late: BySecond, offset: Ints) -> tuple[Tensor, Tensor]:
    """Return logits of recordings and the index of the true offset of each."""
    logits = head(torch.from_numpy(late.audio), torch.from_numpy(late.visual))
    return logits, torch.from_numpy(offset + head.most)


@torch.no_grad()
def measure_head(head: OffsetHead, clips: BySecond) -> OffsetResult:
    """Return how well a head finds the offset of clips, each with every offset."""
    head.eval()
    most, length = head.most, clips.seconds - head.most
    found, true = [], []
    for late in range(-most, most + 1):
        offset = np.full(len(clips), late)
        start = np.full(len(clips), max(late, 0) + (most - abs(late)) // 2)
        logits, index = _inputs(head, clips.late(offset, start, length), offset)
        found.append(logits.double())
        true.append(index)
    logits, index = torch.cat(found), torch.cat(true)
    probability = torch.softmax(logits, 1)
    apart = (probability.argmax(1) - index).abs()
    return OffsetResult(
        len(clips),
        float(cross_entropy(logits, index)),
        float((apart == 0).double().mean()),
        float((apart <= 1).double().mean()),
        float(probability.max(1).values.mean()),
    )


def _copy(head: OffsetHead) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in head.state_dict().items()}


def _encoded(head: OffsetHead, trained: Trained) -> bytes:
    """Return the bytes of head.pt."""
    buffer = io.BytesIO()
    content: dict[str, Any] = {
        "format": FORMAT,
        "made_by": trained.key,
        "most": head.most,
        "features": [len(head.audio.mean), len(head.visual.mean)],
        "head": head.state_dict(),
    }
    torch.save(content, buffer)
    return buffer.getvalue()


def _check_streams(trained: Trained) -> None:
    """Raise a `SettingError` unless a run is of both modalities."""
    if len(trained.record.system.branches) < 2:
        raise SettingError(
            f"{trained.folder.path}: a run of {trained.record.system.name}, which has one stream "
            "only. Name a run of both modalities."
        )


def load_head(trained: Trained) -> OffsetHead:
    """Return the offset head of a run.

    Raises:
        SettingError: the run is not of both modalities.
        AvscError: there is no head, it is damaged, or of another run or epoch.
    """
    _check_streams(trained)
    path = trained.folder.path / FOLDER / HEAD
    remedy = f"Train one by `avsc-fit offset {trained.folder.path}`."
    try:
        content = load_archive(path)
        audio, visual = content["features"]
        head = OffsetHead(audio, visual, content["most"])
        head.load_state_dict(content["head"])
        of = content["made_by"]
        of_run, of_epoch = of["run_digest"], of["epoch"]
    except FileNotFoundError as fault:
        raise AvscError(f"{path}: the run has no offset head. {remedy}") from fault
    except Exception as fault:  # whatever torch raises for a file that it cannot read
        raise AvscError(f"{path}: not an offset head, or damaged. {remedy}") from fault
    if of != trained.key:
        raise AvscError(
            f"{path}: of the run with digest {of_run[:12]}, epoch {of_epoch}; the run here has "
            f"{trained.record.digest[:12]}, epoch {trained.epoch}, and other weights. {remedy}"
        )
    return head.eval()
