"""The acoustic encoder against Table 1, counts made by hand, and a second implementation."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier

Array = NDArray[np.float64]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def ready(encoder: AcousticEncoder) -> AcousticEncoder:
    encoder.set_normalisation(
        torch.full_like(encoder.mean, -8.0), torch.full_like(encoder.mean, 2.0)
    )
    return encoder


def kinds(module: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in module.children()]


@pytest.mark.parametrize(
    ("bins", "concat", "flat", "parameters"),
    [
        # 2 * 290 inputs and 32 * 18 from the last block; 3,640 parameters in the blocks.
        (290, "input", 580 + 576, 3_640 + 2_373_632 + 2_100_224),
        # 2 * 256 inputs and 32 * 16 from the last block.
        (256, "input", 512 + 512, 3_640 + 2_103_296 + 2_100_224),
        # Also 4 * 145, 8 * 72 and 16 * 36.
        (290, "all", 580 + 580 + 576 + 576 + 576, 3_640 + 5_920_768 + 2_100_224),
    ],
)
def test_parameters_counted_by_hand(bins, concat, flat, parameters):
    encoder = AcousticEncoder(2, bins, concat)

    def block(inputs: int, outputs: int) -> int:
        branch = inputs * outputs * 3 + outputs
        normalisation = 2 * outputs
        shortcut = inputs * outputs * 2 + outputs
        return branch + normalisation + shortcut

    blocks = block(2, 4) + block(4, 8) + block(8, 16) + block(16, 32)
    first = flat * 2048 + 2048 + 2 * 2048
    second = 2048 * 1024 + 1024 + 2 * 1024
    assert encoder.linear[0].in_features == flat
    assert count(encoder) == blocks + first + second == parameters


@pytest.mark.parametrize(("inputs", "parameters"), [(1024 + 1792, 2_896_906), (1024, 1_061_898)])
def test_classifier_counted_by_hand(inputs, parameters):
    classifier = SceneClassifier(inputs, 10)
    assert count(classifier) == inputs * 1024 + 1024 + 2 * 1024 + 1024 * 10 + 10 == parameters
    assert kinds(classifier.layers) == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    assert classifier.layers[3].p == 0.5
    assert classifier.eval()(torch.zeros(3, inputs)).shape == (3, 10)


def test_layers_stand_in_the_order_of_table_1():
    encoder = AcousticEncoder(2, 290)
    for block in encoder.blocks:
        assert kinds(block.branch) == ["Conv1d", "BatchNorm1d", "ReLU", "AvgPool1d"]
        convolution, pool = block.branch[0], block.branch[3]
        assert (convolution.kernel_size, convolution.stride, convolution.padding) == (
            (3,),
            (1,),
            (0,),
        )
        assert (pool.kernel_size, pool.stride, pool.padding) == ((2,), (2,), (1,))
    assert [block.branch[0].out_channels for block in encoder.blocks] == [4, 8, 16, 32]
    assert kinds(encoder.linear) == [
        *("Linear", "BatchNorm1d", "ReLU", "Dropout"),
        *("Linear", "BatchNorm1d", "ReLU"),
    ]
    assert encoder.linear[3].p == 0.5


@pytest.mark.parametrize(
    ("bins", "lengths"), [(290, [145, 72, 36, 18]), (256, [128, 64, 32, 16]), (25, [12, 6, 3, 1])]
)
def test_every_block_halves_the_bins(bins, lengths):
    encoder = AcousticEncoder(2, bins).eval()
    x = torch.zeros(2, 2, bins)
    for block, channels, length in zip(encoder.blocks, [4, 8, 16, 32], lengths, strict=True):
        x = block(x)
        assert x.shape == (2, channels, length)
    assert ready(encoder)(torch.zeros(2, 2, bins)).shape == (2, 1024)


def convolve(x: Array, layer: nn.Conv1d) -> Array:
    """Convolve [channels, L] as the definition says, window by window."""
    weight, bias = (value.detach().double().numpy() for value in (layer.weight, layer.bias))
    width, step = weight.shape[2], layer.stride[0]
    starts = range(0, x.shape[1] - width + 1, step)
    return np.stack(
        [np.einsum("oik,ik->o", weight, x[:, s : s + width]) + bias for s in starts], axis=1
    )


def normalise(x: Array, layer: nn.BatchNorm1d) -> Array:
    """Apply batch normalisation with the running statistics, to [channels, ...]."""
    state = {name: value.double().numpy() for name, value in layer.state_dict().items()}
    columns = {name: value.reshape(-1, *[1] * (x.ndim - 1)) for name, value in state.items()}
    scaled = (x - columns["running_mean"]) / np.sqrt(columns["running_var"] + 1e-5)
    return scaled * columns["weight"] + columns["bias"]


def halve(x: Array) -> Array:
    """Mean of pairs; a zero stands before the first value and after the last."""
    padded = np.pad(x, ((0, 0), (1, 1)))
    pairs = padded[:, : padded.shape[1] // 2 * 2].reshape(x.shape[0], -1, 2)
    return pairs.mean(axis=2)


def reference(frame: Array, encoder: AcousticEncoder) -> Array:
    x = (frame - encoder.mean.double().numpy()) / encoder.deviation.double().numpy()
    flat = [x.reshape(-1)]
    for block in encoder.blocks:
        branch = np.maximum(normalise(convolve(x, block.branch[0]), block.branch[1]), 0)
        x = halve(branch) + convolve(x, block.shortcut)
        flat.append(x.reshape(-1))
    joined = np.concatenate(flat if encoder.concat == "all" else [flat[0], flat[-1]])
    for linear, normalisation in ((0, 1), (4, 5)):
        layer = encoder.linear[linear]
        joined = layer.weight.detach().double().numpy() @ joined
        joined = joined + layer.bias.detach().double().numpy()
        joined = np.maximum(normalise(joined, encoder.linear[normalisation]), 0)
    return joined


@pytest.mark.parametrize(("bins", "concat"), [(290, "input"), (256, "input"), (290, "all")])
def test_agrees_with_an_implementation_in_numpy(bins, concat):
    torch.manual_seed(3)
    encoder = AcousticEncoder(2, bins, concat)
    frames = torch.randn(4, 2, bins) * 2 - 8
    encoder.set_normalisation(frames.mean(0), torch.rand(2, bins) + 0.5)
    for _ in range(3):
        encoder(frames)  # so that the running statistics are not those of the start
    encoder.eval()
    wanted = np.stack([reference(frame.double().numpy(), encoder) for frame in frames])
    found = encoder(frames).detach().numpy()
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_refuses_to_work_without_normalisation():
    with pytest.raises(AvscError, match="no mean and standard deviation yet"):
        AcousticEncoder(2, 290)(torch.zeros(2, 2, 290))


def test_normalisation_travels_with_the_weights():
    first, second = ready(AcousticEncoder(2, 256)).eval(), AcousticEncoder(2, 256).eval()
    frames = torch.linspace(-20, -3, 512).reshape(1, 2, 256)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second(frames), first(frames), rtol=0, atol=0)
    assert second.mean[0, 0] == -8


def test_frames_are_normalised():
    plain, scaled = AcousticEncoder(2, 256).eval(), AcousticEncoder(2, 256).eval()
    scaled.load_state_dict(plain.state_dict())
    plain.set_normalisation(torch.zeros(2, 256), torch.ones(2, 256))
    mean, deviation = torch.randn(2, 256), torch.rand(2, 256) + 0.5
    scaled.set_normalisation(mean, deviation)
    frames = torch.randn(3, 2, 256)
    torch.testing.assert_close(scaled(frames * deviation + mean), plain(frames))


@pytest.mark.parametrize(
    ("channel", "deviation", "told"),
    [(1, 0.0, "channel 1, bin 7: .* deviation 0;"), (0, float("nan"), "channel 0, bin 7")],
)
def test_unusable_deviation_is_named(channel, deviation, told):
    deviations = torch.ones(2, 256)
    deviations[channel, 7] = deviation
    with pytest.raises(AvscError, match=told):
        AcousticEncoder(2, 256).set_normalisation(torch.zeros(2, 256), deviations)


def test_normalisation_of_another_shape_is_refused():
    with pytest.raises(AvscError, match=r"mean has shape \(2, 256\).*\(2, 290\)"):
        AcousticEncoder(2, 290).set_normalisation(torch.zeros(2, 256), torch.ones(2, 256))


def test_unusable_settings_are_refused():
    with pytest.raises(SettingError, match="23 bins"):
        AcousticEncoder(2, 23)
    with pytest.raises(SettingError, match="'some'"):
        AcousticEncoder(2, 290, concat="some")  # type: ignore[arg-type]
