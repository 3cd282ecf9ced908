"""Ctrl-C is the driver's: what Dask starts never hears it."""

import subprocess
import sys
import threading
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from avsc.preprocess.interrupt import sigint_blocked

SIGINT = 1 << 1  # in the masks of /proc/PID/status, whose bit n - 1 is signal n


def blocked(status: str) -> int:
    return int(
        next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16
    )


def tell(pipe: Connection) -> None:
    pipe.send(Path("/proc/self/status").read_text())


def test_processes_of_threads_that_were_started_deaf_do_not_hear_ctrl_c() -> None:
    """Spawned as Dask does it: by a thread, after the resource tracker, and later than the mask."""
    ours, theirs = get_context("spawn").Pipe()
    go = threading.Event()

    def start() -> None:
        go.wait()
        process = get_context("spawn").Process(target=tell, args=(theirs,))
        process.start()
        process.join()

    thread = threading.Thread(target=start)
    with sigint_blocked():
        thread.start()
    go.set()
    assert blocked(ours.recv()) & SIGINT
    thread.join()
    show = "print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert not blocked(done.stdout) & SIGINT
