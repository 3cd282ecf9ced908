"""Cross-validation over locations: a run for each group of them, one after another.

Each is a run like any other, in ``DIR/fold-01`` and so on, with its own split: the group's clips
are for test, and of the others some are for validation. The same command resumes one that was
killed: runs that are complete are only opened, the one that was stopped continues.
"""

from dataclasses import replace
from pathlib import Path

from avsc.manifests.errors import DONE, SettingError
from avsc.train.fit.distributed import started_together
from avsc.train.fit.run_folder import RunFolder, fold_path
from avsc.train.fit.train import train
from avsc.train.settings.scenes import Settings
from avsc.train.systems import System


def cross_validate(
    system: System, settings: Settings, out: Path, resume: bool, wait: bool = False
) -> int:
    """Train the runs of a cross-validation, or the one that settings name; return the exit status.

    Args:
        out: folder of the runs' folders.
        resume: resume the runs that are there; otherwise set them aside.
        wait: for another process that trains in a run's folder.

    Raises:
        SettingError: a run of another kind is there, or several processes would share each run.
        AvscError: a run cannot be trained.
    """
    if RunFolder(out).started:
        raise SettingError(
            f"{out}: holds a run that is no cross-validation. Name another folder by --out."
        )
    numbers = [settings.fold_number] if settings.fold_number else range(1, settings.folds + 1)
    if len(numbers) > 1 and started_together():
        raise SettingError(
            "--folds trains one run after another in one process. To train each by several, name "
            "it by --fold-number."
        )
    for number in numbers:
        chosen = replace(settings, fold_number=number)
        status = train(system, chosen, fold_path(out, number), resume, wait)
        if status != DONE:
            return status
    return DONE
