"""Streaming of random batches to a trainer: what a peer is asked for, and the process it runs in.

A module that streams has

    FEED, STATE  what of the peer is used, and what it offers for going on in the middle of an
                 epoch (empty for nothing)
    write        puts the images of a store, by their record numbers, into the peer's own format
    batches      returns the `Batches` of one epoch

`python -m peers.feed NAME FEED` runs one epoch: for each batch it lists its images' numbers, and at
the end it prints what it measured since the fifth; it kills itself where it is told to. All
peers decode, crop, flip and normalise by the same function, in their own workers: what differs is
how the bytes come to it, and how batches come from it.
"""

import json
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
from numpy.typing import NDArray

from avsc.features import jpeg
from avsc.train.data import render_cpu
from avsc.train.data.augment import Augment, ImageInput
from peers.peer import peer

INPUT = ImageInput(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
AUGMENT = Augment.named("crop,flip")
WARM_UP, SAVE_EVERY = 5, 5  # batches
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Feed:
    """An epoch to stream.

    Attributes:
        data: what `write` made.
        out: folder for the list of batches and the state.
        workers: threads or processes, whichever the peer has.
        batch: images in a batch.
        die_after: batches after which it is killed; 0 for never.
    """

    data: Path
    out: Path
    workers: int
    batch: int = 64
    die_after: int = 0

    def encoded(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def parse(cls, text: str) -> "Feed":
        """Return what `encoded` gave."""
        values = json.loads(text)
        return cls(Path(values.pop("data")), Path(values.pop("out")), **values)

    @property
    def state(self) -> Any:
        """What was saved last, or None."""
        path = self.out / "state"
        return pickle.loads(path.read_bytes()) if path.exists() else None

    def save(self, state: Any) -> None:
        """Save a state, whole or not at all."""
        temporary = self.out / "state~"
        temporary.write_bytes(pickle.dumps(state))
        temporary.replace(self.out / "state")


class Batches(Protocol):
    """A running epoch, from the state of its feed on."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield the numbers of images, and float32 [batch, 3, 224, 224]."""
        ...

    def state(self) -> Any:
        """Return what `Feed.state` is to hold after the batch that was yielded last."""
        ...


def stored(store: Path) -> Iterator[bytes]:
    """Yield the images of a store, in order of their records."""
    from avsc.features.store.reader import Store

    records = Store.open(store, ["images"]).records("images")
    for number in range(len(records)):
        yield records.read(number).tobytes()


def view(data: bytes, number: int) -> Floats:
    """Return a random view of an image, float32 [3, 224, 224]; the same for the same number."""
    image = jpeg.decode(np.frombuffer(data, np.uint8))
    drawn = AUGMENT.draw(np.random.default_rng(number), 1)[0]
    out = np.empty((3, INPUT.size, INPUT.size), np.float32)
    window = AUGMENT.window(drawn, *image.shape[:2], INPUT)
    render_cpu.render(image, window, drawn, INPUT, out)
    return out


def used() -> tuple[float, float, float]:
    """Return seconds of the clock, and of the processor and MB of this process and its own."""
    here, cpu, memory = psutil.Process(), 0.0, 0
    for process in (here, *here.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_full_info().pss
    return time.perf_counter(), cpu, memory / 1e6


def main() -> None:
    feed = Feed.parse(sys.argv[2])
    batches: Batches = peer(sys.argv[1]).batches(feed)
    count, seen = 0, [used()]
    with (feed.out / "batches").open("a") as listed:
        for numbers, images in batches:
            assert images.shape == (len(numbers), 3, INPUT.size, INPUT.size), images.shape
            print(*numbers, file=listed, flush=True)
            count += 1
            if count % WARM_UP == 0:
                seen.append(used())
            if feed.die_after and count % SAVE_EVERY == 0:
                feed.save(batches.state())
            if count == feed.die_after:
                os.kill(os.getpid(), signal.SIGKILL)
    if len(seen) < 3:
        return
    (clock, cpu, _), (clock_after, cpu_after, _) = seen[1], seen[-1]
    batches_seen = WARM_UP * (len(seen) - 2)
    rate, cost = batches_seen / (clock_after - clock), (cpu_after - cpu) / batches_seen
    print(f"MEASURED {rate:.4f} {1000 * cost:.1f} {max(memory for *_, memory in seen):.0f}")


if __name__ == "__main__":
    main()
