"""avsc-prep doctor: on a sound machine, and with each thing broken in turn."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from avsc.features import isolate
from avsc.manifests import control_group
from avsc.manifests.checks import Finding, examine
from avsc.preprocess.cli import program
from avsc.preprocess.doctor import batch, machine, media
from avsc.preprocess.doctor import file_system as files
from avsc.preprocess.doctor.checklist import CLUSTER, DATA_SET, FILES, MACHINE, MEDIA, checks_for
from avsc.preprocess.doctor.target import Target, trial_folder
from avsc.preprocess.workers.batch_systems import BATCH_SYSTEMS

PREP = Path(sys.executable).with_name("avsc-prep")
CHECKS = {check.name: check for check in (*FILES, *MEDIA, *MACHINE, DATA_SET, CLUSTER)}


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


def find(name: str, tmp_path: Path, **of: Any) -> Finding:
    with trial_folder(tmp_path / "stores") as folder:
        (finding,) = examine(Target(tmp_path / "stores", folder, **of), [CHECKS[name]])
    return finding


def check_fatal(finding: Finding, said: str) -> None:
    assert finding.is_fatal and said in finding.text, str(finding)
    assert str(finding).startswith(f"FAIL  {finding.check.name}: ")
    assert str(finding).endswith(finding.check.remedy) and finding.check.remedy


def test_through_the_installed_command(tmp_path: Path) -> None:
    """On a sound machine everything works, and nothing is left behind."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.wav").write_bytes(b"RIFF")
    command = [PREP, "doctor", "--out", tmp_path / "stores/mine", "--root", tmp_path / "data"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines].count("FAIL") == done.returncode == 0, done.stdout
    names = [check.name for check in checks_for(Target(tmp_path, tmp_path, root=tmp_path))]
    assert [line[6:].partition(":")[0] for line in lines] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_limits_of_the_shell(tmp_path: Path) -> None:
    """Real limits: few open files, and no file above 1 MiB."""
    line = f"ulimit -n 128; ulimit -f 1024; exec {PREP} doctor --out {tmp_path}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "FAIL  flush: File too large. Look at the disk" in done.stdout
    assert "FAIL  open files: a process may open 128 files. Raise the limit" in done.stdout
    assert "2 of what extraction needs does not work here" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written() -> None:
    found = CliRunner().invoke(program, ["doctor", "--out", "/proc/stores"], standalone_mode=False)
    assert found.return_value == 1
    assert found.stdout.startswith("FAIL  folder: /proc/")
    assert found.stdout.endswith("Name another with --out.\n") and found.stdout.count("\n") == 1


def test_rename_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", failing(errno.ENOTSUP))
    check_fatal(find("rename", tmp_path), os.strerror(errno.ENOTSUP))
    check_fatal(find("part", tmp_path), "could not be written")


def test_rename_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", lambda *_: None)
    check_fatal(find("rename", tmp_path), "the other is still there")


def test_flush_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    check_fatal(find("flush", tmp_path), os.strerror(errno.EIO))


def test_disk_gives_other_bytes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = files.write_part

    def write(path: Path, *arguments: Any) -> None:
        whole(path, *arguments)
        data = bytearray(path.read_bytes())
        at = data.index(bytes(range(100)))
        data[at] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(files, "write_part", write)
    check_fatal(find("part", tmp_path), "not what was written")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EAGAIN])
def test_locks_are_told_but_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(files.fcntl, "flock", failing(number))
    finding = find("locks", tmp_path)
    assert not finding.works and not finding.is_fatal
    assert str(finding).startswith(f"note  locks: {os.strerror(number)}. Nothing depends on it")


@pytest.mark.parametrize(
    ("bavail", "favail", "total", "works"),
    [
        (10**6, 10**6, 10**7, True),
        (1, 10**6, 10**7, False),
        (10**6, 9, 10**7, False),
        (10**6, 0, 0, True),
    ],
)
def test_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bavail: int,
    favail: int,
    total: int,
    works: bool,
) -> None:
    """Free bytes and files; a file system that does not count files has any number of them."""
    left = os.statvfs_result((4096, 4096, 10**7, bavail, bavail, total, favail, favail, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: left)
    finding = find("room", tmp_path)
    assert finding.works == works, str(finding)
    assert ("any files" if total == 0 else f"{favail} files") in finding.text


@pytest.mark.parametrize(("hour", "said"), [(3600, "3600 s behind"), (-3600, "3600 s ahead")])
def test_clocks_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hour: int, said: str
) -> None:
    now = time.time
    monkeypatch.setattr(files.time, "time", lambda: now() + hour)
    check_fatal(find("clock", tmp_path), said)


def test_decoder_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        isolate, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    check_fatal(find("recordings", tmp_path), "SIGSEGV")
    assert "SIGSEGV" in find("sound track", tmp_path).text


def test_encoder_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_stream = media.av.container.OutputContainer.add_stream

    class Container:
        def __init__(self, *arguments: Any, **how: Any) -> None:
            self.container = open_file(*arguments, **how)

        def __enter__(self) -> "Container":
            return self

        def __exit__(self, *_: object) -> None:
            self.container.close()

        def add_stream(self, name: str, **how: Any) -> object:
            return add_stream(self.container, f"no-{name}", **how)

    open_file = media.av.open
    monkeypatch.setattr(media.av, "open", Container)
    finding = find("sound track", tmp_path)
    assert not finding.works and "no-aac" in finding.text


def test_wrong_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "COLOUR", (0, 0, 255))
    whole = media.encode_mp4
    monkeypatch.setattr(
        media, "encode_mp4", lambda shown, *how: whole([p[..., ::-1] for p in shown], *how)
    )
    check_fatal(find("recordings", tmp_path), "an image of colour (0, 0, 255) comes back as")


def test_wheel_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "avsc.preprocess.doctor.media", None)
    check_fatal(find("recordings", tmp_path), "avsc.preprocess.doctor.media")


def test_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simplejpeg.decode_jpeg", failing(errno.EINVAL))
    check_fatal(find("JPEG", tmp_path), "Invalid argument")


def test_settings_of_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken file, a list, and a good one beside a file that is none of Dask's."""
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "dask"))
    (tmp_path / "dask").mkdir()
    file = tmp_path / "dask" / "mine.yaml"
    (tmp_path / "dask" / "notes.txt").write_text("{")
    file.write_text("distributed:\n  worker: {memory: [unclosed\n")
    check_fatal(
        find("Dask", tmp_path), f"{file}, line 3: a file of Dask's settings that is not YAML"
    )
    file.write_bytes(b"caf\xe9: 1\n")
    check_fatal(find("Dask", tmp_path), f"{file}: a file of Dask's settings that is not YAML")
    file.write_text("- 1\n")
    check_fatal(find("Dask", tmp_path), f"{file}: found list, wanted Dask's settings")
    file.write_text("distributed:\n  worker: {memory: {target: false}}\n")
    finding = find("Dask", tmp_path)
    assert finding.works and finding.text.endswith(str(file))


def test_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with trial_folder(tmp_path) as folder:
        monkeypatch.setattr(machine.tempfile, "tempdir", "/proc")
        (finding,) = examine(Target(tmp_path, folder), [CHECKS["scratch"]])
    assert finding.is_fatal


def granted(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("cores", "bytes_"),
    [
        ({"cpu_DOT_max": "50000 100000"}, {"memory_DOT_max": "500000000"}),
        (
            {"cpu__cpu_DOT_cfs_quota_us": "50000", "cpu__cpu_DOT_cfs_period_us": "100000"},
            {"memory__memory_DOT_limit_in_bytes": "500000000"},
        ),
    ],
)
def test_control_group_gives_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: dict[str, str], bytes_: dict[str, str]
) -> None:
    """Versions 2 and 1."""
    monkeypatch.setattr(control_group, "CGROUP", granted(tmp_path / "cgroup", **cores, **bytes_))
    check_fatal(find("cores", tmp_path), "but the control group gives the time of 0.5")
    check_fatal(find("memory", tmp_path), "0.5 GB for")
    group = granted(tmp_path / "free", cpu_DOT_max="max 100000", memory_DOT_max="max")
    monkeypatch.setattr(control_group, "CGROUP", group)
    assert find("cores", tmp_path).works and control_group.memory_limit() is None


def test_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.socket, "create_server", failing(errno.EADDRNOTAVAIL))
    check_fatal(find("loopback", tmp_path), os.strerror(errno.EADDRNOTAVAIL))


def test_data_set(tmp_path: Path) -> None:
    check_fatal(find("data set", tmp_path, root=tmp_path / "none"), "No such file")
    (tmp_path / "empty").mkdir()
    check_fatal(find("data set", tmp_path, root=tmp_path / "empty"), "holds no file")
    (tmp_path / "empty/audio").symlink_to(tmp_path / "scratch-that-is-gone")
    check_fatal(find("data set", tmp_path, root=tmp_path / "empty"), "No such file")


def commands(folder: Path, **scripts: str) -> Path:
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def test_commands_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(commands(tmp_path / "bin", sbatch="")))
    check_fatal(find("cluster", tmp_path, cluster="slurm"), "squeue, scancel not found on the PATH")


@pytest.mark.parametrize("kind", list(BATCH_SYSTEMS))
def test_commands_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    names = batch.names(kind)
    path = commands(tmp_path / "bin", **dict.fromkeys(names, ""))
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    assert find("cluster", tmp_path, cluster=kind).works
    asked = path / batch.COMMANDS[kind][1][0]
    asked.write_text("#!/bin/sh\necho Unable to contact the controller >&2\nexit 3\n")
    said = "left with status 3: Unable to contact the controller"
    check_fatal(find("cluster", tmp_path, cluster=kind), said)
    monkeypatch.setattr(batch, "SECONDS", 0.1)
    asked.write_text("#!/bin/sh\nexec sleep 20\n")
    check_fatal(find("cluster", tmp_path, cluster=kind), "timed out")
