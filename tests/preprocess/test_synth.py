"""avsc-prep synth: the miniature's layout, files, content and reruns."""

import colorsys
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.video.frame import PictureType
from digests import digests
from numpy.typing import NDArray
from scipy.signal import welch
from stale import stale_file

from avsc.manifests.errors import AvscError, ManifestError, SettingError
from avsc.manifests.tau2021 import SCENES, read_tau2021
from avsc.preprocess.synth.designs import RING
from avsc.preprocess.synth.miniature import make_clips, write_miniature
from avsc.preprocess.synth.render import RenderJob, encode_mp4, render, render_all
from avsc.preprocess.synth.sights import SIGHTS, SightKind, make_images
from avsc.preprocess.synth.sounds import RATE, SOUNDS, SoundKind, make_sound
from avsc.train.fit.held_out import validation_rows

PREP = Path(sys.executable).with_name("avsc-prep")
SMALL = {"clips_per_scene": 4, "seconds": 1.0, "size": (64, 48)}
OPTIONS = ["--clips-per-scene", "4", "--seconds", "1", "--size", "64x48"]


def write_small(out: Path, workers: int = 1, **more: int) -> Path:
    write_miniature(out, clips_per_scene=4, seconds=1.0, size=(64, 48), workers=workers, **more)
    return out


def prep(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed program."""
    command = [str(PREP), "synth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("mini"))


# What a scene is


def test_every_scene_shares_its_sound_with_one_and_its_sight_with_another() -> None:
    assert tuple(sorted(RING.scenes)) == SCENES
    drawn = [kinds for draws in RING.scenes.values() for kinds in draws]
    assert len(set(drawn)) == len(drawn) == len(SCENES)
    for kind in ("sound", "sight"):
        shared = Counter(getattr(kinds, kind) for kinds in drawn)
        assert len(shared) == 5 and set(shared.values()) == {2}
    assert {kinds.sound for kinds in drawn} == set(SOUNDS)
    assert {kinds.sight for kinds in drawn} == set(SIGHTS)


def test_half_of_the_ring_is_told_by_one_modality_and_all_by_both() -> None:
    best = RING.best_possible()
    assert best["sound"] == pytest.approx((0.5, np.log(2)))
    assert best["sight"] == pytest.approx((0.5, np.log(2)))
    assert best["both"] == pytest.approx((1, 0))


# Layout and lists


def test_layout_is_read_as_tau2021(mini: Path) -> None:
    clips = read_tau2021(mini).clips
    assert Counter(clip.scene for clip in clips) == dict.fromkeys(SCENES, 4)
    assert all((mini / str(c.audio)).is_file() and (mini / str(c.video)).is_file() for c in clips)
    assert len({clip.city for clip in clips}) == 10
    assert list(clips) == sorted(make_clips(RING, 4), key=lambda clip: clip.id)


@pytest.mark.parametrize("clips_per_scene", [4, 7, 12, 30])
def test_folds_share_no_location_and_leave_some_for_validation(clips_per_scene: int) -> None:
    clips = list(make_clips(RING, clips_per_scene))
    assert len({clip.id for clip in clips}) == 10 * clips_per_scene
    scene_of = {clip.location: clip.scene for clip in clips}
    assert all(scene_of[clip.location] == clip.scene for clip in clips)
    for scene in SCENES:
        places = {
            fold: {c.location for c in clips if c.scene == scene and c.fold == fold}
            for fold in ("train", "test")
        }
        assert not places["train"] & places["test"]
        assert len(places["train"]) >= 3 and len(places["test"]) >= 1
    assert sum(clip.fold == "train" for clip in clips) / len(clips) == pytest.approx(0.7, abs=0.1)
    rows = [row for row, clip in enumerate(clips) if clip.fold == "train"]
    for part in validation_rows(clips, rows, "location"):
        assert {clips[row].scene for row in part} == set(SCENES)


def test_lists_have_the_released_columns(mini: Path) -> None:
    setup = mini / "evaluation_setup"
    media = "filename_audio\tfilename_video"
    heads = {p.name: p.read_text().splitlines()[0] for p in (*setup.iterdir(), mini / "meta.csv")}
    assert heads == {
        "meta.csv": f"{media}\tscene_label\tidentifier",
        "fold1_train.csv": f"{media}\tscene_label",
        "fold1_test.csv": media,
        "fold1_evaluate.csv": f"{media}\tscene_label",
    }
    evaluate = (setup / "fold1_evaluate.csv").read_text().splitlines()[1:]
    test = (setup / "fold1_test.csv").read_text().splitlines()[1:]
    assert [line.rpartition("\t")[0] for line in evaluate] == test
    assert (
        "audio/airport-barcelona-1-1.wav\tvideo/airport-barcelona-1-1.mp4\tairport"
        in (setup / "fold1_evaluate.csv").read_text()
    )


@pytest.mark.real
def test_lists_have_the_columns_of_the_real_ones(mini: Path, real_data: Path) -> None:
    real = real_data / "tau2021_meta"
    for path in [real / "meta.csv", *(real / "evaluation_setup").iterdir()]:
        ours = mini / path.relative_to(real)
        assert ours.read_bytes().splitlines(True)[0] == path.read_bytes().splitlines(True)[0]


# Files


def test_sound_files_are_as_released(mini: Path) -> None:
    lengths: Counter[int] = Counter()
    for path in (mini / "audio").iterdir():
        info = soundfile.info(path)
        assert (info.format, info.subtype) == ("WAV", "PCM_24")
        assert (info.samplerate, info.channels) == (48_000, 2)
        lengths[info.frames] += 1
        sound, _ = soundfile.read(path)
        assert 0.001 < np.sqrt((sound**2).mean()) < 0.1 and np.abs(sound).max() < 0.99
    assert lengths == {48_000: 36, 47_999: 2, 48_001: 2}


def test_video_files_are_as_released(mini: Path) -> None:
    for path in sorted((mini / "video").iterdir())[::10]:
        with av.open(path) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height) == (64, 48)
            frames = list(container.decode(stream))
        times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None]
        assert times == [Fraction(k, 30) for k in range(30)]
        assert {PictureType(frame.pict_type).name for frame in frames} == {"I", "P", "B"}


def test_key_images_are_two_seconds_apart() -> None:
    cuts = [np.random.default_rng(cut) for cut in range(5)]
    images = (p for cut in cuts for p in make_images(SIGHTS["hall"], cut, 26, (64, 48)))
    with av.open(BytesIO(encode_mp4(images, (64, 48), 30))) as container:
        keys = [k for k, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0, 60, 120]


def test_images_survive_the_codec() -> None:
    draw = np.random.default_rng
    images = list(make_images(SIGHTS["carriage"], draw(1), 30, (320, 180)))
    with av.open(BytesIO(encode_mp4(images, (320, 180), 30))) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    difference = np.abs(np.array(decoded, np.int16) - np.array(images, np.int16))
    assert difference.mean() < 6


# What is heard and seen


def spectrum(kind: str, shot: int) -> tuple[NDArray[np.float64], ...]:
    """Return frequencies, and the power of the average and of the difference channel."""
    stereo = make_sound(SOUNDS[kind], np.random.default_rng(shot), 5 * RATE)
    average, difference = stereo.sum(axis=1) / 2, (stereo[:, 0] - stereo[:, 1]) / 2
    hertz, power = welch(np.stack([average, difference]), RATE, nperseg=48_000)
    return hertz, power[0], power[1]


@pytest.mark.parametrize("shot", range(3))
def test_rails_sound_around_their_centre(shot: int) -> None:
    hertz, average, _ = spectrum("rails", shot)
    octave = np.log2(hertz[100:] / 3000)
    centre = (average[100:] * octave)[abs(octave) < 1.5].sum() / average[100:][
        abs(octave) < 1.5
    ].sum()
    assert abs(centre) < 0.35


@pytest.mark.parametrize("shot", range(3))
def test_engine_has_lines_a_stated_distance_apart(shot: int) -> None:
    hertz, average, _ = spectrum("engine", shot)
    tunings = 2 ** np.linspace(-0.2, 0.2, 81)
    comb = [np.interp(42 * t * np.arange(2, 6), hertz, average).sum() for t in tunings]
    gaps = [np.interp(42 * t * np.arange(2.5, 6), hertz, average).sum() for t in tunings]
    best = int(np.argmax(comb))
    assert comb[best] > 10 * gaps[best]


def test_width_is_the_share_of_the_difference_channel() -> None:
    found = {}
    for kind in SOUNDS:
        _, average, difference = spectrum(kind, 7)
        heard = average > average.max() / 10
        found[kind] = np.sqrt(difference[heard].sum() / average[heard].sum())
    assert found == pytest.approx({name: kind.width for name, kind in SOUNDS.items()}, rel=0.25)


@pytest.mark.parametrize(("kind", "beat"), [("steps", 4), ("voices", 5)])
def test_level_swells_at_the_stated_beat(kind: str, beat: int) -> None:
    stereo = make_sound(SOUNDS[kind], np.random.default_rng(1), 10 * RATE)
    level = (stereo.sum(axis=1).reshape(-1, 480) ** 2).mean(axis=1)  # each 10 ms
    lines = np.abs(np.fft.rfft(level - level.mean()))
    assert np.argmax(lines[:80]) == 10 * beat  # in steps of 0.1 Hz


def first_image(kind: SightKind, shot: int) -> NDArray[np.float64]:
    image = next(make_images(kind, np.random.default_rng(shot), 1, (320, 180)))
    return image.astype(np.float64)


@pytest.mark.parametrize("name", SIGHTS)
@pytest.mark.parametrize("shot", range(3))
def test_colour_is_that_of_the_kind(name: str, shot: int) -> None:
    image = first_image(SIGHTS[name], shot)[:60]  # above the heads of who passes by
    hue = 360 * colorsys.rgb_to_hsv(*image.mean(axis=(0, 1)) / 255)[0]
    assert abs((hue - SIGHTS[name].hue + 180) % 360 - 180) < 15


def roughness(name: str) -> tuple[float, float]:
    """Return the squared change across and down the upper part of an image."""
    grey = first_image(SIGHTS[name], 1)[:70].mean(axis=2)
    return float((np.diff(grey, axis=1) ** 2).mean()), float((np.diff(grey, axis=0) ** 2).mean())


def test_textures_have_their_direction_and_fineness() -> None:
    across, down = roughness("carriage")
    assert across > 4 * down
    across, down = roughness("tunnel")
    assert down > 4 * across
    across, down = roughness("green")
    assert 0.5 < across / down < 2
    assert across > 8 * roughness("hall")[0]


def test_images_move() -> None:
    shown = make_images(SIGHTS["street"], np.random.default_rng(1), 300, (64, 48))
    for one, other in combinations(list(shown)[15::30], 2):
        assert np.abs(one.astype(int) - other).mean() > 2


def test_each_second_is_another_shot_of_the_same_kind(tmp_path: Path) -> None:
    """What is not the kind says nothing of the clip, neither to the ear nor to the eye."""
    size = (64, 48)
    kinds = [SOUNDS["rails"]] * 3, [SIGHTS["hall"]] * 3
    job = RenderJob(*kinds, 0, 1, tmp_path / "a", 3 * RATE, tmp_path / "v", 90, 30, size)
    render(job)
    sound, _ = soundfile.read(job.audio)
    levels = np.sqrt((sound.reshape(3, RATE, 2) ** 2).mean(axis=(1, 2)))
    assert np.abs(np.log(levels[1:] / levels[:-1])).min() > 0.05
    with av.open(job.video) as container:
        seen = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    change = np.abs(np.diff(np.array(seen, np.int16), axis=0)).mean(axis=(1, 2, 3))
    assert sorted(np.argsort(change)[-2:]) == [29, 59]  # the cuts


# Runs and reruns


def test_two_workers_make_the_same_bytes_as_one(mini: Path, tmp_path: Path) -> None:
    assert digests(write_small(tmp_path / "two", workers=2)) == digests(mini)


def test_another_seed_makes_other_recordings(mini: Path, tmp_path: Path) -> None:
    ours, others = digests(mini), digests(write_small(tmp_path / "seed", workers=2, seed=1))
    assert ours.keys() == others.keys()
    media = [name for name in ours if name.endswith((".wav", ".mp4"))]
    assert len(media) == 80 and not any(ours[name] == others[name] for name in media)
    assert ours["meta.csv"] == others["meta.csv"]


def test_rerun_makes_only_what_is_missing(mini: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mini, copy)
    lost = [sorted((copy / "audio").iterdir())[3], sorted((copy / "video").iterdir())[8]]
    for path in (*lost, copy / "meta.csv"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    counts: list[int] = []
    write_miniature(copy, clips_per_scene=4, seconds=1, size=(64, 48), begin=counts.append)
    assert counts == [2] and digests(copy) == digests(mini)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_killed_run_is_not_a_data_set_and_goes_on(mini: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = ["nice", str(PREP), "synth", "--out", str(out), *OPTIONS, "--workers", "1"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    limit = time.monotonic() + 600
    while not list(out.glob("video/*.mp4")) and time.monotonic() < limit:
        time.sleep(0.005)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert 0 < len(list(out.glob("video/*.mp4"))) < 40
    with pytest.raises(ManifestError, match=r"no meta\.csv of TAU2021 here"):
        read_tau2021(out)
    half = stale_file(out / "audio", "a.wav")
    write_small(out)
    assert not half.exists()
    assert {k: v for k, v in digests(out).items() if "/.tmp-" not in k} == digests(mini)


class Deadly(SoundKind):
    """Kills the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (1,)


def test_death_of_a_process_is_told(tmp_path: Path) -> None:
    kinds = [Deadly(250, 2, 1)], [SIGHTS["hall"]]
    job = RenderJob(*kinds, 0, 1, tmp_path / "a", 1, tmp_path / "v", 1, 30, (64, 48))
    with pytest.raises(AvscError, match=r"died .* with fewer --workers"):
        render_all([job], 1, lambda: None)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"clips_per_scene": 3}, r"--clips-per-scene 3: at least 4"),
        ({"seed": -1}, r"--seed -1: a whole number from 0 on"),
        ({"seconds": 0.5}, r"--seconds 0\.5: from 1 to 3600"),
        ({"seconds": float("nan")}, r"--seconds nan: from 1 to 3600"),
        ({"size": (321, 180)}, r"--size 321x180: even numbers of pixels"),
        ({"size": (16, 16)}, r"--size 16x16: even numbers of pixels, 32 to 4096"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, setting: dict[str, int], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        write_miniature(tmp_path / "out", **{"clips_per_scene": 4, **setting})
    assert not (tmp_path / "out").exists()


def test_program_makes_says_what_and_what_next(mini: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    done = prep("--out", out, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "40 clips of 10 scenes at 40 places: 30 to train on, 10 to test." in done.stdout
    assert "best from both: accuracy 1.000, log-loss 0.000" in done.stdout
    assert done.stdout.endswith(f"Next: avsc-prep extract --dataset TAU2021 --root {out}\n")
    assert digests(out) == digests(mini)


def test_program_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    before = digests(tmp_path)
    done = prep("--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"avsc-prep: error: {tmp_path}: not empty, and not made by `avsc-prep synth`; name another "
        "folder.\n"
    )
    assert digests(tmp_path) == before


def test_program_refuses_other_settings(mini: Path) -> None:
    before = digests(mini)
    done = prep("--out", mini, *OPTIONS, "--seed", 5)
    assert done.returncode == 1
    assert "made with other settings" in done.stderr and '"seed": 0' in done.stderr
    assert digests(mini) == before
    assert json.loads((mini / "synth.json").read_bytes())["seed"] == 0


@pytest.mark.parametrize("size", ["320", "320x", "axb", "321x180"])
def test_program_refuses_a_size_that_is_none(tmp_path: Path, size: str) -> None:
    done = prep("--out", tmp_path / "out", "--size", size)
    assert done.returncode == 2 and size in done.stderr and "Traceback" not in done.stderr
