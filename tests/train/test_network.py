"""The network: what is joined, what learns and what stays as it is."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.network import Network
from avsc.train.model.visual import visual_encoder
from avsc.train.model.weights import digest, starting_weights

SIZE, FEATURES = 64, 96


@pytest.fixture(autouse=True)
def one_seed() -> Iterator[None]:
    with starting_weights(5):
        yield


def make(acoustic: bool = True, visual: bool = True, **settings: bool) -> Network:
    sound = AcousticEncoder(2, 256) if acoustic else None
    if sound:
        sound.set_normalisation(torch.zeros(2, 256), torch.ones(2, 256))
    sight = visual_encoder("test_resnet", "random", SIZE) if visual else None
    inputs = 1024 * acoustic + FEATURES * visual
    return Network(sound, sight, SceneClassifier(inputs, 10), **settings)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(8, 2, 256), torch.randn(8, 3, SIZE, SIZE), torch.arange(8)


def learn(network: Network) -> None:
    """Take one step of SGD in training mode."""
    sound, images, scene = batch()
    network.train()
    optimiser = torch.optim.SGD(network.trainable_parameters(), lr=0.1)
    nn.functional.cross_entropy(network(sound, images), scene).backward()
    optimiser.step()


def with_gradient(module: nn.Module) -> list[bool]:
    return [
        parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        for parameter in module.parameters()
    ]


def test_joint_training_never_touches_the_visual_encoder():
    network = make()
    before = {name: digest(part) for name, part in network.named_children()}
    learn(network)
    assert network.acoustic is not None and network.visual is not None
    assert all(with_gradient(network.acoustic)) and all(with_gradient(network.classifier))
    assert all(parameter.grad is None for parameter in network.visual.parameters())
    after = {name: digest(part) for name, part in network.named_children()}
    assert after["visual"] == before["visual"]  # its running statistics too
    assert after["acoustic"] != before["acoustic"] and after["classifier"] != before["classifier"]


def test_statistics_of_the_trained_encoder_move():
    network = make()
    sound, images, _ = batch()
    with torch.no_grad():
        network.train()(sound, images)
    assert network.acoustic is not None
    assert int(network.acoustic.linear[1].num_batches_tracked) == 1


def test_end_to_end_training_moves_the_visual_encoder():
    network = make(frozen_visual=False)
    before = digest(network.visual)
    learn(network)
    # Not all: timm starts the last scale of a residual branch at zero.
    assert any(with_gradient(network.visual))
    assert digest(network.visual) != before
    assert len(network.trainable_parameters()) == len(list(network.parameters()))


def test_frozen_acoustic_encoder_stays_as_it_is():
    network = make(frozen_acoustic=True)
    before = digest(network.acoustic)
    learn(network)
    assert digest(network.acoustic) == before
    assert all(with_gradient(network.classifier))


def test_frozen_encoders_stay_in_evaluation_mode():
    network = make(frozen_acoustic=True)
    for mode in (True, False, True):
        network.train(mode)
        assert network.classifier.training == mode
        assert not any(
            layer.training for layer in (*network.visual.modules(), *network.acoustic.modules())
        )


def test_embeddings_do_not_depend_on_the_mode():
    network, images = make(), batch()[1]
    trained, evaluated = (network.train(mode).embed_images(images) for mode in (True, False))
    assert torch.equal(trained, evaluated)
    assert trained.shape == (8, FEATURES) and not trained.requires_grad


def test_trainable_parameters_are_those_of_acoustic_encoder_and_classifier():
    network = make()
    assert sum(p.numel() for p in network.trainable_parameters()) == (
        4_207_160 + (1024 + FEATURES) * 1024 + 3 * 1024 + 1024 * 10 + 10
    )


@pytest.mark.parametrize(
    ("backbone", "size", "features", "model"),
    # The image models are counted in test_visual, from what their authors state.
    [("resnet50", 224, 2048, 23_508_032), ("effnetv2-s", 288, 1792, 22_148_296)],
)
def test_the_networks_of_the_paper_counted_by_hand(
    backbone: str, size: int, features: int, model: int
):
    sight = visual_encoder(backbone, "random")
    encoders = {290: 4_477_496, 256: 4_207_160}
    for bins, encoder in encoders.items():
        sound = AcousticEncoder(2, bins)
        sound.set_normalisation(torch.zeros(2, bins), torch.ones(2, bins))
        network = Network(sound, sight, SceneClassifier(1024 + features, 10)).eval()
        learn = encoder + (1024 + features) * 1024 + 3 * 1024 + 1024 * 10 + 10
        assert sum(p.numel() for p in network.trainable_parameters()) == learn
        assert sum(p.numel() for p in network.parameters()) == learn + model
        with torch.inference_mode():
            logits = network(torch.randn(1, 2, bins), torch.randn(1, 3, size, size))
        assert logits.shape == (1, 10)


def test_forward_joins_the_embeddings_sound_first():
    network = make().eval()
    sound, images, _ = batch()
    joined = torch.cat([network.acoustic(sound), network.visual(images)], dim=1)
    logits = network(sound, images)
    torch.testing.assert_close(logits, network.classifier(joined))
    torch.testing.assert_close(logits, network.classify(sound, network.embed_images(images)))


@pytest.mark.parametrize("frozen", [True, False])
def test_samples_that_share_an_image_are_as_if_each_had_it(frozen: bool):
    shared = make(frozen_visual=frozen)
    alone = copy.deepcopy(shared)
    sound, images, _ = batch()
    view = torch.tensor([0, 0, 2, 1, 1, 1, 2, 0])
    seen: list[int] = []
    shared.visual.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    logits = []
    for network, given in ((shared, (images[:3], view)), (alone, (images[:3][view],))):
        torch.manual_seed(0)
        logits.append(network(sound, *given))
    torch.testing.assert_close(*logits)
    torch.testing.assert_close(shared.state_dict(), alone.state_dict())
    assert seen == [3 if frozen else 8]


def test_either_modality_alone():
    sound, images, _ = batch()
    audio, video = make(visual=False).eval(), make(acoustic=False).eval()
    assert audio(sound, None).shape == video(None, images).shape == (8, 10)
    torch.testing.assert_close(
        video.classify(None, video.embed_images(images)), video(None, images)
    )


def test_embeddings_made_beforehand_need_no_visual_encoder():
    joint, (sound, images, _) = make().eval(), batch()
    stored = joint.embed_images(images)
    second = Network(joint.acoustic, None, joint.classifier).eval()
    torch.testing.assert_close(second.classify(sound, stored), joint(sound, images))


def test_an_input_without_its_encoder_is_refused():
    sound, images, _ = batch()
    with pytest.raises(ValueError, match="no visual encoder"):
        make(visual=False)(sound, images)
    with pytest.raises(ValueError, match="no acoustic encoder"):
        make(acoustic=False)(sound, images)


def test_state_dict_round_trip():
    first, (sound, images, _) = make(), batch()
    learn(first)
    second = make()
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.eval()(sound, images), first.eval()(sound, images))


def test_low_precision_is_for_cuda_alone():
    exact, images = make(), batch()[1]
    low = make(low_precision=True)
    low.load_state_dict(exact.state_dict())
    assert torch.equal(low.embed_images(images), exact.embed_images(images))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_low_precision_on_cuda_gives_float32():
    exact, images = make().cuda(), batch()[1].cuda()
    low = make(low_precision=True).cuda()
    low.load_state_dict(exact.state_dict())
    found, wanted = low.embed_images(images), exact.embed_images(images)
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)
    assert nn.functional.cosine_similarity(found, wanted).min() > 0.99
