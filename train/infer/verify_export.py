"""Whether the files of an exported folder compute what their run computes."""

import math
from pathlib import Path

import torch
from torch import Tensor

from avsc.manifests.errors import AvscError
from avsc.train.infer.exported import FILES, read_exported
from avsc.train.infer.graph import Compute, Graph, Inputs, drawn_inputs
from avsc.train.model.network import Network

TOLERANCE = 1e-4
"""Largest difference of a probability between a graph and the run."""
BATCHES = ((1, 1), (2, 2), (7, 7), (7, 2))
"""Samples and images that each form is tried with."""


def largest_difference(network: Network, compute: Compute) -> float:
    """Return the largest difference of a probability, over batches that are drawn; NaN counts."""
    graph, far = Graph(network).eval(), 0.0
    for samples, images in BATCHES:
        inputs = drawn_inputs(network, samples, images)
        wanted = _logits(graph, inputs)
        found = compute(inputs)[0]
        if found.shape != wanted.shape:
            return float("nan")
        difference = float((found.softmax(1) - wanted.softmax(1)).abs().max())
        if math.isnan(difference):
            return difference
        far = max(far, difference)
    return far


def _logits(graph: Graph, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        logits: Tensor = graph(**inputs)[0]
    return logits


def check_weights(folder: Path, network: Network) -> float:
    """Open the weights as a user will; return 0, for they are the run's bit for bit."""
    again = read_exported(folder).network()
    state = again.state_dict()
    for name, value in network.state_dict().items():
        if not torch.equal(state[name], value):
            check_difference(f"{FILES['safetensors']}, tensor {name}", float("inf"), 0)
    ours, theirs = Graph(network).eval(), Graph(again).eval()
    for samples, images in BATCHES:
        inputs = drawn_inputs(network, samples, images)
        if not torch.equal(_logits(ours, inputs), _logits(theirs, inputs)):
            check_difference(FILES["safetensors"], float("inf"), 0)
    return 0.0


def check_difference(name: str, far: float, allowed: float) -> None:
    """Raise an `AvscError` unless a difference is allowed; NaN is not."""
    if not far <= allowed:
        raise AvscError(
            f"{name}: opened again, it gives probabilities that differ from the run's by "
            f"{far:.3g}; wanted at most {allowed:g}. Nothing was exported. Leave this form out by "
            "--forms, and report the network and the versions of torch and onnx."
        )
