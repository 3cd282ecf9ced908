"""A run that is stopped and resumed again and again, against one that is not.

Joint training of one epoch on a made store: straight, then stopped after every few steps and
resumed by a new trainer. The table says how far losses and weights are apart: on a CPU nothing, on
a GPU what its convolutions change from run to run, which a second straight run shows.

    python benchmarks/resume.py [--device cuda] [--every 4] [--clips 64] [--batch-size 256]
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from signal import SIGUSR1

import torch
from joint_training import joint_trainer, make_settings, training_parser
from machine import described
from torch import Tensor

from avsc.train.fit.device import device_name
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.trainer import Trainer
from avsc.train.settings.scenes import Settings


def straight(settings: Settings, folder: Path) -> Trainer:
    one = joint_trainer(settings, folder)
    assert one.fit()
    return one


def interrupted(settings: Settings, folder: Path, every: int) -> tuple[Trainer, int]:
    """Return the trainer of the last part, and how often the run was stopped."""
    stops = 0
    while True:
        part, stop, steps = joint_trainer(settings, folder), StopRequest(), []
        part.session = replace(part.session, stop=stop)
        step = part._step

        def counted(*slices: object, step=step, stop=stop, steps=steps) -> None:  # type: ignore[no-untyped-def]
            step(*slices)
            steps.append(1)
            if len(steps) == every:
                stop.signal = SIGUSR1

        part._step = counted  # type: ignore[method-assign]
        if part.fit():
            return part, stops
        stops += 1


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference of weights, relative to the largest weight of their tensor."""
    return max(
        float((other[name] - value).abs().max() / value.abs().max().clamp(min=1e-12))
        for name, value in one.items()
        if value.is_floating_point()
    )


def main() -> None:
    parser = training_parser(__doc__, clips=64)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--every", type=int, default=4, help="steps between two stops")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = make_settings(options, folder, compile="no", epochs=1, device=options.device)
        first = straight(settings, folder / "first")
        second = straight(settings, folder / "second")
        last, stops = interrupted(settings, folder / "stopped", options.every)
    print(f"{described()}; {device_name(first.session.device)}\n")
    print("| run | stops | training loss | weights apart |\n|---|---|---|---|")
    weights = first.network.state_dict()
    for kind, one, count in (("straight", second, 0), ("stopped", last, stops)):
        loss = one.progress.history[0].training_loss
        print(f"| {kind} | {count} | {loss:.6f} | {apart(weights, one.network.state_dict()):.1e} |")
    print(f"\nagainst a straight run, whose loss is {first.progress.history[0].training_loss:.6f}")
    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
