"""Workers of a running Dask cluster: ``--scheduler ADDRESS`` or ``--scheduler FILE.json``.

Its scheduler and its workers are not ours, so they are looked at before anything is handed to them:
they must have this version of avsc, one thread each, and see the store and the recordings.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client

from avsc.manifests.errors import AvscError, SettingError
from avsc.preprocess.receipt import versions
from avsc.preprocess.workers.local import Workers, quiet

OPEN = "{address} has no TLS: any client that reaches it can run programs as its user."
PATIENCE = 30.0  # seconds to wait for the first worker


def look_around(folders: Sequence[Path]) -> tuple[dict[str, str], list[str]]:
    """Return, on a worker, its versions and the folders that it does not see."""
    return versions(), [str(folder) for folder in folders if not folder.is_dir()]


@contextmanager
def attached_workers(
    scheduler: str, folders: Sequence[Path], most: int | None
) -> Iterator[Workers]:
    """Connect to a running cluster and check that its workers can do the work.

    Args:
        scheduler: address, such as ``tcp://host:8786``, or the path of a scheduler file.
        folders: which the workers must see.
        most: how many workers there will be; as many as there are now when None.

    Raises:
        AvscError: it does not answer, has no workers, or a worker cannot do the work.
    """
    with quiet(), _connect(scheduler) as client:
        count = _inspect(client, scheduler, folders)
        address = client.scheduler_info()["address"]
        note = "" if address.startswith("tls://") else OPEN.format(address=address)
        most = max(count, most or 0)
        yield Workers(client, most, "their own", "when they are started", note=note)


def _connect(scheduler: str) -> Client:
    kwargs: dict[str, Any] = {"address": scheduler}
    if "://" not in scheduler:
        if not Path(scheduler).is_file():
            raise SettingError(
                f"--scheduler {scheduler}: neither tcp://HOST:PORT or tls://HOST:PORT nor the file "
                "that `dask scheduler --scheduler-file FILE` writes."
            )
        kwargs = {"scheduler_file": scheduler}
    try:
        return Client(**kwargs, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as fault:
        raise AvscError(
            f"--scheduler {scheduler}: no Dask scheduler can be spoken with there "
            f"({str(fault) or type(fault).__name__}). A tls:// scheduler needs the certificates in "
            "your configuration of Dask (distributed.comm.tls)."
        ) from fault


def _inspect(client: Client, scheduler: str, folders: Sequence[Path]) -> int:
    """Look at every worker; return how many there are."""
    until = time.monotonic() + PATIENCE
    while not (threads := client.nthreads()):
        if time.monotonic() > until:
            raise AvscError(
                f"--scheduler {scheduler}: it has no workers. Start some: `dask worker {scheduler} "
                "--nthreads 1 --nworkers N`."
            )
        time.sleep(0.2)
    for worker, count in threads.items():
        if count != 1:
            raise AvscError(
                f"worker {worker} has {count} threads, and one is wanted: start it by `dask worker "
                "... --nthreads 1 --nworkers N`."
            )
    answers = client.run(look_around, list(folders), on_error="return")
    ours = versions()
    for worker, said in answers.items():
        if isinstance(said, BaseException):
            raise AvscError(
                f"worker {worker} cannot import avsc ({said}). Install avsc "
                f"{ours['avsc']} in the environment of the workers."
            )
        theirs, unseen = said
        if theirs["avsc"] != ours["avsc"]:
            raise AvscError(
                f"worker {worker} has avsc {theirs['avsc']}, and this is {ours['avsc']}. Install "
                "the same there."
            )
        if unseen:
            raise AvscError(
                f"worker {worker} does not see {', '.join(unseen)}. The store and the recordings "
                "must lie where all workers see them under the same path."
            )
    return len(threads)
