"""Bad lists, videos, stores and disks through the command line: one line, status, nothing lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from digests import digests
from lists import write_lists
from recordings import write_clips, write_sound
from videos import drawn, write_video

from avsc.features.jpeg import decode
from avsc.features.store.layout import description_file
from avsc.features.store.reader import Store
from avsc.manifests.files import TEMPORARY
from avsc.preprocess.cli import main

PREP = Path(sys.executable).with_name("avsc-prep")


def prep(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed program."""
    command = [str(PREP), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("meta.csv", "\t", ",", "separated by a comma; a TAB is wanted"),
        ("meta.csv", "identifier", "location", "no column 'identifier'"),
        ("meta.csv", "\tbus\t", "\tboat\t", "unknown scene 'boat'"),
        ("meta.csv", "audio/bus", "../audio/bus", "leaves the data set's folder"),
        ("meta.csv", "airport-helsinki-3-112", "bus-lyon-1102-41514", "listed before"),
        ("evaluation_setup/fold1_train.csv", "airport-helsinki-3", "airport-rome-3", "not in meta"),
        ("evaluation_setup/fold1_train.csv", "\tbus\n", "\ttram\n", "'tram' here and 'bus'"),
    ],
)
def test_bad_lists_of_tau2021(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    old: str,
    new: str,
    said: str,
) -> None:
    write_lists(tmp_path)
    path = tmp_path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    arguments = ["extract", "--dataset", "TAU2021", "--root", tmp_path, "--out", tmp_path / "store"]
    monkeypatch.setattr(sys, "argv", ["avsc-prep", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    error = capsys.readouterr().err
    assert left.value.code == 1
    assert error.startswith(f"avsc-prep: error: {path}") and said in error
    assert error.count("\n") == 1 and not (tmp_path / "store").exists()


def test_images_of_every_bad_kind(tmp_path: Path) -> None:
    """One clip a fault, each with two seconds of good sound; what can be made is made."""
    videos, rng = tmp_path / "video", np.random.default_rng(0)
    videos.mkdir()
    shown = list(drawn(20, rng))

    def write(name: str, images: list[np.ndarray], **how: object) -> Path:
        return write_video(videos / f"{name}.mp4", images, rate=10, **how)  # type: ignore[arg-type]

    good = write("good", shown).read_bytes()
    write("shorter", shown[:9])
    write("longer", shown + shown)
    write("rotated", shown, rotation=90)
    write("uneven", shown, times=[Fraction(i * i, 200) for i in range(20)])
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "cut.mp4").write_bytes(good[: len(good) // 2])
    shutil.copy(write_sound(tmp_path / "audio" / "tone.wav"), videos / "soundonly.mp4")
    names = ["missing", *(path.stem for path in videos.iterdir())]
    manifest = tmp_path / "clips.csv"
    rows = [f"{name},x,audio/tone.wav,video/{name}.mp4" for name in names]
    manifest.write_text("\n".join(["id,scene,audio,video", *rows]) + "\n")
    done = prep("extract", "--manifest", manifest, "--out", tmp_path / "store",
                "--products", "scalogram,images", "--workers", 1)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    store = Store.open(tmp_path / "store")
    assert {(f.clip, f.product, f.key): f.code for f in store.failures} == {
        ("missing", "images", None): "missing",
        ("empty", "images", None): "empty",
        ("cut", "images", None): "truncated",
        ("soundonly", "images", None): "no-video",
        ("shorter", "images", 1): "no-picture",
    }
    said = {f.clip: f.message for f in store.failures}
    ends = {
        "missing": "no such file; wanted a recording.",
        "empty": "0 bytes; copy the file again.",
        "cut": "copy it again.",
        "soundonly": "holds audio, no video stream; wanted a video.",
        "shorter": "there are frames from 0 s to 0.9 s.",
    }
    for name, end in ends.items():
        assert said[name].startswith(f"{videos / name}.mp4: ") and said[name].endswith(end)
        assert len(said[name]) < 300
    assert len(set(store.records("scalogram").clip.tolist())) == len(names)
    images = store.records("images")
    seconds: dict[str, list[int]] = {name: [] for name in names}
    for number, row in enumerate(images.clip):
        seconds[store.clips[row].id].append(int(images.key[number]))
        height, width, _ = decode(images.read(number)).shape
        assert (height > width) == (store.clips[row].id == "rotated")
    assert {name: tuple(found) for name, found in seconds.items() if found} == {
        **dict.fromkeys(("good", "longer", "rotated", "uneven"), (0, 1)),
        "shorter": (0,),
    }


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


def test_store_of_another_schema_is_left_as_it_is(manifest: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    description_file(store).write_text('{"schema": 99}')
    for verb in (["extract", "--manifest", manifest, "--out"], ["info"], ["verify"]):
        done = prep(*verb, store)
        assert done.returncode == 1
        assert "schema version 99" in done.stderr and done.stderr.count("\n") == 1
    assert description_file(store).read_text() == '{"schema": 99}'


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[Path]:
    """Mount a file system of its own on a folder; only the superuser may."""
    folder.mkdir(exist_ok=True)
    command = ["mount", *how, str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_keeps_what_is_made_and_a_rerun_goes_on(manifest: Path, tmp_path: Path) -> None:
    arguments = ["extract", "--manifest", manifest, "--block-size", 1, "--workers", 1, "--out"]
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=200k", "none") as disk:
        store = disk / "store"
        done = prep(*arguments, store)
        assert done.returncode == 1
        assert "could not be written (No space left on device)" in done.stderr
        assert "Traceback" not in done.stderr
        made = digests(store, "part-*.h5")
        assert made
        assert not [path for path in store.rglob(f"{TEMPORARY}*") if path.is_file()]
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert prep(*arguments, store).returncode == 0
        again = digests(store, "part-*.h5")
        assert {name: again[name] for name in made} == made
        assert prep("verify", store).returncode == 0


def test_read_only_folder_is_one_line(manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with mounted(folder, "-t", "tmpfs", "-o", "ro", "none"):
        done = prep("extract", "--manifest", manifest, "--out", folder / "store")
        assert done.returncode == 1
        assert "Read-only file system" in done.stderr and str(folder) in done.stderr
        assert done.stderr.count("\n") == 1
