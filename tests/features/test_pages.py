"""Drawings of acoustic frames, and what a page is made of."""

import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile

from avsc.features.clip import make_clip
from avsc.features.pages.clip_media import LOWEST, ROWS, draw
from avsc.features.pages.clip_sounds import opus
from avsc.features.pages.page import Cell, ClipColumn, Page, Section, render, write_page
from avsc.features.specs import AcousticSpec, FbankSpec, ScalogramSpec
from avsc.manifests.errors import AvscError


@pytest.mark.parametrize("spec", [ScalogramSpec(), FbankSpec()])
@pytest.mark.parametrize("hertz", [200, 1000, 4000])
def test_a_tone_lies_where_the_axis_says(spec: AcousticSpec, hertz: float, tmp_path: Path) -> None:
    time = np.arange(2 * 16_000) / 16_000
    tone = 0.5 * np.sin(2 * np.pi * hertz * time)
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.stack([tone, 0.2 * tone], 1), 16_000)
    made = make_clip("tone", path, None, {spec.product: spec})
    drawing = draw(made.records[spec.product][0][1], spec)
    assert len(drawing.png) == 2
    image = cv2.imdecode(np.frombuffer(drawing.png[0], np.uint8), cv2.IMREAD_COLOR)
    brightest = int(np.argmax(image.astype(int).sum((1, 2))))
    height = 1 - brightest / (ROWS - 1)
    known = dict(drawing.ticks)
    low, high = (LOWEST, 0.0), max((f, h) for f, h in known.items())
    expected = np.interp(np.log(hertz), np.log([low[0], high[0]]), [low[1], high[1]])
    assert abs(height - expected) < 0.03
    assert 2 * drawing.start + drawing.seconds == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("number", [0, -1])
def test_a_burst_lies_where_the_seconds_say(number: int, tmp_path: Path) -> None:
    spec, rate, seconds = FbankSpec(), 16_000, 3
    centres = [
        i * spec.hop + spec.window // 2
        for i in range((seconds * rate - spec.window) // spec.hop + 1)
    ]
    at = centres[number]
    sound = np.zeros((seconds * rate, 2))
    sound[at - 200 : at + 200] = np.random.default_rng(0).normal(0, 0.3, (400, 1))
    soundfile.write(tmp_path / "burst.wav", sound, rate)
    made = make_clip("burst", tmp_path / "burst.wav", None, {spec.product: spec})
    drawing = draw(made.records[spec.product][0][1], spec)
    image = cv2.imdecode(np.frombuffer(drawing.png[0], np.uint8), cv2.IMREAD_COLOR)
    column = int(np.argmax(image.astype(int).sum((0, 2))))
    place = drawing.start + (column + 0.5) / image.shape[1] * drawing.seconds
    assert place == pytest.approx(at / rate, abs=0.02)


def test_opus_holds_the_sound(tmp_path: Path) -> None:
    time = np.arange(48_000) / 48_000
    left, right = 0.4 * np.sin(2 * np.pi * 440 * time), 0.4 * np.sin(2 * np.pi * 880 * time)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], 1), 48_000)
    with av.open(io.BytesIO(opus(tmp_path / "two.wav"))) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    sound = np.concatenate(frames, axis=1)
    sound = sound.reshape(-1, 2).T if len(sound) == 1 else sound
    assert abs(sound.shape[1] - 48_000) < 2000
    for channel, hertz in zip(sound, (440, 880), strict=True):
        middle = channel[8_000:40_000]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
        assert np.argmax(spectrum) * 48_000 / len(middle) == pytest.approx(hertz, abs=3)


def small(rows: int) -> Page:
    table = [[f"</script><b>{row}", float(row)] for row in range(rows)]
    columns = [ClipColumn("clip", "Clip"), ClipColumn("loss", "Log-loss", number=3)]
    return Page("A & B", [], [], columns, table, lambda row: {"images": [], "spectra": []})


class Elements(HTMLParser):
    """The elements of a page, and the text of its headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_scripts_end_where_they_should() -> None:
    clip = 'showClip(0,{"facts":[["<!--","</script><b>"]]});'
    found = Elements(render(small(3), "clips", [clip])).tags
    assert found.count("script") == 4  # data, DataTables, the page's own, one clip
    assert "b" not in found


def test_names_in_tables_break_after_underlines_and_stay_text() -> None:
    section = Section("Confusion", (), ["true", "street_<i>traffic"], [[Cell("<b>_1"), Cell("0")]])
    page = render(replace(small(1), sections=[section]), "clips")
    assert "street_<wbr>&lt;i&gt;traffic</th>" in page
    assert ">&lt;b&gt;_<wbr>1</td>" in page


def test_a_single_file_has_a_limit(tmp_path: Path) -> None:
    with pytest.raises(AvscError, match="at most 100 clips, and there are 101"):
        write_page(tmp_path / "one.html", small(101), single=True)
    assert list(tmp_path.iterdir()) == []
