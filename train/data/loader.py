"""From encoded images to network input, ahead of need.

Threads do the work: decoding and rendering release the interpreter's lock, so that threads scale as
processes would, with nothing to start, to copy between processes, or to lose to a signal. They
read, decode and render each image straight into its place in the batch. A GPU fetches the batch
from there, so that it sees exactly what a CPU would (docs/decisions/0020).

The number of threads changes nothing in the result: all that is random was drawn before.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features import jpeg
from avsc.manifests.errors import AvscError, MediaError
from avsc.train.data import render_cpu
from avsc.train.data.augment import Augment, ImageInput
from avsc.train.data.prefetch import DEPTH, host_memory, look_ahead, to_device

PORTION = 16  # images in one thread's task: long beside the cost of handing it over


class Encoded(Protocol):
    """Images as JPEG, by number: the records of a store, or files."""

    def read(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of one image."""
        ...

    def where(self, record: int) -> str:
        """Return where that image is, for messages."""
        ...


@dataclass(frozen=True)
class ImageRequest:
    """Images of one batch.

    Attributes:
        which: record numbers [batch].
        drawn: their parameters, from `Augment.draw` [batch].
    """

    which: NDArray[np.int64]
    drawn: NDArray[np.void]

    def portions(self) -> Iterator["ImageRequest"]:
        """Cut into tasks for the threads."""
        for start in range(0, len(self.which), PORTION):
            part = slice(start, start + PORTION)
            yield ImageRequest(self.which[part], self.drawn[part])


@dataclass(frozen=True)
class ImageLoader:
    """Makes network input from requests.

    Attributes:
        images: the encoded images.
        image_input: what the network takes.
        augment: what `ImageRequest.drawn` was drawn by.
        workers: number of threads; 0 prepares nothing ahead.
        device: where the images are wanted.
    """

    images: Encoded
    image_input: ImageInput
    augment: Augment
    workers: int
    device: torch.device

    def load(self, requests: Iterable[ImageRequest]) -> Iterator[Tensor]:
        """Yield the images of each request, float32 [batch, 3, size, size], in their order.

        Two batches at most are in the making while one is used.

        Raises:
            AvscError: an image is damaged, or cannot be decoded.
        """
        pool = ThreadPoolExecutor(max(1, self.workers), "images")
        making = (self._start(pool, request) for request in requests)
        try:
            yield from look_ahead(making, self._finish, DEPTH if self.workers else 0)
        finally:
            pool.shutdown(cancel_futures=True)

    def _start(self, pool: ThreadPoolExecutor, request: ImageRequest) -> "_Making":
        shape = (len(request.which), 3, self.image_input.size, self.image_input.size)
        batch = host_memory(shape, self.device)
        out = batch.numpy()
        tasks = [
            pool.submit(self._render, part, out[i * PORTION : (i + 1) * PORTION])
            for i, part in enumerate(request.portions())
        ]
        return batch, tasks

    def _finish(self, making: "_Making") -> Tensor:
        batch, tasks = making
        for task in tasks:
            task.result()
        return to_device(batch, self.device)

    def _render(self, request: ImageRequest, out: NDArray[np.float32]) -> None:
        for record, drawn, place in zip(request.which.tolist(), request.drawn, out, strict=True):
            image = self._decode(record, self.images.read(record))
            height, width, _ = image.shape
            window = self.augment.window(drawn, height, width, self.image_input)
            render_cpu.render(image, window, drawn, self.image_input, place)

    def _decode(self, record: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            return jpeg.decode(data)
        except MediaError as fault:
            raise AvscError(f"{self.images.where(record)}: {fault}") from fault


_Making = tuple[Tensor, list[Future[None]]]
