"""What training needs of a machine, tried out: among it a step of the joint system."""

import os
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import psutil
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avsc.features.jpeg import encode
from avsc.features.specs import ImageSpec
from avsc.manifests import control_group
from avsc.manifests.checks import Check, CheckFailed
from avsc.train.data.augment import Augment
from avsc.train.data.loader import ImageLoader, ImageRequest
from avsc.train.fit.compute import cores
from avsc.train.fit.device import choose_device
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.network import Network
from avsc.train.model.precision import fast_dtype
from avsc.train.model.visual import PAPER_BACKBONES, VisualEncoder, visual_encoder

FRAME = (2, 290)
CLASSES = 10
SOURCE = (320, 568)
"""Height and width of the images that are decoded: those of TAU2021 as they are stored."""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
COMPILERS = ("c++", "g++", "clang++", "gcc", "cc", "clang")


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        name: of the device.
        backbone: image model.
        image_size: that it sees, pixels; None for its own.
        batch_size: samples of the step.
    """

    name: str
    backbone: str
    image_size: int | None
    batch_size: int

    @cached_property
    def device(self) -> torch.device:
        """Where to compute."""
        return choose_device(self.name)[0]

    @cached_property
    def visual(self) -> VisualEncoder:
        """The image model, with random weights."""
        return visual_encoder(self.backbone, "random", self.image_size)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def images(self) -> Tensor:
        """Return a batch of images, decoded, augmented and normalised as in training."""
        image = np.random.default_rng(0).integers(0, 256, (*SOURCE, 3), dtype=np.uint8)
        jpegs = _Repeated(np.frombuffer(encode(image, ImageSpec()), np.uint8))
        augment = Augment.named("crop,flip,jitter")
        drawn = augment.draw(np.random.default_rng(0), self.batch_size)
        loader = ImageLoader(jpegs, self.visual.image_input, augment, cores(), self.device)
        return next(iter(loader.load([ImageRequest(np.arange(self.batch_size), drawn)])))


@dataclass(frozen=True)
class _Repeated:
    """One JPEG in place of all."""

    jpeg: NDArray[np.uint8]

    def read(self, record: int) -> NDArray[np.uint8]:
        return self.jpeg

    def where(self, record: int) -> str:
        return "an image of the doctor's"


def device(trial: Trial) -> str:
    """Choose the device."""
    return choose_device(trial.name)[1].removeprefix("device: ")


def memory(trial: Trial) -> str:
    """Ask for the memory that is free."""
    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are free"
    if (limit := control_group.memory_limit()) is not None and limit < memory.total:
        text += f", and the control group grants {limit / 1e9:.1f} GB"
    if trial.on_gpu:
        free, total = torch.cuda.mem_get_info(trial.device)
        text += f"; on the GPU {free / 1e9:.1f} of {total / 1e9:.1f} GB"
    return text


def processors(trial: Trial) -> str:
    """Compare the cores that threads are started on with those that they may use."""
    text = f"{cores()} of {os.cpu_count()} cores, a thread that prepares images for each"
    share = control_group.processor_share()
    if share is not None and share < cores():
        raise CheckFailed(f"{text}, but the control group gives the time of {share:.1f}")
    return text


def weights(trial: Trial) -> str:
    """Look for the pre-trained weights in the cache, without the network."""
    name = PAPER_BACKBONES.get(trial.backbone, trial.backbone)
    config: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None or not config.hf_hub_id:
        raise CheckFailed(f"timm {timm.__version__} has no pre-trained weights of {name}")
    repository, _, revision = config.hf_hub_id.partition("@")
    for file in WEIGHT_FILES:
        path = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(path, str):
            return f"those of {config.hf_hub_id} are in the cache, {path}"
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
    raise CheckFailed(f"those of {config.hf_hub_id} are not in the cache, {cache}")


def compiler(trial: Trial) -> str:
    """Look for a compiler; on a GPU let PyTorch compile something."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise CheckFailed(f"none of {', '.join(COMPILERS)} is on the PATH")
    if not trial.on_gpu:
        return f"{compiler}; needed on a CPU only for --compile yes"
    compute = torch.compile(nn.functional.gelu)
    begin = time.monotonic()
    compute(torch.ones(8, device=trial.device))
    return f"{compiler}; PyTorch compiles for {trial.device}, in {time.monotonic() - begin:.1f} s"


def images(trial: Trial) -> str:
    """Decode, augment and normalise a batch of images, twice: the first time is compiled."""
    trial.images()
    _wait(trial.device)
    begin = time.monotonic()
    shape = trial.images().shape
    _wait(trial.device)
    seconds = time.monotonic() - begin
    size = f"{shape[0]} of {SOURCE[1]} x {SOURCE[0]} pixels to {shape[2]} x {shape[3]}"
    return f"{size} in {seconds:.3f} s, {shape[0] / seconds:.0f} per second"


def step(trial: Trial) -> str:
    """Time a training step of the joint system, after one that is not timed."""
    acoustic = AcousticEncoder(*FRAME)
    acoustic.set_normalisation(torch.zeros(FRAME), torch.ones(FRAME))
    classifier = SceneClassifier(EMBEDDING + trial.visual.features, CLASSES)
    network = Network(acoustic, trial.visual, classifier, low_precision=True).to(trial.device)
    optimiser = torch.optim.SGD(network.trainable_parameters(), lr=1e-5, momentum=0.9)
    frames = torch.randn((trial.batch_size, *FRAME), device=trial.device)
    shown = trial.images()
    label = torch.arange(trial.batch_size, device=trial.device) % CLASSES

    def compute() -> float:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(network(frames, shown), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.item()

    network.train()
    compute()
    begin = time.monotonic()
    loss = compute()
    seconds = time.monotonic() - begin
    if not np.isfinite(loss):
        raise CheckFailed(f"the loss of a step is {loss}")
    most = (
        f", {torch.cuda.max_memory_allocated(trial.device) / 1e9:.1f} GB on the GPU"
        if trial.on_gpu
        else ""
    )
    return (
        f"joint, {trial.backbone}, {trial.batch_size} samples in {seconds:.3f} s, "
        f"{trial.batch_size / seconds:.1f} per second{most} (random weights, not compiled)"
    )


def gpu_path(trial: Trial) -> str:
    """Say what a GPU does here, or what the CPU does in its place."""
    if not trial.on_gpu:
        return (
            f"not taken: on {trial.device} images are decoded and rendered by threads (numba), and "
            "everything is computed in float32"
        )
    precise = str(fast_dtype(trial.device)).removeprefix("torch.")
    return (
        "batches are made by threads, as for a CPU, and uploaded on a stream beside that of the "
        f"steps; a frozen image model computes in {precise} and is compiled (--compile auto), "
        "everything else in float32"
    )


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


DEVICE = Check(
    "device", device, "`nvidia-smi` shows what the driver sees; the rest is tried on the CPU."
)
OTHERS = (
    Check("memory", memory, "Look at the machine.", needed=False),
    Check("cores", processors, "Say how many threads prepare images with --workers.", needed=False),
    Check(
        "weights",
        weights,
        "The first run downloads them; without a network fill the cache elsewhere and copy it "
        "(HF_HOME names it), or name a file by --visual-weights.",
        needed=False,
    ),
    Check("compiler", compiler, "Install gcc, or train with --compile no.", needed=False),
    Check(
        "images",
        images,
        "Install the wheels of numba and simplejpeg from PyPI.",
    ),
    Check("step", step, "Try a smaller --batch-size, another --backbone, or --device cpu."),
    Check("GPU path", gpu_path, "", needed=False),
)
