"""Prefetching: what comes next is made while the current item is used.

`look_ahead` keeps a few items in the making, by any maker: the threads of `loader`, or the
one thread of `prefetch`. What that thread asks of a GPU goes to a second stream, which works beside
that of the training steps; a step's stream waits for its batch there, the program for neither.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

S = TypeVar("S")
T = TypeVar("T")
DEPTH = 2
"""Batches in the making, or made and not yet used."""


def look_ahead(started: Iterable[S], finish: Callable[[S], T], depth: int) -> Generator[T]:
    """Yield what items come to that are started in turn, in their order.

    Args:
        started: items in the making; to ask for one starts it.
        finish: waits for an item and returns it.
        depth: items in the making while one is used.
    """
    making: deque[S] = deque()
    for item in started:
        making.append(item)
        if len(making) > depth:
            yield finish(making.popleft())
    while making:
        yield finish(making.popleft())


def host_memory(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return memory for what is made on the CPU and used on a device, float32, not initialised.

    For a GPU it is pinned, so that the GPU fetches it asynchronously; PyTorch uses it again only
    when it has been fetched.
    """
    if device.type == "cuda":
        return torch.empty(shape, pin_memory=True)
    return torch.from_numpy(np.empty(shape, np.float32))  # in huge pages: fewer page faults


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; a GPU fetches pinned memory asynchronously."""
    return tensor if device.type == "cpu" else tensor.to(device, non_blocking=True)


def upload(data: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on the device; on the CPU the tensor is the array itself."""
    tensor = torch.from_numpy(data)
    return to_device(tensor.pin_memory() if device.type == "cuda" else tensor, device)


def prefetch(items: Iterator[T], device: torch.device) -> Generator[T]:
    """Yield the items of an iterator, which a thread asks for them, in their order.

    Args:
        items: tensors, or dataclasses with tensors in their fields; closed at the end if it can be.
        device: where the tensors are.

    Raises:
        Exception: re-raised when the failed item is reached.
    """
    on_gpu = device.type == "cuda"
    stream = _second_stream(device) if on_gpu else None
    end = object()

    def make() -> tuple[Any, torch.cuda.Event | None]:
        with torch.cuda.stream(stream):
            item = next(items, end)
            return item, None if stream is None else stream.record_event()

    # A thread starts with device 0, where it would open a context in every process.
    start = (torch.cuda.set_device, (device,)) if on_gpu else (None, ())
    pool = ThreadPoolExecutor(1, "prefetch", *start)
    making = (pool.submit(make) for _ in repeat(None))
    try:
        for item, made in look_ahead(making, Future.result, DEPTH):
            if item is end:
                return
            if made is not None:
                _take_over(item, made, torch.cuda.current_stream(device))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


@cache
def _second_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which all batches for a GPU are made.

    It is one, because PyTorch keeps the memory that was allocated on a stream for that stream.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _take_over(item: Any, made: torch.cuda.Event, stream: torch.cuda.Stream) -> None:
    """Let a stream wait for an item that another made, and keep its memory while it is used."""
    stream.wait_event(made)
    for tensor in _tensors(item):
        if tensor.is_cuda:
            tensor.record_stream(stream)


def _tensors(item: Any) -> list[Tensor]:
    """Return the tensors of an item.

    >>> _tensors(torch.zeros(2))
    [tensor([0., 0.])]
    """
    values = [getattr(item, each.name) for each in fields(item)] if is_dataclass(item) else [item]
    return [value for value in values if isinstance(value, Tensor)]
