"""The graph of a network computed by ONNX Runtime, on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass
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
        device: where its inputs are wanted.
    """

    compute: Compute
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
        if frames is None or images is None:
            given = {"frames": frames, "images": images}
            values = self.compute({name: v for name, v in given.items() if v is not None})[output]
            return values if view is None else values[view]
        view = torch.arange(len(frames)) if view is None else view
        return self.compute({"frames": frames, "images": images, "view": view})[output]
