"""The driver of a run: which block is worked on next, and what is done when one is lost.

The same for workers on this machine, in batch jobs, and of a cluster that is up. Only a few blocks
more than there are workers are out at a time. A worker that dies costs its block's time; a block
that lost two is worked on clip by clip, each in a process of its own. Blocks that another run has
claimed are left to it, and looked at again when there is nothing else to do.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from avsc.manifests.errors import AvscError
from avsc.preprocess.block_claims import BlockClaims
from avsc.preprocess.events import Events
from avsc.preprocess.plan import BlockTask
from avsc.preprocess.pool import Done, Failed, Lost, Notice, Outcome, Pool
from avsc.preprocess.progress import Reporter
from avsc.preprocess.workers.local import Workers

ATTEMPTS = 10  # times that a block may lose two workers
RETIREMENTS = 5  # times that a block may be cut off because its worker's time was over
OVER_MEMORY = 4  # workers over their memory limit with no block done in between
TICK = 1.0  # seconds


class Driver:
    """Hands out blocks until all are made or left to others.

    Args:
        workers: who works.
        reporter: what the user sees.
        renew: plans a block again: its task, or None if nothing is left to do.

    Attributes:
        left: who is making the blocks that this run leaves to others.
        failures: number of things that could not be made.
    """

    def __init__(
        self,
        workers: Workers,
        claims: BlockClaims,
        events: Events,
        reporter: Reporter,
        renew: Callable[[int], BlockTask | None],
    ) -> None:
        self.left: dict[int, str] = {}
        self.failures = 0
        self._workers, self._pool = workers, Pool(workers.client)
        self._claims, self._events, self._reporter, self._renew = claims, events, reporter, renew
        self._waiting: deque[BlockTask] = deque()
        self._others: dict[int, BlockTask] = {}
        self._attempts: Counter[int] = Counter()
        self._retirements: Counter[int] = Counter()
        self._over_memory = 0
        self._warned: set[str] = set()  # what was said once needs no repeating

    def run(self, tasks: Sequence[BlockTask]) -> None:
        """Work on all tasks.

        Raises:
            AvscError: a file could not be written, a block lost too many workers, or there are no
                workers.
        """
        self._waiting.extend(tasks)
        with self._pool:
            while self._hand_out():
                for outcome in self._pool.wait(TICK):
                    self._handle(outcome)
                self._claims.beat()
                self._workers.check(self._events.write, self._reporter.say)
        for block in self.left:
            self._reporter.leave(self._others[block].n_clips)

    def _hand_out(self) -> bool:
        """Hand out what there is room for; tell whether anything is out."""
        while self._waiting and len(self._pool.out) < self._workers.window:
            self._begin(self._waiting.popleft())
        if not self._pool.out:  # those that others had may be made by now, or their makers gone
            for task in tuple(self._others.values()):
                self._begin(task)
        return bool(self._pool.out)

    def _begin(self, task: BlockTask) -> None:
        block = task.block
        if other := self._claims.take(block):
            if block not in self.left:
                self._events.write("left", block=block, to=other)
            self.left[block], self._others[block] = other, task
            return
        self.left.pop(block, None)
        self._others.pop(block, None)
        if task.is_stale:
            renewed = self._renew(block)
            self._reporter.leave(task.n_clips - (renewed.n_clips if renewed else 0))
            if renewed is None:
                self._claims.give_up(block)
                return
            task = renewed
        self._events.write("begun", block=block)
        self._pool.submit(task)

    def _handle(self, outcome: Outcome) -> None:
        match outcome:
            case Done():
                self._done(outcome)
            case Lost():
                self._lost(outcome.task)
            case Failed():
                raise self._fault(outcome)
            case Notice():
                self._note(outcome)
            case _:
                assert_never(outcome)

    def _done(self, outcome: Done) -> None:
        summary = outcome.summary
        self._over_memory = 0
        self._claims.give_up(summary.block)
        self._events.write(
            "done",
            block=summary.block,
            clips=summary.clips,
            failures=len(summary.failures),
            seconds=round(summary.seconds, 3),
            peak_memory=summary.peak_memory,
        )
        for warning in summary.warnings:
            if warning not in self._warned:
                self._reporter.say(f"warning: {warning}")
        self._warned.update(summary.warnings)
        self.failures += len(summary.failures)
        self._reporter.advance(summary.clips, len(summary.failures))

    def _lost(self, task: BlockTask) -> None:
        self._attempts[task.block] += 1
        if self._attempts[task.block] >= ATTEMPTS:
            raise AvscError(
                f"block {task.block} (from clip {task.clips[0].id}) lost its workers {ATTEMPTS} "
                f"times over. Look at their memory ({self._workers.remedy}) and at what the system "
                "says of them; what is done is kept."
            )
        why = f"block {task.block} lost its workers; retrying it clip by clip."
        self._reporter.say(why)
        self._events.write("retried", block=task.block, why=why)
        self._pool.submit(replace(task, isolate=True))

    def _fault(self, outcome: Failed) -> BaseException:
        if isinstance(outcome.fault, MemoryError):
            return self._too_little_memory(f"block {outcome.task.block} found none left")
        if isinstance(outcome.fault, ImportError):
            return AvscError(
                f"a worker cannot import what it needs ({outcome.fault}). Install the same "
                "versions there as here."
            )
        return outcome.fault

    def _note(self, notice: Notice) -> None:
        if notice.event == "worker-over-memory":
            self._events.write(notice.event, worker=notice.worker, memory=notice.memory)
            self._over_memory += 1
            if self._over_memory >= OVER_MEMORY:
                raise self._too_little_memory(f"the last had {notice.memory / 1e6:.0f} MB")
            return
        self._events.write(notice.event, worker=notice.worker, blocks=notice.blocks)
        if notice.event == "worker-lost" and notice.blocks:
            self._reporter.say(f"a worker was lost; block {notice.blocks[0]} is retried.")
        if notice.event == "worker-retired":
            self._retirements.update(notice.blocks)
        for block in notice.blocks:
            if self._retirements[block] >= RETIREMENTS:
                raise AvscError(
                    f"block {block} was cut off {RETIREMENTS} times by the end of its workers' "
                    "time. Give them a longer walltime, or make smaller blocks (--block-size, in a "
                    "new store); what is done is kept."
                )

    def _too_little_memory(self, found: str) -> AvscError:
        return AvscError(
            f"workers go over their memory limit of {self._workers.memory} ({found}). Give them "
            f"more ({self._workers.remedy}), or make smaller blocks (--block-size, in a new "
            "store); what is done is kept."
        )
