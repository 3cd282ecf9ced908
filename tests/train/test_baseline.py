"""The official baseline's networks: as documented, cut and joined as documented."""

import pytest
import torch
from systems import make

from avsc.manifests.errors import AvscError
from avsc.train.commands import fit
from avsc.train.fit.trained_run import restore
from avsc.train.model.baseline import DenseEncoder, LateLayers, SubNetworkHead


def count(module):
    return sum(each.numel() for each in module.parameters())


def test_parameters_counted_by_hand():
    encoder = DenseEncoder(512)
    assert count(encoder) == (512 * 512 + 512) + 2 * 512 + (512 * 128 + 128)
    head = SubNetworkHead(128, 10)
    assert count(head) == 2 * 128 + (128 * 64 + 64) + 2 * 64 + (64 * 10 + 10)
    assert count(LateLayers(256, 10)) == (256 * 128 + 128) + (128 * 10 + 10)


def test_a_sub_network_is_the_layers_that_the_authors_list():
    names = [
        type(layer).__name__ for part in (DenseEncoder(512), SubNetworkHead(128, 10))
        for layer in part.layers
    ]  # fmt: skip
    hidden = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert names == [*hidden, *hidden, *hidden, "Linear"]
    assert DenseEncoder(512).layers[3].p == 0.2


def test_vectors_are_normalised_and_a_value_that_never_varies_is_centred():
    encoder = DenseEncoder(3).eval()
    mean, deviation = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.0, 4.0])
    encoder.set_normalisation(mean, deviation)
    vectors = torch.randn(5, 3)
    wanted = encoder.layers((vectors - mean) / torch.tensor([2.0, 1.0, 4.0]))
    torch.testing.assert_close(encoder(vectors), wanted)
    with pytest.raises(AvscError, match=r"shapes \(2,\) and \(2,\); wanted .* \(3,\)"):
        encoder.set_normalisation(torch.zeros(2), torch.ones(2))
    with pytest.raises(AvscError, match="not finite"):
        encoder.set_normalisation(mean, torch.tensor([1.0, torch.nan, 1.0]))


def test_the_late_layers_learn_on_both_sub_networks_cut_after_128(home, tmp_path):
    late = make(home, tmp_path / "late", "baseline").network.eval()
    assert isinstance(late.classifier, LateLayers)
    assert sum(each.numel() for each in late.trainable_parameters()) == count(late.classifier)
    sound, sight = torch.randn(5, 6), torch.randn(5, 6)
    by_hand = []
    for vectors, name, encoder in (
        (sound, "baseline-audio", "acoustic"),
        (sight, "baseline-video", "visual"),
    ):
        part = getattr(restore(home / name).network, encoder)
        first, norm, _, _, second = part.layers
        hidden = first((vectors - part.mean) / part.deviation)
        hidden = (hidden - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        by_hand.append(second((hidden * norm.weight + norm.bias).clamp(min=0)))
    torch.testing.assert_close(late.embed_sound(sound), by_hand[0])
    torch.testing.assert_close(late.embed_images(sight), by_hand[1])
    first, last = late.classifier.layers
    torch.testing.assert_close(late(sound, sight), last(first(torch.cat(by_hand, dim=1))))


def test_a_fresh_sub_network_has_the_moments_of_its_training_vectors(home, tmp_path):
    run = make(home, tmp_path / "run", "baseline-video")
    vectors = run.run.source.visual[run.run.training.image].astype("f8")
    torch.testing.assert_close(run.network.visual.mean, torch.from_numpy(vectors.mean(0)).float())
    deviation = vectors.std(0)
    assert deviation[4] == 0 and run.network.visual.deviation[4] == 1
    deviation[4] = 1
    torch.testing.assert_close(run.network.visual.deviation, torch.from_numpy(deviation).float())


def test_defaults_are_the_baselines(home, tmp_path):
    found = {option.name: option.default for option in fit.baseline.params}
    assert (found["optimiser"], found["lr_max"], found["lr_min"]) == ("adam", 1e-4, 1e-4)
    assert (found["weight_decay"], found["batch_size"], found["dropout"]) == (1e-4, 64, 0.2)
    assert found["epochs"] == 99
    run = make(home, tmp_path / "run", "baseline-audio", optimiser="adam", weight_decay=1e-4)
    assert isinstance(run.optimiser, torch.optim.Adam)
    assert run.optimiser.defaults["weight_decay"] == 1e-4
