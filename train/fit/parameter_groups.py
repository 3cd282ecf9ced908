"""Groups of parameters that an optimiser treats differently: decay, and rates of their own."""

from typing import Any

from torch import nn

from avsc.train.model.network import Network

FACTOR = "factor"
"""Key in an optimiser's group: its learning rate relative to the task's; 1 where it is absent."""
Group = dict[str, Any]


def parameter_groups(
    network: Network, visual_lr_factor: float = 1.0, decay: float | None = None
) -> list[Group]:
    """Return what is trained, in groups for an optimiser.

    Args:
        network: whose parameters are grouped.
        visual_lr_factor: learning rate of an image model that is trained, relative to the others',
            which it then is apart from; 1 for one rate.
        decay: weight decay of weights alone, apart from biases and normalisation, which do not
            decay (He et al., "Bag of tricks for image classification", CVPR 2019, section 3.1);
            None for the optimiser's own.
    """
    own: set[int] = set()
    if visual_lr_factor != 1 and network.visual is not None and network.image_input is not None:
        own = {id(each) for each in network.visual.parameters() if each.requires_grad}
    members: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.trainable_parameters():
        kind = id(parameter) in own, decay is not None and parameter.ndim < 2
        members.setdefault(kind, []).append(parameter)
    groups = []
    for apart, constant in sorted(members):
        group: Group = {"params": members[apart, constant]}
        if apart:
            group[FACTOR] = visual_lr_factor
        if decay is not None:
            group["weight_decay"] = 0.0 if constant else decay
        groups.append(group)
    return groups
