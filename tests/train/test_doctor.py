"""avsc-fit doctor: on a sound machine, and with each thing broken in turn."""

import os

import huggingface_hub
import pytest
import torch

from avsc.manifests import control_group
from avsc.manifests.checks import examine
from avsc.train.fit import doctor

SMALL = ("--backbone", "test_resnet", "--image-size", "32", "--batch-size", "4")
CHECKS = {check.name: check for check in (doctor.DEVICE, *doctor.OTHERS)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of weights."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


def find(name, device="cpu"):
    (finding,) = examine(doctor.Trial(device, "test_resnet", 32, 4), [CHECKS[name]])
    return finding


def test_on_a_sound_machine(fit):
    status, out, err = fit("doctor", *SMALL, "--device", "cpu")
    assert (status, err) == (0, ""), out
    lines = out.splitlines()
    assert [line[6:].partition(":")[0] for line in lines] == list(CHECKS)
    found = {line[6:].partition(": ")[0]: line for line in lines}
    assert found["device"].startswith("ok    device: cpu, 1 threads (as requested).")
    assert "4 of 568 x 320 pixels to 32 x 32 in " in found["images"]
    assert found["step"].startswith("ok    step: joint, test_resnet, 4 samples in ")
    assert "not taken: on cpu images are decoded and rendered by threads" in found["GPU path"]
    assert found["weights"].startswith("note  weights: those of timm/test_resnet.r160_in1k are not")
    assert "name a file by --visual-weights." in found["weights"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_the_device_the_rest_is_tried_on_the_cpu(fit):
    status, out, err = fit("doctor", *SMALL, "--device", "cuda")
    assert status == 1 and "1 of what training needs does not work here" in err
    first, *others = out.splitlines()
    assert first.startswith("FAIL  device: --device is cuda, but torch")
    assert not any(line.startswith("FAIL") for line in others)


def test_an_unknown_backbone(fit):
    status, out, err = fit("doctor", "--backbone", "no_such", "--device", "cpu")
    assert status == 1 and "Traceback" not in err
    assert "FAIL  step: backbone 'no_such' is unknown to timm" in out


def test_weights_in_the_cache(cache):
    assert not find("weights").works
    folder = cache / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(b"1")
    finding = find("weights")
    assert finding.works and finding.text.endswith("snapshots/abc/model.safetensors")


def test_without_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = find("compiler")
    assert not finding.works and not finding.is_fatal
    assert str(finding).endswith("is on the PATH. Install gcc, or train with --compile no.")


def test_control_group_gives_less(monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("500000000\n")
    monkeypatch.setattr(control_group, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert "but the control group gives the time of 0.5" in find("cores").text
    assert "and the control group grants 0.5 GB" in find("memory").text


def test_images_that_cannot_be_decoded(monkeypatch):
    def fail(*_):
        raise RuntimeError("no decoder")

    monkeypatch.setattr("avsc.train.data.loader.jpeg.decode", fail)
    finding = find("images")
    assert finding.is_fatal and "no decoder" in str(finding)


def test_a_loss_that_is_not_finite(monkeypatch):
    nan = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda logits, label: nan * 1)
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: None)
    assert "the loss of a step is nan" in find("step").text
