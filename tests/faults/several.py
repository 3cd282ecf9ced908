"""Several runs on one store at once, and a clock that is set back between two."""

from collections import Counter

from faults.trial import Trial

LEFT = r"Left to process \d+ on "
BACK = (5, 3600, 86_400, 10 * 365 * 86_400)  # seconds


def two(trial: Trial) -> None:
    """The same command twice, the second up to a run's time later."""
    first = trial.begin("--workers", 1)
    trial.pause(first, trial.ground.seconds)
    second = trial.begin("--workers", 1)
    both = [first.wait(), second.wait()]
    for ended in both:
        trial.expect(ended, 0, 75)
        if ended.status == 75:
            trial.says(ended, LEFT)
    if 0 not in {ended.status for ended in both}:
        trial.amiss.append("neither closed the store")
    if not trial.line:
        trial.says(both[1], "Fingerprint")
    _once(trial)
    trial.compare()


def parts(trial: Trial) -> None:
    """Parts 1/2, 2/2 and 1/2 again of a job array, all at once; then the store is closed."""
    runs = [trial.begin("--workers", 1, "--part", part) for part in ("1/2", "2/2", "1/2")]
    for run in runs:
        ended = run.wait()
        trial.expect(ended, 0, 75)
        if ended.status == 75:
            trial.says(ended, LEFT)
    _once(trial)
    closed = trial.close()
    trial.expect(closed, 0)
    trial.says(closed, "Fingerprint")
    trial.compare()


def _once(trial: Trial) -> None:
    """Count blocks that were made twice: harmless, and yet work for nothing."""
    made = Counter(event["block"] for event in trial.events() if event["event"] == "done")
    twice = [block for block, count in made.items() if count > 1]
    trial.amiss += [f"made twice: blocks {twice}"] if twice else []


def clock(trial: Trial) -> None:
    """A run is killed; the next has its clock set back by seconds, hours or years."""
    run = trial.begin("--workers", 2)
    trial.moment_of_work(run)
    trial.hit(run)
    run.process.kill()
    run.wait()
    env = {**trial.ground.clock, "SET_BACK": str(trial.draw.choice(BACK))}
    again = trial.extract(env=env)
    trial.expect(again, 0)
    trial.says(again, r"to do: \d+ clips in \d+ blocks|Nothing to do\.")
    trial.compare()
