"""Several processes that train one run together by PyTorch's DDP, one per GPU or several on a CPU.

The launcher (torchrun, or srun with the same variables) says by RANK, WORLD_SIZE and LOCAL_RANK
which process this is; without them there is one, and this module has no effect.

Results do not depend on the number of processes, except for rounding: the batch size stays the same
and each process has an equal, contiguous share of its samples, so that gradients, losses, batch
normalisation's statistics and dropout's masks are those of the whole batch (`synced_layers`).
Process 0 alone writes and prints; every decision (to stop, which epoch is best) is made by all
alike, from values that all of them have. A run may be resumed with another number of processes.

Values on the CPU go between processes by gloo, those on GPUs by NCCL. If another process ends, gloo
reports it within a step, because each step starts by asking whether one of them was asked to stop;
if another vanishes, `peers` does.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.peers import DONE, START, STOPPED, Watch
from avsc.train.fit.signals import RESUMABLE

STEP = timedelta(minutes=10)
"""How long a process waits within a step for another that is alive."""
PATIENCE = timedelta(hours=1)
"""How long it waits for what another does alone: a save, its share of the validation, reading the
store before the first step. For what process 0 does before the others start there is no limit."""


@dataclass(frozen=True)
class Processes:
    """The processes that train a run together.

    Attributes:
        rank: number of this one, from 0.
        count: how many there are.
        local_rank: number of this one on its machine: of its GPU.
        local_count: how many are on this machine.
        watch: whether the others are alive; None where there are none.
        patient: group of all, in which each waits for `PATIENCE`.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    watch: Watch | None = field(default=None, compare=False)
    patient: Any = field(default=None, compare=False, repr=False)

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """Which of a batch's samples are this process's, for `training_batches`."""
        return self.rank, self.count

    def check(self, batch_size: int, accumulate: int = 1) -> None:
        """Raise a `SettingError` unless the processes can share a batch evenly, slice by slice."""
        count = self.count * accumulate
        who = f"{self.count} processes" if self.count > 1 else ""
        if accumulate > 1:
            who += f"{' with ' if who else ''}{accumulate} slices{' each' if who else ''}"
        if batch_size % count:
            raise SettingError(
                f"--batch-size is {batch_size}, which {who} cannot share evenly; wanted a multiple "
                f"of {count}, such as {-(-batch_size // count) * count}."
            )
        if batch_size < 2 * accumulate:
            raise SettingError(
                f"--batch-size is {batch_size} and --accumulate is {accumulate}: slices have one "
                "sample, too few for batch normalisation. Choose a lower --accumulate."
            )

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let process 0 run the body alone, then the others, which find what it wrote."""
        if self.watch is not None and not self.main:
            self.watch.wait_until_ready()
        yield
        if self.watch is not None and self.main:
            self.watch.tell_ready()

    def parallel(self, network: nn.Module, step: nn.Module | None = None) -> nn.Module:
        """Return what computes a step so that the network's gradients are the whole batch's.

        Args:
            network: whose layers see the whole batch from now on.
            step: what computes with it; None for the network itself.
        """
        step = network if step is None else step
        if self.count == 1:
            return step
        from avsc.train.model.synced_layers import over_processes

        over_processes(network)
        with self._waiting():
            distributed.barrier(self.patient)  # until all have read the store
            parallel = nn.parallel.DistributedDataParallel(step)
        # All have the same buffers: a frozen model's never change, and those of batch normalisation
        # are of the whole batch. (As an argument it has another name from PyTorch 2.15 on.)
        parallel.broadcast_buffers = False
        return parallel

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes; on a GPU without waiting for it."""
        if self.count == 1:
            return value
        total = value.clone()
        with self._waiting():
            distributed.all_reduce(total)
        return total / self.count

    def highest(self, value: int) -> int:
        """Return the highest of the processes' values; process 0 may be saving meanwhile."""
        if self.count == 1:
            return value
        highest = torch.tensor(value)
        with self._waiting():
            distributed.all_reduce(highest, distributed.ReduceOp.MAX, self.patient)
        return int(highest)

    def share(self, total: int) -> NDArray[np.int64]:
        """Return which of so many elements are this process's: one run of them, all as long.

        Where the number does not divide, the last process has some of the first ones as well.

        >>> Processes(rank=1, count=2).share(5)
        array([3, 4, 0])
        """
        length = -(-total // self.count)
        return np.arange(self.rank * length, (self.rank + 1) * length) % max(1, total)

    def gather(self, part: NDArray[np.float64], total: int) -> NDArray[np.float64]:
        """Put together, in every process, what each made of its `share` [elements, ...]."""
        if self.count == 1:
            return part
        own = torch.from_numpy(np.ascontiguousarray(part))
        parts = [torch.empty_like(own) for _ in range(self.count)]
        with self._waiting():
            distributed.all_gather(parts, own, self.patient)
        return torch.cat(parts)[:total].numpy()

    def _waiting(self) -> AbstractContextManager[None]:
        return nullcontext() if self.watch is None else self.watch.waiting()


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that were started together.

    Raises:
        AvscError: another process ended, or they cannot be joined.
    """
    count = _number("WORLD_SIZE", 1)
    if count == 1:
        yield ALONE
        return
    rank, local_rank, _ = _number("RANK"), _number("LOCAL_RANK"), _number("MASTER_PORT")
    processes = Processes(rank, count, local_rank, _number("LOCAL_WORLD_SIZE", count))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    watch = Watch(rank, count)
    last = b""
    try:
        store, _, _ = next(rendezvous("env://", rank, count, timeout=START))
        if processes.local_count == count:  # torchrun's; agents of several machines count otherwise
            # It gives processes that it starts again the store that holds the dead ones' addresses.
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = PrefixStore(f"attempt-{attempt}", store)
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=count, timeout=STEP
        )
        patient = distributed.new_group(timeout=PATIENCE, backend="gloo")
        watch.connect(store, os.environ.get("MASTER_ADDR", "127.0.0.1"))
        yield replace(processes, watch=watch, patient=patient)
        distributed.destroy_process_group()
        last = DONE
    except AvscError as fault:
        last = STOPPED if fault.exit_code == RESUMABLE else b""
        raise
    except (distributed.DistError, RuntimeError, ValueError, OSError) as fault:
        if not _of_the_connection(fault):
            raise
        hung = "timed out" in str(fault).lower()
        status = RESUMABLE if hung else watch.verdict()
        last = STOPPED if status == RESUMABLE else b""
        if not processes.main:
            raise SystemExit(status) from fault  # the first process says so for all
        why = "one of them ended, and said why if it could, or they do not find each other"
        if hung:
            why = f"one of them is alive and has not finished its step for {STEP.seconds} s"
        lost = AvscError(
            f"process 0 of {count} cannot reach the others: {why} ({str(fault).splitlines()[0]}). "
            "The same command resumes from the last checkpoint."
        )
        lost.exit_code = status
        raise lost from fault
    finally:
        watch.close(last)


def started_together() -> bool:
    """Whether this process is one of several that train together."""
    return _number("WORLD_SIZE", 1) > 1


def started_by_srun() -> bool:
    """Whether this process is a task of srun's, rather than of a torchrun that srun started."""
    return "SLURM_STEP_ID" in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ


def _of_the_connection(fault: Exception) -> bool:
    known = (distributed.DistError, ConnectionError, TimeoutError)
    return isinstance(fault, known) or "gloo" in str(fault).lower()


def _number(variable: str, default: int | None = None) -> int:
    """Return a variable's number.

    Raises:
        SettingError: it is not set, and has no default, or is no number.
    """
    text = os.environ.get(variable, "" if default is None else str(default))
    if not text.isdecimal():
        raise SettingError(
            f"WORLD_SIZE says that several processes train together, but {variable} is {text!r}. "
            "Start them by torchrun, or set WORLD_SIZE, RANK, LOCAL_RANK, MASTER_ADDR and "
            "MASTER_PORT for each (docs/training.md)."
        )
    return int(text)
