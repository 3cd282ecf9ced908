"""TAU Urban Audio-Visual Scenes 2021, development set (Zenodo record 4477542).

Lists: ``meta.csv`` (TAB; filename_audio, filename_video, scene_label, identifier) and
``evaluation_setup/fold1_{train,test,evaluate}.csv``; the test list may or may not carry labels.
Stems are ``scene-city-location-segment``; an older packaging appends ``-a``, which is no part of a
clip's id. A location is ``city-number``. The archives unpack to one folder, but users lay them out
in several ways: the lists and the media are looked for in the known places.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from avsc.manifests.archives import RELEASES, TAU2021_NAME
from avsc.manifests.clips import Clip, Dataset, by_id
from avsc.manifests.dataset_root import inside, missing_reason
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.table import check_ends, lines
from avsc.manifests.text import CONTROL, composed

NAME = "TAU2021"
SCENES = (
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
)
COLUMNS = ("filename_audio", "filename_video", "scene_label", "identifier")
RELEASED = TAU2021_NAME
HOW_TO_GET = (
    "`avsc-prep download --dataset TAU2021` gets it; or unpack the meta, audio and video archives "
    "of https://zenodo.org/records/4477542 into one folder and name that with --root."
)


def read_tau2021(root: Path) -> Dataset:
    """Read the lists of TAU2021 in any of the known layouts.

    A recording that is not there is no fault of the lists and is found when it is read. A clip that
    no list of fold 1 names belongs to no fold.

    Args:
        root: folder that everything lies under.

    Raises:
        ManifestError: the lists are not in any known place, or contradict each other.
    """
    clips = _clips(_find(root, "meta.csv"))
    folds = _folds(_find(root, "evaluation_setup/fold1_train.csv").parent, clips)
    audio = _places(root, "audio", [clip.audio or "" for clip in clips.values()])
    video = _places(root, "video", [clip.video or "" for clip in clips.values()])
    placed = [
        replace(clip, audio=sound, video=sight, fold=folds.get(clip.id))
        for clip, sound, sight in zip(clips.values(), audio, video, strict=True)
    ]
    return Dataset(NAME, root, SCENES, by_id(placed))


DATASETS = {NAME: read_tau2021}


def find_dataset(name: str, root: Path | None) -> Dataset:
    """Read a known data set from `root`, or from where such sets are looked for.

    Without `root`: ``$AVSC_DATA/NAME``, then ``./data/NAME``.

    Raises:
        SettingError: no data set has this name.
        ManifestError: it is not there; says where it was looked for and how to get it.
    """
    if name not in DATASETS:
        raise SettingError(f"data set {name!r} is not known; known are {', '.join(DATASETS)}.")
    if root is not None:
        return DATASETS[name](root)
    places = places_of(name)
    for place in places:
        if place.is_dir():
            return DATASETS[name](place)
    tried = " and ".join(f"{place} ({missing_reason(place)})" for place in places)
    unset = "" if os.environ.get("AVSC_DATA") else " (AVSC_DATA is not set)"
    raise ManifestError(f"{name}: not found; looked in {tried}{unset}. {HOW_TO_GET}")


def places_of(name: str) -> list[Path]:
    """Return the folders in which a known data set is looked for, in their order."""
    return [Path(base) / name for base in (os.environ.get("AVSC_DATA"), "data") if base]


def clip_id(path: str) -> str:
    """Return the clip that a media file belongs to.

    >>> clip_id("audio/airport-helsinki-3-112.wav"), clip_id("video/airport-helsinki-3-112-a.mp4")
    ('airport-helsinki-3-112', 'airport-helsinki-3-112')
    """
    stem = Path(path).stem
    parts = stem.split("-")
    return "-".join(parts[:4]) if len(parts) == 5 and parts[4] in ("a", "v") else stem


def _bases(part: str) -> list[str]:
    """Return the folders under the root in which a part of the set may lie, likely ones first."""
    names = [a.name for a in RELEASES[NAME].archives if a.kind == part]
    archives = [f"{RELEASED}.{name}" for name in dict.fromkeys((part, *names))]
    return ["", RELEASED, "raw", part, *archives, *(f"{name}/{RELEASED}" for name in archives)]


def _find(root: Path, name: str) -> Path:
    """Return a list's path, wherever under the root it lies."""
    names = [str(PurePosixPath(base, name)) for base in _bases("meta")]
    for place in names:
        if (root / place).is_file():
            return root / place
    raise ManifestError(
        f"{root}: no {name} of {NAME} here; looked for {', '.join(names)}. {HOW_TO_GET}"
    )


def _places(root: Path, kind: str, paths: list[str]) -> list[str]:
    """Return where the media of the lists lie, relative to the root.

    Folders are looked at, not files: of one folder nothing more is asked than whether it is there;
    when archives were unpacked into several, each is listed once.
    """
    bases = [base for base in _bases(kind) if (root / base / kind).is_dir()] or [""]
    holder: dict[str, str] = {}
    if len(bases) > 1:
        for base in reversed(bases):
            holder |= {composed(path.name): base for path in (root / base / kind).iterdir()}
    names = [composed(PurePosixPath(path).name) for path in paths]
    return [
        str(PurePosixPath(holder.get(name, bases[0]), path))
        for name, path in zip(names, paths, strict=True)
    ]


def _clips(meta: Path) -> dict[str, Clip]:
    """Return the clips that ``meta.csv`` lists, with its own paths and without folds."""
    clips: dict[str, Clip] = {}
    for where, row in lines(meta, COLUMNS, "\t"):
        audio, video, scene, location = _values(where, row, COLUMNS)
        name = clip_id(audio)
        where = f"{where}, clip {name!r}"
        city, _, number = location.rpartition("-")
        if composed(clip_id(video)) != composed(name):
            raise ManifestError(f"{where}: video {video!r} is of another clip.")
        if name in clips:
            raise ManifestError(f"{where}: listed before; remove one.")
        if scene not in SCENES:
            raise ManifestError(f"{where}: unknown scene {scene!r}; known are {', '.join(SCENES)}.")
        if not city or not number:
            raise ManifestError(f"{where}: identifier {location!r}; city-number is wanted.")
        audio, video = inside(audio, where), inside(video, where)
        clips[name] = Clip(name, scene, audio, video, None, city, location)
    return clips


def _values(where: str, row: dict[str, str], columns: Sequence[str]) -> list[str]:
    """Return values of a row; refuse those that are not what they seem to be."""
    for column in columns:
        if CONTROL.search(row[column]):
            raise ManifestError(f"{where}: {column} {row[column]!r} holds a control character.")
        check_ends(where, column, row[column])
    return [row[column] for column in columns]


def _folds(setup: Path, clips: dict[str, Clip]) -> dict[str, str]:
    """Return the fold of each clip that the lists of fold 1 name."""
    train = _listed(setup / "fold1_train.csv", clips)
    paths = [setup / f"fold1_{name}.csv" for name in ("test", "evaluate")]
    tests = {path: _listed(path, clips) for path in paths if path.is_file()}
    if not tests:
        raise ManifestError(
            f"{setup}: no list of the test fold; wanted {paths[0].name} or "
            f"{paths[1].name}. {HOW_TO_GET}"
        )
    tested = {name: where for test in tests.values() for name, where in test.items()}
    for path, test in tests.items():
        if lacking := sorted(tested.keys() - test.keys()):
            raise ManifestError(
                f"{path}: clip {lacking[0]!r} is missing, which is at {tested[lacking[0]]}; the "
                "two lists must name the same clips."
            )
    if both := sorted(tested.keys() & train.keys()):
        raise ManifestError(
            f"{tested[both[0]]}: clip {both[0]!r} is in the training fold too, at "
            f"{train[both[0]]}; it must be in one fold."
        )
    return {**dict.fromkeys(train, "train"), **dict.fromkeys(tested, "test")}


def _listed(path: Path, clips: dict[str, Clip]) -> dict[str, str]:
    """Return where in a list of a fold each clip is named: clip -> ``"file, line n"``."""
    found: dict[str, str] = {}
    names = {composed(name): name for name in clips}
    for where, row in lines(path, COLUMNS[:1], "\t"):
        name = clip_id(*_values(where, row, COLUMNS[:1]))
        name = names.get(composed(name), name)
        if name in found:
            raise ManifestError(f"{where}: clip {name!r} was listed before, in {found[name]}.")
        if name not in clips:
            raise ManifestError(f"{where}: clip {name!r} is not in meta.csv.")
        label = row.get("scene_label", clips[name].scene)
        if label != clips[name].scene:
            raise ManifestError(
                f"{where}: clip {name!r} is {label!r} here and {clips[name].scene!r} in meta.csv."
            )
        found[name] = where
    return found
