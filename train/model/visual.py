"""Visual encoder: an image model of timm without its classification layer.

Source: section 2.2.2 and Table 1 of the paper: EfficientNetV2-S on 288 x 288 pixels and ResNet50 on
224 x 224, "remove the final classification layer". The paper names no implementation; 288 points to
timm's ``efficientnetv2_rw_s`` (trained at 288). Any other timm model may be named. Images are
float [B, 3, S, S], RGB, normalised as `VisualEncoder.image_input` says.
"""

from typing import Any, Self

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from avsc.manifests.errors import SettingError
from avsc.train.data.augment import ImageInput
from avsc.train.model.frozen import FrozenEncoder
from avsc.train.model.weights import digest, starting_model

PAPER_BACKBONES = {
    "effnetv2-s": "efficientnetv2_rw_s.ra2_in1k",
    "resnet50": "resnet50.a1_in1k",
}
"""The paper's two image models, by short name; the tags fix the input's normalisation."""


class VisualEncoder(nn.Module):
    """Images [B, 3, S, S] to embeddings [B, features].

    Attributes:
        features: values of an embedding (1,792 for effnetv2-s, 2,048 for resnet50).
        image_input: the images it takes.
        origin: where its initial weights came from, for the run's records.
        digest: SHA-256 of its initial weights, for the run's records.
        keeps_statistics: whether its batch normalisation uses the statistics that it starts with in
            training, too, in place of each batch's.
        frozen: computes it where it is frozen.
    """

    def __init__(self, model: nn.Module, image_input: ImageInput, origin: str) -> None:
        super().__init__()
        # Measured as fast as or faster than the default order on a CPU, and what GPUs want. Of a
        # model with tensors of five axes (lambda_resnet26t) `nn.Module.to` orders none.
        five = any(each.dim() == 5 for each in (*model.parameters(), *model.buffers()))
        self.model = model if five else model.to(memory_format=torch.channels_last)
        self.features = int(model.head_hidden_size)  # type: ignore[arg-type]
        self.image_input = image_input
        self.origin = origin
        self.digest = digest(model)
        self.keeps_statistics = False
        self.frozen = FrozenEncoder()

    def forward(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, S, S] as [B, features]."""
        return self.model(images.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; layers whose parameters are all frozen stay as they are.

        In evaluation mode, that is: their batch statistics do not change. Nor do any that are kept.
        """
        super().train(mode)
        for layer in self.model.modules():
            parameters = list(layer.parameters())
            frozen = bool(parameters) and not any(each.requires_grad for each in parameters)
            if frozen or (self.keeps_statistics and isinstance(layer, _BatchNorm)):
                layer.eval()
        return self

    def first_stages(self, last: int) -> list[nn.Parameter]:
        """Return the parameters of all but the last few stages, as timm divides the model.

        The stem is the first stage; a final normalisation mostly belongs to the last one.

        Raises:
            SettingError: the model does not have so many stages, or is not divided.
        """
        model: Any = self.model
        if not hasattr(model, "group_matcher"):
            raise SettingError(
                f"--visual-stages is {last}, but timm does not divide {type(model).__name__} into "
                "stages. Omit it (in places: 0), which trains all of the model."
            )
        names: list[list[str]] = list(group_parameters(model, model.group_matcher(True)).values())
        if last > len(names):
            raise SettingError(
                f"--visual-stages is {last}, but the image model has {len(names)} stages. Lower "
                "it, or omit it (in places: 0), which trains all of them."
            )
        first = {name for stage in names[: len(names) - last] for name in stage}
        return [parameter for name, parameter in model.named_parameters() if name in first]


def visual_encoder(
    backbone: str,
    weights: str,
    image_size: int | None = None,
    *,
    view: str = "crop",
    seed: int = 0,
) -> VisualEncoder:
    """Make a visual encoder.

    Args:
        backbone: ``"effnetv2-s"``, ``"resnet50"``, or any name of timm's.
        weights: ``"pretrained"``, ``"random"``, or a file (see `avsc.train.model.weights`).
        image_size: height and width of its images, pixels; None takes those it was trained on.
        view: how evaluation brings images to that size.

    Raises:
        SettingError: timm has no such model, or the model cannot take this image size.
        WeightsError: the weights cannot be had, or are another model's.
    """
    name = PAPER_BACKBONES.get(backbone, backbone)
    try:
        config: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as fault:
        raise SettingError(
            f"backbone {backbone!r} is unknown to timm {timm.__version__} ({fault}); wanted "
            f"{', '.join(PAPER_BACKBONES)} or a name that timm.list_models() lists."
        ) from fault
    trained_size = config.input_size[-1]
    size = trained_size if image_size is None else image_size
    if config.fixed_input_size and size != trained_size:
        raise SettingError(
            f"backbone {backbone!r} takes images of {trained_size} pixels only; found "
            f"image size {size}."
        )
    image_input = ImageInput(size, config.mean, config.std, view)
    model, origin = starting_model(name, weights, seed)
    return VisualEncoder(model, image_input, origin)
