"""Archives that try to leave their folder, to fill the disk, or are damaged."""

import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avsc.manifests.errors import ManifestError
from avsc.preprocess.download import unpack as unpacking
from avsc.preprocess.download.unpack import unpack


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    """Return an entry of exactly this name; `ZipInfo` itself would mend some."""
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def write(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries:
            file.writestr(name, data)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_are_unpacked_below_the_root(root: Path, tmp_path: Path) -> None:
    archive = write(
        tmp_path / "a.zip", ("audio/", b""), ("audio/a.wav", b"sound"), ("./b/c/d.csv", b"x" * 9)
    )
    assert unpack(archive, root) == {"audio/a.wav": 5, "b/c/d.csv": 9}
    assert everything(root) == {"audio/a.wav": b"sound", "b/c/d.csv": b"x" * 9}
    assert unpack(archive, root) == {"audio/a.wav": 5, "b/c/d.csv": 9}


def test_folder_that_the_user_linked_elsewhere_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (root / "audio").symlink_to(tmp_path / "scratch")
    unpack(write(tmp_path / "a.zip", ("audio/a.wav", b"sound")), root)
    assert (tmp_path / "scratch/a.wav").read_bytes() == b"sound"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (entry("../a"), "leaves"),
        (entry("audio/../../a"), "leaves"),
        (entry("/etc/passwd"), "is absolute"),
        (entry("//host/share/a"), "is absolute"),
        (entry("audio\\..\\a"), "holds a backslash"),
        (entry("C:/a"), "begins with a drive letter"),
        (entry("a.wav\0.exe"), "holds a NUL"),
        (entry("."), "names no file"),
        (entry("a", stat.S_IFLNK | 0o777), "is a link or a device"),
        (entry("a", stat.S_IFCHR | 0o666), "is a link or a device"),
        (entry("a", stat.S_IFBLK | 0o666), "is a link or a device"),
        (entry("a", stat.S_IFIFO | 0o666), "is a link or a device"),
        (entry("a", stat.S_IFSOCK | 0o666), "is a link or a device"),
        (entry("Audio/one.WAV"), "are one file where case is ignored"),
        (entry("audio/one.wav/b"), "is a file and the folder of 'audio/one.wav/b'"),
        (entry("AUDIO"), "is a file and the folder of 'audio/one.wav'"),
    ],
)
def test_refused_entries(root: Path, tmp_path: Path, bad: zipfile.ZipInfo, said: str) -> None:
    """One bad entry refuses the archive before anything of it is written."""
    archive = write(tmp_path / "a.zip", ("audio/one.wav", b"sound"), (bad, b"evil"))
    with pytest.raises(ManifestError) as error:
        unpack(archive, root)
    assert said in str(error.value) and str(archive) in str(error.value)
    assert "Nothing of it was unpacked" in str(error.value)
    assert list(root.iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "root"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_that_is_there_twice(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="one file where case is ignored"):
        unpack(write(tmp_path / "a.zip", ("a", b"1"), ("a", b"2")), root)


def test_names_that_are_one_after_composition(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="one file where case is ignored"):
        unpack(write(tmp_path / "a.zip", ("caf\u00e9", b"1"), ("cafe\u0301", b"2")), root)


def test_bomb_is_refused_before_it_goes_off(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "ALLOWANCE", 1 << 20)
    zeros = bytes(1 << 20)
    archive = write(tmp_path / "a.zip", *((f"{n}", zeros) for n in range(64)))
    with pytest.raises(ManifestError, match=r"unpacks to 67108864 bytes; at most \d+"):
        unpack(archive, root)
    monkeypatch.setattr(unpacking, "LARGEST", 1 << 19)
    with pytest.raises(ManifestError, match="'0' has 1048576 bytes; at most 524288"):
        unpack(archive, root)
    monkeypatch.setattr(unpacking, "MOST_FILES", 63)
    with pytest.raises(ManifestError, match="it has 64 files; at most 63"):
        unpack(archive, root)
    assert list(root.iterdir()) == []


def declare(size: int) -> Callable[[bytes], bytes]:
    """Return what changes the size that an archive's directory declares of its first file."""

    def change(data: bytes) -> bytes:
        at = data.index(b"PK\x01\x02") + 24
        return data[:at] + struct.pack("<I", size) + data[at + 4 :]

    return change


def flip(where: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:where] + bytes([data[where] ^ 4]) + data[where + 1 :]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (declare(10), "is damaged"),
        (declare(10**6), "has 50000 bytes; the archive's directory says 1000000"),
        (flip(1000), "is damaged"),
        (lambda data: data[:-30], "no ZIP archive that can be read"),
        (lambda data: b"<html>Log in first</html>", "no ZIP archive that can be read"),
        (lambda data: b"", "no ZIP archive that can be read"),
    ],
)
def test_damaged_archives(
    root: Path, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    """No more is written than the directory declares, whatever the data unpack to."""
    archive = write(tmp_path / "a.zip", ("a", random.Random(0).randbytes(50_000)))
    archive.write_bytes(change(archive.read_bytes()))
    with pytest.raises(ManifestError, match=said):
        unpack(archive, root)
    assert list(root.iterdir()) == []


def test_encrypted_archive(root: Path, tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ManifestError, match="'a' is encrypted"):
        unpack(archive, root)
