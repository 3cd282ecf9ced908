"""What workers find on the machine that runs the check: processors, memory, scratch, loopback."""

import os
import resource
import shutil
import socket
import tempfile

from avsc.manifests import control_group
from avsc.manifests.checks import CheckFailed
from avsc.preprocess.doctor.target import Target
from avsc.preprocess.workers.dask_config import import_dask

WORKER_BYTES = 600_000_000  # stated bound of a worker's resident set
LEAST_OPEN = 1024
LEAST_SCRATCH = 256 << 20


def cores(target: Target) -> str:
    """Compare the cores that workers are started on with those that they may use."""
    allowed = len(os.sched_getaffinity(0))
    share = control_group.processor_share()
    text = f"{allowed} of {os.cpu_count()} cores"
    if share is not None and share < allowed:
        raise CheckFailed(f"{text}, but the control group gives the time of {share:.1f}")
    return f"{text}: extraction starts {allowed} workers"


def memory(target: Target) -> str:
    """Compare the memory that the workers need with what there is."""
    import psutil

    total, limit = psutil.virtual_memory().total, control_group.memory_limit()
    most = total if limit is None else min(total, limit)
    workers = len(os.sched_getaffinity(0))
    text = f"{most / 1e9:.1f} GB for {workers} workers of {WORKER_BYTES / 1e9:.1f} GB"
    if most < workers * WORKER_BYTES:
        raise CheckFailed(f"{text}; room for {most // WORKER_BYTES}")
    return text


def dask(target: Target) -> str:
    """Import Dask with the user's own settings of it."""
    files = import_dask()
    return f"it starts; its settings are in {', '.join(map(str, files)) or 'no file'}"


def open_files(target: Target) -> str:
    """Ask how many files a process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_OPEN:
        raise CheckFailed(f"a process may open {soft} files")
    return f"a process may open {'any number of' if soft == resource.RLIM_INFINITY else soft} files"


def scratch(target: Target) -> str:
    """Write to the folder for temporary files, where Dask's workers keep theirs."""
    folder = tempfile.gettempdir()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(1 << 20))
        file.flush()
    free = shutil.disk_usage(folder).free
    text = f"{folder} has {free / 1e9:.1f} GB free"
    if free < LEAST_SCRATCH:
        raise CheckFailed(text)
    return text


def loopback(target: Target) -> str:
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
