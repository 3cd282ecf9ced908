"""Predictions against the network applied to each sample for itself."""

import numpy as np
import pytest
import torch
from stores import small_store
from torch import nn

from avsc.features.jpeg import decode
from avsc.features.store.reader import Store
from avsc.train.data.augment import ImageInput
from avsc.train.data.source import Source
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.inference import embed_images, predict
from avsc.train.model.network import Network

CPU = torch.device("cpu")
HOW = {"batch_size": 7, "workers": 0, "device": CPU}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


class Eye(nn.Module):
    """Stands for a visual encoder: mean colours of the two halves; notes what it sees."""

    features = 6
    image_input = ImageInput(40, MEAN, STD)

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        assert not self.training and not torch.is_grad_enabled()
        self.seen.extend(images.mean((1, 2, 3)).tolist())
        return images.unflatten(3, (2, 20)).mean((2, 4)).flatten(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store.open(small_store(tmp_path_factory.mktemp("store")))


def make(sound, images):
    torch.manual_seed(0)
    acoustic = None
    if sound:
        acoustic = AcousticEncoder(2, 290)
        acoustic.set_normalisation(torch.full((2, 290), -8.0), torch.full((2, 290), 2.0))
    inputs = (1024 if sound else 0) + (Eye.features if images else 0)
    return Network(acoustic, Eye() if images else None, SceneClassifier(inputs, 3))


def colours(store, source, image):
    """What `Eye` makes of the middle of an image, in numpy: stored as 40 by 60, seen as 40."""
    clip, second = source.images.clip[image], source.images.key[image]
    assert store.clips[clip].id and second in (0, 1, 2)
    shown = decode(source.images.read(image))[:, 10:50] / 255
    shown = (shown - MEAN) / STD
    return np.stack([shown[:, :20].mean((0, 1)), shown[:, 20:].mean((0, 1))], 1).ravel()


@pytest.mark.parametrize(("sound", "images"), [(True, True), (True, False), (False, True)])
def test_every_sample_as_if_it_were_alone(store, sound, images):
    source = Source.open(store, "scalogram" if sound else None, images)
    samples = source.samples([1, 4, 20])
    network = make(sound, images)
    found = predict(network, source, samples, **HOW)
    assert found.shape == (len(samples), 3) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    network.eval()
    for i in range(0, len(samples), 5):
        frame = sight = None
        if sound:
            frame = torch.from_numpy(source.acoustic[samples.frame[i : i + 1]])
        if images:
            sight = torch.tensor(colours(store, source, samples.image[i]))[None].float()
        with torch.no_grad():
            logits = network.classify(frame, sight).double().numpy()[0]
        expected = np.exp(logits - logits.max())
        np.testing.assert_allclose(found[i], expected / expected.sum(), atol=1e-5)


def test_each_image_is_embedded_once_and_in_order(store):
    source = Source.open(store, "scalogram", True)
    samples = source.samples(range(0, 24, 3))
    network = make(True, True)
    found = predict(network, source, samples, **HOW)
    wanted = np.unique(samples.image)
    assert len(wanted) < len(samples) / 3
    expected = [colours(store, source, image).mean() for image in wanted]
    np.testing.assert_allclose(network.visual.seen, expected, atol=1e-4)
    network.visual.seen.clear()
    embeddings = embed_images(network, source, wanted, **HOW)
    assert embeddings.shape == (len(wanted), 6) and len(network.visual.seen) == len(wanted)
    again = predict(network, source, samples, **HOW, embeddings=embeddings)
    assert len(network.visual.seen) == len(wanted)
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("mode", [True, False])
def test_the_networks_mode_and_state_are_left_as_they_were(store, mode):
    source = Source.open(store, "scalogram", True)
    network = make(True, True).train(mode)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    predict(network, source, source.samples([0]), **HOW)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_mode_is_restored_after_a_fault(store):
    source = Source.open(store, "scalogram", True)
    network = make(True, True).train()
    network.visual.forward = None
    with pytest.raises(TypeError):
        predict(network, source, source.samples([0]), **HOW)
    assert network.training and torch.is_grad_enabled()


def test_batch_size_and_workers_change_no_more_than_rounding(store):
    source = Source.open(store, "scalogram", True)
    samples = source.samples([0, 9])
    network = make(True, True)
    found = predict(network, source, samples, **HOW)
    other = predict(network, source, samples, batch_size=1000, workers=2, device=CPU)
    np.testing.assert_allclose(other, found, atol=1e-6)
    np.testing.assert_array_equal(predict(network, source, samples, **HOW), found)
