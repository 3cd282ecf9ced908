"""Processes that are killed, and users who press Ctrl-C."""

import signal
from contextlib import suppress

import psutil
from faults.ground import BLOCKS
from faults.trial import Ended, Run, Trial

KILLS = 4  # of workers in one run
HEARING = ("env", "--default-signal=INT")  # a program in the background hears no Ctrl-C otherwise
LOST = r"a worker was lost|lost its workers|did not start"


def one_worker(trial: Trial) -> None:
    """SIGKILL one of two workers, several times in a run."""
    run, trial.times = trial.begin("--workers", 2), 0
    for _ in range(KILLS):
        trial.moment(run)
        if workers := run.workers():
            with suppress(psutil.NoSuchProcess):  # the one before may have been about to end
                workers[trial.draw.integers(len(workers))].kill()
                trial.times += 1
    _after(trial, run.wait())


def all_workers(trial: Trial) -> None:
    """SIGKILL both workers at the same moment."""
    run = trial.begin("--workers", 2)
    trial.moment(run)
    run.until(lambda: bool(run.workers()))
    workers = run.workers()
    for worker in workers:
        worker.kill()
    trial.times = int(bool(workers))
    _after(trial, run.wait())


def _after(trial: Trial, ended: Ended) -> None:
    """Check a run whose workers were killed: it said so if they had blocks, and went on."""
    if any(event["event"] == "worker-lost" and event["blocks"] for event in trial.events()):
        trial.says(ended, LOST)
    trial.expect(ended, 0, 1)
    if ended.status:
        trial.says(ended, LOST)
        trial.goes_on()
    else:
        trial.compare()


def driver(trial: Trial) -> None:
    """SIGKILL the program itself; the same command is given again at once."""
    run = trial.begin("--workers", 2)
    trial.moment(run)
    trial.hit(run)
    run.process.kill()
    run.wait()
    trial.goes_on()


def _stopped(trial: Trial, run: Run, status: int, line: str) -> None:
    """Check a run that was stopped, unless it had ended before; the same command goes on."""
    ended = run.wait()
    trial.expect(ended, status, 0)
    if ended.status == status:
        trial.says(ended, line)
    trial.goes_on()


def ctrl_c(trial: Trial) -> None:
    """Ctrl-C once: SIGINT to every process of the group, as a terminal sends it."""
    run = trial.begin("--workers", 2, before=HEARING)
    run.until_said()
    trial.moment(run)
    trial.hit(run)
    run.signal_all(signal.SIGINT)
    _stopped(trial, run, 130, "interrupted; run the command again to resume")


def ctrl_c_twice(trial: Trial) -> None:
    """Ctrl-C, and again within half a second."""
    run = trial.begin("--workers", 2, before=HEARING)
    run.until_said()
    trial.moment(run)
    trial.hit(run)
    run.signal_all(signal.SIGINT)
    trial.pause(run, 0.5)
    run.signal_all(signal.SIGINT)
    _stopped(trial, run, 130, "Ctrl-C again leaves at once|interrupted")


def walltime(trial: Trial) -> None:
    """SIGTERM while blocks are made, to the program alone or to all of its processes."""
    run = trial.begin("--workers", 2)
    trial.moment_of_work(run)
    trial.hit(run)
    if trial.draw.random() < 0.5:
        run.process.terminate()
    else:
        run.signal_all(signal.SIGTERM)
    _stopped(trial, run, 143, "terminated; run the command again to resume")


def before_rename(trial: Trial) -> None:
    """SIGKILL when a file is written and flushed, and not yet renamed."""
    heads = ("store.json", "clips.csv", "failures.csv", "request.json")
    files = (*heads, *(f"{_block(trial)}.h5" for _ in heads))
    _die(trial, "rename", str(trial.draw.choice(files)))


def before_mark(trial: Trial) -> None:
    """SIGKILL when a part is renamed, and its receipt, or the store's index, is not."""
    folder = int(trial.draw.integers(6 * BLOCKS))  # flushed after each part and each receipt
    calls = (("rename", f"{_block(trial)}.json", 0), ("fsyncdir", "/000", folder))
    _die(trial, *[*calls, ("rename", "index.h5", 0)][trial.draw.integers(3)])


def _block(trial: Trial) -> str:
    return f"part-{trial.draw.integers(BLOCKS):05d}"


def _die(trial: Trial, call: str, path: str, passing: int = 0) -> None:
    """Let the process that comes to a system call die in it, once."""
    once = trial.folder / "once"
    once.mkdir()
    rule = f"{call}:{path}:die:{passing}"
    ended = trial.extract(env={**trial.ground.failing, "FAILING": rule, "ONCE": str(once)})
    if not list(once.iterdir()):
        trial.amiss.append(f"nothing came to {rule}")
    trial.expect(ended, 0, -signal.SIGKILL)
    if ended.status:
        trial.goes_on()
    else:
        trial.says(ended, LOST)
        trial.compare()
