"""The learning rate against torch's scheduler and the paper's figures."""

import doctest

import pytest
import torch

from avsc.train.fit import schedule
from avsc.train.fit.schedule import WarmRestarts


def test_examples():
    assert doctest.testmod(schedule).failed == 0


@pytest.mark.parametrize(("period", "factor"), [(10, 2), (4, 1), (1, 3)])
def test_equals_torch_at_every_step(period, factor):
    ours = WarmRestarts(1e-2, 1e-5, period, factor)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1e-2)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimiser, T_0=period, T_mult=factor, eta_min=1e-5
    )
    optimiser.step()
    steps = 7  # in an epoch; no power of two, so that e + b / n is rounded
    for step in range(steps * 45):
        epoch = step // steps + step % steps / steps
        theirs.step(epoch)
        assert ours.rate(epoch) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)


def test_the_papers_150_epochs_are_four_whole_cycles():
    rate = WarmRestarts().rate
    jumps = [epoch for epoch in range(1, 151) if rate(epoch) > rate(epoch - 1e-6)]
    assert jumps == [10, 30, 70, 150]
    assert [rate(epoch) for epoch in (0, *jumps)] == [1e-2] * 5
    assert rate(150 - 1e-6) == pytest.approx(1e-5)
