"""Learning rate: cosine annealing with warm restarts, in closed form.

Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5; section 3.2 of the paper. Time is
counted in epochs and moves with every step: step b of n in epoch e is at e + b / n. With the
defaults the rate restarts at epochs 10, 30, 70 and 150.

As a pure function of time it has no state to be saved: a resumed run takes the same rates, wherever
it was stopped.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmRestarts:
    """Cycles in which the rate decays from `highest` to `lowest` along half a cosine.

    Attributes:
        highest: rate at the start of each cycle.
        lowest: rate at the end of each cycle.
        period: epochs in the first cycle.
        factor: length of each cycle relative to the previous one.
    """

    highest: float = 1e-2
    lowest: float = 1e-5
    period: int = 10
    factor: int = 2

    def cycle(self, epoch: float) -> tuple[int, int]:
        """Return the start and the length of the cycle that contains `epoch`, in epochs.

        >>> WarmRestarts().cycle(29.9), WarmRestarts().cycle(30)
        ((10, 20), (30, 40))
        """
        start, length = 0, self.period
        while epoch >= start + length:
            start, length = start + length, length * self.factor
        return start, length

    def rate(self, epoch: float) -> float:
        """Return the learning rate at a time of `epoch` epochs, 0 or more.

        >>> WarmRestarts().rate(10), round(WarmRestarts().rate(20), 6)
        (0.01, 0.005005)
        """
        start, length = self.cycle(epoch)
        fall = (1 + math.cos(math.pi * (epoch - start) / length)) / 2
        return self.lowest + (self.highest - self.lowest) * fall


@dataclass(frozen=True)
class WarmCosine:
    """A rate that rises linearly for `warmup` epochs, then decays along half a cosine.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017 (the rise); Loshchilov and Hutter,
    as above, without restarts (the fall).

    Attributes:
        highest: rate at the end of the rise.
        lowest: rate that it rises from and falls to.
        epochs: length of both.
        warmup: length of the rise, epochs.
    """

    highest: float
    lowest: float
    epochs: int
    warmup: float

    def rate(self, epoch: float) -> float:
        """Return the learning rate at a time of `epoch` epochs, 0 or more.

        >>> schedule = WarmCosine(0.01, 0.0, 10, 2)
        >>> [round(schedule.rate(epoch), 6) for epoch in (0, 1, 2, 6, 10)]
        [0.0, 0.005, 0.01, 0.005, 0.0]
        """
        if epoch < self.warmup:
            share = epoch / self.warmup
        else:
            fallen = (epoch - self.warmup) / (self.epochs - self.warmup)
            share = (1 + math.cos(math.pi * fallen)) / 2
        return self.lowest + (self.highest - self.lowest) * share
