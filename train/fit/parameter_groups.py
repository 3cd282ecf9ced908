"""Groups of parameters that an optimiser treats differently: decay, and rates of their own."""

from typing import Any

from torch import nn

from avsc.train.model.network import Network

FACTOR = "factor"
"""Key in an optimiser's group: its learning rate relative to the task's; 1 where it is absent."""
Group = dict[str, Any]


def visual_apart(network: Network, factor: float) -> list[nn.Parameter] | list[Group]:
    """Return what is trained; an image model that has a learning rate of its own apart."""
    trained = network.trainable_parameters()
    if factor == 1 or network.visual is None or network.image_input is None:
        return trained
    own = {id(parameter) for parameter in network.visual.parameters()}
    apart = [parameter for parameter in trained if id(parameter) in own]
    if not apart:
        return trained
    others = [parameter for parameter in trained if id(parameter) not in own]
    groups: list[Group] = [{"params": others}, {"params": apart, FACTOR: factor}]
    return groups


def decayed(network: Network, decay: float, visual_lr_factor: float = 1.0) -> list[Group]:
    """Split what is trained into weights, which decay, and biases and normalisation, which do not.

    Source: He et al., "Bag of tricks for image classification", CVPR 2019, section 3.1.

    Args:
        network: with an image model.
        decay: weight decay.
        visual_lr_factor: learning rate of the image model relative to the classifier's; with 1 both
            are in the same groups.
    """
    assert network.visual is not None
    apart = visual_lr_factor != 1
    body = {id(each) for each in network.visual.parameters()} if apart else set()
    groups: list[Group] = [
        {"params": [], "weight_decay": decays, **({FACTOR: factor} if apart else {})}
        for factor in ((1.0, visual_lr_factor) if apart else (1.0,))
        for decays in (decay, 0.0)
    ]
    for parameter in network.trainable_parameters():
        groups[2 * (id(parameter) in body) + (parameter.ndim < 2)]["params"].append(parameter)
    return groups
