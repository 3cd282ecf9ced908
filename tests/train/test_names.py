"""The worst names through whole commands: every file and line shows them as they are."""

import csv
import hashlib
import io
import re
import shlex
import shutil
import unicodedata
from dataclasses import replace
from html import unescape
from types import SimpleNamespace

import numpy as np
import pytest
from commands import refused
from markdown_it import MarkdownIt
from stores import small_clips, small_store
from worst import NAMES

from avsc.features.store.layout import clips_file
from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.figures import LONGEST, confusion_figure, drawable_names
from avsc.train.fit.split import encode_split, part_clips
from avsc.train.model.weights import pretraining
from avsc.train.paper.table import SeedMean, SeedScores, TableLine
from avsc.train.paper.table_report import comma_separated, latex, markdown
from avsc.train.paper.tsne_embeddings import choose_points

CITY = "@city|<i>"
FAST = ["--batch-size", "16", "--epochs", "1", "--device", "cpu", "--workers", "0"]


def table(path, delimiter=","):
    """Return the rows of a table, as another program reads them."""
    return list(csv.reader(io.StringIO(path.read_text(), newline=""), delimiter=delimiter))


def worst_clips():
    """Three clips of each name, one of them in the test fold; all at one location in both folds."""
    return tuple(
        Clip(f"={number}|{take} <b> é", name, "a.wav", None, fold, CITY, f"+{number}|<l>")
        for number, name in enumerate(NAMES)
        for take, fold in enumerate(("train", "train", "test"))
    )


@pytest.fixture(scope="module")
def worst_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worst") / "a store $(x)"
    return small_store(folder, clips=worst_clips(), products=("scalogram",), seconds=2)


def cells(page):
    """Return the cells of a page's tables as a browser shows them, by rows."""
    html = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(page)
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [
        [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in rows
    ], html


def shown(name):
    """Return a name as a sheet of CSV has it."""
    return f"'{name}" if name[0] in "=+-@" else name


def test_worst_names_through_training_evaluation_comparison_and_maps(
    worst_store, tmp_path, fit, monkeypatch
):
    runs = tmp_path / "run $1_{$ | <b>", tmp_path / "=run $2"
    status, out, err = fit(
        *("audio", "--store", worst_store, "--validation", "none", *FAST, "--out", runs[0])
    )
    assert status == 0, err
    following = re.search("^next: (.*)$", out, re.MULTILINE)[1]
    assert shlex.split(following) == ["avsc-fit", "evaluate", str(runs[0])]
    both = "note: 8 locations in both the training fold and the test fold: '+0|<l>'; '+1|<l>'; "
    assert both in out
    status, out, err = fit("evaluate", runs[0], "--protocol", "strict,clip", "--device", "cpu",
                           "--workers", 0, "--resamples", 100)  # fmt: skip
    assert status == 0 and both in out, err
    shutil.copytree(runs[0], runs[1])
    report = runs[0] / "evaluation-test"
    rows, html = cells((report / "report.md").read_text())
    assert [row[0] for row in rows[1:9]] == sorted(NAMES)
    assert CITY in [row[0] for row in rows]
    assert ["run", str(runs[0])] in rows and ["store", str(worst_store)] in rows
    assert not re.search("<(script|a |em|del|code)", html)
    sheet = table(report / "metrics.csv")
    assert [row[1] for row in sheet[1:10]] == [*map(shown, sorted(NAMES)), f"'{CITY}"]
    assert sheet[0][3] == "log_loss_strict" and all(float(row[3]) > 0 for row in sheet[1:])
    exact = table(report / "predictions-clip.tsv", "\t")
    assert exact[0][2:] == sorted(NAMES) and exact[1][0] == "=0|2 <b> é.wav"

    for protocol in ("strict", "clip"):
        status, out, err = fit("compare", *runs, "--protocol", protocol, "--resamples", 100,
                               "--out", tmp_path / protocol)  # fmt: skip
        assert status == 0, err
        rows, html = cells((tmp_path / protocol / "comparison.md").read_text())
        assert [row[0] for row in rows[2:10]] == sorted(NAMES)
        assert f"<h1>{runs[1]} against {runs[0]}</h1>" == unescape(html.splitlines()[0])
        sheet = table(tmp_path / protocol / "comparison.csv")
        assert [row[1] for row in sheet[2:10]] == list(map(shown, sorted(NAMES)))
        figures = [dict(zip(sheet[0], row, strict=True)) for row in sheet[1:]]
        assert [float(row["log_loss_difference"]) for row in figures] == [0.0] * len(figures)

    status, out, err = fit("tsne", *runs, "--layers", "acoustic", "--points", 16, "--perplexity", 3,
                           "--device", "cpu", "--out", tmp_path / "maps")  # fmt: skip
    assert status == 0, err
    rows, _ = cells((tmp_path / "maps/tsne.md").read_text())
    assert runs[0].name in [row[1] for row in rows] and ["second", str(runs[1])] in rows
    drawn = re.findall("<text.*?>(.*?)</text>", (tmp_path / "maps/tsne.svg").read_text(), re.DOTALL)
    assert "bar $5_{ or $10" in map(unescape, drawn)
    assert f"(a) acoustic: audio, {runs[0].name}" in map(unescape, drawn)
    points = table(tmp_path / "maps/tsne.csv")[1:]
    assert [row[2] for row in points] == [shown(name) for name in NAMES for _ in range(2)]

    def alone(*given):  # one segment of each scene, of which no silhouette can be told
        found = choose_points(*given)
        return replace(
            found, segments=found.segments[::2], scene=found.scene[::2], group=found.group[::2]
        )

    monkeypatch.setattr("avsc.train.paper.tsne_maps.choose_points", alone)
    found = fit("tsne", *runs, "--perplexity", 3, "--device", "cpu", "--out", tmp_path / "no")
    refused(found, 2, "there are 8 segments of 8 scenes to draw; wanted at least two scenes")


def test_labels_that_an_earlier_version_let_pass_keep_working(tmp_path, fit):
    """A store whose scenes differ by a blank is opened, trained on and evaluated, with a note."""
    given = {"scene0": "bus", "scene1": "bus ", "scene2": "Bus"}
    clips = tuple(
        Clip(each.id, given[each.scene], each.audio, None, each.fold, each.city, each.location)
        for each in small_clips()
    )
    store = small_store(tmp_path / "store", clips=clips, products=("scalogram",), seconds=1)
    status, out, err = fit("audio", "--store", store, "--out", tmp_path / "run", *FAST)
    assert status == 0, err
    assert "note: scenes that differ by blanks, capitals or Unicode form alone: 'Bus' and" in out
    assert "note: scenes with blanks at their ends: 'bus '." in out
    for arguments in (
        ["evaluate", tmp_path / "run", "--protocol", "clip"],
        ["compare", tmp_path / "run", tmp_path / "run/evaluation-test/predictions-clip.tsv",
         "--protocol", "clip", "--out", tmp_path / "compared"],
    ):  # fmt: skip
        status, out, err = fit(*arguments, "--resamples", 100)
        assert status == 0, err
    listed = tmp_path / "listed.csv"
    listed.write_bytes(clips_file(store).read_bytes())
    refused(
        fit("compare", tmp_path / "run", tmp_path / "run", "--truth", listed, "--protocol", "clip",
            "--out", tmp_path / "no"),
        1, "listed.csv, line ", "scene 'bus ' has blanks at its ends; write it as 'bus'.",
    )  # fmt: skip


def test_ids_with_line_ends_of_unicode_are_read_back_from_a_split(tmp_path):
    names = ["a\u2028b", "c\x85d", '"e,"f"', "x,validation"]
    content, path = encode_split(names, ["g"]), tmp_path / "split.csv"
    path.write_bytes(content)
    trained = SimpleNamespace(
        folder=SimpleNamespace(split=path),
        record=SimpleNamespace(split=hashlib.sha256(content).hexdigest()),
    )
    assert sorted(part_clips(trained, "training")) == sorted(names)


def test_tables_of_runs_and_of_files():
    figure = SeedMean(-0.5, None, Interval(-0.75, 0.25))
    lines = [
        TableLine(name, (name,), name, "strict", 1, SeedScores(figure, figure, 10, None), None)
        for name in NAMES
    ]
    rows, html = cells(markdown(lines))
    assert [row[:3] for row in rows[1:]] == [[name, name, name] for name in NAMES]
    assert " [-0.7" in rows[1][4] and not re.search("<(script|a |em|del|code)", html)
    tex = latex(lines, "x").decode().splitlines()
    assert r"bar \$5\_\{ or \$10 & bar \$5\_\{ or \$10" in tex[6]
    assert tex[10].startswith(r"{[}x](http://a.b) !{[}y](z) \&amp; \#1 :tada: & ")
    sheet = list(csv.reader(io.StringIO(comma_separated(lines).decode(), newline="")))
    assert [row[0] for row in sheet[1:]] == list(map(shown, NAMES))
    assert {row[5] for row in sheet[1:]} == {"-0.5"}


def test_images_have_room_for_any_name():
    """Warnings are errors here: of glyphs that are missing, of layouts that collapse."""
    for names in (NAMES, ("x" * 300, "中" * 300), ("中", "=")):
        confusion_figure(np.eye(len(names), dtype=np.int64), names, "audio, test fold")
    with drawable_names("x" * 300, "a\x9bb", "$") as names:
        assert len(names[0]) == LONGEST and names[1:] == ["a\\x9bb", "\\$"]


def test_characters_that_no_font_has_are_written_as_numbers(monkeypatch):
    monkeypatch.setattr("avsc.train.evaluate.figures._fonts", lambda: iter(()))
    with drawable_names("é 中🙂") as names:
        assert names == ["é \\u4e2d\\U0001f642"]


def test_weights_whose_file_has_blanks_and_commas_in_its_name():
    end = "sha256:0123abcd"
    for origin, wanted in (
        (f"file my file of weights.pt {end}", "unknown (my file of weights.pt)"),
        (f"file a, file b.pt {end}", "unknown (a, file b.pt)"),
        (f"Places365, file best file.pt {end}", "Places365"),
        (f"my set, Places, file best.pt {end}", "my set, Places"),
        (f"{unicodedata.normalize('NFD', 'é')}, file x.pt {end}", "e\u0301"),
    ):
        assert pretraining(origin) == wanted
