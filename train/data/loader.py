"""From encoded images to network input, ahead of need.

Threads do the work: decoding and rendering release the interpreter's lock, so that threads scale as
processes would, with nothing to start, to copy between processes, or to lose to a signal. For the
CPU the threads read, decode and render, each image straight into its place in the batch; for a GPU
they only read, and the whole batch is decoded and rendered there.

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
from avsc.train.data import render_cpu, render_torch
from avsc.train.data.augment import Augment, ImageInput
from avsc.train.data.prefetch import DEPTH, look_ahead

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
        whole: decode and render a whole batch at once on `device`; otherwise image by image
            in the threads, which only the CPU can.
    """

    images: Encoded
    image_input: ImageInput
    augment: Augment
    workers: int
    device: torch.device
    whole: bool

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
        if self.whole:
            return request, None, [pool.submit(self._read, part) for part in request.portions()]
        shape = (len(request.which), 3, self.image_input.size, self.image_input.size)
        out = np.empty(shape, np.float32)  # in huge pages, unlike torch.empty: fewer page faults
        tasks = [
            pool.submit(self._render, part, out[i * PORTION : (i + 1) * PORTION])
            for i, part in enumerate(request.portions())
        ]
        return request, out, tasks

    def _finish(self, making: "_Making") -> Tensor:
        request, out, tasks = making
        done = [image for task in tasks for image in task.result()]
        if out is not None:
            return torch.from_numpy(out)
        try:
            images = render_torch.decode_on_device(done, self.device)
        except AvscError:
            for record, data in zip(request.which.tolist(), done, strict=True):
                self._decode(record, data)  # to name the one that is damaged
            raise
        windows = [
            self.augment.window(drawn, image.shape[1], image.shape[2], self.image_input)
            for drawn, image in zip(request.drawn, images, strict=True)
        ]
        return render_torch.render(images, windows, request.drawn, self.image_input)

    def _read(self, request: ImageRequest) -> list[NDArray[np.uint8]]:
        return [self.images.read(record) for record in request.which.tolist()]

    def _render(self, request: ImageRequest, out: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
        for record, drawn, place in zip(request.which.tolist(), request.drawn, out, strict=True):
            image = self._decode(record, self.images.read(record))
            height, width, _ = image.shape
            window = self.augment.window(drawn, height, width, self.image_input)
            render_cpu.render(image, window, drawn, self.image_input, place)
        return []

    def _decode(self, record: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            return jpeg.decode(data)
        except MediaError as fault:
            raise AvscError(f"{self.images.where(record)}: {fault}") from fault


_Making = tuple[ImageRequest, NDArray[np.float32] | None, list[Future[list[NDArray[np.uint8]]]]]
