"""TAU Urban Audio-Visual Scenes 2021, development set (Zenodo record 4477542).

Archives: 27 ZIP files, with the names, sizes and MD5 digests that the record states. Unpacked into
one folder they give ``<release>.meta/meta.csv``, ``<release>.meta/evaluation_setup/``, ``audio/``
and ``video/``; users lay them out in several ways, so lists and media are looked for in the known
places.

Lists: ``meta.csv`` (TAB; filename_audio, filename_video, scene_label, identifier) and
``evaluation_setup/fold1_{train,test,evaluate}.csv``; the test list may or may not carry labels.
Stems are ``scene-city-location-segment``; an older packaging appends ``-a``, which is no part of a
clip's id. A location is ``city-number``.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from avsc.manifests.clips import Clip, Dataset, by_id, inside, missing_reason
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
RELEASED = "TAU-urban-audio-visual-scenes-2021-development"
HOW_TO_GET = (
    "`avsc-prep download --dataset TAU2021` gets it; or unpack the meta, audio and video archives "
    "of https://zenodo.org/records/4477542 into one folder and name that with --root."
)


@dataclass(frozen=True)
class Archive:
    """One archive of a release.

    Attributes:
        name: short name, unique in the release, such as ``audio.1``.
        size: its length, bytes.
        md5: digest of its content, 32 hexadecimal digits.
    """

    name: str
    file: str
    size: int
    md5: str

    @property
    def kind(self) -> str:
        """What the archive holds: the name without its number."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Release:
    """A data set as it is published.

    Attributes:
        url: address of an archive, in which ``{file}`` stands for its file name.
    """

    url: str
    archives: tuple[Archive, ...]


_ARCHIVES = """
    doc         12466 26960140f453d31bbd315ed7e35675f8
    meta       235316 76e3d7ed5291b118372e06379cb2b490
    examples 128196071 27aca1ec51f856f59604cf22e93ebf80
    audio.1  4349202707 186f6273f8f69ed9dbdc18ad65ac234f
    audio.2  4490960726 7fd6bb63127f5785874a55aba4e77aa5
    audio.3  4223486056 61396bede29d7c8c89729a01a6f6b2e2
    audio.4  4172854493 6ddac89717fcf9c92c451868eed77fe1
    audio.5  4185568337 af4820756cdf1a7d4bd6037dc034d384
    audio.6  4215402064 ebd11ec24411f2a17a64723bd4aa7fff
    audio.7  4407222915 2be39a76aeed704d5929d020a2909efd
    audio.8   345864456 972d8afe0874720fc2f28086e7cb22a9
    video.1  4996891312 f89b88f6ff44b109e842bff063612bf1
    video.2  4997056221 433053f76ae028f6c4a86094b91af69c
    video.3  4995965420 974c8e4f3741e065e5c2775f4b9e3ffc
    video.4  4991033216 b558fe62fb8fd9b1864d256ead8a24d1
    video.5  4997081324 fb3036c31e66be1caddb48834e0ea304
    video.6  4991170406 140f331750406eaa16756b5cfdf0a336
    video.7  4996594150 bac47d3da9bffb89318e662c6af68539
    video.8  4992534816 95c231ee549c6e74ab8b57a27047ff71
    video.9  4998329385 294daf6f7de15adcae3a97a8d176eb3a
    video.10 4993017199 c6778f4ddbab163394f7cd26011f1452
    video.11 4993425875 856ecd8fb1df96adcd2cc6928441bbe6
    video.12 4994719640 57b898b19d991fde6df595fda85eb28d
    video.13 4996976020 920562ed29a63abeabfb11b6c0a17a2c
    video.14 4999888160 1febab0738a622dea95926e70d2fc7c4
    video.15 4995885583 d6d57cc85f65b1a589a1d628ca936fc9
    video.16 2286205594 4e1ab47f0d180b818491ef3c3f45ebc6
"""

RELEASES = {
    NAME: Release(
        "https://zenodo.org/records/4477542/files/{file}?download=1",
        tuple(
            Archive(name, f"{RELEASED}.{name}.zip", int(size), md5)
            for name, size, md5 in (line.split() for line in _ARCHIVES.strip().splitlines())
        ),
    )
}


def read_tau2021(root: Path) -> Dataset:
    """Read the lists of TAU2021 in any of the known layouts.

    A missing recording is not an error of the lists; it is found when it is read. A clip that no
    list of fold 1 names belongs to no fold.

    Args:
        root: folder that everything lies under.

    Raises:
        ManifestError: the lists are not in any known place, or contradict each other.
    """
    clips = _clips(_find(root, "meta.csv"))
    folds = _folds(_find(root, "evaluation_setup/fold1_train.csv").parent, clips)
    audio = _media_paths(root, "audio", [clip.audio or "" for clip in clips.values()])
    video = _media_paths(root, "video", [clip.video or "" for clip in clips.values()])
    located = [
        replace(clip, audio=audio_path, video=video_path, fold=folds.get(clip.id))
        for clip, audio_path, video_path in zip(clips.values(), audio, video, strict=True)
    ]
    return Dataset(NAME, root, SCENES, by_id(located))


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
    folders = search_folders(name)
    for folder in folders:
        if folder.is_dir():
            return DATASETS[name](folder)
    tried = " and ".join(f"{folder} ({missing_reason(folder)})" for folder in folders)
    unset = "" if os.environ.get("AVSC_DATA") else " (AVSC_DATA is not set)"
    raise ManifestError(f"{name}: not found; looked in {tried}{unset}. {HOW_TO_GET}")


def search_folders(name: str) -> list[Path]:
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
    for path in names:
        if (root / path).is_file():
            return root / path
    raise ManifestError(
        f"{root}: no {name} of {NAME} here; looked for {', '.join(names)}. {HOW_TO_GET}"
    )


def _media_paths(root: Path, kind: str, paths: list[str]) -> list[str]:
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
    listed: dict[str, str] = {}
    names = {composed(name): name for name in clips}
    for where, row in lines(path, COLUMNS[:1], "\t"):
        name = clip_id(*_values(where, row, COLUMNS[:1]))
        name = names.get(composed(name), name)
        if name in listed:
            raise ManifestError(f"{where}: clip {name!r} was listed before, in {listed[name]}.")
        if name not in clips:
            raise ManifestError(f"{where}: clip {name!r} is not in meta.csv.")
        label = row.get("scene_label", clips[name].scene)
        if label != clips[name].scene:
            raise ManifestError(
                f"{where}: clip {name!r} is {label!r} here and {clips[name].scene!r} in meta.csv."
            )
        listed[name] = where
    return listed
