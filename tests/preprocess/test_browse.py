"""The page of a store, opened in a browser from a file."""

import base64
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import browser, visit
from playwright.sync_api import Browser
from stores import small_clips, small_store
from worst import NAMES

from avsc.features.store.reader import Store
from avsc.manifests.errors import DONE
from avsc.preprocess.browse import choose
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
        assert seen.inner_text("#shown") == f"{len(clips)} of {len(clips)} clips"

        # a number of the table of counts leads to its clips
        scene = NAMES[2]
        row = seen.locator("section", has=seen.locator("h2", has_text="Clips by scene")).locator(
            "tr", has=seen.get_by_role("rowheader", name=scene, exact=True)
        )
        row.get_by_role("link").first.click()
        wanted = [clip.id for clip in clips if clip.scene == scene]
        assert seen.inner_text("#shown") == f"{len(wanted)} of {len(clips)} clips"
        assert seen.locator("#clip-table tbody a").all_inner_texts() == wanted
        assert seen.locator("select[name=scene]").input_value() == scene

        # a clip opens, and Back leads to what was there before
        seen.get_by_role("link", name=wanted[1]).click()
        seen.wait_for_selector(".images img")
        assert seen.inner_text("#clip-name") == wanted[1]
        sizes = seen.eval_on_selector_all("#clip img", "all => all.map(i => i.naturalWidth)")
        assert len(sizes) == 2 + 2 * 2  # images; two channels of two products
        assert all(sizes)
        seen.go_back()
        seen.wait_for_function("!document.getElementById('clip').open")
        assert seen.inner_text("#shown") == f"{len(wanted)} of {len(clips)} clips"

        # search and sort
        seen.get_by_role("button", name="Show all").click()
        seen.get_by_label("Search clips").fill(clips[5].id)
        assert seen.locator("#clip-table tbody a").all_inner_texts() == [clips[5].id]
        seen.get_by_label("Search clips").fill("")
        for order in ("ascending", "descending"):
            seen.locator("#clip-table thead th").first.click()
            seen.wait_for_selector(f"#clip-table th[aria-sort={order}]")
        first = seen.locator("#clip-table tbody a").first.inner_text()
        assert first == max(clip.id for clip in clips)
        assert (found.faults, found.requests) == ([], [])


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
        assert set(found.page.locator("#clip-table tbody a").all_inner_texts()) == failed


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
