"""avsc-prep synth --world: its optimum, its symbols, what is known of it, its labelled images."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from digests import digests

from avsc.features.jpeg import decode
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.tau2021 import SCENES, read_tau2021
from avsc.preprocess.synth.design import (
    Kinds,
    SceneDesign,
    draw_symbols,
    independent,
    pairs,
    score,
)
from avsc.preprocess.synth.designs import FAINT_CUE, RING, WORLD
from avsc.preprocess.synth.labelled_images import write_labelled
from avsc.preprocess.synth.miniature import make_clips, write_miniature
from avsc.preprocess.synth.sights import GRATINGS, SIGHTS, Look, make_images
from avsc.preprocess.synth.sounds import RATE, RINGING, RINGS, make_sound
from avsc.train.data.image_folder import open_image_folder

PREP = Path(sys.executable).with_name("avsc-prep")
PICTURES = {"per_class": 5, "seed": 0, "size": (64, 48)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_miniature(out, design=WORLD, clips_per_scene=4, seconds=1.0, size=(64, 48))
    return out


# The optimum


def test_score_by_hand() -> None:
    """Scenes x, y, z: x and y share the sound 0, y and z the sight 1."""
    p = np.zeros((3, 2, 2))
    p[0, 0, 0] = p[1, 0, 1] = p[2, 1, 1] = 1 / 3
    best = score(p, p)
    assert best["sound"] == pytest.approx((2 / 3, 2 / 3 * np.log(2)))
    assert best["sight"] == pytest.approx((2 / 3, 2 / 3 * np.log(2)))
    assert best["both"] == pytest.approx((1, 0))


def test_score_of_uncertain_symbols() -> None:
    """Two scenes whose sound is told rightly three times of four, whose sight tells nothing."""
    p = np.array([[[0.375], [0.125]], [[0.125], [0.375]]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    best = score(p, p)
    assert best["sound"] == best["both"] == pytest.approx((0.75, entropy))
    assert best["sight"] == pytest.approx((0.5, np.log(2)))


@pytest.mark.parametrize("design", [RING, WORLD], ids=lambda design: design.name)
def test_optimum_is_what_a_simulation_finds(design: SceneDesign) -> None:
    """Clips drawn one by one, told by Bayes' rule from frequencies of other clips drawn so."""
    generator = np.random.default_rng(5)
    n, names = 40_000, list(design.scenes)

    def draws() -> list[tuple[str, Kinds]]:
        return [
            (scene, kinds)
            for scene, p in design.scenes.items()
            for kinds, count in zip(p, generator.multinomial(n, list(p.values())), strict=True)
            for _ in range(count)
        ]

    known, met = draws(), Counter(draws())
    best = design.best_possible()
    views = {"sound": lambda k: k.sound, "sight": lambda k: k.sight, "both": lambda k: k}
    for view, of in views.items():
        seen = Counter((scene, of(kinds)) for scene, kinds in known)
        right, loss = 0, 0.0
        for (scene, kinds), count in met.items():
            rivals = np.array([seen[name, of(kinds)] for name in names], float)
            right += count * (names[int(rivals.argmax())] == scene)
            loss -= count * np.log(rivals[names.index(scene)] / rivals.sum())
        total = n * len(names)
        assert (right / total, loss / total) == pytest.approx(best[view], abs=0.005)


def test_neither_sound_nor_sight_tells_metro_from_tram_and_both_do() -> None:
    metro, tram = (WORLD.joint()[list(WORLD.scenes).index(name)] for name in ("metro", "tram"))
    for axis in (0, 1):
        assert metro.sum(axis=axis) == pytest.approx(tram.sum(axis=axis))
    assert not (metro * tram).any()


def test_world_needs_both_and_leaves_something_untold() -> None:
    best = WORLD.best_possible()
    assert tuple(WORLD.scenes) == SCENES
    assert [sum(p.values()) for p in WORLD.scenes.values()] == pytest.approx([1] * 10)
    assert best["both"].log_loss < min(best["sound"].log_loss, best["sight"].log_loss) - 0.5
    assert best["both"].log_loss > 0.1 and best["both"].accuracy < 0.95


def test_draws_are_joint_or_independent() -> None:
    assert independent({"air": 0.5, "rails": 0.5}, {"hall": 0.8, "street": 0.2}) == {
        Kinds("air", "hall"): 0.4,
        Kinds("air", "street"): 0.1,
        Kinds("rails", "hall"): 0.4,
        Kinds("rails", "street"): 0.1,
    }
    assert pairs(Kinds("air", "hall"), Kinds("rails", "street")) == {
        Kinds("air", "hall"): 0.5,
        Kinds("rails", "street"): 0.5,
    }


# What is drawn


@pytest.mark.parametrize("clips_per_scene", [4, 37])
def test_symbols_come_as_often_as_stated_give_or_take_one(clips_per_scene: int) -> None:
    clips = list(make_clips(WORLD, clips_per_scene))
    drawn = draw_symbols(WORLD, clips, seed=3)
    for scene, p in WORLD.scenes.items():
        for fold in ("train", "test"):
            some = [
                kinds
                for clip, (kinds,) in zip(clips, drawn, strict=True)
                if (clip.scene, clip.fold) == (scene, fold)
            ]
            counts = Counter(some)
            assert set(counts) <= set(p)
            for kinds, probability in p.items():
                assert abs(counts[kinds] - len(some) * probability) < 1


def test_each_clip_has_each_symbol_with_its_probability() -> None:
    """Over many seeds; the systematic draw favours no clip and no pair."""
    clips = [clip for clip in make_clips(WORLD, 4) if clip.scene == "airport"]
    rounds = 2000
    counts = Counter(
        (clip.id, kinds.sound)
        for seed in range(rounds)
        for clip, (kinds,) in zip(clips, draw_symbols(WORLD, clips, seed), strict=True)
    )
    for clip in clips:
        assert counts[clip.id, "air"] / rounds == pytest.approx(0.8, abs=0.045)  # 5 deviations


def test_oracle_is_near_the_optimum_and_counts_what_was_drawn() -> None:
    clips = list(make_clips(WORLD, 200))
    drawn = draw_symbols(WORLD, clips, seed=0)
    test = [
        (clip.scene, kinds) for clip, kinds in zip(clips, drawn, strict=True) if clip.fold == "test"
    ]
    assert len(test) == 600
    for name, best in WORLD.best_possible().items():
        assert WORLD.oracle(test)[name].log_loss == pytest.approx(best.log_loss, abs=0.02)
    # park draws air of 0.8 or steps of 0.2; a test of its rarer sound alone is told worse
    rare = [pair for pair in test if pair[0] != "park" or pair[1][0].sound == "steps"]
    assert WORLD.oracle(rare)["sound"].log_loss > WORLD.oracle(test)["sound"].log_loss + 0.05


# What is written


def test_a_set_that_was_drawn_from_another_design_is_not_gone_on_with(
    world: Path, tmp_path: Path
) -> None:
    """As another version of avsc may have made it, with the same name and settings."""
    for name in ("synth.json", "world.json"):
        shutil.copy(world / name, tmp_path)
    held = (tmp_path / "world.json").read_text()
    (tmp_path / "world.json").write_text(held.replace('"rails tunnel": 0.5', '"rails tunnel": 0.6'))
    with pytest.raises(ManifestError, match=r"world\.json: not what these settings give.*another"):
        write_miniature(tmp_path, design=WORLD, clips_per_scene=4, seconds=1.0, size=(64, 48))
    assert not (tmp_path / "audio").exists()


def test_world_json_says_design_optimum_seed_and_symbols(world: Path) -> None:
    held = json.loads((world / "world.json").read_text())
    assert held["seed"] == 0 and held["design"]["name"] == "world"
    assert held["design"]["scenes"]["metro"] == {"rails tunnel": 0.5, "air carriage": 0.5}
    assert held["optimum"]["both"] == {"accuracy": 0.908, "log_loss": 0.216}
    clips = read_tau2021(world).clips
    assert set(held["symbols"]) == {clip.id for clip in clips}
    for clip in clips:
        assert held["symbols"][clip.id] in held["design"]["scenes"][clip.scene]
    drawn = [(c.scene, [Kinds(*held["symbols"][c.id].split())]) for c in clips if c.fold == "test"]
    for name, best in WORLD.oracle(drawn).items():
        assert held["oracle"]["test"][name]["log_loss"] == pytest.approx(best.log_loss, abs=5e-4)


def test_a_set_of_an_earlier_version_says_less_and_is_gone_on_with(
    world: Path, tmp_path: Path
) -> None:
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    held = json.loads((world / "world.json").read_text())
    del held["conditions"]
    (tmp_path / "world.json").write_text(json.dumps(held))
    write_miniature(tmp_path, design=WORLD, clips_per_scene=4, seconds=1.0, size=(64, 48))
    assert json.loads((tmp_path / "world.json").read_text()) == held


def test_same_seed_gives_same_bytes_and_another_others(world: Path, tmp_path: Path) -> None:
    how = {"design": WORLD, "clips_per_scene": 4, "seconds": 1.0, "size": (64, 48)}
    write_miniature(tmp_path / "again", workers=2, **how)
    write_miniature(tmp_path / "other", seed=1, workers=2, **how)
    ours, others = digests(world), digests(tmp_path / "other")
    assert digests(tmp_path / "again") == ours
    assert {name for name in ours if ours[name] == others[name]} == {
        "meta.csv",
        *(f"evaluation_setup/fold1_{part}.csv" for part in ("train", "test", "evaluate")),
    }


def test_a_miniature_and_a_world_share_no_folder(world: Path) -> None:
    with pytest.raises(ManifestError, match=r"made with other settings"):
        write_miniature(world, clips_per_scene=4, seconds=1.0, size=(64, 48))


# Labelled images


def test_labelled_images_are_what_places_reads(tmp_path: Path) -> None:
    assert write_labelled(tmp_path, WORLD, **PICTURES) == 30
    found = open_image_folder(tmp_path)
    assert found.classes == tuple(sorted(SIGHTS))
    assert (found.training, len(found.files)) == (25, 30)
    assert Counter(found.label.tolist()) == dict.fromkeys(range(5), 6)
    images = {found.read(k).tobytes() for k in range(30)}
    assert len(images) == 30
    assert {decode(image).shape for image in images} == {(48, 64, 3)}


def test_half_a_set_of_images_is_no_set_and_is_finished(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    write_labelled(whole, WORLD, **PICTURES)
    write_labelled(half, WORLD, **PICTURES)
    (half / "val").rename(half / ".val")
    for lost in ("train/hall/003.jpg", ".val/street/000.jpg"):
        (half / lost).unlink()
    with pytest.raises(Exception, match=r"there is no folder val"):
        open_image_folder(half)
    write_labelled(half, WORLD, **PICTURES)
    assert digests(half) == digests(whole)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--pictures-per-class 4: at least 5"):
        write_labelled(tmp_path / "out", WORLD, per_class=4, seed=0, size=(64, 48))
    assert not (tmp_path / "out").exists()


def test_program_makes_world_and_images(world: Path, tmp_path: Path) -> None:
    small = ["--clips-per-scene", "4", "--seconds", "1", "--size", "64x48"]
    command = [str(PREP), "synth", "--world", "--out", str(tmp_path / "world"), *small]
    command += ["--pictures-out", str(tmp_path / "pictures"), "--pictures-per-class", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "  best from both: accuracy 0.908, log-loss 0.216\n" in done.stdout
    assert f"{tmp_path / 'pictures'}: 30 labelled images\n" in done.stdout
    assert digests(tmp_path / "world") == digests(world)


def test_number_of_images_without_a_folder_is_wrong_use(tmp_path: Path) -> None:
    command = [str(PREP), "synth", "--out", str(tmp_path / "out"), "--pictures-per-class", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--pictures-per-class needs --pictures-out" in done.stderr
    assert not (tmp_path / "out").exists()


# The design with the faint cue


def test_program_makes_a_named_design_whose_symbols_change(tmp_path: Path) -> None:
    out, pictures = tmp_path / "set", tmp_path / "pictures"
    command = [str(PREP), "synth", "--world", "faint-cue", "--out", str(out)]
    command += ["--clips-per-scene", "4", "--seconds", "3", "--size", "64x48"]
    command += ["--pictures-out", str(pictures), "--pictures-per-class", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "at 40 places: 20 to train on, 20 to test" in done.stdout
    held = json.loads((out / "world.json").read_text())
    assert {len(symbols) for symbols in held["symbols"].values()} == {3}
    assert any(len(set(symbols)) > 1 for symbols in held["symbols"].values())
    complete, late = (held["conditions"][name] for name in ("complete", "audio-late-1s"))
    assert complete == held["optimum"]["both"] and late["log_loss"] > complete["log_loss"] + 0.1
    assert open_image_folder(pictures).classes == tuple(
        sorted(name.replace(" ", "_") for name in FAINT_CUE.sights)
    )


def test_images_of_a_location_share_a_look_and_those_of_others_do_not() -> None:
    """Told by the mean colour of one sight, which differs more between locations than within."""
    colours = np.array([
        [
            next(make_images(GRATINGS["hall level"], np.random.default_rng(k), 1, (64, 48), look))
            .mean(axis=(0, 1))
            for k in range(8)
        ]
        for look in (Look.of_location(np.random.default_rng([k, 9])) for k in range(8))
    ])  # fmt: skip
    within, between = colours.std(axis=1).mean(), colours.mean(axis=1).std(axis=0).mean()
    assert between > 4 * within


@pytest.mark.parametrize("name", ["air", "rails"])
def test_resonance_is_where_it_should_be(name: str) -> None:
    """In nats over the same frequencies with the other resonance."""

    def level(where: str, at: str) -> float:
        low, high = RINGS[at] * 0.98, RINGS[at] * 1.02
        powers = []
        for shot in range(40):
            sound = make_sound(RINGING[f"{name} {where}"], np.random.default_rng(shot), RATE)
            spectrum = np.abs(np.fft.rfft(sound.sum(axis=1)))
            powers.append(
                np.log(spectrum[int(low) : int(high)].mean() / spectrum[1200:1300].mean())
            )
        return float(np.mean(powers))

    for at, other in (("low", "high"), ("high", "low")):
        assert 0.8 < level(at, at) - level(other, at) < 1.5
