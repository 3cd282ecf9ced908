"""An exponential average of a network's weights, which is evaluated in their place.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, in its
exponential form, as Tarvainen and Valpola, "Mean teachers", NeurIPS 2017. After step t the average
moves by 1 - d towards the weights, d = min(decay, (1 + t) / (10 + t)): at first it forgets quickly
what the network began with. Statistics of batch normalisation are averaged alike.
"""

import copy

import torch

from avsc.train.model.network import Network


class WeightAverage:
    """The average of a network's weights.

    Args:
        network: with its initial weights, on its device; frozen encoders are shared with it.
        decay: of the average, 0 to 1.

    Attributes:
        network: with the averaged weights.
    """

    def __init__(self, network: Network, decay: float) -> None:
        encoders = {
            "acoustic.": (network.acoustic, network.frozen_acoustic),
            "visual.": (network.visual, network.frozen_visual),
        }
        shared = {id(encoder): encoder for encoder, frozen in encoders.values() if frozen}
        self.network = copy.deepcopy(network, shared).requires_grad_(False).eval()
        self.decay = decay
        self._shared = tuple(name for name, (_, frozen) in encoders.items() if frozen)

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Move towards a network's weights.

        Args:
            network: after a step.
            step: number of the step, from 0.
        """
        move = 1 - min(self.decay, (1 + step) / (10 + step))
        state = network.state_dict()
        for name, value in self.network.state_dict().items():
            if name.startswith(self._shared):
                continue  # written to, even its own values, it would be rounded and compiled again
            if value.is_floating_point():
                value.lerp_(state[name], move)
            else:
                value.copy_(state[name])
