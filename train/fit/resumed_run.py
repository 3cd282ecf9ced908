"""Whether the run in a folder is the one that is to be resumed; if not, in what they differ."""

from pathlib import Path

from avsc.manifests.errors import SettingError
from avsc.train.fit.run_record import RunRecord
from avsc.train.settings.declared import option


def check_same(previous: RunRecord, record: RunRecord, folder: Path) -> None:
    """Raise a `SettingError` naming the first difference in what affects two runs' results."""
    before, now = previous.identity(), record.identity()
    # Teacher and preset bring settings of their own; a split also differs when the store does.
    ranks = {"system": -3, "teacher": -2, "split": 1}
    if (presets := record.settings.presets) is not None:
        chosen_by = option(presets.chosen_by)
        ranks[chosen_by] = -1
        by_preset = map(option, presets.changed(previous.settings, record.settings))
        if any(before.get(name) != now.get(name) for name in by_preset):
            for identity, settings in ((before, previous.settings), (now, record.settings)):
                identity[chosen_by] = getattr(settings, presets.chosen_by)
    for name in sorted({*before, *now}, key=lambda name: (ranks.get(name, 0), name)):
        if before.get(name) != now.get(name):
            raise SettingError(
                f"{folder}: holds a run that was started with a different {name} "
                f"({before.get(name)!r}{previous.origins().get(name, '')}, now "
                f"{now.get(name)!r}{record.origins().get(name, '')}). Repeat the settings it was "
                "started with, name another folder by --out, or start over with --no-resume, which "
                "keeps the old folder beside the new."
            )
