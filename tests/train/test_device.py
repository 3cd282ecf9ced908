"""The device is the one asked for; a GPU that cannot be used is an error, not a CPU."""

import os
import warnings

import pytest
import torch

from avsc.manifests.errors import SettingError
from avsc.train.fit import device as device_module
from avsc.train.fit.compute import cores
from avsc.train.fit.device import choose_device
from avsc.train.fit.distributed import Processes


@pytest.fixture(autouse=True)
def no_cuda(monkeypatch, tmp_path):
    """A machine whose PyTorch finds no CUDA device, and on which none is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device_module, "DEVICES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in list(os.environ):
        if name.startswith(("CUDA_VISIBLE", "SLURM_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto")[0].type == "cpu"
    assert "there is no CUDA device" in choose_device("auto")[1]
    with pytest.raises(SettingError, match=r"--device is cuda, but torch .* finds 0 CUDA devices"):
        choose_device("cuda")
    for name in ("gpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(SettingError, match="auto, cpu, cuda or cuda:N"):
            choose_device(name)


def test_a_gpu_that_torch_cannot_use_is_not_replaced_by_the_cpu(monkeypatch, tmp_path):
    (tmp_path / "nvidia0").touch()

    def too_old():
        text = "CUDA initialization: The driver is too old (found version 11040). Update it"
        warnings.warn(text, stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    wanted = (
        r"has a GPU \(.*nvidia0\), but torch .* cannot use it: it is built for CUDA 13\.2; CUDA "
        r"initialization: The driver is too old .* Install a PyTorch that fits .* --device cpu\.$"
    )
    with warnings.catch_warnings(), pytest.raises(SettingError, match=wanted):
        warnings.simplefilter("error")
        choose_device("auto")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(SettingError, match="cannot use it: it is built without CUDA"):
        choose_device("auto")
    assert choose_device("cpu")[0].type == "cpu"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden_is_not_missed(monkeypatch, tmp_path, hidden):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert choose_device("auto")[0].type == "cpu"


def test_a_gpu_that_a_batch_system_does_not_grant_is_not_missed(tmp_path):
    (tmp_path / "nvidia0").symlink_to(tmp_path / "nothing")  # cannot be opened
    assert choose_device("auto")[0].type == "cpu"


@pytest.mark.parametrize(("status", "refused"), [(0, True), (9, False)])
def test_nvidia_smi_is_asked_where_there_is_no_device_file(tmp_path, status, refused):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho 'GPU 0: NVIDIA T4 (UUID: x)'\nexit {status}\n")
    program.chmod(0o755)
    if refused:
        with pytest.raises(SettingError, match="nvidia-smi lists GPU 0: NVIDIA T4"):
            choose_device("auto")
    else:
        assert choose_device("auto")[0].type == "cpu"


def test_a_gpu_without_code_for_it_is_one_line(monkeypatch):
    def no_code(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution\nmore\n")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch, "ones", no_code)
    for name in ("auto", "cuda"):
        with pytest.raises(
            SettingError, match=r"cuda:0 is there, .* execution\)\. Install a PyTorch"
        ):
            choose_device(name)


@pytest.fixture
def gpus(monkeypatch):
    """A machine with this many GPUs that PyTorch can use."""

    def found(count, capability=(8, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(device_module, "_try", lambda device: None)

    return found


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((6, 1), "; float32 without TF32"),
        (
            (7, 5),
            "; float16 in image models",
        ),
        (
            (8, 0),
            "; bfloat16 in image models",
        ),
    ],
)
def test_the_line_says_the_precision(monkeypatch, gpus, capability, said):
    gpus(1, capability)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    line = choose_device("auto")[1]
    assert line.startswith(f"device: cuda:0, a GPU (auto: the first CUDA device){said}")
    assert line.endswith("float32 without TF32")
    assert not torch.backends.cudnn.allow_tf32


def test_the_only_gpu_that_srun_shows_a_process_is_its_own(monkeypatch, gpus):
    gpus(1)
    third = Processes(rank=2, count=4, local_rank=2, local_count=4)
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert choose_device("auto", third)[0] == torch.device("cuda", 0)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")  # one for all of them
    with pytest.raises(SettingError, match="finds 1 CUDA devices here; wanted is number 2"):
        choose_device("auto", third)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "4")
    assert choose_device("auto", third)[0] == torch.device("cuda", 0)
    gpus(4)
    assert choose_device("auto", third)[0] == torch.device("cuda", 2)
    gpus(1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # torchrun's processes see the same one
    with pytest.raises(SettingError, match="finds 1 CUDA devices here"):
        choose_device("auto", third)


def test_cores_that_srun_gave_to_a_process_are_not_divided_again(monkeypatch):
    four = Processes(rank=1, count=4, local_rank=1, local_count=4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "32")
    assert cores(four) == 2
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert cores(four) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))  # not bound
    assert cores(four) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert cores(four) == 2
