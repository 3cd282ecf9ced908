"""TAU Urban Audio-Visual Scenes 2021, development set (Zenodo record 4477542).

Lists: ``meta.csv`` (TAB; filename_audio, filename_video, scene_label, identifier) and
``evaluation_setup/fold1_{train,test,evaluate}.csv``; the test list may or may not carry labels.
Stems are ``scene-city-location-segment``; an older packaging appends ``-a``, which is no part of a
clip's id. A location is ``city-number``. The archives unpack to one folder, but users lay them out
in several ways: the lists and the media are looked for in the known places.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from avsc.manifests.clips import Clip, Dataset, by_id
from avsc.manifests.errors import ManifestError
from avsc.manifests.roots import inside
from avsc.manifests.table import lines

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
RELEASED = "TAU-urban-audio-visual-scenes-2021-development"
BASES = ("", RELEASED, f"{RELEASED}.meta", f"{RELEASED}.meta/{RELEASED}", "meta", "raw")
HOW_TO_GET = (
    "The set is on Zenodo, https://zenodo.org/records/4477542: unpack its meta, audio and video "
    "archives into one folder and name that with --root."
)


def read_tau2021(root: Path) -> Dataset:
    """Read the lists of TAU2021 in any of the known layouts.

    Args:
        root: folder that everything lies under.

    Raises:
        ManifestError: the lists are not in any known place, or contradict each other.
    """
    meta = _find(root, [f"{base}/meta.csv".lstrip("/") for base in BASES])
    setup = meta.parent / "evaluation_setup"
    folds = _folds(setup)
    media = {kind: _media_folder(root, kind) for kind in ("audio", "video")}
    clips = []
    for where, row in lines(
        meta, ("filename_audio", "filename_video", "scene_label", "identifier"), "\t"
    ):
        audio = inside(row["filename_audio"], where)
        video = inside(row["filename_video"], where)
        name = clip_id(audio)
        if clip_id(video) != name:
            raise ManifestError(f"{where}: {audio} and {video} are not of one clip.")
        scene = row["scene_label"]
        if scene not in SCENES:
            raise ManifestError(f"{where}: unknown scene {scene!r}; known are {', '.join(SCENES)}.")
        location = row["identifier"]
        clips.append(
            Clip(
                id=name,
                scene=scene,
                audio=_under(media["audio"], audio),
                video=_under(media["video"], video),
                fold=folds.pop(name, None),
                city=location.rpartition("-")[0],
                location=location,
            )
        )
    if folds:
        name = min(folds)
        raise ManifestError(f"{setup}: clip {name!r} is in a fold but not in {meta}.")
    return Dataset(NAME, root, SCENES, by_id(clips))


DATASETS = {NAME: read_tau2021}


def find_dataset(name: str, root: Path | None) -> Dataset:
    """Read a known data set from `root`, or from where such sets are looked for.

    Without `root`: ``$AVSC_DATA/NAME``, then ``./data/NAME``.

    Raises:
        ManifestError: it is not there; says where it was looked for and how to get it.
    """
    if root is not None:
        return DATASETS[name](root)
    places = [Path("data") / name]
    if "AVSC_DATA" in os.environ:
        places.insert(0, Path(os.environ["AVSC_DATA"]) / name)
    for place in places:
        if place.is_dir():
            return DATASETS[name](place)
    tried = " and ".join(str(place) for place in places)
    unset = "" if "AVSC_DATA" in os.environ else " (AVSC_DATA is not set)"
    raise ManifestError(f"{name}: not found; looked in {tried}{unset}. {HOW_TO_GET}")


def clip_id(path: str) -> str:
    """Return the clip that a media file belongs to.

    >>> clip_id("audio/airport-helsinki-3-112.wav"), clip_id("video/airport-helsinki-3-112-a.mp4")
    ('airport-helsinki-3-112', 'airport-helsinki-3-112')
    """
    stem = Path(path).stem
    parts = stem.split("-")
    return "-".join(parts[:4]) if len(parts) == 5 and parts[4] in ("a", "v") else stem


def _find(root: Path, names: list[str]) -> Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    raise ManifestError(f"{root}: {NAME} is not here; looked for {', '.join(names)}. {HOW_TO_GET}")


def _folds(setup: Path) -> dict[str, str]:
    """Return the fold of each clip that the lists of fold 1 name."""
    folds: dict[str, str] = {}
    tests = [p for p in (setup / f"fold1_{n}.csv" for n in ("evaluate", "test")) if p.is_file()]
    for fold, path in [("train", setup / "fold1_train.csv"), *(("test", p) for p in tests[:1])]:
        for where, name in _listed(path):
            if name in folds:
                raise ManifestError(
                    f"{where}: clip {name!r} is listed twice (fold {folds[name]} before)."
                )
            folds[name] = fold
    if not tests:
        raise ManifestError(
            f"{setup}: no list of the test fold; fold1_test.csv or fold1_evaluate.csv is wanted."
        )
    return folds


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    for where, row in lines(path, ("filename_audio",), "\t"):
        yield where, clip_id(inside(row["filename_audio"], where))


def _media_folder(root: Path, kind: str) -> str:
    """Return the folder, relative to the root, in which the paths of the lists begin."""
    archive = f"{RELEASED}.{kind}"
    bases = ("", RELEASED, "raw", archive, f"{archive}/{RELEASED}")
    for base in bases:
        if (root / base / kind).is_dir():
            return base
    return ""  # the files are then missing, each by its own name


def _under(base: str, path: str) -> str:
    return f"{base}/{path}" if base else path
