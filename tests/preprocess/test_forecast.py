"""avsc-prep plan: what it predicts against what extraction then does; the batch script, run."""

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner, Result
from digests import digests
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import write_clips

from avsc.features.limits import Limits
from avsc.features.specs import SPECS
from avsc.features.store.layout import Description
from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.table import read_table
from avsc.preprocess.block import make_block
from avsc.preprocess.cli import program
from avsc.preprocess.forecast import draw, forecast, interval, span
from avsc.preprocess.plan import BlockTask, make_plan
from avsc.preprocess.workers.job_array import ArrayJob, jobs_needed, script

MANY = st.lists(st.floats(0.1, 1e6), min_size=2, max_size=30)


def task(block: int, rows: int) -> BlockTask:
    clips = tuple(Clip(f"{block}-{row}", "park", "a.wav", None) for row in range(64))
    spec = SPECS["scalogram"]()
    todo = {"scalogram": frozenset(range(rows))}
    return BlockTask(Path("store"), Path("root"), block, clips, {"scalogram": spec}, todo)


def test_clips_are_drawn_from_all_over_the_set() -> None:
    tasks = [task(block, 64) for block in range(10)]
    chosen = draw(tasks, 5, seed=3)
    assert [one.block // 2 for one, _ in chosen] == [0, 1, 2, 3, 4], "one from each fifth"
    names = [one.clips[row].id for one, row in chosen]
    assert names == [one.clips[row].id for one, row in draw(tasks, 5, seed=3)]
    assert names != [one.clips[row].id for one, row in draw(tasks, 5, seed=4)]
    few = draw([task(0, 3)], 8, seed=0)
    assert [row for _, row in few] == [0, 1, 2], "no clip twice"


@given(MANY)
def test_interval_is_that_of_students_t(values: list[float]) -> None:
    found = interval(values)
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, np.mean(values), max(scipy.stats.sem(values), 1e-300)
    )
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((max(low, 0), high), rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=40), st.integers(1, 50))
@settings(deadline=None)
def test_span_is_between_its_bounds(sizes: list[int], workers: int) -> None:
    """Handing out blocks in order is at most the mean and one block above the best possible."""
    found = span([task(block, size) for block, size in enumerate(sizes)], workers)
    assert max(max(sizes), sum(sizes) / workers) <= found <= sum(sizes) / workers + max(sizes)
    if workers == 1:
        assert found == sum(sizes)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 4, 1.0)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(program, list(map(str, arguments)), standalone_mode=False)


def said(result: Result) -> str:
    assert isinstance(result.exception, AvscError), (result.output, result.exception)
    return str(result.exception)


def test_prediction_from_all_clips_is_what_extraction_makes(manifest: Path, tmp_path: Path) -> None:
    """A sample of everything predicts bytes and files exactly."""
    store = tmp_path / "store"
    dataset = read_table(manifest, manifest.parent)
    specs = {name: spec() for name, spec in SPECS.items()}
    description = Description("clips", dataset.classes, 2, specs)
    seen = forecast(make_plan(store, dataset, description, "time"), len(specs), 99, seed=0)
    assert (seen.clips, len(seen.measured)) == (4, 4) and not store.exists()
    recordings = [path for path in manifest.parent.rglob("*.*") if path != manifest]
    assert sum(one.bytes_read for one in seen.measured) == sum(p.stat().st_size for p in recordings)
    assert all(one.seconds > 0 and one.failures == () for one in seen.measured)
    line = ("--manifest", manifest, "--out", store, "--block-size", 2)
    assert invoke("extract", *line).return_value == 0
    made = Store.open(store)
    sizes = {"scalogram": 2 * 290 * 4, "fbank": 2 * 256 * 4, "images": 1}
    total = sum(int(made.records(name).rows.sum()) * size for name, size in sizes.items())
    assert sum(one.bytes_made for one in seen.measured) == total
    assert seen.files == sum(path.is_file() for path in store.rglob("*"))
    again = invoke("plan", *line)
    assert again.return_value == 0 and again.stdout.endswith("Nothing to do.\n")


def test_through_the_command_line(manifest: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "store", tmp_path / "array.sh"
    line = ["plan", "--manifest", manifest, "--out", store, "--block-size", 2, "--sample", 2]
    more = ["--workers", 3, "--image-quality", 70, "--cluster-script", file, "--cores", 2]
    found = invoke(*line, *more)
    assert found.return_value == 0, found.exception
    for text in (
        "Measured 2 clips",
        "to do: 4 clips in 2 blocks",
        "on 3 workers; the busiest makes 2 clips",
        "18 files",
    ):
        assert text in found.stdout
    assert not store.exists()
    text = file.read_text()
    assert "#SBATCH --array=1-1\n" in text and "#SBATCH --time=04:00:00\n" in text
    (command,) = (shlex.split(line) for line in text.splitlines() if line.startswith("exec "))
    assert command[2] == "extract"
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options == {
        "--manifest": str(manifest),
        "--root": str(manifest.parent),
        "--out": str(store),
        "--image-quality": "70",
        "--block-size": "2",
        "--workers": "2",
        "--part": "$SLURM_ARRAY_TASK_ID/1",
    }


def test_clip_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    manifest = write_clips(tmp_path, 2, 1.0)
    (tmp_path / "audio/clip-1.wav").unlink()
    found = invoke("plan", "--manifest", manifest, "--out", tmp_path / "s")
    assert found.return_value == 0
    assert "could not be made: scalogram of clip-1: " in found.stdout


def test_clips_that_end_their_process_are_told(manifest: Path, tmp_path: Path) -> None:
    """By SIGALRM, when a clip's time is over; those of one block are given none."""
    dataset = read_table(manifest, manifest.parent)
    description = Description("clips", dataset.classes, 2, {"scalogram": SPECS["scalogram"]()})
    plan = make_plan(tmp_path / "store", dataset, description, "time")
    limits = Limits()
    object.__setattr__(limits, "timeout", 1e-6)  # less than one may ask for
    hasty = replace(plan.tasks[0], limits=limits)
    seen = forecast(replace(plan, tasks=(hasty, plan.tasks[1])), 1, 4, seed=0)
    assert seen.lost == ("clip-0", "clip-1")
    assert [one.clip for one in seen.measured] == ["clip-2", "clip-3"]
    with pytest.raises(AvscError, match="none of 2 clips could be measured"):
        forecast(replace(plan, tasks=(hasty,)), 1, 4, seed=0)


def test_array_makes_the_store_that_one_run_makes(manifest: Path, tmp_path: Path) -> None:
    """The script is run as Slurm runs it: by bash, once for each number."""
    array, file = tmp_path / "it's 50% #1 $(touch x)", tmp_path / "array.sh"
    line = ["--manifest", str(manifest), "--block-size", "2", "--products", "scalogram"]
    jobs = ArrayJob(3600, 1, 600_000_000)
    file.write_text(script([*line, "--out", str(array)], array, 2, "01:00:00", jobs))
    assert "#SBATCH --mem=1000M\n" in file.read_text()
    written = '"it\'s 50%% #1 $(touch x)-%A-%a.log"'
    assert f"#SBATCH --output={written}\n" in file.read_text()
    for number in (2, 1):
        done = subprocess.run(
            ["bash", file],
            env={"SLURM_ARRAY_TASK_ID": str(number), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert invoke("close", array).return_value == 0
    dataset = read_table(manifest, manifest.parent)
    specs = {"scalogram": SPECS["scalogram"]()}
    for made in make_plan(
        tmp_path / "one", dataset, Description("clips", dataset.classes, 2, specs), "time"
    ).tasks:
        make_block(made)
    parts = [digests(store, "part-*.h5") for store in (array, tmp_path / "one")]
    assert len(parts[0]) == 2 and parts[0] == parts[1]


@pytest.mark.parametrize("option", ["--out", "--root"])
def test_a_name_of_two_lines_is_in_no_script(option: str) -> None:
    """In a comment, its second line would be run."""
    name = "a\ntouch x\n#"
    with pytest.raises(
        SettingError, match=rf"{option} is 'a\\ntouch x\\n#'; a batch script holds no"
    ):
        script([option, name], Path(name), 2, "01:00:00", ArrayJob(3600, 1, 0))


def test_length_of_the_array() -> None:
    jobs = ArrayJob(walltime=4000, cores=4, worker_bytes=0)
    assert jobs_needed(100 * 1000.0, 100, jobs) == 9, "a worker makes three blocks in its time"
    assert jobs_needed(5.0, 100, jobs) == 1
    assert jobs_needed(20 * 3000.0, 20, jobs) == 5, "one block a worker"
    with pytest.raises(SettingError, match=r"a block takes 67 min and a job has 50 min"):
        jobs_needed(20 * 4000.0, 20, jobs)


def test_wrong_use(manifest: Path, tmp_path: Path) -> None:
    for text in ("4h", "04:00", "1-2", "-1:00:00", "aa:00:00"):
        found = invoke("plan", "--manifest", manifest, "--out", tmp_path / "s", "--walltime", text)
        assert f"--walltime is '{text}'; [days-]hours:minutes:seconds is wanted." in said(found)
