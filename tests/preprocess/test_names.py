"""Names of clips, files and folders through avsc-prep: found, warned of, quoted, shown."""

import csv
import io
import shlex
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from extraction import World
from recordings import write_clips
from worst import NAMES

from avsc.features.store.layout import clips_file
from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.table import encode_table
from avsc.preprocess.cli import program
from avsc.preprocess.request import ExtractionRequest
from avsc.preprocess.request_file import save_request

ACCENTED = "caf\u00e9"


def prep(*arguments: object) -> Result:
    return CliRunner().invoke(program, list(map(str, arguments)), standalone_mode=False)


def rename(root: Path, form: str) -> Path:
    """Give the files names with an accent in one Unicode form; list them in the other."""
    listed = "NFC" if form == "NFD" else "NFD"
    manifest = write_clips(root, 2)
    for path in (*root.glob("audio/*"), *root.glob("video/*")):
        path.rename(path.with_name(unicodedata.normalize(form, f"{ACCENTED} {path.name}")))
    text = manifest.read_text().replace("/clip", f"/{ACCENTED} clip")
    manifest.write_text(unicodedata.normalize(listed, text))
    return manifest


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_recordings_are_found_in_the_other_form_and_made_once(tmp_path: Path, form: str) -> None:
    rename(tmp_path / "root", form)
    world = World(tmp_path, write=False)
    world.make()
    store = Store.open(world.store)
    assert store.failures == () and set(store.records("images").clip.tolist()) == {0, 1}
    assert [clip.audio for clip in store.clips] == [clip.audio for clip in world.dataset.clips]
    for check in ("time", "content"):
        assert not world.plan(check).tasks
    sound = next((world.root / "audio").iterdir())
    sound.write_bytes(sound.read_bytes() + b"\0\0")
    assert world.plan().reasons == {"source changed": 3}
    save_request(ExtractionRequest(world.store, world.dataset, world.description, "time"))
    told = prep("explain", f"clip-{sound.stem[-1]}", "--store", world.store)
    assert told.return_value == 0 and "absent" not in told.stdout, told.exception


def test_what_is_doubtful_is_said_by_extract_plan_and_info(tmp_path: Path) -> None:
    world = World(tmp_path)
    rows = [
        replace(clip, scene=("park", "Park")[n % 2], fold=("train", "test")[n % 2], location="x-1")
        for n, clip in enumerate(world.dataset.clips)
    ]
    world.manifest.write_bytes(encode_table(rows))
    notes = [
        "Note: scenes that differ by blanks, capitals or Unicode form alone: 'Park' and 'park'; "
        "they count as different.",
        "Note: 1 location in both the training fold and the test fold: 'x-1'; figures on the test "
        "fold will be too good.",
    ]
    for verb in ("extract", "plan"):
        more = ["--dry-run"] if verb == "extract" else ["--sample", 2, "--products", "fbank"]
        done = prep(verb, "--manifest", world.manifest, "--out", world.store, *more)
        assert done.return_value == 0, done.exception
        assert done.stderr.splitlines()[:2] == notes
    world.make()
    clips_file(world.store).write_bytes(encode_table(rows))
    assert prep("info", world.store).stdout.splitlines()[2:4] == notes


def test_blanks_at_the_ends_end_the_command_with_the_line(tmp_path: Path) -> None:
    manifest = write_clips(tmp_path / "root", 2)
    manifest.write_text(manifest.read_text().replace("clip-1,scene1", "clip-1,scene1 "))
    for verb in ("extract", "plan"):
        done = prep(verb, "--manifest", manifest, "--out", tmp_path / "store")
        assert str(done.exception) == (
            f"{manifest}, line 3: scene 'scene1 ' has blanks at its ends; write it as 'scene1'."
        )
    assert not (tmp_path / "store").exists()


def test_next_lines_can_be_copied(tmp_path: Path) -> None:
    out = tmp_path / "a set $(x)'s"
    done = prep("synth", "--out", out, "--clips-per-scene", 4, "--seconds", 1, "--size", "32x32")
    assert done.return_value == 0, done.exception
    line = done.stdout.splitlines()[-1].removeprefix("Next: ")
    assert shlex.split(line) == f"avsc-prep extract --dataset TAU2021 --root|{out}".replace(
        " ", "|", 4
    ).split("|")  # fmt: skip
    script, store = tmp_path / "my job.sh", tmp_path / "a store"
    done = prep(
        *("plan", "--dataset", "TAU2021", "--root", out, "--out", store, "--products", "fbank"),
        *("--sample", 2, "--cluster-script", script),
    )
    assert done.return_value == 0, done.exception
    first, _, then = done.stdout.splitlines()[-1].removeprefix("Next: ").partition("; then ")
    assert shlex.split(first) == ["sbatch", str(script)]
    assert shlex.split(then) == ["avsc-prep", "close", str(store)]


def test_exported_failures_are_no_formulas(tmp_path: Path) -> None:
    world = World(tmp_path)
    rows = [
        Clip(name, "park", f"no/{number}.wav", clip.video)
        for number, (name, clip) in enumerate(zip(sorted(NAMES), world.dataset.clips, strict=False))
    ]
    world.manifest.write_bytes(encode_table(rows))
    world = World(tmp_path, write=False)
    world.make()
    done = prep("failures", world.store, "--product", "fbank", "--export", tmp_path / "some.csv")
    assert done.return_value == 0, done.exception
    text = (tmp_path / "some.csv").read_text()
    found = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    wanted = [clip.id for clip in rows]
    assert [row["clip"] for row in found] == [f"'{n}" if n[0] in "=-" else n for n in wanted]
    assert [failure.clip for failure in Store.open(world.store).failures[::2]] == wanted
