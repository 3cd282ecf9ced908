"""A data set fetched, verified and unpacked from a real server, through the command line too."""

import hashlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import servers
from click.testing import CliRunner, Result
from lists import write_lists
from servers import Server
from stale import stale_file

from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.tau2021 import RELEASED, RELEASES, Archive, Release, find_dataset
from avsc.preprocess.cli import program
from avsc.preprocess.download import data_set as downloading
from avsc.preprocess.download.data_set import address, choose

STEMS = ("bus-lyon-1102-41514", "airport-helsinki-3-112", "metro_station-paris-9-402")


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def media(seed: int, size: int = 300_000) -> bytes:
    return np.random.default_rng(seed).bytes(size)


class Mirror:
    """A small TAU2021, in archives laid out as the released ones, on a server."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.root = server, folder / "root"
        write_lists(folder / "lists")
        lists = [path for path in (folder / "lists").rglob("*") if path.is_file()]
        self.contents = {
            "meta": {
                f"{RELEASED}.meta/{path.relative_to(folder / 'lists')}": path.read_bytes()
                for path in lists
            },
            "examples": {"examples/readme.txt": b"a few clips"},
            "audio.1": {f"audio/{stem}.wav": media(n) for n, stem in enumerate(STEMS[:2])},
            "audio.2": {f"audio/{stem}.wav": media(9) for stem in STEMS[2:]},
            "video.1": {f"video/{stem}.mp4": media(n + 20) for n, stem in enumerate(STEMS)},
        }
        archives = [self._serve(name) for name in self.contents]
        self.release = Release(f"{server.url}/{{file}}?download=1", tuple(archives))

    def _serve(self, name: str) -> Archive:
        data, file = zipped(self.contents[name]), f"{RELEASED}.{name}.zip"
        self.server.files[f"/{file}"] = data
        return Archive(name, file, len(data), hashlib.md5(data).hexdigest())

    def fault(self, name: str, *faults: servers.Fault) -> None:
        self.server.faults[f"/{RELEASED}.{name}.zip"] = list(faults)

    def run(self, *arguments: object) -> Result:
        line = ["download", "--dataset", "TAU2021", "--root", self.root, *arguments]
        return CliRunner().invoke(program, list(map(str, line)), standalone_mode=False)

    def check(self) -> None:
        """All files are there as they were packed, and nothing else but the marks."""
        wanted = {name: data for files in self.contents.values() for name, data in files.items()}
        found = {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.parent.name != "archives"
        }
        assert set(found) == set(wanted)
        assert [name for name, data in found.items() if data != wanted[name]] == []
        assert {path.suffix for path in (self.root / "archives").iterdir()} == {".json"}

    @property
    def asked(self) -> Counter[str]:
        names = [path.removesuffix(".zip").rpartition("development.")[2] for path, *_ in self.log]
        return Counter(names)

    @property
    def log(self) -> list[tuple[str, str | None, str | None]]:
        return self.server.requests


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with Server() as server:
        mirror = Mirror(server, tmp_path)
        monkeypatch.setitem(RELEASES, "TAU2021", mirror.release)
        yield mirror


def error(result: Result) -> str:
    assert isinstance(result.exception, AvscError), (result.output, result.exception)
    return str(result.exception)


def test_table_of_the_released_archives() -> None:
    """The sum of the recordings' archives is the one that two other sources state."""
    archives = RELEASES["TAU2021"].archives
    kinds = Counter(archive.kind for archive in archives)
    assert kinds == {"doc": 1, "meta": 1, "examples": 1, "audio": 8, "video": 16}
    recordings = [a.size for a in archives if a.kind in ("audio", "video")]
    assert sum(recordings) == 107_607_336_075
    assert all(re.fullmatch("[0-9a-f]{32}", archive.md5) for archive in archives)
    assert len({archive.md5 for archive in archives}) == len({a.file for a in archives}) == 27
    assert archives[3].file == "TAU-urban-audio-visual-scenes-2021-development.audio.1.zip"


def test_everything_is_got_once_and_found_by_extraction(mirror: Mirror) -> None:
    done = mirror.run()
    assert done.exception is None and done.return_value == 0, done.output
    assert "5 archives, 5 to get" in done.output
    assert "3 clips are listed; the recordings of 3 are there." in done.output
    mirror.check()
    clips = find_dataset("TAU2021", mirror.root)
    assert all((mirror.root / str(clip.audio)).is_file() for clip in clips.clips)
    before = {path: path.stat().st_mtime_ns for path in mirror.root.rglob("*")}
    asked = len(mirror.log)
    done = mirror.run()
    assert done.return_value == 0 and "5 archives, 0 to get" in done.output
    assert len(mirror.log) == asked, "a second run asks for nothing"
    assert {path: path.stat().st_mtime_ns for path in mirror.root.rglob("*")} == before


def test_some_of_it(mirror: Mirror) -> None:
    done = mirror.run("--only", "meta, examples")
    assert done.return_value == 0 and set(mirror.asked) == {"meta", "examples"}
    assert "3 clips are listed; the recordings of 0 are there." in done.output
    mirror.run("--only", "audio.2")
    assert set(mirror.asked) == {"meta", "examples", "audio.2"}
    assert mirror.run().return_value == 0
    assert mirror.asked == Counter(list(mirror.contents)), "each was asked for once"
    assert "known are doc, meta" not in error(mirror.run("--only", "sound"))
    assert "--only: 'sound' is not known; known are meta, examples, audio, audio.1" in error(
        mirror.run("--only", "sound")
    )


def test_without_lists_nothing_is_said_of_clips(mirror: Mirror) -> None:
    done = mirror.run("--only", "examples")
    assert done.return_value == 0 and "clips" not in done.output


def test_archives_may_be_kept(mirror: Mirror) -> None:
    assert mirror.run("--keep-archives").return_value == 0
    for archive in mirror.release.archives:
        kept = (mirror.root / "archives" / archive.file).read_bytes()
        assert hashlib.md5(kept).hexdigest() == archive.md5


def test_half_unpacked_archive_is_unpacked_again(mirror: Mirror) -> None:
    """As a kill leaves it: no mark, the archive still there, a file written and one not."""
    mirror.run("--keep-archives")
    mark = mirror.root / f"archives/{RELEASED}.audio.1.zip.json"
    assert set(json.loads(mark.read_text())["files"]) == set(mirror.contents["audio.1"])
    mark.unlink()
    (mirror.root / f"audio/{STEMS[0]}.wav").unlink()
    (mirror.root / f"audio/{STEMS[1]}.wav").write_bytes(b"older")
    asked = len(mirror.log)
    assert mirror.run().return_value == 0
    assert len(mirror.log) == asked, "the archive is there and whole"
    for path in (mirror.root / "archives").glob("*.zip"):
        path.unlink()
    mirror.check()


def test_archive_that_a_kill_left_behind_is_removed(mirror: Mirror) -> None:
    """As one between the mark and the removal; an archive that was to be kept stays."""
    mirror.run("--only", "audio.1")
    mirror.run("--only", "audio.2", "--keep-archives")
    left, kept = (a for a in mirror.release.archives if a.kind == "audio")
    (mirror.root / "archives" / left.file).write_bytes(mirror.server.files[f"/{left.file}"])
    mirror.run("--only", "audio")
    assert not (mirror.root / "archives" / left.file).exists()
    assert (mirror.root / "archives" / kept.file).exists()


def test_file_that_went_missing_later_is_got_again(mirror: Mirror) -> None:
    mirror.run()
    (mirror.root / f"video/{STEMS[0]}.mp4").unlink()
    done = mirror.run()
    assert "5 archives, 1 to get" in done.output and mirror.asked["video.1"] == 2
    mirror.check()


def test_one_at_a_time_over_a_bad_line(mirror: Mirror) -> None:
    mirror.fault("video.1", *[servers.breaking_after(300_000)] * 2, servers.status(503))
    mirror.fault("audio.1", servers.wrong_byte)
    mirror.fault("meta", servers.ignoring_ranges_and_breaking_after(100))
    done = mirror.run("--parallel", 1)
    assert done.return_value == 0, done.exception
    mirror.check()
    assert "MD5" in done.stderr and "status 503" in done.stderr


def test_archive_that_cannot_be_had_costs_itself_only(mirror: Mirror) -> None:
    mirror.fault("audio.1", *[servers.wrong_byte] * 9)
    mirror.fault("examples", servers.status(404))
    done = mirror.run()
    said = error(done)
    assert "2 of 5 archives could not be fetched: " in said
    assert "audio.1" in said and "examples" in said
    assert "twice" in done.stderr and "status 404" in done.stderr
    mirror.server.faults.clear()
    assert mirror.run().return_value == 0
    mirror.check()
    assert mirror.asked["video.1"] == 1


def test_evil_archive_is_refused_and_the_others_are_made(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.contents["examples"] = {"../../evil": b"evil"}
    others = [a for a in mirror.release.archives if a.name != "examples"]
    release = Release(mirror.release.url, (*others, mirror._serve("examples")))
    monkeypatch.setitem(RELEASES, "TAU2021", release)
    done = mirror.run()
    assert "1 of 5 archives could not be fetched: examples" in error(done)
    assert "'../../evil' leaves the data set's folder" in done.stderr
    assert not list(mirror.root.parent.parent.glob("**/evil"))
    assert (mirror.root / f"video/{STEMS[0]}.mp4").is_file()


def test_no_server_ends_at_the_first_archive(mirror: Mirror) -> None:
    nobody = f"http://127.0.0.1:{mirror.server.server_address[1]}0/"[:-2]
    with Server() as other:
        nobody = other.url
    done = mirror.run("--url", nobody, "--attempts", 1, "--parallel", 1)
    assert "no connection, or it was lost, 1 times in a row" in error(done)
    assert "could not be had" not in error(done)


def test_mirror(mirror: Mirror) -> None:
    with Server() as other:
        other.files = {f"/tau/{name[1:]}": data for name, data in mirror.server.files.items()}
        assert mirror.run("--url", f"{other.url}/tau/").return_value == 0
        assert len(other.requests) == 5 and mirror.log == []
    mirror.check()


@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        (None, "https://zenodo.org/records/4477542/files/{file}?download=1"),
        ("http://mirror/tau", "http://mirror/tau/{file}"),
        ("http://mirror/{file}/content", "http://mirror/{file}/content"),
    ],
)
def test_address(base: str | None, wanted: str) -> None:
    assert address(base, RELEASES["TAU2021"]) == wanted


def test_full_disk_is_told_beforehand(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(mirror.root.parent)._replace(free=200_000_000)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda path: usage)
    said = error(mirror.run())
    assert "0.2 GB free; the archives to come and their files need 0.3 GB" in said
    assert mirror.log == []


def test_unwritable_folder(mirror: Mirror) -> None:
    mirror.root.mkdir()
    (mirror.root / "audio").write_text("a file where a folder is wanted")
    assert f"{mirror.root}/audio/" in (said := error(mirror.run()))
    assert "could not be written" in said


PROGRAM = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from avsc.manifests.tau2021 import RELEASES, Archive, Release
url, *archives = {release}
RELEASES["TAU2021"] = Release(url, tuple(Archive(*a) for a in archives))
from avsc.preprocess.cli import main
main()
"""


def test_file_that_a_kill_left_half_unpacked_is_removed(mirror: Mirror) -> None:
    stale_file(mirror.root / "audio", "a.wav")
    assert mirror.run().return_value == 0
    mirror.check()


@pytest.mark.parametrize(("kind", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_download_goes_on(mirror: Mirror, kind: signal.Signals, status: int) -> None:
    """The server holds back the end of one archive; by then the program is stopped.

    Every byte that came before is in the file, however few came last.
    """

    def stalling(handler: servers.Handler, data: bytes) -> None:
        handler.answer(200, data[:499_000], ETag=handler.tag(data), Content_Length=len(data))
        time.sleep(0.2)
        handler.wfile.write(data[499_000:500_000])
        handler.server.ended.wait(600)

    mirror.fault("video.1", stalling)
    archives = [[a.name, a.file, a.size, a.md5] for a in mirror.release.archives]
    script = PROGRAM.format(release=repr([mirror.release.url, *archives]))
    command = [sys.executable, "-c", script, "download", "--dataset", "TAU2021"]
    process = subprocess.Popen(
        [*command, "--root", str(mirror.root)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    part = mirror.root / f"archives/{RELEASED}.video.1.zip.part"
    limit = time.monotonic() + 600
    while time.monotonic() < limit and process.poll() is None:
        if part.exists() and part.stat().st_size == 500_000:
            break
        time.sleep(0.02)
    process.send_signal(kind)
    _, said = process.communicate(timeout=600)
    assert process.returncode == status, said
    assert b"Traceback" not in said and b"in time" not in said, said
    if status > 0:
        assert b"run the command again to resume" in said
    done = subprocess.run([*command, "--root", str(mirror.root)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    mirror.check()
    assert ("video.1", "bytes=500000-") in [
        (path.removesuffix(".zip").rpartition("development.")[2], asked)
        for path, asked, _ in mirror.log
    ]


def test_choice_of_archives() -> None:
    release = RELEASES["TAU2021"]
    assert len(choose(release, [])) == 27
    assert len(choose(release, ["audio", "audio.3", "doc"])) == 9
    with pytest.raises(SettingError, match=r"known are doc, meta, examples, audio, audio\.1"):
        choose(release, ["audio.9"])
