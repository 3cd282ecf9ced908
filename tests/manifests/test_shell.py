"""The command line's shared part, through CliRunner and through a real process."""

import signal
import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from avsc.manifests import shell
from avsc.manifests.errors import AvscError, ManifestError, SettingError
from avsc.manifests.shell import LazyGroup, settings

PROGRAM = '''
import errno, os, signal, sys, time
import click
from avsc.manifests.errors import ManifestError
from avsc.manifests.shell import LazyGroup, run_program, settings

@click.command()
@click.option("--epochs", type=int, default=1)
@settings
def count(epochs):
    """Count."""
    click.echo(epochs)
    return 3

@click.command()
def fail():
    raise ManifestError("list.csv:\\n  no column 'id'")

@click.command()
@click.argument("path")
@click.argument("size", type=int, default=0)
def write(path, size):
    with open(path, "wb") as file:
        file.write(bytes(size))

@click.command()
def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

@click.command()
def lines():
    for number in range(100_000):
        click.echo(number)

@click.command()
def defect():
    import no_such_module

@click.command()
def wait():
    try:
        print("waiting", flush=True)
        time.sleep(900)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("unwound", flush=True)

verbs = {name: (f"__main__:{name}", f"To {name}.") for name in
         ("count", "fail", "write", "full", "lines", "defect", "wait")}
run_program(LazyGroup(verbs, help="A program."), "avsc-test", "some")
'''


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    """A group of one verb, whose command echoes its settings."""

    @click.command()
    @click.option("--epochs", type=int, default=150)
    @click.option("--lr-max", type=float, default=0.01)
    @click.option("--resume/--no-resume", default=True)
    @settings
    def joint(**values: Any) -> None:
        click.echo(values)

    module = ModuleType("verb_of_a_test")
    module.joint = joint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "verb_of_a_test", module)
    other = ("no_such_module:audio", "Sound only.")
    return LazyGroup({"joint": ("verb_of_a_test:joint", "Both."), "audio": other})


def values(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return literal_eval(result.output)


def fault(result: Result) -> str:
    assert isinstance(result.exception, SettingError), result.output
    return str(result.exception)


def test_help_imports_no_verb(lazy: LazyGroup) -> None:
    result = CliRunner().invoke(lazy, ["--help"])
    assert result.exit_code == 0 and "Sound only." in result.output
    assert isinstance(CliRunner().invoke(lazy, ["audio"]).exception, ModuleNotFoundError)


def test_misspelt_verb_is_wrong_use(lazy: LazyGroup) -> None:
    result = CliRunner().invoke(lazy, ["jiont"])
    assert result.exit_code == 2
    assert "No such verb 'jiont'. Did you mean 'joint'?" in result.output


def test_options_override_variables_which_override_the_file_which_overrides_defaults(
    lazy: LazyGroup, tmp_path: Path
) -> None:
    file = tmp_path / "fit.toml"
    file.write_text("epochs = 2\nlr_max = 0.5\nresume = false\n[joint]\nlr-max = 0.25\n")
    run = CliRunner().invoke
    assert values(run(lazy, ["joint"])) == {"epochs": 150, "lr_max": 0.01, "resume": True}
    arguments = ["joint", "--config", str(file)]
    found = {"epochs": 2, "lr_max": 0.25, "resume": False}
    assert values(run(lazy, arguments)) == found
    variables = {"AVSC_EPOCHS": "3", "AVSC_RESUME": "1"}
    found |= {"epochs": 3, "resume": True}
    assert values(run(lazy, arguments, env=variables)) == found
    found |= {"epochs": 4, "resume": False}
    assert values(run(lazy, [*arguments, "--epochs=4", "--no-resume"], env=variables)) == found


def test_file_named_by_a_variable(lazy: LazyGroup, tmp_path: Path) -> None:
    (tmp_path / "fit.toml").write_text("[joint]\nepochs = 9\n[audio]\nepochs = 8\nmore = 1\n")
    run = CliRunner().invoke(lazy, ["joint"], env={"AVSC_CONFIG": str(tmp_path / "fit.toml")})
    assert values(run)["epochs"] == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "no setting is called 'epoch'. Did you mean 'epochs'?"),
        ("[joint]\nlr-mix = 3", "[joint]: no setting is called 'lr-mix'. Did you mean 'lr-max'?"),
        ("config = 'x'", "no setting is called 'config'. Known: epochs, lr-max, resume."),
        ("[jiont]\nepochs = 3", "[jiont] is not a verb. Did you mean 'joint'?"),
        ("[train]\nepochs = 3", "[train] is not a verb. Known: joint, audio."),
        ("lr-max = 1\nlr_max = 2", "lr-max is set twice"),
        ("epochs = [1, 2]", "epochs is [1, 2]; a single value is wanted"),
        ("joint = 3", "no setting is called 'joint'"),
        ("epochs = 3\nlr_max = = 1", "not TOML: Invalid value (at line 2, column 10)"),
    ],
)
def test_faulty_file(lazy: LazyGroup, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "fit.toml"
    file.write_text(text)
    found = fault(CliRunner().invoke(lazy, ["joint", "--config", str(file)]))
    assert found.startswith(str(file)) and message in found


def test_absent_file(lazy: LazyGroup) -> None:
    result = CliRunner().invoke(lazy, ["joint", "--config", "no.toml"])
    assert fault(result) == "no.toml: cannot be read (No such file or directory)."


@pytest.mark.parametrize("value", ["1.5", "true", "'many'"])
def test_value_of_another_type_is_wrong_use(lazy: LazyGroup, tmp_path: Path, value: str) -> None:
    (tmp_path / "fit.toml").write_text(f"epochs = {value}")
    result = CliRunner().invoke(lazy, ["joint", "--config", str(tmp_path / "fit.toml")])
    assert result.exit_code == 2 and "is not a valid integer" in result.output


def test_misspelt_variable(lazy: LazyGroup) -> None:
    result = CliRunner().invoke(lazy, ["joint"], env={"AVSC_EPOCH": "3"})
    assert "the variable AVSC_EPOCH. Did you mean AVSC_EPOCHS?" in fault(result)
    others = {"AVSC_DATA": "/data", "AVSC_REAL_DATA": "/real", "AVSC_BLOCK_SIZE": "3"}
    assert CliRunner().invoke(lazy, ["joint"], env=others).exit_code == 0


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (AvscError("x"), 1),
        (SettingError("x"), 2),
        (click.UsageError("x"), 2),
        (ManifestError("x"), 1),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_statuses(
    raised: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fail() -> None:
        raise raised

    assert shell._status(_called(fail), "avsc-test") == status
    assert capsys.readouterr().err.strip()


def test_defect_is_not_hidden() -> None:
    @click.command()
    def fail() -> None:
        raise ConnectionResetError("a defect")

    with pytest.raises(ConnectionResetError):
        shell._status(_called(fail), "avsc-test")


def _called(command: click.Command) -> click.Command:
    """Return the command without the arguments of the test's own process."""
    inner = command.main
    command.main = lambda *_, **how: inner([], **how)  # type: ignore[method-assign]
    return command


def program(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )


def test_process_returns_its_commands_status() -> None:
    done = program("count", "--epochs", 5)
    assert (done.returncode, done.stdout, done.stderr) == (3, "5\n", "")
    assert program("--help").returncode == 0
    assert program("count", "--epoch", 5).returncode == 2


def test_process_names_where_a_wrong_value_came_from(tmp_path: Path) -> None:
    done = program("count", AVSC_EPOCHS="many")
    assert done.returncode == 2
    assert "Invalid value for AVSC_EPOCHS: 'many' is not a valid integer." in done.stderr
    (tmp_path / "a.toml").write_text("epochs = 'many'")
    done = program("count", "--config", tmp_path / "a.toml")
    assert done.returncode == 2 and f"Invalid value for epochs in {tmp_path}/a.toml" in done.stderr


def test_process_prints_one_line_for_a_users_fault() -> None:
    done = program("fail")
    assert done.returncode == 1
    assert done.stderr == "avsc-test: error: list.csv: no column 'id'\n"


def test_no_message_fills_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def fail() -> None:
        raise ManifestError(f"list.csv: {'x' * 10**6}; rename it.")

    assert shell._status(_called(fail), "avsc-test") == 1
    said = capsys.readouterr().err
    assert len(said) < 2100 and said.startswith("avsc-test: error: list.csv: xxx")
    assert said.endswith("xxx; rename it.\n")


def test_process_names_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = program("write", tmp_path / "no" / "file")
    assert done.returncode == 1
    assert done.stderr == f"avsc-test: error: {tmp_path}/no/file: No such file or directory.\n"
    done = program("full")
    assert done.returncode == 1
    assert done.stderr == (
        "avsc-test: error: No space left on device. Make room, or name another disk, and run the "
        "command again.\n"
    )


def test_process_whose_folder_is_gone_prints_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", 'rmdir "$PWD"; exec "$0" -c "$1" count', sys.executable, PROGRAM],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "error: the working folder of this shell was removed. Change to another" in done.stderr


def test_a_wrong_import_of_ours_is_not_blamed_on_the_installation() -> None:
    done = program("defect")
    assert done.returncode == 1 and "ModuleNotFoundError: No module named 'no_such" in done.stderr


def test_process_is_quiet_when_its_reader_leaves() -> None:
    command = [sys.executable, "-c", PROGRAM, "lines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_terminated_process_unwinds_undisturbed_by_a_second_signal() -> None:
    command = [sys.executable, "-c", PROGRAM, "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 143
    assert out == b"unwound\n"
    assert err == b"avsc-test: terminated; run the command again to resume.\n"
