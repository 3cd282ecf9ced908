"""A miniature TAU2021 of some design: its layout, its lists, its ten scenes, made recordings.

    OUT/synth.json                       what was asked for; written first
    OUT/audio/airport-barcelona-1-1.wav  24 bit, 48 kHz, stereo; some one sample short or long
    OUT/video/airport-barcelona-1-1.mp4  H.264, 30 images a second
    OUT/evaluation_setup/fold1_{train,test,evaluate}.csv
    OUT/world.json                       what is known of it because it was made
    OUT/meta.csv                         as TAU2021's; written last, so that no half set is read

A scene has at least four locations of about equally many clips, and at most as many as its design
says, in the cities of TAU2021; the first ones, a share that the design states and at least one, are
in the test fold and the others in the training fold. Unless the design gives locations looks, they
are names: the clips of one resemble each other no more than any two of a scene.

``world.json``:

    design      p(symbols | scene) of each scene
    seed        of everything drawn
    optimum     the best accuracy and log-loss (nats) that can be expected from the sound, the sight
                and both, to three digits
    conditions  the same under each condition of `avsc-fit robustness`; ``untold`` of who takes the
                recordings for complete (see `optimum`)
    oracle      the score of p(scene | symbols) on the clips drawn, by fold
    symbols     sound and sight of each clip, or where they change a list of them, one a second

All is for segments of a second; where symbols last a clip, it is for clips as well.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

import numpy as np

from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.files import publish
from avsc.preprocess.synth.design import Kinds, SceneDesign, Score, draw_symbols
from avsc.preprocess.synth.designs import RING
from avsc.preprocess.synth.optimum import encodable, optima, rounded
from avsc.preprocess.synth.render import RenderJob, render_all
from avsc.preprocess.synth.settings_file import claim
from avsc.preprocess.synth.sights import Look
from avsc.preprocess.synth.sounds import RATE

CITIES = (
    "barcelona",
    "helsinki",
    "lisbon",
    "london",
    "lyon",
    "milan",
    "paris",
    "prague",
    "stockholm",
    "vienna",
)
GROUND_TRUTH = "world.json"
IMAGE_RATE = 30
LOOKS = 103
"""Keys the generators of locations' looks."""
Symbols = Sequence[Kinds]
"""Of each second of a clip."""


@dataclass(frozen=True, kw_only=True)
class MiniatureSettings:
    """All that decides what a miniature holds.

    Attributes:
        clips_per_scene: clips of each of the ten scenes.
        seed: of everything drawn.
        seconds: length of the clips.
        size: (width, height) of the images, pixels.
    """

    clips_per_scene: int = 12
    seed: int = 0
    seconds: float = 10.0
    size: tuple[int, int] = (320, 180)

    @property
    def shots(self) -> int:
        """Shots of a clip, one for each second that has begun."""
        return ceil(self.seconds)

    @property
    def segments(self) -> int:
        """Segments of a clip: second k is one if the clip lasts beyond k + 0.5 s."""
        return ceil(self.seconds - 0.5)

    def __post_init__(self) -> None:
        if self.clips_per_scene < 4:
            raise SettingError(
                f"--clips-per-scene {self.clips_per_scene}: at least 4, one for each of four "
                "locations: two to train on, one to validate, one to test."
            )
        if self.seed < 0:
            raise SettingError(f"--seed {self.seed}: a whole number from 0 on.")
        if not 1 <= self.seconds <= 3600:
            raise SettingError(f"--seconds {self.seconds}: from 1 to 3600.")
        if any(side % 2 or not 32 <= side <= 4096 for side in self.size):
            width, height = self.size
            raise SettingError(f"--size {width}x{height}: even numbers of pixels, 32 to 4096.")


def write_miniature(
    out: Path,
    *,
    design: SceneDesign = RING,
    clips_per_scene: int = 12,
    seed: int = 0,
    seconds: float = 10.0,
    size: tuple[int, int] = (320, 180),
    workers: int = 1,
    begin: Callable[[int], None] = lambda missing: None,
    done: Callable[[], None] = lambda: None,
) -> list[Clip]:
    """Make what a miniature TAU2021 in `out` is missing.

    The same settings give the same bytes with any number of workers.

    Args:
        out: a folder that does not exist, is empty, or holds a miniature of the same settings.
        design: which scene has which sounds and sights.
        clips_per_scene: clips of each of the ten scenes, at least 4.
        seed: of everything drawn.
        seconds: length of the clips.
        size: (width, height) of the images, pixels; both even.
        workers: processes.
        begin: called once with the number of clips to be made.
        done: called after each clip that is made.

    Returns:
        Every clip of the set, its paths relative to `out`.

    Raises:
        SettingError: a setting is out of its range.
        ManifestError: `out` holds something else.
        AvscError: a file could not be written.
    """
    settings = MiniatureSettings(
        clips_per_scene=clips_per_scene, seed=seed, seconds=float(seconds), size=size
    )
    claim(out, design.name, asdict(settings))
    clips = list(make_clips(design, clips_per_scene))
    drawn = draw_symbols(design, clips, seed, settings.shots)
    jobs = [job for job in _jobs(out, design, settings, clips, drawn) if job.missing]
    ground_truth = encode_ground_truth(design, settings, clips, drawn)
    check_ground_truth(out / GROUND_TRUTH, ground_truth)
    begin(len(jobs))
    render_all(jobs, workers, done)
    for name, data in ({GROUND_TRUTH: ground_truth} | encode_lists(clips)).items():
        if not (out / name).exists():
            publish(out / name, data)
    return clips


def make_clips(design: SceneDesign, clips_per_scene: int) -> Iterator[Clip]:
    """Yield the clips of a miniature, in the order of their numbers."""
    locations = min(design.locations, max(4, clips_per_scene // 2))
    for_test = max(1, round(design.test_share * locations))
    for order, scene in enumerate(design.scenes):
        for number in range(clips_per_scene):
            which = number % locations
            city = CITIES[(order + which) % len(CITIES)]
            location = f"{city}-{order * locations + which + 1}"
            name = f"{scene}-{location}-{order * clips_per_scene + number + 1}"
            yield Clip(
                id=name,
                scene=scene,
                audio=f"audio/{name}.wav",
                video=f"video/{name}.mp4",
                fold="test" if which < for_test else "train",
                city=city,
                location=location,
            )


def encode_lists(clips: Iterable[Clip]) -> dict[str, bytes]:
    """Return TAU2021's lists by their names, ``meta.csv`` last; the test list has no labels."""
    rows = sorted(clips, key=lambda clip: clip.id)
    media = "filename_audio", "filename_video"
    files = [(clip, (str(clip.audio), str(clip.video))) for clip in rows]
    labelled = [(clip.fold, (*names, clip.label_text)) for clip, names in files]
    test = [names for clip, names in files if clip.fold == "test"]
    train, evaluate = ([row for fold, row in labelled if fold == f] for f in ("train", "test"))
    meta = [(*names, clip.label_text, str(clip.location)) for clip, names in files]
    return {
        "evaluation_setup/fold1_train.csv": _table((*media, "scene_label"), train),
        "evaluation_setup/fold1_test.csv": _table(media, test),
        "evaluation_setup/fold1_evaluate.csv": _table((*media, "scene_label"), evaluate),
        "meta.csv": _table((*media, "scene_label", "identifier"), meta),
    }


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in (header, *rows)).encode()


def _jobs(
    out: Path,
    design: SceneDesign,
    settings: MiniatureSettings,
    clips: Sequence[Clip],
    drawn: Sequence[Symbols],
) -> Iterator[RenderJob]:
    """Yield what is to be made; of twenty clips one is a sample short and one a sample long."""
    looks: dict[str | None, Look | None] = {clip.location: None for clip in clips}
    if design.looks_stay:
        for number, location in enumerate(looks):
            generator = np.random.default_rng([settings.seed, LOOKS, number])
            looks[location] = Look.of_location(generator)
    for number, clip in enumerate(clips):
        odd = {5: -1, 15: 1}.get(number % 20, 0)
        yield RenderJob(
            sounds=[design.sounds[kinds.sound] for kinds in drawn[number]],
            sights=[design.sights[kinds.sight] for kinds in drawn[number]],
            look=looks[clip.location],
            seed=settings.seed,
            clip=number,
            audio=out / str(clip.audio),
            samples=round(settings.seconds * RATE) + odd,
            video=out / str(clip.video),
            images=round(settings.seconds * IMAGE_RATE),
            rate=IMAGE_RATE,
            size=settings.size,
        )


def encode_ground_truth(
    design: SceneDesign,
    settings: MiniatureSettings,
    clips: Sequence[Clip],
    drawn: Sequence[Symbols],
) -> bytes:
    """Return what ``world.json`` holds.

    Args:
        design: of the data set.
        settings: of the data set.
        clips: of the data set, some of each scene in each fold.
        drawn: the symbols of each clip.
    """
    known = list(zip(clips, drawn, strict=True))
    oracle = {
        fold: _all_rounded(
            design.oracle((c.label_text, kinds) for c, kinds in known if c.fold == fold)
        )
        for fold in ("train", "test")
    }
    held = {
        "design": {
            "name": design.name,
            "scenes": {
                scene: {str(kinds): round(p, 9) for kinds, p in draws.items()}
                for scene, draws in design.scenes.items()
            },
        },
        "seed": settings.seed,
        "optimum": _all_rounded(design.best_possible()),
        "conditions": encodable(optima(design, settings.segments)),
        "oracle": oracle,
        "symbols": {
            clip.id: str(kinds[0]) if design.hold == 1 else list(map(str, kinds))
            for clip, kinds in known
        },
    }
    return (json.dumps(held, indent=1) + "\n").encode()


def check_ground_truth(path: Path, wanted: bytes) -> None:
    """Check that what is known of a set that is there is what would be known of it now.

    A file of an earlier version may hold less; what it holds is compared.

    Raises:
        ManifestError: it was drawn from another design, as by another version of avsc.
    """
    if not path.is_file():
        return
    known = json.loads(wanted)
    try:
        held = json.loads(path.read_bytes())
        same = "symbols" in held and held == {key: known[key] for key in held}
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise ManifestError(
            f"{path}: not what these settings give: the set was made by another version of avsc, "
            "or the file was changed. Name another folder."
        )


def _all_rounded(scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    return {name: rounded(each) for name, each in scores.items()}
