"""TAU2021 in every known layout, its faults, and the real lists."""

import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from lists import HEAD, STEMS, row, write_lists

from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.tau2021 import RELEASED, SCENES, find_dataset, read_tau2021


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_lists(tmp_path)
    return tmp_path


@pytest.mark.parametrize("lists", ["", RELEASED, f"{RELEASED}.meta", f"{RELEASED}.meta/{RELEASED}"])
@pytest.mark.parametrize(
    ("audio", "video"),
    [
        ("", ""),
        (RELEASED, RELEASED),
        ("raw", "raw"),
        (f"{RELEASED}.audio", f"{RELEASED}.video"),
        (f"{RELEASED}.audio.8/{RELEASED}", f"{RELEASED}.video.16/{RELEASED}"),
    ],
)
def test_layouts(tmp_path: Path, lists: str, audio: str, video: str) -> None:
    write_lists(tmp_path / lists)
    (tmp_path / audio / "audio").mkdir(parents=True)
    (tmp_path / video / "video").mkdir(parents=True)
    found = read_tau2021(tmp_path)
    stem = "airport-helsinki-3-112"
    assert found.clips[0] == Clip(
        id=stem,
        scene="airport",
        audio=f"{audio}/audio/{stem}.wav".lstrip("/"),
        video=f"{video}/video/{stem}.mp4".lstrip("/"),
        fold="train",
        city="helsinki",
        location="helsinki-3",
    )
    assert (found.name, found.root, found.classes) == ("TAU2021", tmp_path, SCENES)
    assert [clip.id for clip in found.clips] == sorted(STEMS)
    assert {clip.id: clip.fold for clip in found.clips} == STEMS


def test_archives_each_in_a_folder_of_its_own(root: Path) -> None:
    places = dict(zip(STEMS, (1, 2, 8), strict=True))
    for stem, number in places.items():
        touch(root / f"{RELEASED}.audio.{number}/{RELEASED}/audio/{stem}.wav")
    for clip in read_tau2021(root).clips:
        assert clip.audio and (root / clip.audio).is_file()
        assert str(places[clip.id]) in clip.audio.partition("/")[0]
        assert clip.video == f"video/{clip.id}.mp4"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(("meta", "fold", "media"), [("NFC", "NFD", "NFD"), ("NFD", "NFC", "NFC")])
def test_lists_and_media_in_other_forms_and_encodings(
    root: Path, encoding: str, meta: str, fold: str, media: str
) -> None:
    city, plain = "orléans", "airport-helsinki-3-112"
    for path in (root / "meta.csv", *(root / "evaluation_setup").iterdir()):
        form = meta if path.name == "meta.csv" else fold
        text = path.read_text().replace("helsinki", city)
        path.write_bytes(unicodedata.normalize(form, text).encode(encoding))
    name = plain.replace("helsinki", city)
    for number, kind, ending in ((2, "audio", "wav"), (5, "video", "mp4")):
        for other in (1, number):
            (root / f"{RELEASED}.{kind}.{other}/{RELEASED}/{kind}").mkdir(parents=True)
        folder = root / f"{RELEASED}.{kind}.{number}/{RELEASED}/{kind}"
        touch(folder / f"{unicodedata.normalize(media, name)}.{ending}")
    data = read_tau2021(root)
    found = data.clips[0]
    assert found.id == unicodedata.normalize(meta, name) and found.fold == "train"
    assert found.audio and f"{RELEASED}.audio.2/" in found.audio and data.path(found.audio).exists()
    assert found.video and f"{RELEASED}.video.5/" in found.video and data.path(found.video).exists()


def test_blanks_and_control_characters_in_the_lists(root: Path) -> None:
    meta = root / "meta.csv"
    text = meta.read_text()
    for found, wanted, message in (
        ("lyon-1102", "lyon-1102 ", "identifier 'lyon-1102 ' has blanks at its ends"),
        ("wav", "w\x1bav", r"filename_audio .*\.w.x1bav' holds a control character"),
    ):
        meta.write_text(
            text.replace(f"{found}\n", f"{wanted}\n").replace(f".{found}", f".{wanted}")
        )
        with pytest.raises(ManifestError, match=rf"meta\.csv, line 2: {message}"):
            read_tau2021(root)


def test_older_stems_without_labels_of_the_test_fold(tmp_path: Path) -> None:
    write_lists(tmp_path, labels=False, suffix="-a")
    clips = read_tau2021(tmp_path).clips
    assert {clip.id: clip.fold for clip in clips} == STEMS
    assert clips[2].audio == "audio/metro_station-paris-9-402-a.wav"
    assert clips[2].location == "paris-9"


def test_media_may_be_links(root: Path) -> None:
    scratch = root / "scratch"
    touch(scratch / "bus-lyon-1102-41514.wav")
    (root / "raw").mkdir()
    (root / "raw/audio").symlink_to(scratch)
    clip = read_tau2021(root).clips[1]
    assert clip.audio and (root / clip.audio).is_file()


def test_absent_lists_name_every_place(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as error:
        read_tau2021(tmp_path)
    for place in ("meta.csv", f"{RELEASED}.meta/meta.csv", "raw/meta.csv", "records/4477542"):
        assert place in str(error.value)
    write_lists(tmp_path)
    shutil.rmtree(tmp_path / "evaluation_setup")
    with pytest.raises(ManifestError, match=f"{RELEASED}/evaluation_setup/fold1_train.csv"):
        read_tau2021(tmp_path)


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def append(name: str, line: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write(line + "\n")

    return change


def remove_test_list(root: Path) -> None:
    (root / "evaluation_setup/fold1_evaluate.csv").unlink()


def add_shorter_test_list(root: Path) -> None:
    (root / "evaluation_setup/fold1_test.csv").write_text(HEAD + "\n")


TRAIN, TEST = "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("meta.csv", "\t", ","), "separated by a comma; a TAB is wanted"),
        (replace("meta.csv", "scene_label", "scene"), "no column 'scene_label'; found filename_a"),
        (replace("meta.csv", "\tbus\t", "\tbuss\t"), "line 2, clip 'bus-lyon-1102-41514': unknown"),
        (replace("meta.csv", "\thelsinki-3", "\thelsinki"), "identifier 'helsinki'; city-number"),
        (replace("meta.csv", "video/bus", "video/tram"), "line 2, clip 'bus-lyon-1102-41514': vid"),
        (replace("meta.csv", "audio/bus", "../bus"), "path '../bus-lyon-1102-41514.wav' leaves"),
        (
            append("meta.csv", row("bus-lyon-1102-41514-a") + "\tlyon-1102"),
            "meta.csv, line 5, clip 'bus-lyon-1102-41514': listed before",
        ),
        (replace(TRAIN, "\t", ","), "fold1_train.csv: no column 'filename_audio'"),
        (append(TRAIN, row("bus-lyon-1102-41514")), "fold1_train.csv, line 4: clip 'bus-lyon"),
        (append(TRAIN, row("tram-oslo-1-2")), "line 4: clip 'tram-oslo-1-2' is not in meta.csv"),
        (replace(TRAIN, "\tbus", "\ttram"), "line 2: clip 'bus-lyon-1102-41514' is 'tram' here"),
        (append(TEST, row("bus-lyon-1102-41514")), "line 3: clip 'bus-lyon-1102-41514' is in the"),
        (remove_test_list, "no list of the test fold; wanted fold1_test.csv or fold1_evaluate.csv"),
        (add_shorter_test_list, "fold1_test.csv: clip 'metro_station-paris-9-402' is missing"),
    ],
)
def test_faulty_lists(root: Path, change: Callable[[Path], None], message: str) -> None:
    change(root)
    with pytest.raises(ManifestError) as error:
        read_tau2021(root)
    assert message in str(error.value)


def test_data_set_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AVSC_DATA", raising=False)
    with pytest.raises(ManifestError) as error:
        find_dataset("TAU2021", None)
    assert "looked in data/TAU2021 (no such file) (AVSC_DATA is not set)" in str(error.value)
    assert "zenodo.org/records/4477542" in str(error.value)
    monkeypatch.setenv("AVSC_DATA", str(tmp_path / "sets"))
    with pytest.raises(ManifestError) as error:
        find_dataset("TAU2021", None)
    assert f"looked in {tmp_path}/sets/TAU2021 (no such file) and data/T" in str(error.value)
    for place in ("data/TAU2021", "sets/TAU2021", "elsewhere"):
        write_lists(tmp_path / place)
    assert find_dataset("TAU2021", None).root == tmp_path / "sets/TAU2021"
    monkeypatch.delenv("AVSC_DATA")
    assert find_dataset("TAU2021", None).root == Path("data/TAU2021")
    assert find_dataset("TAU2021", tmp_path / "elsewhere").root == tmp_path / "elsewhere"
    with pytest.raises(SettingError, match="data set 'TAU' is not known; known are TAU2021"):
        find_dataset("TAU", None)


@pytest.mark.real
def test_real_lists(real_data: Path) -> None:
    clips = read_tau2021(real_data / "tau2021_meta").clips
    assert len(clips) == 12_291
    assert Counter(clip.fold for clip in clips) == {"train": 8_646, "test": 3_645}
    places = {fold: {c.location for c in clips if c.fold == fold} for fold in ("train", "test")}
    assert (len(places["train"]), len(places["test"])) == (305, 126)
    assert not places["train"] & places["test"]
    train = Counter(clip.scene for clip in clips if clip.fold == "train")
    test = Counter(clip.scene for clip in clips if clip.fold == "test")
    assert [train[s] for s in SCENES] == [697, 806, 705, 893, 1006, 982, 841, 968, 985, 763]
    assert [test[s] for s in SCENES] == [281, 327, 360, 386, 386, 387, 387, 421, 402, 308]
    assert len({clip.city for clip in clips}) == 10
    assert all(clip.id.startswith(f"{clip.scene}-{clip.location}-") for clip in clips)
