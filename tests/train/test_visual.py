"""The visual encoder: the paper's two image models, and any other of timm's."""

import pytest
import torch

from avsc.manifests.errors import SettingError
from avsc.train.data.augment import ImageInput
from avsc.train.model.visual import visual_encoder

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("backbone", "size", "features", "parameters"),
    [
        # torchvision's documentation gives 25,557,032 with 1,000 classes.
        ("resnet50", 224, 2048, 25_557_032 - 2048 * 1000 - 1000),
        # timm's model card gives 23.9 million with 1,000 classes.
        ("effnetv2-s", 288, 1792, pytest.approx(23.9e6 - 1792 * 1000 - 1000, abs=0.05e6)),
    ],
)
def test_the_image_models_of_the_paper(backbone, size, features, parameters):
    encoder = visual_encoder(backbone, "random").eval()
    assert encoder.image_input == ImageInput(size, IMAGENET_MEAN, IMAGENET_STD, "crop")
    assert encoder.features == features
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, size, size)).shape == (1, features)


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "test_efficientnet", "test_vit"])
def test_features_are_what_comes_out(backbone):
    encoder = visual_encoder(backbone, "random").eval()
    size = encoder.image_input.size
    with torch.inference_mode():
        assert encoder(torch.zeros(2, 3, size, size)).shape == (2, encoder.features)


def test_size_and_view_can_be_chosen():
    encoder = visual_encoder("test_resnet", "random", 96, view="squash")
    assert (encoder.image_input.size, encoder.image_input.view) == (96, "squash")
    assert encoder.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, encoder.features)


def test_mean_and_deviation_are_the_models_own():
    image_input = visual_encoder("mixer_s32_224", "random").image_input
    assert image_input.mean == image_input.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("backbone", "size", "told"),
    [
        ("resnet5o", None, "'resnet5o' is unknown to timm .*effnetv2-s, resnet50 or a name"),
        ("resnet50.of_mine", None, "'resnet50.of_mine' is unknown .*Invalid pretrained tag"),
        ("test_vit", 96, "160 pixels only; found image size 96"),
        ("test_resnet", 0, "image size is 0"),
    ],
)
def test_unusable_settings_are_named(backbone, size, told):
    with pytest.raises(SettingError, match=told):
        visual_encoder(backbone, "random", size)


def test_a_model_with_tensors_of_five_axes():
    """PyTorch cannot order those by channels last; the order is a matter of speed alone."""
    encoder = visual_encoder("lambda_resnet26t", "random", 64).eval()
    assert max(value.dim() for value in encoder.model.state_dict().values()) == 5
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, encoder.features)
