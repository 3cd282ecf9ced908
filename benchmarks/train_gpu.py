"""The trainer on a GPU: how near it comes to what its frozen image model can do alone.

    model      the image model alone, on pictures that lie on the device
    batches    made as for training, and thrown away
    trainer    steps of joint training, from the store's JPEGs to the new weights

in pictures a second. Beneath, the image model stage by stage (not compiled): its operations, as
PyTorch counts them (two for a multiplication and an addition), and the share of the limit that it
reaches, which is a large product of matrices in the same precision on the same device. The last
line says whether a step waits for the device, as PyTorch's own check finds.

The store is made for the purpose. On a CPU it runs at toy size, to show that it runs.

    python benchmarks/train_gpu.py [--device cuda] [--steps 30] [--batch-size 256] [--compile yes]
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import torch
from joint_training import joint_trainer, make_settings, training_parser
from machine import described
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from avsc.manifests.errors import AvscError
from avsc.train.data.batch import Batch
from avsc.train.fit.trainer import Trainer
from avsc.train.model.precision import fast_dtype


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Return the mean time of some work, after it was done twice."""
    for _ in range(2):
        work()
    wait(device)
    begin = time.perf_counter()
    for _ in range(times):
        work()
    wait(device)
    return (time.perf_counter() - begin) / times


def endless(trainer: Trainer) -> Iterator[Batch]:
    """Yield the batches of epoch after epoch."""
    for epoch in count():
        trainer.progress.epoch, trainer.progress.batch = epoch, 0
        yield from trainer._batches()


def limit(device: torch.device) -> float:
    """Return the operations a second of a large product, in the image model's precision."""
    on_gpu = device.type == "cuda"
    size, kind = 8192 if on_gpu else 512, fast_dtype(device)
    one, other = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / seconds(lambda: one @ other, 20, device)


def operations(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return int(counter.get_total_flops())


def stages(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the parts that an image model runs one after the other."""
    found = []
    for name, child in model.named_children():
        parts = child.named_children() if isinstance(child, nn.Sequential) else [("", child)]
        found += [(f"{name}.{part}".rstrip("."), module) for part, module in parts]
    return found


def by_stage(
    model: nn.Module, pictures: Tensor, precise: Callable[[], Any], times: int
) -> Iterator[tuple[str, int, float]]:
    """Yield name, operations and seconds of each stage that computes anything."""
    given: dict[str, tuple[Any, ...]] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, x, name=name: given.update({name: x}))
        for name, module in stages(model)
    ]
    with precise():
        model(pictures)
        for hook in hooks:
            hook.remove()
        for name, module in stages(model):
            if name in given and (total := operations(module, given[name])):
                inputs, work = given[name], module
                took = seconds(lambda w=work, x=inputs: w(*x), times, pictures.device)
                yield name, total, took


def waits(trainer: Trainer, batches: Iterator[Batch]) -> str:
    """Say whether a step waits for the device; the batches end with that."""
    if trainer.session.device.type != "cuda":
        return "not asked; there is no device to wait for"
    batch = next(batches)
    batches.close()  # type: ignore[attr-defined]  # its thread may wait, and the mode is for all
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer._step(batch)
    except RuntimeError as fault:
        return f"yes ({str(fault).splitlines()[0]})"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "no"


def report(trainer: Trainer, steps: int) -> None:
    network, device = trainer.network.train(), trainer.session.device
    batches = endless(trainer)
    first = next(batches)
    size = trainer.run.settings.batch_size
    assert first.images is not None
    pictures: Tensor = first.images

    def precise() -> Any:
        fast = fast_dtype(device)
        return nullcontext() if fast == torch.float32 else torch.autocast("cuda", fast)

    with torch.no_grad():
        rates = {"model": len(pictures) / seconds(
            lambda: network.embed_images(pictures), steps, device)}  # fmt: skip
    rates["batches"] = size / seconds(lambda: next(batches), steps, device)
    rates["trainer"] = size / seconds(lambda: trainer._step(next(batches)), steps, device)
    print("| | images / s | of the model |\n|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} | {rate / rates['model']:.2f} |")
    most, visual = limit(device), network.visual
    assert visual is not None
    with torch.no_grad():
        eager: nn.Module = visual.model  # type: ignore[assignment]
        shown = pictures.contiguous(memory_format=torch.channels_last)
        total = operations(eager, (shown[:1],))
        kind = str(fast_dtype(device)).removeprefix("torch.")
        print(
            f"\n{total / 1e9:.2f} GFLOP per image; limit {most / 1e12:.2f} TFLOP/s ({kind}); the "
            f"model alone reaches {total * rates['model'] / most:.2f} of it\n"
        )
        print("| stage | GFLOP per image | share of the time | of the limit |\n|---|---|---|---|")
        found = list(by_stage(eager, shown, precise, max(2, steps // 3)))
    spent = sum(took for _, _, took in found)
    for name, flop, took in found:
        print(
            f"| {name} | {flop / len(pictures) / 1e9:.3f} | {took / spent:.2f} | "
            f"{flop / took / most:.2f} |"
        )
    print(f"\na step waits for the device: {waits(trainer, batches)}")
    batches.close()  # type: ignore[attr-defined]  # where there is none to wait for


def main() -> None:
    parser = training_parser(__doc__, clips=256)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", default="auto", choices=["auto", "yes", "no"])
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = make_settings(options, folder, compile=options.compile, device=options.device)
        try:
            trainer = joint_trainer(settings, folder / "run")
        except AvscError as fault:
            sys.exit(f"train_gpu: {fault}")
        device = torch.cuda.get_device_name() if trainer.session.device.type == "cuda" else "cpu"
        print(
            f"{described()}; {device}; {options.backbone}, batches of {options.batch_size}, "
            f"compile {options.compile}, {trainer.session.workers} threads\n"
        )
        report(trainer, options.steps)


if __name__ == "__main__":
    main()
