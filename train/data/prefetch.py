"""Making batches ahead of need, on a stream of a GPU's own.

A thread makes the next batches while the last is trained on. What it asks of a GPU goes to a second
stream, which works beside that of the training steps; a step's stream waits for its batch there,
and the program for neither. Without a GPU the thread alone is left.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")
DEPTH = 2
"""Batches in the making, or made and not yet used."""


def upload(data: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on the device; a GPU fetches it from pinned memory while the program goes on.

    On the CPU the tensor is the array itself.
    """
    tensor = torch.from_numpy(data)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def ahead(items: Iterator[T], device: torch.device) -> Generator[T]:
    """Yield the items of an iterator, which a thread asks for them, in their order.

    Args:
        items: tensors, or dataclasses with tensors in their fields; closed at the end if it can be.
        device: where the tensors are.

    Raises:
        Exception: what the iterator raises, when its turn has come.
    """
    on_gpu = device.type == "cuda"
    stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
    end = object()

    def make() -> tuple[Any, torch.cuda.Event | None]:
        with torch.cuda.stream(stream):
            item = next(items, end)
            return item, None if stream is None else stream.record_event()

    pool = ThreadPoolExecutor(1, "ahead")
    making: deque[Future[tuple[Any, torch.cuda.Event | None]]] = deque()
    try:
        making.extend(pool.submit(make) for _ in range(DEPTH))
        while True:
            item, made = making.popleft().result()
            if item is end:
                return
            making.append(pool.submit(make))
            if made is not None:
                _take_over(item, made, torch.cuda.current_stream(device))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def _take_over(item: Any, made: torch.cuda.Event, stream: torch.cuda.Stream) -> None:
    """Let a stream wait for an item that another made, and keep its memory while it is used."""
    stream.wait_event(made)
    for tensor in _tensors(item):
        tensor.record_stream(stream)


def _tensors(item: Any) -> list[Tensor]:
    """Return the tensors of an item.

    >>> _tensors(torch.zeros(2))
    [tensor([0., 0.])]
    """
    values = [getattr(item, each.name) for each in fields(item)] if is_dataclass(item) else [item]
    return [value for value in values if isinstance(value, Tensor)]
