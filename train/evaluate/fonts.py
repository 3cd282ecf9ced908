"""Names in pictures: drawn as they were given, whatever they hold and whichever fonts there are.

matplotlib takes what stands between two dollar signs for a formula, and draws a box, with a
warning, for a character that its font lacks. Here names are drawn literally, in an installed font
that has their characters; a character that none has is written as its number, such as ``\\u4e2d``.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from avsc.manifests import escape

LONGEST = 24
"""Characters of a name that a picture has room for."""
SYMBOLS = ("Last Resort", "cm", "STIXNon", "STIXSize")
"""Beginnings of fonts whose glyphs are boxes, or others than their numbers say."""


@contextmanager
def lettered(*names: str) -> Iterator[list[str]]:
    r"""Yield names for pictures that are made, and drawn, within this context.

    >>> with lettered("bar $5", "x" * 40) as names:
    ...     print(*names)
    bar \$5 xxxxxxxxxxx...xxxxxxxxxx
    """
    lacking = {c for name in names for c in name if not c.isascii()}
    lacking -= _characters(findfont(FontProperties()))
    families: list[str] = []
    for family, file in _fonts() if lacking else ():
        if found := lacking & _characters(file):
            families.append(family)
            lacking -= found
    numbers = str.maketrans({c: ascii(c)[1:-1] for c in lacking})
    before = matplotlib.rcParams["font.family"]
    with matplotlib.rc_context({"font.family": [*before, *families]}):
        yield [
            escape.mathtext(_shortened(escape.terminal(name).translate(numbers))) for name in names
        ]


def _shortened(name: str) -> str:
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in name)
    most = LONGEST // 2 if wide else LONGEST
    end = (most - 3) // 2
    return name if len(name) <= most else f"{name[: most - 3 - end]}...{name[-end:]}"


def _fonts() -> Iterator[tuple[str, str]]:
    """Yield families and files of the installed fonts that are upright and of normal weight."""
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        usual = (font.style, font.weight, font.stretch) == ("normal", 400, "normal")
        if usual and not font.name.startswith(SYMBOLS):
            yield font.name, font.fname


def _characters(file: str) -> set[str]:
    """Return the characters that a font can draw at any size."""
    try:
        font = get_font(file)
        return {chr(code) for code in font.get_charmap()} if font.scalable else set()
    except (OSError, RuntimeError, ValueError):  # a font that cannot be loaded draws nothing
        return set()
