"""Escapes: what the reader of each kind of output shows is the text that went in."""

import csv
import doctest
import io
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from worst import NAMES

from avsc.manifests import escape, table, text
from avsc.manifests.escape import csv_sheet, latex, markdown, mathtext, terminal

COMMONMARK = MarkdownIt("commonmark").enable("table").enable("strikethrough")
TEXTS = ("td", "th", "li")
SIGNS = st.text("ab &;#<>|\\`*_~$[]()!:-+=.1\"'^{}", max_size=12)


class Shown(HTMLParser):
    """What a browser shows of a page: its tags, and the text of each cell and item."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.inside = False
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag in TEXTS:
            self.texts.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag not in TEXTS

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


def test_doctests() -> None:
    for module in (escape, table, text):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


def rows(name: str) -> list[str]:
    shown = Shown(COMMONMARK.render(f"| a | b |\n| - | - |\n| {name} | end |\n"))
    assert shown.tags <= {"table", "thead", "tbody", "tr", "th", "td"}
    return shown.texts[2:]


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_the_worst_names(name: str) -> None:
    assert rows(markdown(name)) == [name, "end"]
    shown = Shown(COMMONMARK.render(f"- strict: {markdown(name)}"))
    assert shown.tags <= {"ul", "li"} and shown.texts == [f"strict: {name}"]


@given(SIGNS)
def test_markdown_shows_any_text_in_a_cell(name: str) -> None:
    # Blanks at the ends of a cell, and runs of them, are no part of what Markdown shows.
    assert rows(markdown(f"x{name}x")) == [f"x{name}x", "end"]


def test_markdown_leaves_plain_text_and_hides_mathematics() -> None:
    for plain in ("metro_station", "0.1234 [0.1, 0.2] (95 %)", "café 中文", "runs/a-b.c", "- 5"):
        assert markdown(plain) == plain
    assert markdown("$x$") == r"\$x\$"  # GitHub's own, which CommonMark has not


# From LaTeX2e: An unofficial reference manual (October 2024), sections 23.1 and 23.2.
@pytest.mark.parametrize(
    ("sign", "wanted"),
    [
        ("#", r"\#"), ("$", r"\$"), ("%", r"\%"), ("&", r"\&"), ("{", r"\{"), ("}", r"\}"),
        ("_", r"\_"), ("~", r"\textasciitilde{}"), ("^", r"\textasciicircum{}"),
        ("\\", r"\textbackslash{}"), ("<", r"\textless{}"), (">", r"\textgreater{}"),
        ("|", r"\textbar{}"), ("`", r"\textasciigrave{}"), ("'", r"\textquotesingle{}"),
        ('"', r"\symbol{34}"), ("--", "-{}-"), ("[", "{[}"), ("*", "{*}"), ("é-1.5", "é-1.5"),
    ],
)  # fmt: skip
def test_latex_writes_what_the_manual_says(sign: str, wanted: str) -> None:
    assert latex(sign) == wanted
    assert latex(f"a{sign}b") == f"a{wanted}b"


@pytest.mark.parametrize("name", NAMES)
def test_matplotlib_draws_the_dollar_sign(name: str) -> None:
    if not name.isascii():
        pytest.skip("whether a font has it is another question")
    figure = Figure()
    figure.text(0.1, 0.5, f"{mathtext(name)}\n5 %")
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(data, format="svg")
    drawn = [
        "".join(each.itertext())
        for each in ElementTree.fromstring(data.getvalue()).iter()
        if each.tag.endswith("}text")
    ]
    assert drawn == [name, "5 %"]


def test_spreadsheets_see_texts_and_numbers() -> None:
    begun = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"]
    plain = ["park", "a=b", "'quoted", 'say "x", y', "\r=1"]
    data = csv_sheet([begun, plain, [-0.25, 3, None, 1e-9, ""]])
    found = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    plain[-1] = "\\r=1"
    assert found == [[f"'{each}" for each in begun], plain, ["-0.25", "3", "", "1e-09", ""]]


def test_terminals_are_not_controlled() -> None:
    assert terminal("a\x1b[31m\x9b\x07b\tc\nd é\u202e") == "a\\x1b[31m\\x9b\\x07b\tc\nd é\\u202e"
