"""A real Slurm on this machine: one controller and two nodes on the loopback device.

Everything lies in one folder; the daemons are ended by their process numbers. munge, by which
Slurm's commands and daemons know each other, is one for the machine: it is started when it does not
run and then left.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from ports import free_ports

COMMANDS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged")
CONF = """\
ClusterName=ci
SlurmctldHost=localhost(127.0.0.1)
AuthType=auth/munge
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
KillWait=5
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=100
TCPTimeout=30
MinJobAge=300
NodeName=n1 NodeHostName=localhost NodeAddr=127.0.0.1 Port={n1} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostName=localhost NodeAddr=127.0.0.1 Port={n2} CPUs=2 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A Slurm that is up.

    Attributes:
        environment: with which its commands reach it.
        daemons: the controller's and the nodes', by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def say(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it says."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300, check=True
        )
        return done.stdout.strip()

    def jobs(self, states: str = "PENDING,CONFIGURING,RUNNING") -> list[str]:
        """Return the numbers of the jobs that run or are to run.

        Those that are being ended (COMPLETING) are cancelled, and left out.
        """
        return self.say("squeue", "--noheader", "--format=%i", f"--states={states}").split()

    def wait_for(self, count: int, seconds: float = 600) -> list[str]:
        """Wait until so many jobs run, and return their numbers."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            found = self.say("squeue", "--noheader", "--states=R", "--format=%i").split()
            if len(found) >= count:
                return found
            time.sleep(0.1)
        raise TimeoutError(f"{count} running jobs: {self.say('squeue')}")

    def nodes(self) -> list[str]:
        """Return the nodes that jobs run on, one a job."""
        return self.say("squeue", "--noheader", "--states=R", "--format=%N").split()

    def lose(self, node: str) -> None:
        """End a node and all that runs on it, as a power cut does: nothing is told to anybody."""
        scripts = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(f"{self.folder}/spool.{node}/" in word for word in process.info["cmdline"] or ())
        ]
        steps = {process.parent() for process in scripts} - {None}
        lost = [self.daemons[node], *(each for step in steps for each in _with_children(step))]
        for process in lost:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.daemons[node].wait(120)

    def start(self, name: str, *command: str) -> None:
        """Start a daemon: the controller, or a node that is new or was lost."""
        with (self.folder / "log" / "daemons.log").open("ab") as log:
            program = shutil.which(command[0], path=_path())
            assert program is not None
            conf = ["-D", "-f", self.environment["SLURM_CONF"], *command[1:]]
            self.daemons[name] = subprocess.Popen([program, *conf], stdout=log, stderr=log)

    def start_node(self, name: str) -> None:
        """Start a node, new or lost before."""
        self.start(name, "slurmd", "-N", name)

    def wait_empty(self, seconds: float = 600) -> None:
        """Wait until there is no job in the queue, and each has come to its end."""
        limit = time.monotonic() + seconds
        while self.jobs("PENDING,CONFIGURING,RUNNING,COMPLETING"):
            if time.monotonic() > limit:
                raise TimeoutError(f"jobs are left: {self.say('squeue')}")
            time.sleep(0.1)


def missing() -> str:
    """Return why there can be no Slurm here, or nothing."""
    lacking = [name for name in COMMANDS if shutil.which(name, path=_path()) is None]
    if lacking:
        return f"no {', '.join(lacking)} here; on Debian, slurm-wlm and munge bring them"
    return "" if os.geteuid() == 0 else "the daemons of this Slurm run as root"


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Start a Slurm in a folder; end it, and whatever it runs, on leaving."""
    _start_munge()
    for name in ("state", "spool.n1", "spool.n2", "log"):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    ports = free_ports(3)
    names = ("controller", "n1", "n2")
    conf.write_text(CONF.format(folder=folder, **dict(zip(names, ports, strict=True))))
    service = Slurm(folder)
    service.start("controller", "slurmctld")
    for node in ("n1", "n2"):
        service.start_node(node)
    try:
        _wait_idle(service)
        yield service
    finally:
        if service.jobs():
            subprocess.run(["scancel", *service.jobs()], env=service.environment, check=False)
            service.wait_empty(120)
        for daemon in reversed(service.daemons.values()):
            daemon.terminate()
        for daemon in service.daemons.values():
            daemon.wait(120)


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _wait_idle(service: Slurm) -> None:
    limit = time.monotonic() + 600
    while time.monotonic() < limit:
        try:
            if service.say("sinfo", "--noheader", "--format=%T %D") == "idle 2":
                return
        except subprocess.SubprocessError:
            pass
        time.sleep(0.1)
    logs = "\n".join(path.read_text() for path in (service.folder / "log").iterdir())
    raise TimeoutError(f"Slurm does not come up:\n{logs}")


def _start_munge() -> None:
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    owner = ["-o", "munge", "-g", "munge", "-m", "0755"]
    subprocess.run(["install", "-d", *owner, "/run/munge"], check=True)
    munged = shutil.which("munged", path=_path())
    assert munged is not None
    subprocess.run(["runuser", "-u", "munge", "--", munged], check=True, capture_output=True)


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
