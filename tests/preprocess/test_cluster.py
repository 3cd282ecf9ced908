"""What is asked of six batch systems, none of which need be here; clusters that are up."""

import ast
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import dask
import pytest
from digests import digests
from recordings import write_clips

from avsc.manifests.errors import SettingError
from avsc.preprocess.workers.batch_systems import BATCH_SYSTEMS, lifetime, walltime_seconds
from avsc.preprocess.workers.cluster_config import ClusterConfig, read_cluster_config
from avsc.preprocess.workers.job_script import job_script
from avsc.preprocess.workers.local import SETTINGS, local_workers

PREP = Path(sys.executable).with_name("avsc-prep")
EXAMPLE = Path(__file__).parents[2] / "docs" / "cluster.toml"
PREFIX = {
    "slurm": "#SBATCH",
    "pbs": "#PBS",
    "lsf": "#BSUB",
    "sge": "#$",
    "oar": "#OAR",
}
SAYS = {
    "slurm": ["-p main", "-A av-scenes", "--cpus-per-task=4", "--mem=8G", "-t 04:00:00"],
    "pbs": ["-q main", "-A av-scenes", "-l walltime=04:00:00", "select=1:ncpus=4:mem="],
    "lsf": ["-q main", '-P "av-scenes"', "-n 4", "-W 04:00"],
    "sge": ["-q main", "-P av-scenes", "-l h_rt=04:00:00"],
    "oar": ["-q main", "--project av-scenes", "/nodes=1/core=4,walltime=04:00:00"],
    "htcondor": [
        "accounting_group = av-scenes",
        "allowed_job_duration = 14400",
        "MY.DaskWorkerCores = 4",
        "RequestCpus",
    ],
}


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command of any batch system is to be found."""
    monkeypatch.setenv("PATH", str(tmp_path))


def example(kind: str) -> ClusterConfig:
    """The example, without what its comments say to leave out for a kind."""
    settings = read_cluster_config(EXAMPLE)
    values = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    if kind == "htcondor":
        values |= {"queue": None, "directives": ("+Flavour = longlunch",)}
    return ClusterConfig(**values)


def test_example_sets_everything_and_nothing_as_it_is_by_default_but_where_it_says_so() -> None:
    settings = read_cluster_config(EXAMPLE)
    defaults = ClusterConfig()
    same = {
        n for n in settings.__dataclass_fields__ if getattr(settings, n) == getattr(defaults, n)
    }
    assert same == {"minimum", "tls"}
    lines = [line.partition(" ")[0] for line in EXAMPLE.read_text().splitlines() if " = " in line]
    assert set(settings.__dataclass_fields__) - {"jobqueue"} <= set(lines)


@pytest.mark.usefixtures("empty_path")
@pytest.mark.parametrize("kind", BATCH_SYSTEMS)
def test_script_of_every_kind(kind: str, tmp_path: Path) -> None:
    script = job_script(kind, example(kind), tmp_path / "store")
    for text in SAYS[kind]:
        assert (text if kind == "htcondor" else f"{PREFIX[kind]} ") in script
        assert text in script
    for text in (
        "module load ffmpeg",
        "export OMP_PROC_BIND=false",
        "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False",
        "--nworkers 4",
        "--nthreads 1 --no-dashboard --dashboard-address 127.0.0.1:0",
        "--lifetime 13800s --lifetime-stagger 300s",
        "--interface ib0",
        "--local-directory /tmp",
        "--protocol tls://",
        "--tls-key /work/me/avsc-logs/",
        "--death-timeout 120",
        "longlunch" if kind == "htcondor" else "--constraint=skylake",
    ):
        assert text in script
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("empty_path")
@pytest.mark.parametrize("kind", BATCH_SYSTEMS)
def test_without_a_file(kind: str, tmp_path: Path) -> None:
    script = job_script(kind, ClusterConfig(), tmp_path)
    assert "--nthreads 1" in script and f"--tls-ca-file {tmp_path}/logs/" in script
    assert ("--lifetime" in script) == (kind != "htcondor"), "dask-jobqueue's own 30 minutes"


def test_names_are_quoted_for_slurm_and_for_the_shell(tmp_path: Path) -> None:
    """In a directive, marks hold a path together and `%` comes twice; the shell is asked itself."""
    store = tmp_path / "my data" / "it's 50% #1 $(touch x)"
    settings = ClusterConfig(local_folder="/scratch/$USER's $(touch y)", interface="ib 0")
    lines = job_script("slurm", settings, store).splitlines()
    written = f"{tmp_path}/my data/it's 50%% #1 $(touch x)/logs/avsc-%J"
    assert f'#SBATCH -e "{written}.err"' in lines
    assert f'#SBATCH -o "{written}.out"' in lines
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {lines[-1]}"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout.splitlines()  # fmt: skip
    after = dict(itertools.pairwise(words))
    assert words[0] == sys.executable
    assert after["--local-directory"] == "/scratch/$USER's $(touch y)"
    assert after["--interface"] == "ib 0"
    assert after["--tls-key"] == f"{store}/logs/key.pem"
    assert after["--tls-ca-file"] == f"{store}/logs/ca.pem"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("slurm", "a\nb", r"a path with '\\n' cannot be written into a directive of slurm"),
        ("slurm", "a\\b", r"a path with '\\\\' cannot be written"),
        ("slurm", "$HOME", "which holds a variable's name"),
        ("pbs", "a b", "a path with ' ' cannot be written into a directive of pbs"),
        ("lsf", "50%", "a path with '%' cannot be written into a directive of lsf"),
        ("sge", "$x", r"a path with '\$' cannot be written into a directive of sge"),
        ("htcondor", "$(x)", r"a path with '\$' cannot be written"),
    ],
)
def test_folders_that_a_batch_system_cannot_be_told_of(
    tmp_path: Path, kind: str, name: str, said: str
) -> None:
    with pytest.raises(SettingError, match=said) as fault:
        job_script(kind, ClusterConfig(), tmp_path / name)
    assert str(fault.value).endswith("Name another by log_folder.")
    elsewhere = ClusterConfig(log_folder=str(tmp_path / "logs"))
    assert job_script(kind, elsewhere, tmp_path / name)


def test_jobs_workers_have_our_settings_of_dask(tmp_path: Path) -> None:
    names = [name for name in SETTINGS if not name.startswith("distributed.scheduler")]
    lines = job_script("slurm", ClusterConfig(), tmp_path).splitlines()
    exports = [line for line in lines if line.startswith("export ")]
    print_them = f"import dask, distributed; print([dask.config.get(n) for n in {names}])"
    done = subprocess.run(
        ["sh", "-c", "; ".join([*exports, 'exec "$0" "$@"']), sys.executable, "-c", print_them],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ast.literal_eval(done.stdout) == [SETTINGS[name] for name in names]


def test_the_users_own_configuration_fills_what_the_file_leaves_out(tmp_path: Path) -> None:
    own = {
        "queue": "night",
        "account": "mine",
        "cores": 3,
        "memory": "6 GB",
        "walltime": "90",
        "job-script-prologue": ["echo mine"],
        "job-extra-directives": ["--nice=5"],
        "worker-extra-args": ["--resources", "A=1"],
        "log-directory": str(tmp_path / "my-logs"),
    }
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in own.items()}):
        script = job_script("slurm", ClusterConfig(account="theirs"), tmp_path)
    for text in (
        "-p night",
        "-A theirs",
        "--cpus-per-task=3",
        "--nworkers 3",
        "-t 01:30:00",
        "echo mine",
        "--nice=5",
        "--resources A=1",
        "--lifetime 4800s",
        f"-o {tmp_path}/my-logs/",
    ):
        assert text in script
    assert "-A mine" not in script


def test_worker_life_ends_before_its_job() -> None:
    for walltime in (60, 600, 1800, 14_400, 259_200):
        life, stagger = lifetime(walltime)
        assert 0 < life - stagger < life + stagger <= walltime - min(walltime // 5, 300)


@pytest.mark.parametrize(
    ("text", "short", "wanted"),
    [
        ("00:01:00", None, 60),
        ("2-03:00:00", None, 183_600),
        ("90", (60, 60), 5400),
        ("10:30", (60, 60), 630),
        ("10:30", (60, 3600), 37_800),
        ("1-6", (60, 60), 108_000),
    ],
)
def test_walltimes(text: str, short: tuple[int, int] | None, wanted: int) -> None:
    assert walltime_seconds(text, short) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quue = 'a'", "no setting is called 'quue'. Did you mean 'queue'?"),
        ("cores = '4'", "cores is '4'; a whole number is wanted."),
        ("cores = true", "cores is True; a whole number is wanted."),
        ("cores = 0", "cores is 0; at least 1 is wanted."),
        ("minimum = 9", "minimum is 9; 0 to maximum, which is 8, is wanted."),
        ("modules = 'a'", "modules is 'a'; a list of texts is wanted."),
        ("walltime = '4h'", "walltime is '4h'; [days-]hours:minutes:seconds is wanted."),
        ("walltime = '90'", "walltime is '90'; [days-]hours:minutes:seconds is wanted."),
        ("jobqueue = 3", "jobqueue is 3; a table is wanted."),
        ("queue", "not TOML"),
        ('queue = "a\\nb"', r"queue is 'a\nb'; one line is wanted"),
        ('directives = ["--nice", "-x\\ntouch y"]', r"directives is '-x\ntouch y'; one line is"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(SettingError) as fault:
        read_cluster_config(path)
    assert str(path) in str(fault.value) and said in str(fault.value)


# Through the command line --------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


def extract(
    manifest: Path, store: Path, *more: object, program: Sequence[object] = (PREP,)
) -> subprocess.CompletedProcess[str]:
    options = ["--manifest", manifest, "--out", store, "--block-size", 2, *more]
    command = list(map(str, [*program, "extract", *options]))
    environment = {**os.environ, "PATH": "/nowhere"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_dry_run_prints_the_script(manifest: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("queue = 'day'\n")
    how = ["--cluster", "slurm", "--cluster-config", file, "--dry-run"]
    done = extract(manifest, tmp_path / "store", *how)
    assert done.returncode == 0 and done.stderr == ""
    assert "to do: 4 clips in 2 blocks" in done.stdout and "#SBATCH -p day" in done.stdout
    assert not (tmp_path / "store").exists()


def test_missing_command_is_one_line_with_the_remedy(manifest: Path, tmp_path: Path) -> None:
    done = extract(manifest, tmp_path / "store", "--cluster", "lsf")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "bsub: no such command here" in done.stderr and "login node" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cluster", "slurm", "--scheduler", "tcp://a:1"], "either --cluster or --scheduler"),
        (["--cluster-config", "a.toml"], "--cluster-config is for --cluster KIND"),
        (["--cluster", "slurm", "--memory-limit", "1GB"], "a cluster's is in its file"),
        (["--cluster", "slurm", "--cluster-config", "none.toml"], "none.toml: cannot be read"),
        (["--cluster", "moon"], "'moon' is not one of"),
        (["--memory-limit", "lots"], "--memory-limit is 'lots'; wanted a size such as 2GB"),
        (["--scheduler", "none.json"], "neither tcp://HOST:PORT or tls://HOST:PORT nor the file"),
    ],
)
def test_wrong_use(manifest: Path, tmp_path: Path, options: list[str], said: str) -> None:
    done = extract(manifest, tmp_path / "store", *options)
    assert done.returncode == 2 and said in done.stderr
    assert "Traceback" not in done.stderr


def break_dask_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DASK_CONFIG", raising=False)
    file = home / ".config" / "dask" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("distributed:\n  worker: {memory: [unclosed\n")
    return file


def test_a_broken_file_of_dasks_is_named(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = break_dask_files(tmp_path, monkeypatch)
    for how in (["--cluster", "slurm", "--dry-run"], ["--scheduler", "tcp://127.0.0.1:1"]):
        done = extract(manifest, tmp_path / "store", *how)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"{file}, line 3: a file of Dask's settings that is not YAML" in done.stderr
        assert not (tmp_path / "store").exists()


def test_workers_of_this_machine_read_no_files_of_dasks(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do those that take the place of one that died."""
    file = break_dask_files(tmp_path, monkeypatch)
    for name in ("DASK_CONFIG", "DASK_ROOT_CONFIG"):
        monkeypatch.setenv(name, str(file))
    done = extract(manifest, tmp_path / "store", "--part", "1/2")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert "Part 1/2 is made." in done.stdout
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    with local_workers(1, None, False) as workers:
        first = workers.client.submit(os.getpid, pure=False).result(timeout=600)
        os.kill(first, 9)
        found = workers.client.submit(os.getenv, "HOME", pure=False).result(timeout=600)
    assert found == os.environ["HOME"] == str(tmp_path)


# A cluster that is up -------------------------------------------------------------------------

# With more patience than for workers that somebody started before, as they are starting, too.
PATIENT = """
import sys, time
from pathlib import Path
from avsc.preprocess.workers import attached
attached.PATIENCE = 600.0
while not Path(sys.argv[sys.argv.index("--scheduler") + 1]).exists():
    time.sleep(0.05)
from avsc.preprocess.cli import main
main()
"""


def extract_by(up: "Up", manifest: Path, store: Path) -> subprocess.CompletedProcess[str]:
    """Extract by a cluster that comes up meanwhile."""
    return extract(manifest, store, "--scheduler", up.file, program=[sys.executable, "-c", PATIENT])


class Up:
    """A Dask scheduler and its workers, in processes of their own."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.file = folder / "scheduler.json"
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = (folder / "dask.log").open("ab")
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")

    def start(self, what: str, *options: str) -> None:
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file)]
        self._processes.append(
            subprocess.Popen(
                [*command, *options], stdout=self._log, stderr=self._log, env=self._environment
            )
        )

    def worker(self, *options: str) -> None:
        self.start("worker", "--nthreads", "1", "--no-dashboard", *options)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(600)
        self._log.close()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    cluster = Up(tmp_path)
    yield cluster
    cluster.stop()


def test_workers_of_a_cluster_that_is_up(manifest: Path, tmp_path: Path, up: Up) -> None:
    """By its file and by its address; the bytes are those of this machine's own workers."""
    up.worker()
    up.worker("--nworkers", "2")
    done = extract_by(up, manifest, tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert "has no TLS: any client that reaches it can run programs as its user" in done.stderr
    address = json.loads(up.file.read_text())["address"]
    assert extract(manifest, tmp_path / "b", "--scheduler", address).returncode == 0
    assert extract(manifest, tmp_path / "c", "--workers", 1).returncode == 0
    found = [digests(tmp_path / name, "*.h5") for name in "abc"]
    assert found[0] == found[1] == found[2] and len(found[0]) == 7


def test_worker_of_two_threads_is_refused(manifest: Path, tmp_path: Path, up: Up) -> None:
    up.start("worker", "--nthreads", "2", "--no-dashboard")
    done = extract_by(up, manifest, tmp_path / "store")
    assert done.returncode == 1 and "has 2 threads, and one is wanted" in done.stderr
    assert "Traceback" not in done.stderr


HIDE = """\
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "avsc" or name.startswith("avsc."):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Hide())
"""


def test_worker_without_avsc(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(HIDE)
    up = Up(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "hide")})
    up.worker()
    try:
        done = extract_by(up, manifest, tmp_path / "store")
    finally:
        up.stop()
    assert done.returncode == 1, done.stderr
    assert "cannot import avsc" in done.stderr and "Install avsc" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_scheduler_there_is_one_line(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "2s")
    done = extract(manifest, tmp_path / "store", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 1 and "no Dask scheduler can be spoken with there" in done.stderr
    assert "Traceback" not in done.stderr
