"""What workers find on the machine that runs the check: processors, memory, scratch, loopback."""

import os
import resource
import shutil
import socket
import tempfile
from pathlib import Path

from avsc.preprocess.doctor.check import Patient, UnwellError
from avsc.preprocess.workers.dask_config import import_dask

CGROUP = Path("/sys/fs/cgroup")
WORKER_BYTES = 600_000_000  # stated bound of a worker's resident set
LEAST_OPEN = 1024
LEAST_SCRATCH = 256 << 20


def cores(patient: Patient) -> str:
    """Compare the cores that workers are started on with those that they may use."""
    allowed = len(os.sched_getaffinity(0))
    share = _processor_share()
    text = f"{allowed} of {os.cpu_count()} cores"
    if share is not None and share < allowed:
        raise UnwellError(f"{text}, but the control group gives the time of {share:.1f}")
    return f"{text}: extraction starts {allowed} workers"


def memory(patient: Patient) -> str:
    """Compare the memory that the workers need with what there is."""
    import psutil

    total, limit = psutil.virtual_memory().total, _memory_limit()
    most = total if limit is None else min(total, limit)
    workers = len(os.sched_getaffinity(0))
    text = f"{most / 1e9:.1f} GB for {workers} workers of {WORKER_BYTES / 1e9:.1f} GB"
    if most < workers * WORKER_BYTES:
        raise UnwellError(f"{text}; room for {most // WORKER_BYTES}")
    return text


def dask(patient: Patient) -> str:
    """Import Dask with the user's own settings of it."""
    files = import_dask()
    return f"it starts; its settings are in {', '.join(map(str, files)) or 'no file'}"


def open_files(patient: Patient) -> str:
    """Ask how many files a process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_OPEN:
        raise UnwellError(f"a process may open {soft} files")
    return f"a process may open {'any number of' if soft == resource.RLIM_INFINITY else soft} files"


def scratch(patient: Patient) -> str:
    """Write to the folder for temporary files, where Dask's workers keep theirs."""
    folder = tempfile.gettempdir()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(1 << 20))
        file.flush()
    free = shutil.disk_usage(folder).free
    text = f"{folder} has {free / 1e9:.1f} GB free"
    if free < LEAST_SCRATCH:
        raise UnwellError(text)
    return text


def loopback(patient: Patient) -> str:
    """Connect to this machine, as local workers do to their scheduler."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        client.sendall(b"?")
        other, _ = server.accept()
        with other:
            other.settimeout(5)
            other.recv(1)
    return "processes of this machine reach each other"


def _processor_share() -> float | None:
    """Return the processors whose time a control group gives; None without a bound."""
    words = _read(CGROUP / "cpu.max").split()
    if len(words) == 2 and words[0] != "max":
        return int(words[0]) / int(words[1])
    quota = _read(CGROUP / "cpu/cpu.cfs_quota_us").strip()
    period = _read(CGROUP / "cpu/cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _memory_limit() -> int | None:
    """Return the bytes that a control group gives; None without a bound."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(CGROUP / name).strip()
        if text.isdecimal():
            return int(text)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
