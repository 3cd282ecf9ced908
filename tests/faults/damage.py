"""Flipped bits and cut files in stores and checkpoints: tries of `faults.target`, in batches."""

from pathlib import Path

from batches import in_batches
from faults.trial import Trial

PAGE = 4096


def flips(trial: Trial, count: int = 50) -> None:
    """Flip single bits, in files chosen at random."""
    _damage(trial, int(trial.draw.integers(1, 1 << 30)), count)


def cuts(trial: Trial) -> None:
    """Cut every file at every 4 KiB."""
    _damage(trial, 0, None)


def _damage(trial: Trial, seed: int, count: int | None) -> None:
    """Make so many tries, or as many as there are places; see `faults.target`."""
    module, folder = "faults.target", trial.folder / "damage"
    folder.mkdir()
    in_batches(module, folder, seed, 0, 0)
    tally = in_batches(module, folder, seed, 0, len(places(folder)) if count is None else count)
    trial.times = tally.tries
    trial.wrong += tally.found["other data"]
    trial.amiss += tally.amiss
    trial.line = ", ".join(f"{found}: {times}" for found, times in sorted(tally.found.items()))


def places(folder: Path) -> list[tuple[Path, int]]:
    """Return every file to be damaged at every 4 KiB, and without its last byte."""
    store = sorted(path for path in (folder / "store").rglob("*") if path.is_file())
    sizes = [(path, path.stat().st_size) for path in [*store, *sorted(folder.glob("*.pt"))]]
    return [(p, n) for p, size in sizes for n in sorted({*range(0, size, PAGE), size - 1})]
