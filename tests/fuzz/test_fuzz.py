"""A few damaged files through the entry points; `make fuzz` tries 20,000."""

from pathlib import Path

import numpy as np
from faults.ground import PREP, records
from faults.trial import Run
from fuzz.mutations import mutated
from fuzz.table import fuzzed
from recordings import write_clips

from avsc.features.store.reader import Store

TRIES = 500
CLIPS, GOOD = 24, 4
FOUND = (6993, 10892)  # a sound track and a WAV whose finite samples gave an infinite spectrum


def test_damaged_files_are_refused_or_harmless(tmp_path: Path) -> None:
    tally = fuzzed(tmp_path, 0, TRIES)
    assert tally.amiss == [] and tally.tries == TRIES
    came = {kind for kind in tally.found if tally.found[kind] > TRIES / 50}
    assert came >= {"wav made", "wav refused", "mp4 refused", "csv made", "csv refused"}


def test_what_was_found_once(tmp_path: Path) -> None:
    """Tries of `make fuzz` that came to no good before what they found was mended."""
    for number in FOUND:
        tally = fuzzed(tmp_path, number, 1)
        assert tally.amiss == [] and tally.tries == 1


def test_good_clips_among_damaged_ones(tmp_path: Path) -> None:
    """Through the command: all clips but a few are damaged; those few are as they were before."""
    draw, root, store = np.random.default_rng(0), tmp_path / "root", tmp_path / "store"
    manifest = write_clips(root, CLIPS, 1.0)
    options = ("--manifest", manifest, "--out", store, "--block-size", CLIPS, "--workers", 1)
    assert Run([PREP, "extract", *options], tmp_path / "said", None).wait().status == 0
    before = records(store)
    files = sorted([*root.glob("audio/*"), *root.glob("video/*")])
    others = [path.read_bytes() for path in files]
    good = {f"clip-{number}" for number in range(GOOD)}
    for path in files:
        if path.stem not in good:
            path.write_bytes(mutated(path.read_bytes(), draw, others))
    ended = Run([PREP, "extract", *options], tmp_path / "said", None).wait()
    assert ended.status == 3 and "Traceback" not in ended.text, ended.text
    found = {place: data for place, data in records(store).items() if place[1] in good}
    assert found == {place: data for place, data in before.items() if place[1] in good}
    assert {failure.clip for failure in Store.open(store).failures}.isdisjoint(good)
