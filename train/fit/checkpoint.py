"""Checkpoints: the state of a run in one file, written atomically.

``last.pt`` holds all that a run needs to resume as if it had never stopped, ``previous.pt`` what it
held before; ``best.pt`` the weights of the best epoch. A frozen visual encoder is in none: its
weights never change and are kept once in ``visual.pt``, a plain state dict. Files are read by
torch's weights-only reader, which creates tensors and plain values and runs no code, after their
checksums were compared.

Nothing random is saved: every draw is keyed by (seed, epoch, batch).
"""

import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avsc.manifests.errors import AvscError
from avsc.train.fit.history import Row
from avsc.train.fit.run_folder import RunFolder
from avsc.train.model.network import Network
from avsc.train.model.state_dict import load_archive
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import check_values

FORMAT = 1
FROZEN = "visual."
AVERAGED = "averaged"
"""Name in last.pt of the weights of ``--weight-average``."""
REMEDY = (
    "Put an undamaged copy in its place, or start over with --no-resume, which keeps the old "
    "folder beside the new."
)


class LostError(AvscError):
    """A checkpoint is damaged, missing, or not of the epoch that is wanted.

    Attributes:
        found: what was found, without what to do.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found} {remedy}")
        self.found = found


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: epochs done; the number, from 0, of the epoch under way.
        batch: batches of it that are done.
        loss: sum of their losses.
        history: the epochs done.
        scaler: state of what scales the loss, in float16; else None.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    history: list[Row] = field(default_factory=list)
    scaler: dict[str, float] | None = None


def save_last(
    folder: RunFolder,
    digest: str,
    network: Network,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    averaged: Network | None = None,
) -> None:
    """Write last.pt.

    Args:
        digest: of the run's record.
        optimiser: its state is saved, too.
        progress: how far the run has come.
        averaged: the network with averaged weights, which are saved, too.
    """
    done = asdict(progress)
    if done["scaler"] is None:
        del done["scaler"]
    state = {"optimiser": optimiser.state_dict(), "progress": done}
    if averaged is not None:
        state[AVERAGED] = changing_state(averaged)
    folder.publish(folder.last, _encode({**_weights(digest, network, progress.epoch), **state}))


def load_last(
    path: Path,
    digest: str,
    network: Network,
    optimiser: torch.optim.Optimizer,
    row: type[Row] = Row,
    averaged: Network | None = None,
) -> Progress:
    """Read last.pt into the networks and the optimiser; return how far the run had come.

    Raises:
        AvscError: the file is damaged, or belongs to another run or network.
    """
    content = _load(path, digest)
    load_state(path, network, content["network"])
    if averaged is not None:
        load_state(path, averaged, content[AVERAGED])
    optimiser.load_state_dict(content["optimiser"])
    progress = content["progress"]
    return Progress(**{**progress, "history": [row(**cells) for cells in progress["history"]]})


def save_best(
    folder: RunFolder, digest: str, network: Network, epoch: int, trained_on: str | None = None
) -> None:
    """Write best.pt: the network's weights after so many epochs.

    Args:
        digest: of the run's record.
        epoch: epochs done.
        trained_on: images that a visual encoder learned from, for the origin of its weights.
    """
    _publish_best(folder, _weights(digest, network, epoch), trained_on)


def load_weights(path: Path, digest: str, network: Network, *, epoch: int | None = None) -> int:
    """Read the weights of a checkpoint into the network; return their number of epochs.

    Args:
        path: best.pt, last.pt or previous.pt.
        digest: of the run's record.
        epoch: wanted; the weights must be those after exactly so many epochs, without a step more.

    Raises:
        LostError: the file is missing or damaged, or of another epoch than is wanted.
        AvscError: it belongs to another run or network.
    """
    content = _load(path, digest)
    if epoch is not None:
        _check_ends(path, content, epoch)
    load_state(path, network, _evaluated(content))
    return int(content["epoch"])


def epoch_of(path: Path, digest: str, *, epoch: int | None = None) -> int:
    """Return a checkpoint's number of epochs; arguments and errors as above."""
    content = _load(path, digest)
    if epoch is not None:
        _check_ends(path, content, epoch)
    return int(content["epoch"])


def copy_weights(
    path: Path, folder: RunFolder, digest: str, epoch: int, trained_on: str | None
) -> None:
    """Write best.pt from a checkpoint that ends with so many epochs; arguments as above.

    Raises:
        LostError: the checkpoint is missing or damaged, or of another epoch.
    """
    content = _load(path, digest)
    _check_ends(path, content, epoch)
    weights = {name: content[name] for name in ("format", "digest", "epoch")}
    weights["network"] = _evaluated(content)
    _publish_best(folder, weights, trained_on)


def _evaluated(content: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights that are evaluated: the averaged ones, if a checkpoint has them."""
    weights: dict[str, Tensor] = content.get(AVERAGED, content["network"])
    return weights


def _publish_best(folder: RunFolder, weights: dict[str, Any], trained_on: str | None) -> None:
    more = {"trained_on": trained_on} if trained_on else {}
    folder.publish(folder.best, _encode({**weights, **more}))


def _check_ends(path: Path, content: dict[str, Any], epoch: int) -> None:
    """Raise a `LostError` unless a checkpoint is of the end of an epoch."""
    saved, batch = content["epoch"], content.get("progress", {}).get("batch", 0)
    if (saved, batch) != (epoch, 0):
        more = f" and {batch} batches" if batch else ""
        raise LostError(f"{path}: after {saved} epochs{more}, wanted {epoch}.", REMEDY)


def changing_state(network: Network) -> dict[str, Tensor]:
    """Return the network's tensors, without those of a frozen image model."""
    apart = network.frozen_visual and isinstance(network.visual, VisualEncoder)
    return {
        name: value
        for name, value in network.state_dict().items()
        if not (apart and name.startswith(FROZEN))
    }


def load_state(path: Path, network: Network, state: dict[str, Tensor]) -> None:
    """Load what `changing_state` returned.

    Raises:
        AvscError: names, shapes or types are not the network's, or a value is not finite; names
            the first such tensor.
    """
    wanted = changing_state(network)
    for name in sorted({*wanted, *state}):
        there = tuple(state[name].shape) if name in state else "nothing"
        needed = tuple(wanted[name].shape) if name in wanted else "nothing"
        if there != needed:
            raise AvscError(
                f"{path}: {name} has shape {there}, wanted {needed}: it is a checkpoint of another "
                "network. Name another folder by --out, or start over with --no-resume."
            )
    check_values(str(path), state, wanted)
    network.load_state_dict(state, strict=False)


def save_visual(folder: RunFolder, visual: VisualEncoder) -> None:
    """Write visual.pt: a visual encoder's weights as a plain state dict, for `visual_encoder`."""
    folder.publish(folder.visual, _encode(visual.model.state_dict()))


def _weights(digest: str, network: Network, epoch: int) -> dict[str, Any]:
    """Return what every checkpoint holds."""
    state = changing_state(network)
    return {"format": FORMAT, "digest": digest, "epoch": epoch, "network": state}


def _encode(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _load(path: Path, digest: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = load_archive(path)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, wanted {FORMAT}")
        found = content["digest"]
    except FileNotFoundError:
        raise LostError(f"{path}: no such checkpoint.", REMEDY) from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError,
            pickle.UnpicklingError) as fault:  # fmt: skip
        raise LostError(
            f"{path}: not a checkpoint of this version, or damaged "
            f"({str(fault).splitlines()[0] if str(fault) else type(fault).__name__}).",
            REMEDY,
        ) from fault
    if found != digest:
        raise AvscError(
            f"{path}: found the checkpoint of a run with digest {found[:12]}, wanted "
            f"{digest[:12]}, as settings.json beside it says: the files are of two runs. Name "
            "another folder by --out, or start over with --no-resume."
        )
    return content
