"""Many recordings: decoded by worker processes, classified in this one, whichever is ready first.

A recording that crashes its decoder, or never ends, costs itself alone: each worker is a process of
`avsc.features.isolate` that decodes one recording at a time, and another takes its place when it
dies. A thread for each of them hands out recordings and passes on their pieces; few pieces wait at
a time, so that memory does not grow where decoding is faster than the network.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from avsc.features.isolate import Child
from avsc.features.limits import Limits
from avsc.features.piecewise import Piece, PieceRequest, pieces_in_time
from avsc.manifests.errors import AvscError
from avsc.train.infer.inputs import Item
from avsc.train.infer.model import Model
from avsc.train.infer.offset import AudioLate, OffsetSearch, check_audio_late, correction
from avsc.train.infer.predict import Answering
from avsc.train.infer.prediction import Correction, Prediction
from avsc.train.infer.windows import Windows

WAITING = 2
"""Pieces that wait for the network, for each worker."""
TOGETHER = 64
"""Recordings whose offsets are found before they are classified."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Work:
    """What is done with recordings.

    Attributes:
        model: what classifies them.
        windows: what is to be answered for.
        limits: what is refused.
        workers: processes that decode.
        audio_late: by how many seconds the audio of each is late; ``auto``: what is found of each,
            for which it is decoded twice.
    """

    model: Model
    windows: Windows
    limits: Limits
    workers: int
    audio_late: AudioLate = 0.0


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

    def __init__(
        self, work: Work, items: Sequence[Item], corrections: Mapping[Item, Correction]
    ) -> None:
        self._model, self._limits, self._corrections = work.model, work.limits, corrections
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
                child.ask(pieces_in_time, self._wanted(item))
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

    def _wanted(self, item: Item) -> PieceRequest:
        corrected = self._corrections.get(item)
        late = 0.0 if corrected is None else corrected.seconds
        return self._model.wanted(item.name, item.audio, item.video, self._limits, late)

    def _next(self) -> Item | None:
        with self._lock:
            return None if self._over.is_set() else next(self._items, None)


def _named(item: Item, fault: AvscError) -> str:
    """Return the text of a fault; it names the recording as its answers would."""
    text = str(fault)
    return text if item.name in text else f"{item.name}: {text}"


class _Task(Protocol[T_co]):
    """What is made of the pieces of a recording."""

    def add(self, piece: Piece) -> None: ...

    def result(self) -> T_co: ...


def predict_many(work: Work, items: Sequence[Item]) -> Iterator[Outcome]:
    """Yield what becomes of each recording, in the order in which they are done.

    Raises:
        AvscError: offsets are to be found, and cannot be.
    """
    check_audio_late(work.model, work.audio_late)
    step = TOGETHER if work.audio_late == "auto" else max(1, len(items))
    for start in range(0, len(items), step):
        part = items[start : start + step]
        corrections = _corrections(work, part)

        def answering(item: Item, known: Mapping[Item, Correction] = corrections) -> Answering:
            return Answering(work.model, item.name, work.windows, correction=known.get(item))

        for item, found in _results(work, part, answering, corrections):
            if isinstance(found, AvscError):
                yield Outcome(item, None, _named(item, found))
            else:
                yield Outcome(item, found, "")


def _corrections(work: Work, items: Sequence[Item]) -> dict[Item, Correction]:
    """Return by how much the audio of each recording is moved; a fault will be found again."""
    if work.audio_late != "auto":
        return dict.fromkeys(items, Correction(work.audio_late)) if work.audio_late else {}
    found = _results(work, items, lambda item: OffsetSearch(work.model, item.name), {})
    return {item: correction(offset) for item, offset in found}


def _results(
    work: Work,
    items: Sequence[Item],
    begin: Callable[[Item], _Task[T_co]],
    corrections: Mapping[Item, Correction],
) -> Iterator[tuple[Item, T_co | AvscError]]:
    """Yield what is made of each recording, or its fault, in the order in which they are done."""
    if not items:
        return
    under_way: dict[Item, _Task[T_co]] = {}
    over: set[Item] = set()  # what still comes of a recording that failed here is let go
    left = len(items)
    with _Decoders(work, items, corrections) as decoders:
        while left:
            item, said = decoders.message()
            if item in over:
                continue
            if item not in under_way:
                under_way[item] = begin(item)
            result: T_co | AvscError
            try:
                if isinstance(said, Piece):
                    under_way[item].add(said)
                    continue
                if said is not None:
                    raise said
                result = under_way[item].result()
            except AvscError as fault:
                result = fault
            left -= 1
            over.add(item)
            del under_way[item]
            yield item, result
