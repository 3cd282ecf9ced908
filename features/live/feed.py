"""A live source at work in a thread: decoded, connected again when it breaks off, never lagging.

Hops wait in a queue for answers. One that waited longer than `PATIENCE` (of a file, since it was
due at its pace) is dropped, and a gap stands in its place: a consumer that is too slow misses
whole hops, which gaps report, but what it gets is recent.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Self

from avsc.features.limits import Limits
from avsc.features.live.address import Address, Kind
from avsc.features.live.connection import AudioChunk, Needs, connected
from avsc.features.live.hop import Gap, Hop, HopSpec
from avsc.features.live.hop_maker import HopMaker
from avsc.manifests.errors import MediaError

PATIENCE = 3.0
"""Seconds that a hop may wait."""

MOST = 64
"""Hops that may wait; so many come at once of sources that send in bursts (HLS)."""

WAITING = 2
"""Hops that wait where none is dropped."""

TOO_SLOW = "dropped: answers take longer than the source"
PAUSES = (1, 2, 4, 8, 16, 30)
"""Seconds between two attempts to connect, the last one again and again."""

UNSUITABLE = frozenset({"mono", "channels", "rate", "no-sound", "no-video", "too-large"})
"""Codes of what is wrong with a source that connecting again does not change."""

SILENCE = 30
"""Seconds in which data come, but nothing to answer from, after which a source has broken off."""

BUSY = 30
"""Seconds of decoding without ever waiting for data, after which a connection is closed: what is
still on its way would be older and older."""


@dataclass(frozen=True)
class FeedSettings:
    """How a source is read.

    Attributes:
        pace: how much faster than real time a file is read; None: as fast as hops are taken,
            without dropping any.
        timeout: seconds to wait for a source to open, and for its data.
        reconnect: whether to connect again when it breaks off.
        give_up: seconds without data after which that is an error.
        limits: of what is decoded.
    """

    pace: float | None = 1.0
    timeout: float = 10.0
    reconnect: bool = True
    give_up: float = 300.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Note:
    """Something to be said."""

    text: str


class _Queue:
    """Hops, gaps and notes on their way from one thread to another."""

    def __init__(self, *, blocking: bool) -> None:
        self._blocking = blocking
        self._items: deque[tuple[float, Hop | Gap | Note]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._fault: BaseException | None = None

    def put(self, item: Hop | Gap | Note, late: float = 0.0) -> None:
        """Add an item that comes so many seconds late; where none is dropped, wait for room."""
        with self._changed:
            if self._blocking:
                self._changed.wait_for(lambda: self._closed or self._hops() < WAITING)
            elif self._hops() >= MOST:
                self._drop_oldest()
            self._items.append((time.monotonic() - late, item))
            self._changed.notify_all()

    def get(self) -> Hop | Gap | Note | None:
        """Return the next item; None when the source has ended.

        Hops that waited for too long, and gaps of the same kind after them, are one gap.
        """
        with self._changed:
            # A wait with an end, so that signals are attended to on every system.
            while not self._items and not self._closed:
                self._changed.wait(0.5)
            dropped: Gap | None = None
            while self._items and (gap := self._dropped(*self._items[0])) is not None:
                if dropped is not None and dropped.end != gap.start:
                    break
                self._items.popleft()
                dropped = gap if dropped is None else Gap(dropped.start, gap.end, TOO_SLOW)
            self._changed.notify_all()
            if dropped is not None:
                return dropped
            if self._items:
                return self._items.popleft()[1]
            if self._fault is not None:
                raise self._fault
            return None

    def close(self, fault: BaseException | None = None) -> None:
        """Say that nothing more comes, because of a fault or not."""
        with self._changed:
            self._closed, self._fault = True, self._fault or fault
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        """Put a gap in the place of the oldest hop; gaps that follow one another are one."""
        place = next(i for i, (_, old) in enumerate(self._items) if isinstance(old, Hop))
        since, oldest = self._items[place]
        assert isinstance(oldest, Hop)
        gap = too_slow(oldest)
        before = self._items[place - 1][1] if place else None
        if isinstance(before, Gap) and (before.reason, before.end) == (TOO_SLOW, gap.start):
            gap = Gap(before.start, gap.end, TOO_SLOW)
            del self._items[place - 1]
            place -= 1
        self._items[place] = since, gap

    def _hops(self) -> int:
        return sum(isinstance(item, Hop) for _, item in self._items)

    def _dropped(self, since: float, item: Hop | Gap | Note) -> Gap | None:
        """Return the gap that stands for an item, if it is dropped."""
        late = not self._blocking and time.monotonic() - since > PATIENCE
        if isinstance(item, Hop) and late:
            return too_slow(item)
        return item if isinstance(item, Gap) and item.reason == TOO_SLOW else None


def too_slow(hop: Hop) -> Gap:
    """Return the gap that stands for a hop that is dropped."""
    return Gap(hop.start, hop.start + hop.step, TOO_SLOW)


class Feed:
    """Hops of a live source; a context manager to iterate over.

    Args:
        addresses: the source; see `parse_addresses`.
        wanted: what the model is shown.
        settings: how it is read.

    Raises:
        MediaError: while iterating: it does not start, or stays away too long. Its code is one of
            `connected` or of `LiveAudio`.
    """

    def __init__(
        self, addresses: tuple[Address, ...], wanted: HopSpec, settings: FeedSettings
    ) -> None:
        self.name = " + ".join(address.name for address in addresses)
        self._addresses, self._wanted, self._settings = addresses, wanted, settings
        self._is_file = addresses[0].kind is Kind.FILE
        pace = settings.pace if self._is_file else 1.0
        self._pacer = None if pace is None or not self._is_file else _Pacer(pace)
        self._queue = _Queue(blocking=pace is None)
        self._maker = HopMaker(wanted, self._put, self.name, pace or 1.0)
        self._stop = threading.Event()
        self._data_at = self._item_at = time.monotonic()
        self._data_came = self._answerable = False
        self._thread = threading.Thread(target=self._run, name="live source", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._queue.close()
        self._thread.join(2)  # it may be waiting for data; it holds nothing that must be closed

    def __iter__(self) -> Iterator[Hop | Gap | Note]:
        """Yield hops and gaps in the order of their times, and notes between them."""
        while (item := self._queue.get()) is not None:
            yield item

    def _put(self, item: Hop | Gap) -> None:
        self._item_at, self._answerable = time.monotonic(), True
        self._queue.put(item, 0.0 if self._pacer is None else self._pacer.behind)

    def _run(self) -> None:
        try:
            self._follow()
            self._queue.close()
        except BaseException as fault:
            self._queue.close(fault)

    def _follow(self) -> None:
        """Read the source until it ends, connecting again when it breaks off."""
        attempt = 0
        while True:
            heard_before = self._data_at
            reason, fault = self._read()
            self._maker.end_stretch(reason, disconnected=True)
            if self._stop.is_set() or (self._is_file and fault is None):
                return
            if fault is not None and self._is_final(fault):
                raise fault
            if not self._settings.reconnect:
                if fault is None:
                    return
                raise MediaError("unreachable", f"{self.name}: {reason}.")
            attempt = 0 if self._data_at > heard_before else attempt
            pause = PAUSES[min(attempt, len(PAUSES) - 1)]
            attempt += 1
            away = time.monotonic() - self._data_at
            if away + pause > self._settings.give_up:
                raise MediaError(
                    "unreachable",
                    f"{self.name}: {reason}; away for {away:.0f} s, at most "
                    f"{self._settings.give_up:g} (--give-up).",
                )
            self._queue.put(Note(f"{self.name}: {reason}; connecting again in {pause} s."))
            if self._stop.wait(pause):
                return

    def _is_final(self, fault: MediaError) -> bool:
        unsuitable = fault.code in UNSUITABLE and not self._answerable
        return self._is_file or unsuitable or not self._data_came

    def _read(self) -> tuple[str, MediaError | None]:
        """Read one connection; return why it ended, and an error unless the source ended it."""
        settings = self._settings
        specs = {"audio": self._wanted.acoustic, "video": self._wanted.images}
        kinds = frozenset(kind for kind, spec in specs.items() if spec is not None)
        needs = Needs(kinds, self._wanted.takes_missing)
        self._item_at = time.monotonic()
        try:
            with connected(self._addresses, needs, settings.timeout, settings.limits) as connection:
                self._maker.connect(shown=connection.has_video)
                for item in connection.media(self._wait):
                    if self._stop.is_set():
                        break
                    if not self._is_file and time.monotonic() - connection.idle_at > BUSY:
                        raise MediaError("too-slow", "decoding takes longer than the source")
                    self._data_at, self._data_came = time.monotonic(), True
                    if isinstance(item, AudioChunk):
                        self._maker.add_audio(item)
                    else:
                        self._maker.add_frame(item, clocked=not connection.has_audio)
        except MediaError as error:
            return str(error).removeprefix(f"{self.name}: ").rstrip("."), error
        if not self._data_came:
            reason = "ended before there was anything to answer from"
            return reason, MediaError("empty", f"{self.name}: {reason}.")
        return "the source ended the stream", None

    def _wait(self, due: Fraction) -> None:
        """Wait until a packet of a file is due; of another source, check that something comes."""
        if self._pacer is not None:
            self._stop.wait(self._pacer.seconds_until(due))
        elif not self._is_file and time.monotonic() - self._item_at > SILENCE:
            raise MediaError("empty", f"{self.name}: data come, but nothing to answer from")


class _Pacer:
    """When the packets of a file are due, at a pace."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._first: tuple[float, float] | None = None  # time of a packet, when it came
        self._latest = 0.0
        self.behind = 0.0  # seconds by which the latest packet came late

    def seconds_until(self, due: Fraction) -> float:
        """Return how long to wait for a packet; a clock that was reset counts from now."""
        now, at = time.monotonic(), float(due)
        if self._first is None or not -1 < at - self._latest < 10:
            self._first = at, now
        self._latest = at
        first, began = self._first
        wait = began + (at - first) / self._pace - now
        self.behind = max(0.0, -wait)
        return max(0.0, wait)
