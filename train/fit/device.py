"""The device that computes: a CUDA device if there is one that PyTorch can use, else the CPU."""

import os
import shutil
import subprocess
import warnings
from pathlib import Path

import torch

from avsc.manifests.errors import SettingError
from avsc.train.fit.distributed import ALONE, Processes, started_by_srun
from avsc.train.model.precision import fast_dtype

DEVICES = Path("/dev")
"""Where Linux's driver has a file for each GPU, nvidia0 and so on."""
REMEDY = (
    "Install a PyTorch that fits the driver and the GPU (README.md, Install), or ask for --device "
    "cpu."
)


def choose_device(name: str, processes: Processes = ALONE) -> tuple[torch.device, str]:
    """Choose the compute device; return it, and a line that reports which it is and why.

    Args:
        name: ``"auto"`` (the first CUDA device if there is one, else the CPU), ``"cpu"``,
            ``"cuda"`` or ``"cuda:N"``.
        processes: those that train together; each takes the CUDA device of its number, or the one
            that it sees.

    Raises:
        SettingError: another name, a CUDA device that is not there or does not compute, or, with
            ``"auto"``, a GPU that PyTorch cannot use.
    """
    several = "" if processes.count == 1 else f"{processes.count} processes, each "
    wanted = torch.device("cpu") if name == "auto" else _parse(name)
    why = "as requested"
    available, problem = (0, "") if name == "cpu" else _cuda_devices()
    if name == "auto":
        why = "auto: the first CUDA device" if available else "auto: there is no CUDA device"
        if available:
            wanted = torch.device("cuda")
        elif (gpu := _gpu()) is not None:
            raise SettingError(
                f"--device is auto, and this machine has a GPU ({gpu}), but torch "
                f"{torch.__version__} cannot use it: {problem}. {REMEDY}"
            )
    if wanted.type == "cpu":
        return wanted, f"device: {several}{device_name(wanted)} ({why})"
    if several and wanted.index is not None:
        raise SettingError(
            f"--device is {name}, but {processes.count} processes train together, each on a CUDA "
            "device of its own. Ask for --device cuda."
        )
    number = wanted.index or 0
    if several:
        number = 0 if available == 1 and _own_gpu(processes) else processes.local_rank
    if number >= available:
        raise SettingError(
            f"--device is {name}, but torch {torch.__version__} finds {available} CUDA devices "
            f"here; wanted is number {number}{f' ({problem})' if problem else ''}. Ask for "
            "--device cpu, or run where the device and its driver are."
        )
    device = torch.device("cuda", number)
    _try(device)
    # What is trained computes in full float32, not in TF32, which cuDNN would use by default.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    fast = str(fast_dtype(device)).removeprefix("torch.")
    image_models = f"{fast} in image models unless --precision is float32, else "
    precision = "" if fast == "float32" else image_models
    line = f"device: {several}{device_name(device)} ({why}); {precision}float32 without TF32"
    return device, line


def device_name(device: torch.device) -> str:
    """Return which device it is: ``"cuda:0, NVIDIA H100"``, ``"cpu, 8 threads"``."""
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return f"{device}, {torch.cuda.get_device_name(device)}"


def _own_gpu(processes: Processes) -> bool:
    """Whether srun shows each process a GPU of its own only, which is then number 0 for it."""
    granted = os.environ.get("SLURM_GPUS_ON_NODE", "")
    enough = not granted.isdecimal() or int(granted) >= processes.local_count
    return started_by_srun() and enough


def _parse(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise SettingError(f"--device is {name!r}; auto, cpu, cuda or cuda:N.")
    return torch.device(name)


def _cuda_devices() -> tuple[int, str]:
    """Return how many CUDA devices PyTorch can use, and why there is none."""
    with warnings.catch_warnings(record=True) as caught:  # of a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return count, ""
    if torch.version.cuda is None:
        return 0, "it is built without CUDA"
    built = f"it is built for CUDA {torch.version.cuda}"
    said = [_first_line(warning.message) for warning in caught]
    return 0, f"{built}; {said[0]}" if said else f"{built} and finds no device"


def _gpu() -> str | None:
    """Return what shows that this process may use a GPU, whether or not PyTorch can; None if none.

    An empty CUDA_VISIBLE_DEVICES hides all of them, and so does a batch system that grants none:
    their files are there and cannot be opened.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1", "NoDevFiles"):
        return None
    for path in sorted(DEVICES.glob("nvidia[0-9]*")):
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        return str(path)
    if (program := shutil.which("nvidia-smi")) is None:
        return None
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return f"nvidia-smi lists {lines[0]}" if done.returncode == 0 and lines else None


def _try(device: torch.device) -> None:
    """Compute something on a CUDA device.

    Raises:
        SettingError: it does not, e.g. because PyTorch has no code for such a GPU.
    """
    try:
        torch.cuda.set_device(device)
        torch.ones(2, device=device).sum().item()
    except RuntimeError as error:
        raise SettingError(
            f"{device} is there, but torch {torch.__version__} cannot compute on it "
            f"({_first_line(error)}). {REMEDY}"
        ) from error


def _first_line(fault: object) -> str:
    return next(iter(str(fault).splitlines()), "").strip().rstrip(".")
