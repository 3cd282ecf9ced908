"""Many recordings: decoded by worker processes, classified in this one, whichever is ready first.

A recording that crashes its decoder, or never ends, costs itself alone: each worker is a process of
`avsc.features.isolate` that decodes one recording at a time, and another takes its place when it
dies. A thread for each of them hands out recordings and passes on their pieces; few pieces wait at
a time, so that memory does not grow where decoding is faster than the network.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from avsc.features.isolate import Child
from avsc.features.limits import Limits
from avsc.features.piecewise import Piece, pieces_in_time
from avsc.manifests.errors import AvscError
from avsc.train.infer.inputs import Item
from avsc.train.infer.model import Model
from avsc.train.infer.predict import Answering
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.windows import Windows

WAITING = 2
"""Pieces that wait for the network, for each worker."""


@dataclass(frozen=True)
class Work:
    """What is done with recordings.

    Attributes:
        model: what classifies them.
        windows: what is to be answered for.
        limits: what is refused.
        workers: processes that decode.
    """

    model: Model
    windows: Windows
    limits: Limits
    workers: int


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: either a prediction, or why there is none."""

    item: Item
    prediction: Prediction | None
    failure: str


_Message = tuple[Item, Piece | AvscError | None] | BaseException
"""A piece of a recording, its fault, or None at its end; or what ended a thread."""


class _Decoders:
    """Worker processes, each with a thread that looks after it; a context manager."""

    def __init__(self, work: Work, items: Sequence[Item]) -> None:
        self._model, self._limits = work.model, work.limits
        workers = min(work.workers, len(items))
        self._items = iter(items)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._children: set[Child] = set()
        self._messages: queue.Queue[_Message] = queue.Queue(WAITING * workers)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(workers)]

    def __enter__(self) -> "_Decoders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        while any(thread.is_alive() for thread in self._threads):
            for child in tuple(self._children):
                child.kill()
            with suppress(queue.Empty):  # a thread may wait for room
                self._messages.get(timeout=0.05)

    def message(self) -> tuple[Item, Piece | AvscError | None]:
        """Return what a worker has to say next."""
        found = self._messages.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self) -> None:
        """Have one worker after another decode recordings, until there are none left."""
        try:
            while not self._over.is_set() and self._serve():
                pass
        except BaseException as fault:
            self._messages.put(fault)

    def _serve(self) -> bool:
        """Have a worker decode recordings; return whether it died, and there may be more."""
        with Child() as child:
            self._children.add(child)
            while (item := self._next()) is not None:
                wanted = self._model.wanted(item.name, item.audio, item.video, self._limits)
                child.ask(pieces_in_time, wanted)
                try:
                    for piece in child.answers(item.name, self._limits):
                        self._messages.put((item, piece))
                        if self._over.is_set():
                            break
                    self._messages.put((item, None))
                except AvscError as fault:
                    self._messages.put((item, fault))
                    if child.dead:
                        break
            self._children.discard(child)
            return child.dead

    def _next(self) -> Item | None:
        with self._lock:
            return None if self._over.is_set() else next(self._items, None)


def _named(item: Item, fault: AvscError) -> str:
    """Return the text of a fault; it names the recording as its answers would."""
    text = str(fault)
    return text if item.name in text else f"{item.name}: {text}"


def predict_many(work: Work, items: Sequence[Item]) -> Iterator[Outcome]:
    """Yield what becomes of each recording, in the order in which they are done."""
    if not items:
        return
    under_way: dict[Item, Answering] = {}
    over: set[Item] = set()  # what still comes of a recording that failed here is let go
    left = len(items)
    with _Decoders(work, items) as decoders:
        while left:
            item, said = decoders.message()
            if item in over:
                continue
            if item not in under_way:
                under_way[item] = Answering(work.model, item.name, work.windows)
            prediction, failure = None, ""
            try:
                if isinstance(said, Piece):
                    under_way[item].add(said)
                    continue
                if said is not None:
                    raise said
                prediction = under_way[item].prediction()
            except AvscError as fault:
                failure = _named(item, fault)
            left -= 1
            over.add(item)
            del under_way[item]
            yield Outcome(item, prediction, failure)
