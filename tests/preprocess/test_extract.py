"""avsc-prep through its installed command and through CliRunner."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from digests import digests
from recordings import write_clips, write_sound

from avsc.features.store.layout import index_file, part_file, receipt_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.preprocess.cli import program

PREP = Path(sys.executable).with_name("avsc-prep")


def prep(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed program."""
    command = [str(PREP), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def extract(manifest: Path, store: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return prep("extract", "--manifest", manifest, "--out", store, "--block-size", 2, *more)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 6)


@pytest.fixture(scope="module")
def store(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one worker makes."""
    path = tmp_path_factory.mktemp("one") / "store"
    done = extract(manifest, path, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return path


def test_two_workers_make_the_same_bytes_as_one(
    manifest: Path, store: Path, tmp_path: Path
) -> None:
    done = extract(manifest, tmp_path / "two", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "two", "*.h5") == digests(store, "*.h5")
    assert Store.open(store).fingerprint in done.stdout


def test_rerun_does_nothing(manifest: Path, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    done = extract(manifest, store)
    assert done.returncode == 0 and "Nothing to do." in done.stdout
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_dry_run_makes_nothing(manifest: Path, tmp_path: Path) -> None:
    done = extract(manifest, tmp_path / "store", "--dry-run")
    assert done.returncode == 0 and "to do: 6 clips in 3 blocks" in done.stdout
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_run_goes_on_and_ends_with_the_same_bytes(
    manifest: Path, store: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    path = tmp_path / "store"
    command = [PREP, "extract", "--manifest", manifest, "--out", path, "--block-size", 2]
    driver = subprocess.Popen(
        list(map(str, [*command, "--workers", 1])),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 600
    while not list(path.rglob("*.json")) and time.monotonic() < limit and driver.poll() is None:
        time.sleep(0.02)
    driver.send_signal(kind)
    status = driver.wait(600)
    expected = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert status in (expected[kind], 0)
    done = extract(manifest, path)
    assert done.returncode == 0, done.stderr
    assert digests(path, "*.h5") == digests(store, "*.h5")


def test_failures_are_listed_with_status_3(manifest: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(manifest.parent, root)
    (root / "audio/clip-0.wav").unlink()
    done = extract(root / "clips.csv", tmp_path / "store")
    assert done.returncode == 3, done.stderr
    assert "clip-0 scalogram" in done.stdout and "no such file; wanted a recording" in done.stdout
    assert extract(root / "clips.csv", tmp_path / "store").returncode == 3


def test_verify_through_the_command_line(store: Path, tmp_path: Path) -> None:
    assert prep("verify", store).returncode == 0
    damaged = tmp_path / "store"
    shutil.copytree(store, damaged)
    victim = next(damaged.rglob("part-00001.h5"))
    data = bytearray(victim.read_bytes())
    data[-100] ^= 4
    victim.write_bytes(data)
    next(damaged.rglob("part-00002.h5")).unlink()
    found = prep("verify", damaged)
    assert found.returncode == 5
    assert str(victim) in found.stderr and "part-00002.h5: missing" in found.stderr


def test_info_says_what_a_store_holds(store: Path) -> None:
    done = prep("info", store)
    assert done.returncode == 0
    for text in ("6 clips", "scalogram", "3/3 parts", "12 records", "Closed. Fingerprint"):
        assert text in done.stdout
    # Noise of 0.01, of which a third lies below 8 kHz: -44.8 dBFS.
    levels = re.findall(r"median (-\d+\.\d) dBFS, 5th percentile \S+, 95th \S+; 6 cl", done.stdout)
    assert len(levels) == 2 and abs(float(levels[0]) + 44.8) < 0.3


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from avsc.preprocess.cli import program\n"
        "try: program(['--help'])\n"
        "except SystemExit: print({'dask', 'torch', 'av', 'h5py', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


# Bad input -----------------------------------------------------------------------------------


def invoke(*arguments: object) -> Result:
    """Run the program in this process; a fault of the user's is the result's exception."""
    return CliRunner().invoke(program, list(map(str, arguments)), standalone_mode=False)


def says(result: Result) -> str:
    assert isinstance(result.exception, AvscError), result.exception
    return str(result.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,audio,video\na,a.wav,a.mp4\n", "no column 'scene'; found id, audio, video"),
        ("id\tscene,audio\na\tb,c\n", "no column 'scene'"),
        ("id,scene,audio\na,x,a.wav\na,x,b.wav\n", "line 3: clip 'a' was listed before"),
        ("id,scene,audio\na,x,../a.wav\n", "leaves the data set's folder"),
        ("id,scene,audio\na,x,/etc/passwd\n", "is absolute"),
        ("id,scene,audio\na,x,b\\a.wav\n", "backslash"),
        ("id,scene,audio,fold\na,x,a.wav,dev\n", "fold 'dev'; known are train, test"),
        ("id,scene,audio\na,x\n", "line 2: 2 columns; the header has 3"),
        ("id,scene,audio,video\na,x,,\n", "neither audio nor video"),
        ("id,scene,audio\n", "lists no clips"),
    ],
)
def test_bad_manifest(tmp_path: Path, text: str, said: str) -> None:
    manifest = tmp_path / "clips.csv"
    manifest.write_text(text)
    found = invoke("extract", "--manifest", manifest, "--out", tmp_path / "store")
    assert said in says(found)
    assert str(manifest) in says(found) or "clips:" in says(found)
    assert not (tmp_path / "store").exists()


def test_bad_manifest_leaves_one_line_and_status_1(tmp_path: Path) -> None:
    done = prep("extract", "--manifest", tmp_path / "none.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("avsc-prep: error: ") and done.stderr.count("\n") == 1


def test_wrong_use_is_status_2(tmp_path: Path) -> None:
    assert prep("extract").returncode == 2
    assert prep("extract", "--dataset", "TAU2099").returncode == 2
    done = prep("extrakt")
    assert done.returncode == 2 and "Did you mean 'extract'?" in done.stderr
    (tmp_path / "a.toml").write_text("blok-size = 3\n")
    done = prep("extract", "--config", tmp_path / "a.toml")
    assert done.returncode == 2 and "Did you mean 'block-size'?" in done.stderr


def test_data_set_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    environment = {**os.environ, "AVSC_DATA": str(tmp_path)}
    command = [str(PREP), "extract", "--dataset", "TAU2021"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 1
    for text in (str(tmp_path / "TAU2021"), "data/TAU2021", "zenodo.org/records/4477542", "--root"):
        assert text in done.stderr


def test_store_of_another_block_size_or_data_set(
    manifest: Path, store: Path, tmp_path: Path
) -> None:
    found = invoke("extract", "--manifest", manifest, "--out", store, "--block-size", 3)
    assert "made with --block-size 2, not 3" in says(found)
    other = tmp_path / "other.csv"
    shutil.copy(manifest, other)
    found = invoke("extract", "--manifest", other, "--root", manifest.parent, "--out", store)
    assert "a store of clips, not of other" in says(found)


def test_folder_that_is_no_store_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    found = invoke("extract", "--manifest", manifest, "--out", tmp_path)
    assert "not empty, and no store" in says(found)


def test_folder_of_a_run_that_was_killed_at_once_is_taken(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / ".tmp-elsewhere-1-store.json").write_text("{")
    found = invoke("extract", "--manifest", manifest, "--out", tmp_path, "--dry-run")
    assert found.exception is None


def test_file_size_limit_ends_in_one_line_and_keeps_what_is_made(
    manifest: Path, store: Path, tmp_path: Path
) -> None:
    """The part files do not fit under the limit; the receipts do."""
    path = tmp_path / "store"
    shutil.copytree(store, path)
    for product in ("scalogram", "images"):
        next((path / product).rglob("part-00001.h5")).unlink()
    line = f"ulimit -f 20; exec {PREP} extract --manifest {manifest} --out {path} --block-size 2"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert extract(manifest, path).returncode == 0
    assert digests(path, "*.h5") == digests(store, "*.h5")


def test_sound_of_every_bad_kind(tmp_path: Path) -> None:
    """One clip a fault; the good clip and the silent one are kept."""
    import numpy as np
    import soundfile

    root = tmp_path / "audio"
    good = write_sound(root / "good.wav")
    data = good.read_bytes()
    (root / "empty.wav").write_bytes(b"")
    (root / "header.wav").write_bytes(data[:20])
    (root / "cut.wav").write_bytes(data[: len(data) // 2])
    noise = np.random.default_rng(0).normal(0, 0.1, (96_000, 2))
    soundfile.write(root / "mono.wav", noise[:, 0], 48_000, subtype="PCM_24")
    soundfile.write(root / "nan.wav", np.where(noise > 0.3, np.nan, noise), 48_000, subtype="FLOAT")
    loud = np.copysign(1e38, noise)
    soundfile.write(root / "loud.wav", loud, 48_000, subtype="FLOAT")
    soundfile.write(root / "silent.wav", 0 * noise, 48_000, subtype="PCM_24")
    soundfile.write(root / "slow.wav", noise[:88_200], 44_100, subtype="PCM_16")
    write_sound(root / "short.wav", 0.3)
    names = ["missing", *(path.stem for path in root.iterdir())]
    manifest = tmp_path / "clips.csv"
    manifest.write_text(
        "id,scene,audio\n" + "".join(f"{name},x,audio/{name}.wav\n" for name in names)
    )
    done = prep(
        "extract", "--manifest", manifest, "--out", tmp_path / "store", "--products", "scalogram"
    )
    assert done.returncode == 3 and "Warning" not in done.stderr, done.stderr
    assert "silent.wav: digital silence; kept." in done.stderr
    store = Store.open(tmp_path / "store")
    found = {f.clip: (f.code, f.message.removeprefix(str(root))) for f in store.failures}
    assert found == {
        "missing": ("missing", "/missing.wav: no such file; wanted a recording."),
        "empty": ("empty", "/empty.wav: 0 bytes; copy the file again."),
        "header": (
            "truncated",
            "/header.wav: a WAV file that ends before its sound; copy it again.",
        ),
        "cut": ("truncated", found["cut"][1]),
        "mono": (
            "mono",
            "/mono.wav: mono; wanted stereo, because half of what is kept is the difference.",
        ),
        "nan": (
            "not-finite",
            "/nan.wav: samples that are infinite or no numbers; make it again.",
        ),
        "loud": (
            "not-finite",
            "/loud.wav: samples so large that they have no spectrum; wanted none far beyond 1: "
            "scale the recording down, or make it again.",
        ),
        "short": (
            "too-short",
            "/short.wav: 0.300 s of sound; one window needs 0.512 s. Nothing is padded: leave the "
            "clip out.",
        ),
    }
    assert re.fullmatch(
        r"/cut.wav: declares \d+ bytes of sound, holds \d+; copy it again.", found["cut"][1]
    )
    made = {store.clips[row].id for row in store.records("scalogram").clip}
    assert made == {"good", "silent", "slow"}


def test_half_written_part_is_made_again(manifest: Path, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    shutil.copytree(store, path)
    opened = Store.open(path)
    spec = opened.spec("images")
    victim = part_file(path, spec, 0)
    victim.write_bytes(victim.read_bytes()[:1000])
    index_file(path).unlink()
    assert receipt_file(path, spec, 0).exists()
    assert extract(manifest, path).returncode == 0
    assert digests(path, "*.h5") == digests(store, "*.h5")
