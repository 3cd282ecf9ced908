"""The best possible under each condition: closed form, and a simulation that counts.

The simulation draws the symbols of many clips, second by second, changes them as the condition
does, and counts how often each scene comes with what is met: no probability of the design enters
but those that symbols are drawn with. That it changes them as `avsc-fit robustness` does is a test
of its own.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from avsc.preprocess.synth.design import SceneDesign, draw_symbols
from avsc.preprocess.synth.designs import FAINT_CUE, WORLD
from avsc.preprocess.synth.miniature import make_clips
from avsc.preprocess.synth.optimum import encodable, optima, shifted
from avsc.train.data.samples import Samples
from avsc.train.evaluate.robustness.classifier_inputs import ClassifierInputs
from avsc.train.evaluate.robustness.conditions import CONDITIONS

SECONDS = 10
CLIPS = 16_000  # of each scene
NONE = -1
RARE = 0.1  # counted for what did not occur
Ints = NDArray[np.int64]
Clips = tuple[Ints, Ints]  # numbers of sounds and sights, each [scenes, clips, seconds]
Change = Callable[[Clips, np.random.Generator], Clips]


def draw(design: SceneDesign, generator: np.random.Generator) -> Clips:
    """Draw each second of each clip in turn: either what was there before, or new."""
    sounds, sights = list(design.sounds), list(design.sights)
    drawn = np.empty((2, len(design.scenes), CLIPS, SECONDS), np.int64)
    for scene, p in enumerate(design.scenes.values()):
        pairs = np.array([(sounds.index(k.sound), sights.index(k.sight)) for k in p]).T
        for second in range(SECONDS):
            new = pairs[:, generator.choice(len(p), size=CLIPS, p=list(p.values()))]
            held = generator.uniform(size=CLIPS) < design.hold if second else np.zeros(CLIPS, bool)
            drawn[:, scene, :, second] = np.where(held, drawn[:, scene, :, second - 1], new)
    return drawn[0], drawn[1]


def late(seconds: int) -> Change:
    return lambda clips, _: (clips[0], np.roll(clips[1], -seconds, axis=2))


def without(modality: int, share: float) -> Change:
    def change(clips: Clips, generator: np.random.Generator) -> Clips:
        changed = [clips[0].copy(), clips[1].copy()]
        changed[modality][generator.uniform(size=clips[0].shape) < share] = NONE
        return changed[0], changed[1]

    return change


def of_another_clip(same_scene: bool) -> Change:
    def change(clips: Clips, generator: np.random.Generator) -> Clips:
        scenes, count, _ = clips[1].shape
        away = 0 if same_scene else generator.integers(1, scenes, size=(scenes, count))
        scene = (np.arange(scenes)[:, None] + away) % scenes
        donor = generator.integers(count, size=(scenes, count))
        return clips[0], clips[1][scene, donor]

    return change


CHANGES: dict[str, Change] = {
    "complete": lambda clips, _: clips,
    "no-audio": without(0, 1),
    "no-image": without(1, 1),
    "no-audio-30": without(0, 0.3),
    "no-image-50": without(1, 0.5),
    "audio-late-1s": late(1),
    "audio-early-1s": late(-1),
    "audio-late-2s": late(2),
    "audio-late-5s": late(5),
    "audio-early-5s": late(-5),
    "image-same-scene": of_another_clip(True),
    "image-other-scene": of_another_clip(False),
}


def counted(clips: Clips) -> NDArray[np.float64]:
    """Return how often each scene comes with each sound and sight; the last ones are none."""
    scenes = len(clips[0])
    scene = np.arange(scenes)[:, None, None]
    place = (scene * 11 + clips[0] % 11) * 11 + clips[1] % 11
    counts = np.bincount(place.ravel(), minlength=scenes * 11 * 11)
    return counts.reshape(scenes, 11, 11).astype(np.float64)


def told_by(known: NDArray[np.float64], met: NDArray[np.float64]) -> tuple[float, float]:
    """Return accuracy and log-loss of who counted `known`, on what is met; ties go to the first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = np.where(met > 0, -np.log(known / known.sum(axis=0)), 0)
    right = sum(
        met[known[:, sound, sight].argmax(), sound, sight]
        for sound in range(met.shape[1])
        for sight in range(met.shape[2])
    )
    return right / met.sum(), float((met * loss).sum() / met.sum())


@pytest.fixture(scope="module", params=[WORLD, FAINT_CUE], ids=["world", "faint-cue"])
def simulated(request: pytest.FixtureRequest) -> tuple[SceneDesign, list[Clips]]:
    generator = np.random.default_rng(5)
    return request.param, [draw(request.param, generator) for _ in range(2)]


@pytest.mark.parametrize("name", CHANGES)
def test_optimum_is_what_counting_finds(
    simulated: tuple[SceneDesign, list[Clips]], name: str
) -> None:
    design, (study, exam) = simulated
    generator = np.random.default_rng(6)
    met = counted(CHANGES[name](exam, generator))
    wanted = optima(design, SECONDS)[name]
    told = told_by(counted(CHANGES[name](study, generator)) + RARE, met)
    assert told == pytest.approx(wanted.told, abs=0.004)
    if name.startswith(("no-", "complete")):
        assert wanted.untold is None
    elif wanted.untold is None:
        assert not np.isfinite(told_by(counted(study), met)[1])
    else:
        untold = told_by(counted(study) + RARE, met)
        assert untold == pytest.approx(wanted.untold, abs=0.02)  # rare pairs count for much


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "complete"])
def test_simulation_changes_segments_as_robustness_does(name: str) -> None:
    """On clips whose sound and image are the number of the segment."""
    scenes, count = 3, 4
    segments = np.arange(scenes * count * SECONDS)
    clip, second = segments // SECONDS, segments % SECONDS
    samples = Samples(
        segments, segments, clip // count, clip, second, np.ones(len(segments), np.bool_)
    )
    vectors = np.zeros((len(segments) + 1, 1), np.float32)
    inputs = ClassifierInputs(
        {"audio": vectors, "visual": vectors}, samples, np.stack([clip, second])
    )
    change = CONDITIONS[name].change
    assert change is not None
    theirs = change(inputs, 0).samples
    shape = scenes, count, SECONDS
    cube = segments.reshape(shape)
    ours = CHANGES[name]((cube, cube), np.random.default_rng(0))
    found = [np.where(rows == len(segments), NONE, rows) for rows in (theirs.frame, theirs.image)]
    if "image-" in name and not name.startswith("no-"):  # another draw of the same kind
        assert (found[0] == segments).all()
        for images in (found[1], ours[1].ravel()):
            assert (images % SECONDS == second).all()
            same = images // SECONDS // count == samples.scene
            assert same.all() if "same" in name else not same.any()
    elif name[-2:] in ("30", "50"):
        gone = [rows == NONE for rows in found]
        modality = "image" in name
        assert gone[modality].mean() == int(name[-2:]) / 100 and not gone[not modality].any()
    else:
        for rows, wanted in zip(found, ours, strict=True):
            assert (rows == wanted.ravel()).all()


def test_every_condition_that_only_moves_segments_has_an_optimum() -> None:
    moving = {name for name, each in CONDITIONS.items() if each.alteration is None}
    assert set(optima(FAINT_CUE, SECONDS)) == moving
    assert moving - set(optima(FAINT_CUE, 1)) == {
        name for name in moving if name.startswith(("audio-late", "audio-early"))
    }


def test_faint_cue_says_nothing_alone_and_decides_beside_the_picture() -> None:
    """Without the resonance's place, both scenes of a pair are as likely as before."""
    p = FAINT_CUE.joint()
    sound = p.sum(axis=2).reshape(10, 5, 2)
    sight = p.sum(axis=1).reshape(10, 5, 2)
    for alone in (sound, sight):
        assert alone[:, :, 0] == pytest.approx(alone[:, :, 1])
    deaf = p.reshape(10, 5, 2, 10).sum(axis=2)
    lost = _log_loss(deaf) - _log_loss(p)
    noise = -(0.95 * np.log(0.95) + 0.05 * np.log(0.05))
    assert lost == pytest.approx(np.log(2) - noise)


def _log_loss(p: NDArray[np.float64]) -> float:
    return float(-(p * np.log(p / p.sum(axis=0))).sum())


def test_symbols_are_held_as_often_as_stated() -> None:
    clips = list(make_clips(FAINT_CUE, 40))
    drawn = draw_symbols(FAINT_CUE, clips, seed=0, seconds=SECONDS)
    assert {len(symbols) for symbols in drawn} == {SECONDS}
    same = [a == b for symbols in drawn for a, b in pairwise(symbols)]
    p = np.array(list(FAINT_CUE.scenes["tram"].values()))
    assert np.mean(same) == pytest.approx(0.5 + 0.5 * (p**2).sum(), abs=0.04)
    held = draw_symbols(WORLD, clips, seed=0, seconds=3)
    assert all(len(set(symbols)) == 1 for symbols in held)


def test_a_shift_of_a_whole_clip_is_none_and_a_far_one_makes_independent() -> None:
    p = FAINT_CUE.joint()
    assert shifted(FAINT_CUE, SECONDS, SECONDS) == pytest.approx(p)
    far = shifted(FAINT_CUE, 50, 100)
    assert far == pytest.approx(10 * p.sum(axis=2)[:, :, None] * p.sum(axis=1)[:, None, :])


def test_what_files_say_omits_what_there_is_not() -> None:
    held = encodable(optima(FAINT_CUE, SECONDS))
    assert "untold" not in held["no-audio"]
    assert set(held["audio-late-1s"]) == {"accuracy", "log_loss", "untold"}
    assert held["audio-late-1s"]["log_loss"] < held["audio-late-2s"]["log_loss"]
