"""A trained network out of the folder of its run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avsc.train.fit.build_network import build_network, kept_visual
from avsc.train.fit.checkpoint import load_weights
from avsc.train.fit.recovery import load_best
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import Record, read_record
from avsc.train.model.network import Network


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes:
        folder: its folder.
        record: what it was made from.
        network: with the checkpoint's weights, on the CPU, in evaluation mode.
        epoch: number of the epoch that the weights are of, from 1.
        file: that they were read from.
    """

    folder: RunFolder
    record: Record
    network: Network
    epoch: int
    file: Path


def restore(path: Path, checkpoint: Literal["best", "last"] = "best") -> Trained:
    """Return the network of a run; no weights are downloaded.

    Args:
        path: folder of the run.
        checkpoint: which weights: of the best epoch, or of the last save.

    Raises:
        AvscError: something of the run is missing, damaged, or does not belong to it.
    """
    folder = RunFolder(path)
    record = read_record(folder.settings)
    visual = None
    if record.has_image_model:
        assert record.visual is not None
        visual = kept_visual(record.settings, folder, record.visual.digest)
    network = build_network(record, visual)
    if checkpoint == "best":
        epoch, file = load_best(folder, record.digest, network)
    else:
        epoch, file = load_weights(folder.last, record.digest, network), folder.last
    network.eval()
    return Trained(folder, record, network, epoch, file)
