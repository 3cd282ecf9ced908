"""Whether an encoder of another run may be used: it has not seen what the new one is tested on."""

from pathlib import Path

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.console import Console
from avsc.train.fit.encoders import DonorEncoder
from avsc.train.fit.run_record import read_record
from avsc.train.fit.split import Split, check_unseen, named_among, part_clips
from avsc.train.fit.trained_run import RecordedRun


def check_donor(
    donor: DonorEncoder, product: str, store: Store, split: Split, console: Console
) -> None:
    """Check that an encoder was trained on what the store has, and not on clips for test.

    Warns if validation clips were in the encoder's own training set. The same is checked of the
    runs that its run started from.

    Args:
        product: what it encodes of the store.
        store: the store of the new run.
        split: of the new run.
        console: shown the warning.

    Raises:
        SettingError: it was trained on the product with other parameters.
        AvscError: it was trained, or its best epoch chosen, on clips for test.
    """
    path, specs = donor.run.folder.path, donor.run.record.store.specs
    if product in specs and store.spec(product).digest != specs[product]:
        raise SettingError(
            f"{path}: trained on {product} {specs[product][:12]}, and {store.path} has "
            f"{store.spec(product).digest[:12]}: they were made with other parameters. Name a run "
            "on this store."
        )
    _check_seen(donor.run, str(path), store, split, console)
    check_earlier_runs(donor.run, store, split, console)


def check_earlier_runs(run: RecordedRun, store: Store, split: Split, console: Console) -> None:
    """Check the runs that a run took encoders from, or was taught by, and those that these did.

    One that is gone, is another by now, or cannot be read is not checked, which is said. Arguments
    and errors are otherwise those of `check_donor`.
    """
    record, settings = run.record, run.record.settings
    sources = (
        (settings.acoustic_run, record.acoustic),
        (settings.visual_run, record.visual),
        (settings.teacher, record.teacher),
    )
    for path, ref in sources:
        if path is None or ref is None:
            continue
        earlier = _earlier_run(path, run)
        if earlier is None or earlier.record.digest[:12] not in ref.origin:
            console.say(
                f"{run.folder.path}: depends on {ref.origin}, which is no longer there, or cannot "
                "be read, so that it is not known which clips that one has seen"
            )
            continue
        named = f"{earlier.folder.path} (on which {run.folder.path} depends)"
        _check_seen(earlier, named, store, split, console)
        check_earlier_runs(earlier, store, split, console)


def _earlier_run(path: Path, run: RecordedRun) -> RecordedRun | None:
    """Return the run where another one took something from; None if none can be read there."""
    try:
        folder = run.earlier(path)
        earlier = RecordedRun(folder, read_record(folder.settings))
        part_clips(earlier, "training")  # raises an error if its split cannot be read
    except (AvscError, OSError):  # e.g. another user's folder, or a run on labelled images
        return None
    return earlier


def _check_seen(run: RecordedRun, named: str, store: Store, split: Split, console: Console) -> None:
    """Refuse a run that has seen clips for test; warn if it was trained on validation clips."""
    check_unseen(run, named, store, split)
    if shared := named_among(store, split.validation, set(part_clips(run, "training"))):
        console.say(
            f"{named}: was trained on {len(shared)} of these {len(split.validation)} validation "
            "clips, so that validation will look too good; give both runs the same --seed and "
            "--validation"
        )
