"""Checkpoints that fit their network in part, or are of another version."""

import pytest
import torch

from avsc.manifests.errors import AvscError
from avsc.train.fit.checkpoint import load_weights, save_best
from avsc.train.fit.run_folder import RunFolder
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.network import Network

DIGEST = "d" * 64


@pytest.fixture
def network():
    with torch.random.fork_rng():
        encoder = AcousticEncoder(2, 24)
        encoder.set_normalisation(torch.zeros(2, 24), torch.ones(2, 24))
        return Network(encoder, None, SceneClassifier(1024, 3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["network"].pop("acoustic.mean"), r"acoustic\.mean has shape nothing, wanted"),
        (
            lambda c: c["network"].update(more=torch.zeros(3)),
            r"more has shape \(3,\), wanted nothing",
        ),
        (lambda c: c.update(format=2), "not a checkpoint of this version.*format 2, wanted 1"),
    ],
)
def test_what_does_not_fit_is_named(network, tmp_path, change, said):
    path = tmp_path / "best.pt"
    save_best(RunFolder(tmp_path), DIGEST, network, 1)
    assert load_weights(path, DIGEST, network) == 1
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(AvscError, match=said):
        load_weights(path, DIGEST, network)
