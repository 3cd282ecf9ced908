"""From encoded pictures to network input, ahead of need.

The work is done by threads: decoding and rendering leave the interpreter's lock alone, so that
threads scale as processes would, and there is nothing to start, to copy between processes, or to
lose to a signal. For the CPU the threads read, decode and render, each picture straight into its
place in the batch; for a GPU they only read, and the whole batch is decoded and rendered there.

Who does the work, and when, changes nothing in the result: all that is random was drawn before.
"""

from collections import deque
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
from avsc.train.data.augment import Augment
from avsc.train.data.views import ImageInput

PORTION = 16  # pictures in one thread's task: long beside the cost of handing it over


class Encoded(Protocol):
    """Pictures as JPEG, by number: the records of a store, or files."""

    def read(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of one picture."""
        ...

    def where(self, record: int) -> str:
        """Say where that picture lies, for messages."""
        ...


@dataclass(frozen=True)
class Request:
    """Pictures of one batch.

    Attributes:
        which: record numbers [batch].
        drawn: their parameters, from `Augment.draw` [batch].
    """

    which: NDArray[np.int64]
    drawn: NDArray[np.void]

    def portions(self) -> Iterator["Request"]:
        """Cut into tasks for the threads."""
        for start in range(0, len(self.which), PORTION):
            part = slice(start, start + PORTION)
            yield Request(self.which[part], self.drawn[part])


@dataclass(frozen=True)
class ImageLoader:
    """Makes network input of requests.

    Attributes:
        images: the encoded pictures.
        image: the network's input.
        augment: what `Request.drawn` was drawn by.
        workers: number of threads; 0 prepares nothing ahead of need.
        device: where the pictures are wanted.
        whole: decode and render a whole batch at once on `device`; otherwise picture by picture
            in the threads, which only the CPU can.
    """

    images: Encoded
    image: ImageInput
    augment: Augment
    workers: int
    device: torch.device
    whole: bool

    def load(self, requests: Iterable[Request]) -> Iterator[Tensor]:
        """Yield the pictures of each request, float32 [batch, 3, size, size], in their order.

        Two batches at most are in the making while one is used.

        Raises:
            AvscError: a picture is damaged, or cannot be decoded.
        """
        ahead = 2 if self.workers else 0
        pool = ThreadPoolExecutor(max(1, self.workers), "pictures")
        making: deque[_Making] = deque()
        try:
            for request in requests:
                making.append(self._start(pool, request))
                if len(making) > ahead:
                    yield self._finish(making.popleft())
            while making:
                yield self._finish(making.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _start(self, pool: ThreadPoolExecutor, request: Request) -> "_Making":
        if self.whole:
            return request, None, [pool.submit(self._read, part) for part in request.portions()]
        shape = (len(request.which), 3, self.image.size, self.image.size)
        out = np.empty(shape, np.float32)  # in huge pages, unlike torch.empty: fewer page faults
        tasks = [
            pool.submit(self._render, part, out[i * PORTION : (i + 1) * PORTION])
            for i, part in enumerate(request.portions())
        ]
        return request, out, tasks

    def _finish(self, making: "_Making") -> Tensor:
        request, out, tasks = making
        done = [picture for task in tasks for picture in task.result()]
        if out is not None:
            return torch.from_numpy(out)
        try:
            pictures = render_torch.decode_on_device(done, self.device)
        except AvscError:
            for record, data in zip(request.which.tolist(), done, strict=True):
                self._decode(record, data)  # to name the one that is damaged
            raise
        windows = [
            self.augment.window(drawn, picture.shape[1], picture.shape[2], self.image)
            for drawn, picture in zip(request.drawn, pictures, strict=True)
        ]
        return render_torch.render(pictures, windows, request.drawn, self.image)

    def _read(self, request: Request) -> list[NDArray[np.uint8]]:
        return [self.images.read(record) for record in request.which.tolist()]

    def _render(self, request: Request, out: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
        for record, drawn, place in zip(request.which.tolist(), request.drawn, out, strict=True):
            picture = self._decode(record, self.images.read(record))
            height, width, _ = picture.shape
            window = self.augment.window(drawn, height, width, self.image)
            render_cpu.render(picture, window, drawn, self.image, place)
        return []

    def _decode(self, record: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            return jpeg.decode(data)
        except MediaError as fault:
            raise AvscError(f"{self.images.where(record)}: {fault}") from fault


_Making = tuple[Request, NDArray[np.float32] | None, list[Future[list[NDArray[np.uint8]]]]]
