"""The generic manifest: an exact round trip, and faults named by line."""

import doctest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc.manifests import clips, table, tau2021
from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError
from avsc.manifests.table import COLUMNS, encode_table, read_rows, read_table

WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
PATHS = st.lists(st.sampled_from(["a", "b,c", 'd"e', "ф g", "..h"]), min_size=1).map("/".join)
CLIPS = st.builds(
    Clip,
    id=WORDS,
    scene=WORDS,
    audio=PATHS,
    video=st.none() | PATHS,
    fold=st.sampled_from(["train", "test", None]),
    city=st.none() | WORDS,
    location=st.none() | WORDS,
)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_doctests() -> None:
    for module in (clips, table, tau2021):
        assert doctest.testmod(module).failed == 0


@settings(deadline=None)
@given(clips=st.lists(CLIPS, max_size=5, unique_by=lambda clip: clip.id))
def test_round_trip(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write(tmp_path_factory.getbasetemp(), encode_table(clips))
    assert read_rows(path) == clips


def test_columns_in_any_order_either_delimiter_bom_and_crlf(tmp_path: Path) -> None:
    expected = [Clip("a", "park", None, "a.mp4"), Clip("b", "bus", None, "b.mp4")]
    rows = [["video", "scene", "id"], ["a.mp4", "park", "a"], ["b.mp4", "bus", "b"]]
    for delimiter in ",\t":
        for end in ("\n", "\r\n"):
            text = end.join(delimiter.join(row) for row in [*rows, []])
            assert read_rows(write(tmp_path, text)) == expected
            assert read_rows(write(tmp_path, text.encode("utf-8-sig"))) == expected


def test_data_set_of_a_table(tmp_path: Path) -> None:
    path = write(tmp_path, "id,scene,audio,video,note\nb,park,b.mp4,b.mp4,x\na,bus,,a.mp4,y\n")
    found = read_table(path, tmp_path)
    assert (found.name, found.root, found.classes) == ("list", tmp_path, ("bus", "park"))
    assert found.clips == (
        Clip("a", "bus", None, "a.mp4"),
        Clip("b", "park", "b.mp4", "b.mp4"),
    )
    named = read_table(path, tmp_path, "mine", ("park", "bus", "tram"))
    assert (named.name, named.classes) == ("mine", ("park", "bus", "tram"))


HEAD = "id,scene,audio,video\n"
GOOD = "a,park,a.wav,a.mp4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": no column 'id'; found nothing; wanted id, scene."),
        ("id,audio\na,a.wav\n", ": no column 'scene'; found id, audio; wanted id, scene."),
        ("id;scene;audio\n", "separated by a semicolon; a comma is wanted"),
        ("id,scene,audio,id\n", ": column 'id' is there twice"),
        ("id,scene,audio,Locaton\na,b,c,d\n", "unknown column 'Locaton'; is 'location' meant?"),
        ("id,scene,audio,Fold\na,b,c,test\n", "unknown column 'Fold'; is 'fold' meant?"),
        (HEAD + GOOD + "b,park,b.wav\n", ", line 3: 3 columns; the header has 4."),
        (HEAD + GOOD + "\n" + GOOD, ", line 4: clip 'a' was listed before, in "),
        (HEAD + ",park,a.wav,a.mp4\n", ", line 2: no id or no scene"),
        (HEAD + "a,,a.wav,a.mp4\n", ", line 2: no id or no scene"),
        (HEAD + "a,park,,\n", ", line 2: clip 'a' has neither audio nor video"),
        ("id,scene,audio,fold\na,park,a.wav,dev\n", "'a' is of fold 'dev'; known are train, test"),
        (HEAD + GOOD + "b,park,../b.wav,\n", ", line 3, clip 'b': path '../b.wav' leaves"),
        (HEAD + "b,park,b.wav,/b.mp4\n", ", line 2, clip 'b': path '/b.mp4' is absolute"),
        (HEAD + 'a,park,"a\n.wav",\n', "audio 'a\\n.wav' holds a control character"),
        (HEAD + 'a,park,"a.wav,\n', ", line 2: not CSV: unexpected end of data."),
        (HEAD.encode() + b"a,caf\xe9,a.wav,\n", ", line 2: not UTF-8 text"),
    ],
)
def test_faulty_tables(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ManifestError) as error:
        read_rows(path)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


@pytest.mark.parametrize("column", ["id", "scene", "fold", "city", "location"])
@pytest.mark.parametrize("blank", ["{} ", "\u00a0{}", "{}\u200b", "\u3000{}"])
def test_blanks_at_the_ends_are_refused_in_a_users_list_alone(
    tmp_path: Path, column: str, blank: str
) -> None:
    good = {"id": "b", "scene": "park", "fold": "test", "city": "lyon", "location": "lyon-1"}
    bad = blank.format(good[column])
    rows = [",".join([*good, "audio"]), *(f"{','.join(row.values())},b c .wav" for row in (
        {**good, "id": "a"}, {**good, column: bad}
    ))]  # fmt: skip
    path = write(tmp_path, "\n".join(rows))
    with pytest.raises(ManifestError) as error:
        read_rows(path, strict=True)
    assert str(error.value) == (
        f"{path}, line 3: {column} {bad!r} has blanks at its ends; write it as {good[column]!r}."
    )
    if column != "fold":  # which no version took with blanks
        assert getattr(read_rows(path)[1], column) == bad


def test_characters_that_control_terminals_are_refused_in_a_users_list_alone(
    tmp_path: Path,
) -> None:
    for number, sign in enumerate(("\x9b", "\u2028", "\u202e")):
        path = write(tmp_path, f"id,scene,audio\na{sign}b,park,{number}.wav\n")
        with pytest.raises(ManifestError, match=r", line 2: id .* holds a control character"):
            read_rows(path, strict=True)
        assert read_rows(path)[0].id == f"a{sign}b"


def test_blanks_around_the_names_of_columns_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, "id , scene, audio\t,video\na,park,a.wav,a.mp4\n".replace("\t", " "))
    assert read_rows(path, strict=True) == [Clip("a", "park", "a.wav", "a.mp4")]


@pytest.mark.parametrize("address", ["file:///data/a.wav", "FILE:/data/a.wav", "https://x/a.wav"])
def test_addresses_are_refused_with_the_remedy(tmp_path: Path, address: str) -> None:
    path = write(tmp_path, f"id,scene,audio\na,park,{address}\n")
    with pytest.raises(ManifestError) as error:
        read_rows(path)
    assert str(error.value) == (
        f"{path}, line 2, clip 'a': path {address!r} is an address; write it relative to the data "
        "set's folder, with forward slashes."
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_as_spreadsheets_save_it(tmp_path: Path, encoding: str) -> None:
    text = "id\tscene\taudio\r\na\tcafé\ta.wav\r\n"
    path = write(tmp_path, text.encode(encoding))
    assert read_rows(path, strict=True) == [Clip("a", "café", "a.wav", None)]


def test_absent_table_folder_and_clips(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no\.csv: cannot be read \(No such file"):
        read_rows(tmp_path / "no.csv")
    path = write(tmp_path, HEAD + GOOD)
    with pytest.raises(ManifestError, match=r"elsewhere: no such folder"):
        read_table(path, tmp_path / "elsewhere")
    with pytest.raises(ManifestError, match="unknown scene 'park'; known are bus"):
        read_table(path, tmp_path, classes=("bus",))
    with pytest.raises(ManifestError, match=r"list\.csv: the manifest lists no clips"):
        read_table(write(tmp_path, ",".join(COLUMNS)), tmp_path)
