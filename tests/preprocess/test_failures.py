"""avsc-prep failures: listing, exporting, and retrying some of what failed."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from extraction import World
from recordings import write_sound

from avsc.features.store.layout import index_file, receipt_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.preprocess.cli import program
from avsc.preprocess.request import ExtractionRequest
from avsc.preprocess.request_file import request_file, save_request


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A closed store in which three clips lack something."""
    world = World(tmp_path)
    (world.root / "audio/clip-0.wav").unlink()
    (world.root / "audio/clip-1.wav").write_bytes(b"")
    (world.root / "video/clip-4.mp4").unlink()
    world.make()
    save_request(ExtractionRequest(world.store, world.dataset, world.description, "time"))
    return world


def run(world: World, *arguments: object) -> Result:
    line = list(map(str, ["failures", world.store, *arguments]))
    return CliRunner().invoke(program, line, standalone_mode=False)


def said(result: Result) -> str:
    assert isinstance(result.exception, AvscError), (result.output, result.exception)
    return str(result.exception)


def heads(result: Result) -> list[str]:
    assert result.return_value == 0, result.exception
    return [line for line in result.stdout.splitlines() if not line.startswith("  ")]


def test_list_by_product_and_reason(world: World) -> None:
    done = run(world)
    assert heads(done) == [
        "fbank, empty: 1 of 1 clips",
        "fbank, missing: 1 of 1 clips",
        "images, missing: 1 of 1 clips",
        "scalogram, empty: 1 of 1 clips",
        "scalogram, missing: 1 of 1 clips",
    ]
    assert "\n  clip-0: " in done.stdout and "audio/clip-0.wav" in done.stdout
    assert heads(run(world, "--product", "images")) == ["images, missing: 1 of 1 clips"]
    both = heads(run(world, "--code", "empty"))
    assert both == ["fbank, empty: 1 of 1 clips", "scalogram, empty: 1 of 1 clips"]


def test_seconds_without_an_image_are_named(world: World) -> None:
    write_sound(world.root / "audio/clip-2.wav", 3.0, 2)
    world.make()
    done = run(world, "--product", "images")
    assert "\n  clip-2 second 2: " in done.stdout


def test_export(world: World, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    done = run(world, "--code", "missing", "--export", file)
    assert done.return_value == 0 and f"Wrote {file}" in done.stdout
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(row["clip"], row["product"], row["code"]) for row in rows] == [
        ("clip-0", "fbank", "missing"),
        ("clip-0", "scalogram", "missing"),
        ("clip-4", "images", "missing"),
    ]


def test_reason_that_nothing_has(world: World) -> None:
    text = said(run(world, "--code", "mono"))
    assert "nothing failed with 'mono'; reasons here are: empty, missing." in text


def test_store_without_failures(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.make()
    assert heads(run(world)) == ["Nothing failed."]
    assert heads(run(world, "--retry")) == ["Nothing failed."]


def test_store_that_is_not_closed(world: World) -> None:
    """What is listed comes from the receipts; a retry is the extraction itself."""
    whole = heads(run(world))
    index_file(world.store).unlink()
    assert heads(run(world)) == [*whole, "The store is not closed: more may fail."]
    receipt_file(world.store, world.description.specs["images"], 2).unlink()
    assert "images, missing: 1 of 1 clips" not in heads(run(world))
    assert "not closed. Run the same `avsc-prep extract` again" in said(run(world, "--retry"))


def test_retry_makes_the_clips_that_are_listed_and_no_others(world: World) -> None:
    """Two recordings are mended; what is not asked for stays a failure."""
    write_sound(world.root / "audio/clip-0.wav", 2.0, 0)
    write_sound(world.root / "audio/clip-1.wav", 2.0, 1)
    done = run(world, "--product", "scalogram", "--code", "missing", "--retry", "--workers", 1)
    assert done.return_value == 3, (done.output, done.exception)
    assert "source changed: 1 (clip, product)" in done.stdout
    left = {(f.clip, f.product) for f in Store.open(world.store).failures}
    assert left == {
        ("clip-0", "fbank"),
        ("clip-1", "fbank"),
        ("clip-1", "scalogram"),
        ("clip-4", "images"),
    }
    made = Store.open(world.store).records("scalogram").clip.tolist()
    assert made == [0, 2, 3, 4]


def test_retry_needs_the_recordings(world: World, tmp_path: Path) -> None:
    request_file(world.store).unlink()
    assert "name the data set's folder with --root" in said(run(world, "--retry"))
    before = world.parts()
    assert "is no folder" in said(run(world, "--retry", "--root", tmp_path / "none"))
    assert world.parts() == before
