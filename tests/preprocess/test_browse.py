"""The page of a store, opened in a browser from a file."""

import base64
import csv
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import browser, visit
from playwright.sync_api import Browser, expect
from stores import small_clips, small_store
from worst import NAMES

from avsc.features.pages.page import write_page
from avsc.features.store.reader import Store
from avsc.manifests.errors import DONE, AvscError
from avsc.preprocess.browse import choose
from avsc.preprocess.browse import page as store_page
from avsc.preprocess.cli import program


def run(*words: str) -> int:
    status = program.main(list(words), standalone_mode=False)
    assert isinstance(status, int)
    return status


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose scenes and cities have the worst names, and one clip that failed."""
    clips = small_clips(classes=len(NAMES), clips_per_location=1)
    named = [
        replace(clip, scene=NAMES[int(clip.scene.removeprefix("scene"))], city=NAMES[row % 3])
        for row, clip in enumerate(clips)
    ]
    folder = tmp_path_factory.mktemp("browse") / "store"
    return small_store(folder, clips=tuple(named), seconds=2, failed=(1,))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(store: Path) -> Path:
    assert run("browse", str(store)) == DONE
    return store / "browse" / "index.html"


def test_page_opens_from_a_file_and_leads_to_clips(
    page: Path, store: Path, chromium: Browser
) -> None:
    clips = Store.open(store).clips
    with visit(chromium, page) as found:
        seen = found.page
        expect(seen.locator("#shown")).to_have_text(f"{len(clips)} of {len(clips)} clips")

        # a number of the table of counts leads to its clips
        scene = NAMES[2]
        row = seen.locator("section", has=seen.locator("h2", has_text="Clips by scene")).locator(
            "tr", has=seen.get_by_role("rowheader", name=scene, exact=True)
        )
        row.get_by_role("link").first.click()
        wanted = [clip.id for clip in clips if clip.scene == scene]
        expect(seen.locator("#shown")).to_have_text(f"{len(wanted)} of {len(clips)} clips")
        expect(seen.locator("#clip-table tbody a")).to_have_text(wanted)
        expect(seen.locator("select[name=scene]")).to_have_value(scene)

        # a clip opens, and Back leads to what was there before
        seen.get_by_role("link", name=wanted[1]).click()
        seen.wait_for_selector(".images img")
        assert seen.inner_text("#clip-name") == wanted[1]
        # images; two channels of two products
        expect(seen.locator("#clip img")).to_have_count(2 + 2 * 2)
        shown = "[...document.querySelectorAll('#clip img')].every(i => i.naturalWidth)"
        seen.wait_for_function(shown)
        seen.go_back()
        seen.wait_for_function("!document.getElementById('clip').open")
        expect(seen.locator("#shown")).to_have_text(f"{len(wanted)} of {len(clips)} clips")

        # search and sort
        seen.get_by_role("button", name="Show all").click()
        seen.get_by_label("Search clips").fill(clips[5].id)
        expect(seen.locator("#clip-table tbody a")).to_have_text([clips[5].id])
        seen.get_by_label("Search clips").fill("")
        for order in ("ascending", "descending"):
            seen.locator("#clip-table thead th").first.click()
            seen.wait_for_selector(f"#clip-table th[aria-sort={order}]")
        last = max(clip.id for clip in clips)
        expect(seen.locator("#clip-table tbody a").first).to_have_text(last)
        assert (found.faults, found.requests) == ([], [])


def test_address_has_the_filters_and_the_open_clip(
    page: Path, store: Path, chromium: Browser
) -> None:
    clips, scene = Store.open(store).clips, NAMES[3]
    wanted = [clip.id for clip in clips if clip.scene == scene]
    with visit(chromium, page) as found:
        seen = found.page
        seen.select_option("select[name=scene]", scene)
        expect(seen.locator("#clip-table tbody a")).to_have_text(wanted)
        seen.get_by_role("link", name=wanted[0]).click()
        seen.wait_for_selector(".images img")
        seen.reload()
        seen.wait_for_selector(".images img")
        assert seen.inner_text("#clip-name") == wanted[0]
        seen.get_by_role("button", name="Next").click()
        seen.wait_for_function(
            "name => document.getElementById('clip-name').textContent === name", arg=wanted[1]
        )
        assert seen.evaluate("document.activeElement.textContent") == "Next"
        seen.get_by_role("button", name="Close").click()
        seen.wait_for_function("!location.hash.includes('open')")
        expect(seen.locator("#clip-table tbody a")).to_have_text(wanted)
        expect(seen.locator("select[name=scene]")).to_have_value(scene)
        assert found.faults == []


def test_a_closed_clip_leaves_the_table_where_it_was(page: Path, chromium: Browser) -> None:
    with visit(chromium, page) as found:
        seen = found.page
        seen.select_option("#clip-table_wrapper select.dt-input", "10")
        rows = seen.locator("#clip-table tbody a")
        expect(rows).to_have_count(10)
        first = rows.first.inner_text()
        seen.get_by_role("link", name="2", exact=True).or_(
            seen.get_by_role("button", name="2", exact=True)
        ).first.click()
        expect(rows.first).not_to_have_text(first)
        second = rows.all_inner_texts()
        rows.first.click()
        seen.wait_for_selector(".images img")
        seen.keyboard.press("Escape")
        seen.wait_for_function("!location.hash.includes('open')")
        expect(rows).to_have_text(second)


def test_what_is_said_of_clips_that_are_not_on_the_page_leads_nowhere(
    store: Path, tmp_path: Path, chromium: Browser
) -> None:
    opened, path = Store.open(store), tmp_path / "one.html"
    failed = {failure.clip for failure in opened.failures}
    whole = next(clip for clip in opened.clips if clip.id not in failed)
    assert run("browse", str(store), "--clip", whole.id, "--out", str(path)) == DONE
    with visit(chromium, path) as found:
        section = found.page.locator("section", has=found.page.locator("h2", has_text="Failures"))
        assert section.locator("tbody th").count() == len(opened.failures)
        assert section.locator("tbody a").count() == 0
        counts = found.page.locator("section").first.locator("tbody a")
        assert "0" not in counts.all_inner_texts()


def test_a_page_leaves_nothing_of_an_earlier_one(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "page.html"
    beside = path.with_name("page-clips")
    assert run("browse", str(store), "--out", str(path)) == DONE
    (beside / "0.opus").write_bytes(b"of a page with sound")
    (beside / "notes.txt").write_text("of the user")
    assert run("browse", str(store), "--sample", "2", "--out", str(path)) == DONE
    assert {file.name for file in beside.iterdir()} == {"0.js", "1.js", "notes.txt"}
    assert run("browse", str(store), "--single-file", "--out", str(path)) == DONE
    assert [file.name for file in beside.iterdir()] == ["notes.txt"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["page-clips", "page.html"]


def test_a_page_that_stops_half_way_is_no_page(store: Path, tmp_path: Path) -> None:
    """The page of before is gone, and so are its clips: nothing looks whole that is not."""
    path = tmp_path / "page.html"
    assert run("browse", str(store), "--out", str(path)) == DONE

    def stopped(rows: Sequence[int]) -> Iterator[int]:
        yield rows[0]
        yield rows[1]
        raise KeyboardInterrupt

    opened = Store.open(store)
    with pytest.raises(KeyboardInterrupt):
        write_page(path, store_page(opened, range(len(opened.clips))), work=stopped)
    assert not path.exists()
    assert {file.name for file in (tmp_path / "page-clips").iterdir()} == {"0.js", "1.js"}


def test_a_folder_is_no_page(store: Path, tmp_path: Path) -> None:
    with pytest.raises(AvscError, match=f"such as {re.escape(str(tmp_path))}/index.html"):
        run("browse", str(store), "--out", str(tmp_path))


def test_a_store_whose_path_is_no_text_has_a_page(store: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(store, odd)
    assert run("browse", str(odd), "--sample", "1") == DONE
    assert "caf\\udce9" in (odd / "browse" / "index.html").read_text("utf-8")


def test_recordings_that_are_not_there_are_said(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "page.html")
    assert run("browse", str(store), "--media", "--root", str(tmp_path), "--out", out) == DONE
    number = len(Store.open(store).clips)
    said = capsys.readouterr().err
    assert f"note: {number} clips have no sound on the page; the first:" in said
    assert str(tmp_path) in said


def test_keyboard_alone_suffices(page: Path, chromium: Browser) -> None:
    with visit(chromium, page) as found:
        seen = found.page
        seen.keyboard.press("Tab")
        assert seen.evaluate("document.activeElement.textContent") == "Skip to the clips"
        seen.keyboard.press("Enter")
        for _ in range(40):
            seen.keyboard.press("Tab")
            if seen.evaluate("document.activeElement.closest('#clip-table tbody') !== null"):
                break
        name = seen.evaluate("document.activeElement.textContent")
        seen.keyboard.press("Enter")
        seen.wait_for_selector(".images img")
        assert seen.evaluate("document.activeElement.textContent") == name
        seen.keyboard.press("Tab")
        seen.keyboard.press("Tab")
        assert seen.evaluate("document.activeElement.textContent") == "Next"
        seen.keyboard.press("Enter")
        seen.wait_for_function("name => document.activeElement.textContent !== name", arg=name)
        seen.keyboard.press("Escape")
        seen.wait_for_function("!document.getElementById('clip').open")
        assert found.faults == []


@pytest.mark.parametrize(("scheme", "width"), [("dark", 360), ("light", 1200)])
def test_page_is_accessible(page: Path, chromium: Browser, scheme: str, width: int) -> None:
    size = {"width": width, "height": 800}
    with visit(chromium, page, color_scheme=scheme, viewport=size) as found:
        seen = found.page
        assert seen.evaluate("document.documentElement.scrollWidth") <= width
        faults = Axe().run(seen).response["violations"]
        seen.locator("#clip-table tbody a").first.click()
        seen.wait_for_selector(".images img")
        faults += Axe().run(seen).response["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []


def test_print_is_dark_on_light_and_cuts_no_table(page: Path, chromium: Browser) -> None:
    size = {"width": 700, "height": 900}
    with visit(chromium, page, color_scheme="dark", viewport=size) as found:
        seen = found.page
        seen.emulate_media(media="print", color_scheme="dark")
        assert seen.evaluate("getComputedStyle(document.body).color") == "rgb(27, 27, 31)"
        wide = "Math.max(...[...document.querySelectorAll('.wide')].map(e => e.scrollWidth))"
        assert seen.evaluate(wide) <= 700

        # an open clip is printed instead of the page, down to its last scalogram
        seen.locator("#clip-table tbody a").first.click()
        seen.wait_for_selector(".images img")
        assert not seen.is_visible("main")
        assert seen.evaluate(
            "(dialog => dialog.offsetTop === 0 && dialog.clientHeight >= dialog.scrollHeight)"
            "(document.getElementById('clip'))"
        )


def test_names_are_text(page: Path, chromium: Browser) -> None:
    with visit(chromium, page) as found:
        heads = found.page.locator("section").first.locator("tbody th").all_inner_texts()
        assert sorted(heads) == sorted(NAMES)
        options = found.page.locator("select[name=scene] option").all_inner_texts()
        assert sorted(options[1:]) == sorted(NAMES)
        assert found.page.locator("main script").count() == 0
        assert found.faults == []


def test_failures_are_listed(page: Path, store: Path, chromium: Browser) -> None:
    with (store / "failures.csv").open(newline="") as file:
        failed = {row["clip"] for row in csv.DictReader(file)}
    with visit(chromium, page) as found:
        section = found.page.locator("section", has=found.page.locator("h2", has_text="Failures"))
        assert set(section.locator("tbody th").all_inner_texts()) == failed
        section.locator("tbody th a").first.click()
        rows = found.page.locator("#clip-table tbody a")
        expect(rows).to_have_count(len(failed))
        assert set(rows.all_inner_texts()) == failed


def test_single_file_holds_everything(store: Path, tmp_path: Path, chromium: Browser) -> None:
    path = tmp_path / "one.html"
    assert run("browse", str(store), "--single-file", "--out", str(path)) == DONE
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.html"]
    with visit(chromium, path) as found:
        found.page.locator("#clip-table tbody a").first.click()
        found.page.wait_for_selector(".images img")
        assert (found.faults, found.requests) == ([], [])


def test_images_are_those_of_the_store(page: Path, store: Path) -> None:
    opened = Store.open(store)
    script = (page.parent / "index-clips" / "0.js").read_text()
    said = re.fullmatch(r"showClip\(0,(.*)\);\n", script)
    assert said
    shown = json.loads(said[1])
    records = opened.records("images")
    stored = cv2.imdecode(np.frombuffer(records.read(0), np.uint8), cv2.IMREAD_COLOR)
    webp = np.frombuffer(base64.b64decode(shown["images"][0]["webp"]), np.uint8)
    image = cv2.imdecode(webp, cv2.IMREAD_COLOR)
    assert image.shape == stored.shape
    mean, wanted = (
        cv2.resize(each, (3, 2), interpolation=cv2.INTER_AREA) for each in (image, stored)
    )
    assert np.abs(mean.astype(int) - wanted).max() <= 6


def test_sample_is_even_over_scenes(store: Path) -> None:
    opened = Store.open(store)
    rows = choose(opened, (), 2 * len(NAMES), 7)
    scenes = [opened.clips[row].scene for row in rows]
    assert {scenes.count(name) for name in NAMES} == {2}
    assert rows == choose(opened, (), 2 * len(NAMES), 7)
    assert rows != choose(opened, (), 2 * len(NAMES), 8)
