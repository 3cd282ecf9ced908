r"""Escaping of text from outside (names of scenes, clips and files) for each kind of output.

Each function returns text that the reader of that output shows verbatim.

===========  ==============================================================================
`markdown`   CommonMark and GitHub's tables, mathematics and strike-through
`latex`      LaTeX text, and cells of its tables
`mathtext`   matplotlib, which typesets what stands between two dollar signs as a formula
`csv_sheet`  CSV for people, whose spreadsheets would compute a cell that begins with "="
`terminal`   a line on a terminal, which obeys control characters
===========  ==============================================================================

Files that programs read back (clips.csv, failures.csv, split.csv, predictions) are written exactly,
by CSV's own quoting; `csv_sheet` is for those that nothing here reads.
"""

import re
from collections.abc import Iterable

from avsc.manifests.files import csv_bytes
from avsc.manifests.text import CONTROL

MARKDOWN = re.compile(
    r"[\\`*|$~#]"  # escapes, code, emphasis, cells, mathematics, strike-through, headings
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis, but not the underscore inside metro_station
    r"|!(?=\[)|\](?=[(\[:])|^\[(?=[ xX]\])"  # images, links, check boxes
    r"|:(?=[a-z+-][\w+-]*:)"  # emoji by name
)
ENTITIES = {"<": "&lt;", ">": "&gt;"}
ENTITY = re.compile(r"&(?=#?\w+;)|[<>]")
LATEX = str.maketrans(
    {
        "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
        "'": r"\textquotesingle{}", '"': r"\symbol{34}", "±": r"$\pm$",
        "[": "{[}", "*": "{*}",  # at the head of a row they would belong to the \\ before it
    }
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")
"""Beginnings of cells that spreadsheets compute; the full-width signs count in East Asian ones."""


def markdown(text: str) -> str:
    r"""Return text for Markdown, also in the cell of a table.

    Plain text stays as it is: figures, intervals in brackets, names such as metro_station.

    >>> print(markdown("a|b <b> metro_station [0.1, 0.2]"))
    a\|b &lt;b&gt; metro_station [0.1, 0.2]
    """
    safe = MARKDOWN.sub(lambda match: "\\" + match[0], text)
    return ENTITY.sub(lambda match: ENTITIES.get(match[0], "&amp;"), safe)


def latex(text: str) -> str:
    r"""Return text for LaTeX, in running text or in the cell of a table.

    Letters outside ASCII are kept; XeLaTeX and LuaLaTeX set those that their font has.

    >>> print(latex("50 % of a_b"))
    50 \% of a\_b
    """
    return re.sub("-(?=-)", "-{}", text.translate(LATEX))


def mathtext(text: str) -> str:
    r"""Return text that matplotlib draws verbatim.

    >>> print(mathtext("bar $5 or $10"))
    bar \$5 or \$10
    """
    return text.replace("$", r"\$")


def csv_sheet(rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as CSV for people: texts that would begin a formula have an apostrophe first.

    Numbers stay numbers, also negative ones.

    >>> csv_sheet([["=1+1", -0.5, None]])
    b"'=1+1,-0.5,\\n"
    """
    return csv_bytes([_cell(value) for value in row] for row in rows)


def terminal(text: str) -> str:
    r"""Return text for a terminal; characters that control it are written as their numbers.

    Line ends and TABs are kept.

    >>> print(terminal("\x1b[2Jpark"))
    \x1b[2Jpark
    """
    return CONTROL.sub(
        lambda match: match[0] if match[0] in "\n\t" else ascii(match[0])[1:-1], text
    )


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = terminal(value)  # csv.writer leaves a lone CR without quotes, which no reader takes
    return f"'{text}" if text.startswith(FORMULA) else text
