"""The graph of a network computed by ONNX Runtime, on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from avsc.train.infer.graph import OUTPUTS, Compute, Inputs


def open_onnx(path: Path) -> tuple[Compute, Mapping[str, str]]:
    """Return the function of an ONNX model on the CPU, by ONNX Runtime, and its metadata."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def compute(inputs: Inputs) -> tuple[Tensor, Tensor]:
        arrays = {name: value.cpu().numpy() for name, value in inputs.items()}
        logits, embedding = session.run(list(OUTPUTS), arrays)
        return torch.from_numpy(logits), torch.from_numpy(embedding)

    return compute, session.get_modelmeta().custom_metadata_map


@dataclass(frozen=True)
class OnnxRuntime:
    """A graph of ONNX as a model's runtime (see `avsc.train.infer.model.Runtime`).

    Attributes:
        compute: the graph.
        blank: an acoustic frame and an image, float32 [1, ...], that stand for what is missing;
            empty for a graph that takes no mask of it.
        device: where its inputs are wanted.
    """

    compute: Compute
    blank: Inputs = field(default_factory=dict)
    device: torch.device = torch.device("cpu")  # noqa: RUF009

    def __call__(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Tensor:
        """Return the logits of samples."""
        return self._run(0, frames, images, view)

    def embed(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Tensor:
        """Return what the classifier sees of samples."""
        return self._run(1, frames, images, view)

    def _run(
        self, output: int, frames: Tensor | None, images: Tensor | None, view: Tensor | None
    ) -> Tensor:
        if self.blank:
            return self.compute(self._filled(frames, images, view))[output]
        if frames is None or images is None:
            given = {"frames": frames, "images": images}
            values = self.compute({name: v for name, v in given.items() if v is not None})[output]
            return values if view is None else values[view]
        view = torch.arange(len(frames)) if view is None else view
        return self.compute({"frames": frames, "images": images, "view": view})[output]

    def _filled(self, frames: Tensor | None, images: Tensor | None, view: Tensor | None) -> Inputs:
        """Return the inputs of a graph that takes a mask of what is missing."""
        there = next(each for each in (frames, view, images) if each is not None)
        count = len(there)
        missing = torch.tensor([[frames is None, images is None]]).expand(count, -1)
        if frames is None:
            frames = self.blank["frames"].expand(count, -1, -1)
        if images is None:
            images, view = self.blank["images"], torch.zeros(count, dtype=torch.int64)
        view = torch.arange(count) if view is None else view
        return {"frames": frames, "images": images, "view": view, "missing": missing}
