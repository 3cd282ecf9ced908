"""The device is the one asked for; a GPU that cannot be used is an error, not a CPU."""

import warnings

import pytest
import torch

from avsc.manifests.errors import SettingError
from avsc.train.fit import device as device_module
from avsc.train.fit.device import choose_device


@pytest.fixture(autouse=True)
def no_cuda(monkeypatch, tmp_path):
    """A machine whose PyTorch finds no CUDA device, and on which none is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device_module, "DEVICES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


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
