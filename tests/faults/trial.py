"""One try of one fault: extractions as a user starts them, and what became of the store."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from digests import timeless
from faults.ground import BLOCKS, PREP, Content, Ground, Records, records

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.manifests.files import TEMPORARY
from avsc.preprocess.block_claims import FOLDER as CLAIMS

LIMIT = 600.0  # seconds after which a run is held to hang
TICK = 0.02
STARTING = 0.3  # of all moments lie before a run has begun with its work
RERUN = r"to do: \d+ clips in \d+ blocks|Nothing to do\."


class HangError(Exception):
    """A run did not end in time."""


@dataclass(frozen=True)
class Ended:
    """A run that ended: its status (of a shell's kind: negative for a signal), and what it said."""

    status: int
    text: str


class Run:
    """An extraction under way, in a session of its own.

    What it says goes to a file, which orphans may keep open without holding anybody up.
    """

    def __init__(self, command: list[object], said: Path, env: dict[str, str] | None) -> None:
        self._said = said
        with said.open("wb") as file:
            self.process = subprocess.Popen(
                list(map(str, command)), stdout=file, stderr=file, env=env, start_new_session=True
            )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._said.read_text(errors="replace")

    def wait(self) -> Ended:
        """Wait for its end.

        Raises:
            HangError: it did not end in time; its whole session is ended then.
        """
        try:
            return Ended(self.process.wait(LIMIT), self.text)
        except subprocess.TimeoutExpired:
            self.signal_all(signal.SIGKILL)
            self.process.wait()
            raise HangError(f"still running after {LIMIT:.0f} s: {self.text[-300:]}") from None

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds, or the run has ended."""
        limit = time.monotonic() + LIMIT
        while not true() and self.process.poll() is None and time.monotonic() < limit:
            time.sleep(TICK)

    def until_said(self) -> None:
        """Wait for the first line."""
        self.until(lambda: self._said.stat().st_size > 0)

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes there are."""
        try:
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.Error:
            return []

    def session(self) -> list[int]:
        """Return the processes of the session that still run."""
        return [pid for pid in psutil.pids() if _session(pid) == self.process.pid]

    def signal_all(self, number: int) -> None:
        """Signal every process of the group, as a terminal and a batch system do."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


def _session(pid: int) -> int:
    try:
        alive = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return os.getsid(pid) if alive else -1
    except (OSError, psutil.Error):
        return -1


@dataclass
class Trial:
    """What one fault is tried with, and what came of it.

    Attributes:
        ground: the data set and its store.
        folder: of this trial alone.
        draw: random numbers of this trial.
        times: faults injected.
        lost: clips that could be made and are not in the store.
        wrong: records and files that are there and not the right ones.
        amiss: whatever else was not as it should be.
        line: what the user was told.
    """

    ground: Ground
    folder: Path
    draw: np.random.Generator
    times: int = 1
    lost: int = 0
    wrong: int = 0
    amiss: list[str] = field(default_factory=list)
    line: str = ""
    _runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.store = self.ground.root, self.folder / "store"

    def begin(
        self, *options: object, env: dict[str, str] | None = None, before: tuple[object, ...] = ()
    ) -> Run:
        """Start an extraction; `before` is a command that starts it."""
        paths = self.ground.options(self.root, self.store)
        command = [*before, PREP, "extract", *paths, *options]
        self._runs.append(Run(command, self.folder / f"said-{len(self._runs)}", env))
        return self._runs[-1]

    def extract(self, *options: object, **how: object) -> Ended:
        """Run an extraction with one worker to its end."""
        return self.begin("--workers", 1, *options, **how).wait()  # type: ignore[arg-type]

    def events(self) -> list[dict[str, Any]]:
        """Return what the runs recorded; a line that is being written is left out."""
        texts = [path.read_text() for path in sorted(self.store.glob("events/*/*.jsonl"))]
        lines = [line for text in texts for line in text.splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def begun(self, blocks: int = 1) -> bool:
        """Tell whether so many blocks were handed to workers."""
        return [event["event"] for event in self.events()].count("begun") >= blocks

    def moment(self, run: Run) -> None:
        """Wait for a random moment of a run: of its start, or while or after blocks are made."""
        if self.draw.random() < STARTING:
            self.pause(run, self.ground.seconds / 2)
        else:
            self.moment_of_work(run)

    def moment_of_work(self, run: Run) -> None:
        """Wait for a random moment while or after blocks are made."""
        blocks = int(self.draw.integers(1, BLOCKS + 1))
        run.until(lambda: self.begun(blocks))
        self.pause(run, 0.3)

    def hit(self, run: Run) -> None:
        """Count this trial only if the run has not ended by itself."""
        self.times = int(run.process.poll() is None)

    def pause(self, run: Run, longest: float) -> None:
        """Let a run go on for a random time of up to so many seconds."""
        deadline = time.monotonic() + self.draw.uniform(0, longest)
        run.until(lambda: time.monotonic() > deadline)

    def given(self) -> None:
        """Begin with a copy of the whole store, as a run without a fault left it."""
        shutil.copytree(self.ground.whole, self.store)

    def own_root(self) -> None:
        """Take a data set of one's own, whose files may be removed or replaced."""
        self.root = self.folder / "root"
        shutil.copytree(self.ground.root, self.root, copy_function=os.link)

    def recordings(self) -> list[Path]:
        """Return the data set's recordings."""
        return sorted([*self.root.glob("audio/*"), *self.root.glob("video/*")])

    def pick(self) -> Path:
        """Return one recording at random."""
        files = self.recordings()
        return files[self.draw.integers(len(files))]

    def close(self) -> Ended:
        """Run `avsc-prep close`."""
        self._runs.append(Run([PREP, "close", self.store], self.folder / "said-close", None))
        return self._runs[-1].wait()

    def expect(self, ended: Ended, *statuses: int) -> None:
        """Check the status of a run, and that it said nothing of its insides."""
        if ended.status not in statuses:
            self.amiss.append(f"status {ended.status}: {ended.text[-500:]}")
        if "Traceback" in ended.text:
            self.amiss.append(f"a traceback: {ended.text[-2000:]}")

    def says(self, ended: Ended, pattern: str) -> None:
        """Check that a run said a line, and keep it."""
        found = next((line for line in ended.text.splitlines() if re.search(pattern, line)), None)
        if found is None:
            self.amiss.append(f"nothing like {pattern!r} in: {ended.text[-500:]}")
        else:
            self.line = self._plain(found)

    def goes_on(self) -> None:
        """Run the same command again, which must finish the store, and compare it."""
        again = self.extract()
        self.expect(again, 0)
        if not self.line:
            self.says(again, RERUN)
        self.compare()

    def compare(
        self,
        spoilt: Collection[str] = (),
        whole: Content | None = None,
        kept: Records | None = None,
    ) -> None:
        """Compare the store with one that met no fault.

        Args:
            spoilt: clips that the fault itself made impossible; each must be named as a failure.
            whole: files of the store that is wanted; those of the ground's when None.
            kept: its records, likewise.
        """
        kept = self.ground.records if kept is None else kept
        try:
            found, failures = records(self.store), Store.open(self.store).failures
        except AvscError as fault:
            self.lost += len({clip for _, clip, _ in kept} - set(spoilt))
            self.amiss.append(f"the store cannot be read: {fault}")
            return
        wanted = {place: data for place, data in kept.items() if place[1] not in spoilt}
        self.lost += len({clip for product, clip, key in wanted.keys() - found.keys()})
        self.wrong += sum(found.get(place, data) != data for place, data in wanted.items())
        self.wrong += len([place for place in found if place not in kept])
        if not spoilt:
            whole = self.ground.content if whole is None else whole
            there = timeless(self.store)
            names = [name for name in {*whole, *there} if whole.get(name) != there.get(name)]
            self.wrong += len(names)
            self.amiss += [f"other bytes in {', '.join(names)}"] if names else []
        unnamed = set(spoilt) - {failure.clip for failure in failures}
        self.amiss += [f"not named: {', '.join(sorted(unnamed))}"] if unnamed else []
        left = [path.name for path in self.store.rglob(f"{TEMPORARY}*")]
        left += [CLAIMS] if (self.store / CLAIMS).exists() else []
        self.amiss += [f"left behind: {', '.join(left)}"] if left else []

    def end(self) -> None:
        """Check that no process of any run is left, and remove the folder."""
        limit = time.monotonic() + LIMIT
        while (left := [pid for run in self._runs for pid in run.session()]) and (
            time.monotonic() < limit
        ):
            time.sleep(TICK)
        for pid in left:
            self.amiss.append(f"still running after all: {psutil.Process(pid).cmdline()}")
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _plain(self, line: str) -> str:
        """Return a line without what differs from run to run."""
        line = line.replace(str(self.store), "STORE").replace(str(self.root), "ROOT")
        return re.sub(r"process \d+ on \S+?,", "process 123 on HOST,", line)
