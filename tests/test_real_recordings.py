"""Real recordings from file to result, through the installed programs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from avsc.features.store.reader import Store

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.real


def run(program: str, *arguments: object, status: int = 0) -> str:
    """Run an installed program; return what it said."""
    command = [str(BIN / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def write_manifest(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(("id,scene,audio,video", *rows)) + "\n")
    return path


@pytest.fixture(scope="module")
def extracted(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of all recordings of TAU2021, whose scenes are their cities."""
    root, folder = real_data / "tau2021_real", tmp_path_factory.mktemp("real")
    sounds, videos = sorted((root / "audio").iterdir()), sorted((root / "video").iterdir())
    rows = [f"{p.stem},{p.stem.split('-')[1]},audio/{p.name}," for p in sounds]
    rows += [f"{p.stem}-av,{p.stem.split('-')[1]},video/{p.name},video/{p.name}" for p in videos]
    manifest = write_manifest(folder / "clips.csv", rows)
    run("avsc-prep", "extract", "--manifest", manifest, "--root", root, "--out", folder / "store",
        status=3)  # fmt: skip
    return folder / "store"


def test_every_recording_of_tau2021_is_extracted(real_data: Path, extracted: Path) -> None:
    """WAV files of 479,999, 480,000 and 480,001 samples, and MP4 files with their own sound."""
    root, store = real_data / "tau2021_real", Store.open(extracted)
    sounds, videos = sorted((root / "audio").iterdir()), sorted((root / "video").iterdir())
    assert {(f.clip, f.product, f.code) for f in store.failures} == {
        (p.stem, "images", "not-listed") for p in sounds
    }
    for product in ("scalogram", "fbank"):
        records = store.records(product)
        frames = {
            store.clips[c].id: int(n) for c, n in zip(records.clip, records.rows, strict=True)
        }
        assert len(frames) == len(sounds) + len(videos)
        assert {frames[p.stem] for p in sounds} == {56}
        assert set(frames.values()) <= {56, 57}  # MP3 ends some milliseconds after the ten seconds
    images = store.records("images")
    assert len(images) == 10 * len(videos)
    assert "0 problems" in run("avsc-prep", "verify", extracted)


def test_cities_are_learned_from_real_clips(extracted: Path, tmp_path: Path) -> None:
    """Twelve clips of one scene, told apart by city: enough to learn by heart, and nothing more.

    Clips without images are left out.
    """
    out = tmp_path / "run"
    run("avsc-fit", "joint", "--store", extracted, "--out", out, "--validation", "none",
        "--backbone", "test_resnet", "--visual-weights", "random", "--image-size", 64,
        "--batch-size", 32, "--epochs", 4, "--lr-period", 4, "--device", "cpu")  # fmt: skip
    run("avsc-fit", "evaluate", out, "--fold", "train", "--device", "cpu", "--allow-missing")
    found = json.loads((out / "evaluation-train" / "metrics.json").read_text())
    assert found["protocols"]["strict"]["segments"] == 120
    assert found["protocols"]["strict"]["accuracy"] > 0.95
    said = run("avsc-fit", "evaluate", out, "--fold", "test", "--device", "cpu", status=1)
    assert "test" in said and "avsc-fit: error: " in said


def test_odd_media_give_images_or_a_line(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "media_oddities"
    files = sorted(root.iterdir())
    manifest = write_manifest(tmp_path / "clips.csv", [f"{p.stem},odd,,{p.name}" for p in files])
    run("avsc-prep", "extract", "--manifest", manifest, "--root", root, "--out", tmp_path / "store",
        "--products", "images", status=3)  # fmt: skip
    store = Store.open(tmp_path / "store")
    images = store.records("images")
    made = {store.clips[row].id for row in images.clip}
    lost = {failure.clip: failure.code for failure in store.failures}
    assert made == {
        "decord_corrupted",
        "torchcodec_av1_video",
        "torchcodec_h264_10bits",
        "torchcodec_h265_video",
    }
    assert lost == {
        "decord_corrupted": "corrupt",
        "decord_unordered": "too-short",
        "decord_video_90": "too-short",
    }
    assert all("\n" not in failure.message for failure in store.failures)
