"""A GPU whose memory does not suffice: what would fit, and what to do, in one line."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avsc.manifests.errors import AvscError
from avsc.train.data.batch import Batch
from avsc.train.fit.compute import Session


@contextmanager
def memory_limit(remedy: str) -> Iterator[None]:
    """Say in one line that the GPU's memory does not suffice, and what to do.

    Raises:
        AvscError: it does not.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _short_of_memory(error, remedy) from error


@contextmanager
def slice_memory(part: Batch, session: Session, compute: Callable[[Batch], None]) -> Iterator[None]:
    """Say in one line how many samples would fit where the memory does not suffice for a slice.

    They are found by computing a half of the slice, a quarter and so on, and the most by the peak
    of the first that fits, to which memory is in proportion.

    Args:
        part: the slice of a batch that is computed in the body.
        compute: computes gradients of the samples that it is given, and drops them.

    Raises:
        AvscError: it does not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # which hold what was computed
        fits = None
        if session.processes.count == 1:  # of several, none computes alone
            fits = _fitting(part, Gauge(session.device), compute)
        raise _short_of_memory(error, _remedy(len(part.scene), session, fits)) from error


@dataclass(frozen=True)
class Gauge:
    """The memory of a GPU, in bytes.

    Attributes:
        device: which GPU.
    """

    device: torch.device

    @property
    def used(self) -> int:
        """By tensors of this process."""
        return torch.cuda.memory_allocated(self.device)

    @property
    def peak(self) -> int:
        """By tensors of this process, at most, since `reset`."""
        return torch.cuda.max_memory_allocated(self.device)

    @property
    def limit(self) -> int:
        """What this process has or could have."""
        free, _ = torch.cuda.mem_get_info(self.device)
        return free + torch.cuda.memory_reserved(self.device)

    def reset(self) -> None:
        """Return what is not used, and watch for a new peak."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)


@dataclass(frozen=True)
class Fits:
    """What fits into memory.

    Attributes:
        tried: samples that were computed.
        most: samples that would be, by the peak of those.
    """

    tried: int
    most: int


def _fitting(part: Batch, gauge: Gauge, compute: Callable[[Batch], None]) -> Fits | None:
    """Return how many samples of a slice fit; None where two do not."""
    size = len(part.scene)
    count = size // 2
    while count >= 2:
        gauge.reset()
        used = gauge.used
        try:
            compute(_first(part, count))
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
            count //= 2
            continue
        each = max(1, gauge.peak - used) / count
        return Fits(count, min(max(count, int((gauge.limit - used) / each)), size - 1))
    return None


def _first(batch: Batch, count: int) -> Batch:
    """Return the first samples of a batch."""

    def cut(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[:count]

    images, view = cut(batch.images), cut(batch.view)
    if view is not None and batch.images is not None:
        images = batch.images[: int(view.max()) + 1]  # views are numbered as they come
    return replace(
        batch,
        acoustic=cut(batch.acoustic),
        images=images,
        scene=batch.scene[:count],
        index=batch.index[:count],
        view=view,
        missing=cut(batch.missing),
    )


def _remedy(size: int, session: Session, fits: Fits | None) -> str:
    whole, processes = session.computing.batch_size, session.processes.count
    few = max(1, size // 2 if fits is None else fits.tried)
    slices = session.computing.accumulate + 1
    while whole % (slices * processes) or whole // (slices * processes) > few:
        slices += 1
    known = ""
    if fits is not None:
        known = f"The largest that fits is about {fits.most}, by the peak of {fits.tried}. "
    enough = whole >= 2 * slices * processes
    wanted = f"--accumulate {slices} (the same batch in smaller slices)" if enough else ""
    lower = f"--batch-size {fits.most * processes}" if fits else f"a --batch-size below {whole}"
    options = " or ".join(option for option in (wanted, lower) if option)
    return (
        f"{known}Start over by --no-resume with {options}, resume with --checkpoint-activations "
        "yes where an image model is trained, or let several GPUs share the batch "
        "(docs/training.md)."
    )


def _short_of_memory(error: torch.OutOfMemoryError, remedy: str) -> AvscError:
    first = next(iter(str(error).splitlines()), "").strip().rstrip(".")
    return AvscError(
        f"the GPU's memory does not suffice ({first}). See by nvidia-smi whether another program "
        f"uses it. {remedy}"
    )
