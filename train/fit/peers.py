"""Whether the other processes of a run are alive, and signals that arrive while one waits for them.

A process that waits in gloo or NCCL runs no Python: it handles no signal, and does not learn that a
machine has vanished. So a thread of each process sends a heartbeat every few seconds over a
connection of its own: all to process 0, and process 0 to all. The thread ends the process

* when another has sent no heartbeat for `SILENCE` seconds, with status 75;
* when another ended and this one has not found out by itself `GRACE` seconds later;
* when a signal asks to stop that this process cannot obey: at once while it waits for process 0 to
  prepare the run or for one that has been silent for `QUIET` seconds, after `OBEY` seconds while it
  waits for one that is alive, and at once on the second signal.

The last checkpoint is kept. A stopped or frozen process counts as vanished; a slow one does not.
"""

import os
import secrets
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from torch.distributed.distributed_c10d import Store

from avsc.train.fit.signals import RESUMABLE, STATUS

BEAT = 5.0  # seconds between two heartbeats
SILENCE = 45.0
GRACE = 15.0
QUIET = 10.0
OBEY = 100.0  # of the three minutes that docs/training.md asks a queue for; a save may be slow
TICK = 0.5  # seconds between two checks of all this
START = timedelta(minutes=10)
"""How long processes wait for each other to be started."""
LIFE, READY, DONE, STOPPED = b".", b"r", b"q", b"s"
KEY = "avsc-watch"


@dataclass
class Peer:
    """Another process.

    Attributes:
        rank: its number.
        connection: to it.
        heard: when it sent its last heartbeat.
        said: all that it sent besides heartbeats.
        ended: when its connection closed; None while it is open.
    """

    rank: int
    connection: socket.socket
    heard: float = field(default_factory=time.monotonic)
    said: bytes = b""
    ended: float | None = None


class Watch:
    """The thread of one process; to be made in the main thread.

    Args:
        rank: number of this process.
        count: how many there are.

    Attributes:
        before_end: called before it ends the process.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.before_end: list[Callable[[], None]] = []
        self._rank, self._count = rank, count
        self._peers: list[Peer] = []
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._waiting, self._idle = False, True
        self._asked: list[tuple[float, int]] = []  # when which signal came
        self._looked = self._beaten = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._signals, write = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(write, False)
        self._write = write
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._wakeup_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def connect(self, store: Store, host: str) -> None:
        """Connect process 0 with the others.

        Args:
            store: that all of them have.
            host: where the others reach process 0.

        Raises:
            OSError: one of them cannot be reached.
        """
        if self._rank:
            port, secret = store.get(KEY).decode().split()
            connection = socket.create_connection((host, int(port)), START.total_seconds())
            connection.sendall(f"{secret} {self._rank:08d}".encode())
            peers = [Peer(0, connection)]
        else:
            peers = self._accept(store)
        for peer in peers:
            peer.connection.setblocking(False)
            self._selector.register(peer.connection, selectors.EVENT_READ, peer)
        self._peers = peers
        self._idle = False

    def _accept(self, store: Store) -> list[Peer]:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        secret = secrets.token_hex(8)
        peers: dict[int, Peer] = {}
        with socket.create_server(("", 0), family=family, dualstack_ipv6=both) as server:
            server.settimeout(START.total_seconds())
            store.set(KEY, f"{server.getsockname()[1]} {secret}")
            while len(peers) < self._count - 1:
                connection, _ = server.accept()
                connection.settimeout(BEAT)
                hello = b""
                with suppress(OSError):
                    hello = connection.recv(len(secret) + 9, socket.MSG_WAITALL)
                if hello.startswith(secret.encode() + b" "):
                    rank = int(hello.split()[1])
                    peers[rank] = Peer(rank, connection)
                else:
                    connection.close()  # a stranger
        return [peers[rank] for rank in sorted(peers)]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark that the body only waits for the others."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def wait_until_ready(self) -> None:
        """Wait until process 0 is ready, however long that takes.

        Raises:
            SystemExit: it ended.
        """
        self._idle = True
        while not self._ready.wait(TICK):
            if any(peer.ended for peer in self._peers):
                raise SystemExit(self.status)
        self._idle = False

    def tell_ready(self) -> None:
        """Tell the others that process 0 is ready."""
        self._say(READY)

    def verdict(self) -> int:
        """Wait for what the others sent before they ended; return `status`."""
        time.sleep(TICK)
        return self.status

    @property
    def status(self) -> int:
        """Exit status of a process whose peers ended: whether they can be resumed."""
        return RESUMABLE if any(STOPPED in peer.said for peer in self._peers) else 1

    def close(self, last: bytes = b"") -> None:
        """End the watch; the second call does nothing.

        Args:
            last: `DONE` or `STOPPED`, for the others; nothing after a fault.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        os.write(self._write, b"\0")
        self._thread.join()
        signal.set_wakeup_fd(self._wakeup_fd)
        if last:
            self._say(last)
        for peer in self._peers:
            peer.connection.close()
        self._selector.close()
        os.close(self._signals)
        os.close(self._write)

    def _run(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select(TICK):
                if isinstance(key.data, Peer):
                    self._hear(key.data)
                else:
                    self._note(os.read(self._signals, 64))
            self._judge()

    def _note(self, came: bytes) -> None:
        self._asked += [(time.monotonic(), number) for number in came if number in STATUS]

    def _hear(self, peer: Peer) -> None:
        try:
            data = peer.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            peer.ended = time.monotonic()
            self._selector.unregister(peer.connection)
        peer.heard = time.monotonic()
        peer.said += data.replace(LIFE, b"")
        if READY in data:
            self._ready.set()

    def _judge(self) -> None:
        """Send a heartbeat when it is due; end this process if there is a reason."""
        now = time.monotonic()
        if now - self._looked > SILENCE / 3:  # this process slept: the others may not have
            for peer in self._peers:
                peer.heard = now
        self._looked = now
        if now - self._beaten >= BEAT:
            self._beaten = now
            self._say(LIFE)
        for peer in self._peers:
            if DONE in peer.said:
                continue
            if peer.ended is not None and now - peer.ended > GRACE:
                self._end(self.status, f"process {peer.rank} of {self._count} ended")
            if peer.ended is None and now - peer.heard > SILENCE:
                self._end(
                    RESUMABLE,
                    f"process {peer.rank} of {self._count} has sent no heartbeat for "
                    f"{SILENCE:.0f} s; it, its machine or the network between has stopped",
                )
        if self._asked:
            self._judge_signals(now)

    def _judge_signals(self, now: float) -> None:
        came, number = self._asked[0]
        lost = any(now - p.heard > QUIET for p in self._peers if p.ended is None)
        too_long = self._waiting and now - came > OBEY
        if self._idle or lost or too_long or len(self._asked) > 1:
            name = signal.Signals(number).name
            self._end(STATUS[signal.Signals(number)], f"{name} while it waited for the others")

    def _end(self, status: int, why: str) -> None:
        """End the process from this thread, whatever the others do."""
        text = (
            f"avsc-fit: error: process {self._rank} of {self._count} ends: {why}. The same command "
            "resumes from the last checkpoint.\n"
        )
        os.write(2, text.encode())
        for each in self.before_end:
            with suppress(Exception):
                each()
        if status != 1:
            self._say(STOPPED)
        os._exit(status)

    def _say(self, word: bytes) -> None:
        for peer in self._peers:
            with suppress(OSError):  # a full buffer: it does not read, which `_judge` finds out
                peer.connection.send(word)
