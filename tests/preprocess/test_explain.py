"""avsc-prep explain: the plan's reasons for one clip, in each state that a store can be in."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recordings import write_clips

from avsc.features.limits import Limits
from avsc.features.specs import SPECS
from avsc.features.store.layout import Description, part_file, receipt_file
from avsc.manifests.clips import Dataset
from avsc.manifests.errors import AvscError
from avsc.manifests.table import read_table
from avsc.preprocess.block import make_block
from avsc.preprocess.block_claims import BlockClaims
from avsc.preprocess.cli import program
from avsc.preprocess.close import close, open_store
from avsc.preprocess.plan import make_plan
from avsc.preprocess.request import ExtractionRequest
from avsc.preprocess.request_file import load_request, request_file, save_request

PRODUCTS = {name: SPECS[name]() for name in ("scalogram", "images")}


class World:
    """A data set of three clips, and a closed store of it."""

    def __init__(self, folder: Path) -> None:
        self.store, self.root = folder / "store", folder / "root"
        self.manifest = write_clips(self.root, 3, 1.0)
        self.make()

    def make(self) -> None:
        dataset = read_table(self.manifest, self.root)
        description = Description(dataset.name, dataset.classes, 2, PRODUCTS)
        request = ExtractionRequest(self.store, dataset, description, "time", Limits(timeout=99))
        open_store(self.store, dataset.clips, description)
        save_request(request)
        for task in request.plan().tasks:
            make_block(task)
        close(self.store, dataset.clips, description)

    def run(self, clip: str, *arguments: object) -> Result:
        line = ["explain", clip, "--store", self.store, *arguments]
        return CliRunner().invoke(program, list(map(str, line)), standalone_mode=False)

    def explain(self, clip: str, *arguments: object) -> dict[str, list[str]]:
        """Return the lines said of each product; those about the clip under an empty name."""
        done = self.run(clip, *arguments)
        assert done.return_value == 0, done.exception
        said: dict[str, list[str]] = {"": []}
        name = ""
        for line in done.stdout.splitlines():
            if line.partition(" ")[0] in SPECS:
                name = line.partition(" ")[0]
            said.setdefault(name, []).append(line)
        return said


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_clip_that_is_done(world: World) -> None:
    said = world.explain("clip-2")
    assert said[""][0] == "clip-2: row 2 of 3, block 1"
    assert f"  {world.root}/audio/clip-2.wav: " in said[""][1]
    for name, spec in PRODUCTS.items():
        text = "\n".join(said[name])
        assert said[name][0] == f"{name} {spec.digest[:12]}: done, will not be made again"
        for part in (
            f"in {name}/{spec.digest[:12]}/000/part-00001.h5 (sha256 ",
            "made of audio/clip-2.wav: ",
            "made of video/clip-2.mp4: ",
            "made by python 3.",
            "its block took ",
        ):
            assert part in text


def test_changed_source(world: World) -> None:
    path = world.root / "audio/clip-0.wav"
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    said = world.explain("clip-0")["scalogram"][0]
    assert "will be made again; source changed: audio/clip-0.wav: was " in said
    assert said.count(f"{before.st_size} bytes of ") == 2
    neighbour = world.explain("clip-1")["scalogram"]
    assert "done, will not be made again" in neighbour[0]
    assert "its part will be written again, because of 1 other clips" in neighbour[1]


def test_changed_byte_is_seen_under_check_content_alone(world: World) -> None:
    path = world.root / "audio/clip-0.wav"
    state, data = path.stat(), bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert "done" in world.explain("clip-0")["images"][0]
    assert "source changed" in world.explain("clip-0", "--check", "content")["images"][0]
    assert "done" in world.explain("clip-1", "--check", "content")["images"][0]


def test_source_that_is_gone(world: World) -> None:
    (world.root / "video/clip-1.mp4").unlink()
    said = world.explain("clip-1")
    assert f"  {world.root}/video/clip-1.mp4: absent" in said[""]
    assert said["images"][0].endswith(", is absent")


def test_other_parameters(world: World) -> None:
    """As if `extract` were given the options: digests, and the parameter that differs."""
    said = world.explain("clip-0", "--image-quality", 70)
    old, new = PRODUCTS["images"], SPECS["images"](quality=70)  # type: ignore[call-arg]
    assert "done" in said["scalogram"][0]
    assert said["images"][0] == (
        f"images {new.digest[:12]}: will be made again; spec changed: made by {old.digest[:12]}; "
        f"wanted {new.digest[:12]}"
    )
    assert said["images"][1] == f"  {old.digest[:12]} has quality 90, wanted 70"
    said = world.explain("clip-0", "--images-per-second", 2)
    assert said["images"][1] == f"  {old.digest[:12]} has per_second 1, wanted 2"
    for bad in (0, -1, 31):
        refused = world.run("clip-0", "--images-per-second", bad)
        assert f"images: per_second is {bad}; 1 to 30" in str(refused.exception)


def test_clip_that_failed(world: World) -> None:
    (world.root / "audio/clip-1.wav").unlink()
    world.make()
    said = world.explain("clip-1")
    assert "will be made again; failed before: missing: " in said["scalogram"][0]
    assert any(line.startswith("  failed: missing: ") for line in said["scalogram"])
    assert "done" in said["images"][0]


@pytest.mark.parametrize(
    ("damage", "kind", "detail"),
    [
        (lambda part, receipt: receipt.unlink(), "missing", "is not there"),
        (lambda part, receipt: receipt.write_text("{}"), "receipt damaged", "is not what was wri"),
        (lambda part, receipt: part.unlink(), "part damaged", "is missing; its receipt says"),
        (lambda part, receipt: part.write_bytes(b"x"), "part damaged", "has 1 bytes; its receipt"),
    ],
)
def test_damaged_block(world: World, damage: object, kind: str, detail: str) -> None:
    spec = PRODUCTS["scalogram"]
    damage(part_file(world.store, spec, 0), receipt_file(world.store, spec, 0))  # type: ignore[operator]
    said = world.explain("clip-0")["scalogram"][0]
    assert f"will be made again; {kind}: {world.store}/scalogram/" in said and detail in said
    assert "done" in world.explain("clip-2")["scalogram"][0]


def test_reasons_are_those_of_the_plan(world: World) -> None:
    """What is said of every clip is what the plan counts."""
    os.utime(world.root / "audio/clip-0.wav", ns=(1, 1))
    receipt_file(world.store, PRODUCTS["images"], 1).unlink()
    dataset: Dataset = read_table(world.manifest, world.root)
    description = Description(dataset.name, dataset.classes, 2, PRODUCTS)
    plan = make_plan(world.store, dataset, description, "time")
    lines = [
        lines[0] for clip in dataset.clips for name, lines in world.explain(clip.id).items() if name
    ]
    for kind, count in plan.reasons.items():
        assert sum(f"made again; {kind}: " in line for line in lines) == count
    assert sum("done" in line for line in lines) == 6 - plan.reasons.total()


def test_block_that_is_being_made(world: World) -> None:
    with BlockClaims(world.store) as claims:
        assert claims.take(1) is None
        assert any("is being made by process" in line for line in world.explain("clip-2")[""])
        assert len(world.explain("clip-0")[""]) == 3


def test_clip_that_the_store_does_not_know(world: World) -> None:
    fault = world.run("clip-22").exception
    assert isinstance(fault, AvscError)
    assert "does not name clip 'clip-22'. Did you mean 'clip-2'?" in str(fault)


def test_root_may_have_moved(world: World, tmp_path: Path) -> None:
    world.root.rename(tmp_path / "moved")
    fault = world.run("clip-0").exception
    assert isinstance(fault, AvscError)
    assert f"{world.root} is no folder; name the data set's folder with --root" in str(fault)
    assert "done" in world.explain("clip-0", "--root", tmp_path / "moved")["images"][0]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"root": 3}', '{"root": "/", "limits": 3}'])
def test_store_that_does_not_say_where_its_recordings_are(world: World, text: str | None) -> None:
    request_file(world.store).unlink()
    if text is not None:
        request_file(world.store).write_text(text)
    fault = world.run("clip-0").exception
    assert isinstance(fault, AvscError)
    assert "does not say where its recordings are; name the data set's folder" in str(fault)
    assert "done" in world.explain("clip-0", "--root", world.root)["images"][0]


def test_request_is_recalled(world: World) -> None:
    request = load_request(world.store, None, "time")
    assert request.limits.timeout == 99 and request.dataset.root == world.root
    assert request.dataset == read_table(world.manifest, world.root)
    assert request.plan().tasks == ()
