"""A network as a graph of named inputs, in forms that need nothing of avsc.

The graph begins after the features, because the transform of the sound does not export well:

    frames     log magnitudes as the store has them, float32 [samples, channels, bins]
    images     normalised, float32 [images, 3, size, size]
    view       which of the images each sample sees, int64 [samples]; with frames and images only
    missing    which samples lack sound and images, bool [samples, 2]; of networks that take it only
    logits     of the scenes, float32 [samples, classes]
    embedding  what the classifier sees, acoustic, then visual, float32 [samples, features]

A model of images alone has as many samples as images. Both numbers are free. What is given of a
missing modality has no effect.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avsc.train.model.network import Network

OPSET = 20
"""Version of ONNX's operators."""
OUTPUTS = ("logits", "embedding")
COUNTS = {"frames": "samples", "images": "images", "view": "samples", "missing": "samples"}
"""What the first axis of each input counts."""
Inputs = dict[str, Tensor]
Compute = Callable[[Inputs], tuple[Tensor, Tensor]]


class Graph(nn.Module):
    """A network as one function of what it takes.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        frames: Tensor | None = None,
        images: Tensor | None = None,
        view: Tensor | None = None,
        missing: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return logits [samples, classes] and joined embeddings [samples, features]."""
        joined = self.network.embed(frames, images, view, missing)
        return self.network.classifier(joined), joined


def drawn_inputs(network: Network, samples: int, images: int, seed: int = 0) -> Inputs:
    """Return inputs like those that a network was trained on, drawn from a seed.

    Args:
        network: what takes them.
        samples: their number; that of the images for a network of images alone.
        images: number of different images.
        seed: of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs: Inputs = {}
    if network.acoustic is not None:
        mean, std = network.acoustic.mean, network.acoustic.deviation
        assert isinstance(mean, Tensor) and isinstance(std, Tensor)
        inputs["frames"] = mean + std * torch.randn((samples, *mean.shape), generator=generator)
    if network.image_input is not None:
        size = network.image_input.size
        inputs["images"] = torch.randn((images, 3, size, size), generator=generator)
        if "frames" in inputs:
            inputs["view"] = torch.arange(samples).flip(0) % images
    if network.missing is not None:  # nothing, sound and images of one sample after another
        lacks = (torch.arange(samples) + samples - 1) % 3
        inputs["missing"] = torch.stack([lacks == 1, lacks == 2], 1)
    return inputs


def trace(network: Network) -> torch.export.ExportedProgram:
    """Return the graph of a network, whose numbers of samples and images are free."""
    graph = Graph(network).eval()
    example = drawn_inputs(network, 3, 2)
    dimensions = {count: torch.export.Dim(count) for count in set(COUNTS.values())}
    shapes: dict[str, Any] = {name: {0: dimensions[COUNTS[name]]} for name in example}
    with torch.no_grad():
        graph(**example)  # what is checked once is not part of the graph
        return torch.export.export(graph, (), kwargs=example, dynamic_shapes=shapes)


def encode_pt2(program: torch.export.ExportedProgram) -> bytes:
    """Return the bytes of ``torch.export.save``."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own calls of what it deprecates
        torch.export.save(program, buffer)
    return buffer.getvalue()


def open_pt2(path: Path) -> Compute:
    """Return the function of what `encode_pt2` made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def compute(inputs: Inputs) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits, embedding = module(**inputs)
        return logits, embedding

    return compute


def encode_onnx(program: torch.export.ExportedProgram, about: Mapping[str, str]) -> bytes:
    """Return the bytes of an ONNX model; `about` becomes its metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            program, (), opset_version=OPSET, output_names=OUTPUTS, dynamo=True, verbose=False
        )
    assert made is not None
    model: Any = made.model_proto
    for name, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    return bytes(model.SerializeToString())
