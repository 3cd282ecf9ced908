"""The scale of embeddings before fusion: against plain arithmetic, where it is used, its worth."""

import h5py
import numpy as np
import pytest
import torch
from inferred import Trained
from systems import make, make_world, on_vectors, write_vectors
from torch.nn.functional import cross_entropy

from avsc.features.store.reader import Store
from avsc.train.evaluate.predict import clip_samples
from avsc.train.evaluate.robustness.condition_predictions import Asked, run_answers
from avsc.train.evaluate.robustness.conditions import named_conditions
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.trained_run import restore
from avsc.train.infer import load
from avsc.train.infer.export import ExportRequest, export
from avsc.train.model.fusion_norm import FusionNorm
from avsc.train.model.missing import MissingEmbeddings
from avsc.train.model.network import Network
from avsc.train.protocol import segments


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("scaled"))


@pytest.mark.parametrize("kind", ["layer", "batch"])
def test_each_modality_is_normalised_by_itself_before_vectors_replace_it(kind):
    draw = torch.Generator().manual_seed(0)
    audio = 5 + 3 * torch.randn(8, 4, generator=draw).double()
    visual = -1 + 0.02 * torch.randn(8, 6, generator=draw).double()
    missing, norm = MissingEmbeddings(4, 6), FusionNorm(kind, 4, 6)
    with torch.no_grad():
        for parameter in (*missing.parameters(), *norm.parameters()):
            parameter.normal_(generator=draw)
    classifier = torch.nn.Identity()
    network = Network(torch.nn.Identity(), torch.nn.Identity(), classifier, missing=missing,
                      fusion_norm=norm).double().train()  # fmt: skip
    mask = torch.tensor([[True, False]] * 2 + [[False, True]] * 3 + [[False, False]] * 3)
    found = network.join(audio, visual, mask)
    wanted, axis = [], 1 if kind == "layer" else 0
    for name, value, column in (("audio", audio, 0), ("visual", visual, 1)):
        layer = getattr(norm, name)
        mean, variance = value.mean(axis, keepdim=True), value.var(axis, False, keepdim=True)
        value = (value - mean) / (variance + 1e-5).sqrt() * layer.weight + layer.bias
        wanted.append(torch.where(mask[:, column, None], getattr(missing, name), value))
    torch.testing.assert_close(found, torch.cat(wanted, 1))
    alone = network.eval().join(None, visual)
    torch.testing.assert_close(alone[:, :4], missing.audio.expand(8, -1))
    torch.testing.assert_close(alone[:, 4:], norm("visual", visual))


def test_small_features_are_learned_from(world, tmp_path):
    """Images alone tell the scene here, by features of a fiftieth of their usual scale."""
    store = Store.open(world / "store")
    write_vectors(tmp_path / "loud.h5", store, 0.2)
    write_vectors(tmp_path / "small.h5", store, 0.5)
    draw = np.random.default_rng(5)
    with h5py.File(tmp_path / "loud.h5", "r+") as loud, h5py.File(tmp_path / "small.h5", "r+") as s:
        loud["vector"][:] = draw.normal(size=loud["vector"].shape)
        s["vector"][:] = 0.02 * s["vector"][:]
    files = {
        "acoustic_embeddings": tmp_path / "loud.h5",
        "visual_embeddings": tmp_path / "small.h5",
    }
    losses = {}
    for kind in ("none", "batch"):
        trainer = on_vectors(world, tmp_path / kind, **files, epochs=3, fusion_norm=kind)
        assert trainer.fit()
        run = trainer.run
        with torch.no_grad():
            logits = trainer.network.eval().classify(
                torch.from_numpy(run.source.acoustic[run.training.frame]),
                torch.from_numpy(run.source.visual[run.training.image]),
            )
        losses[kind] = float(cross_entropy(logits, torch.from_numpy(run.training.scene)))
    assert losses["batch"] < 0.3 < 0.6 < losses["none"], losses


def test_it_is_part_of_what_is_evaluated_and_absent_where_it_is_off(world, tmp_path):
    plain = make(world, tmp_path / "plain", "joint")
    single = make(world, tmp_path / "audio", "audio", fusion_norm="batch")
    for trainer in (plain, single):
        assert trainer.network.fusion_norm is None
    assert not any("fusion" in name for name in plain.network.state_dict())
    assert "--fusion-norm" not in plain.run.record.identity()

    trainer = on_vectors(world, tmp_path / "run", epochs=1, fusion_norm="batch",
                         modality_dropout=0.5, modality_dropout_epochs=0)  # fmt: skip
    assert trainer.fit()
    trained, store = restore(tmp_path / "run"), Store.open(world / "store")
    rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    clips = clip_samples(trained, store, rows, ("strict",), False)
    with Console() as console:
        answers = run_answers(trained, store, rows, Asked(named_conditions("no-audio")),
                              Computing(torch.device("cpu"), 16, 0), console)  # fmt: skip
    network, samples = trained.network.eval(), clips.samples
    heard = torch.from_numpy(clips.source.acoustic[samples.frame])
    seen = torch.from_numpy(clips.source.visual[samples.image])
    for name, inputs in {"complete": (heard, seen), "no-audio": (None, seen)}.items():
        with torch.no_grad():
            probability = torch.softmax(network.classify(*inputs).double(), 1).numpy()
        wanted = segments(probability, samples, "strict").probability
        np.testing.assert_allclose(answers["strict"][name].segments.probability, wanted, atol=1e-6)


def test_an_export_has_it(tmp_path):
    world = Trained(tmp_path)
    out, run = tmp_path / "out", world.fit("joint", fusion_norm="batch")
    export(ExportRequest(run, out, forms=("safetensors",)), lambda text: None)
    sound, video = world.files("clip-8")
    here, there = (load(each, device="cpu") for each in (run, out))
    assert there.runtime.network.fusion_norm.kind == "batch"
    found = here.predict(video, audio=sound).probability
    np.testing.assert_array_equal(there.predict(video, audio=sound).probability, found)
