"""Whether a batch system's commands are there, and answer."""

import shutil
import subprocess

from avsc.manifests.checks import CheckFailed
from avsc.preprocess.doctor.target import Target
from avsc.preprocess.workers.batch_systems import BATCH_SYSTEMS

SECONDS = 30
# kind -> the command that ends a job, and one, with its arguments, that asks the system itself
COMMANDS = {
    "slurm": ("scancel", ("squeue", "-h", "-t", "running")),
    "pbs": ("qdel", ("qstat", "-B")),
    "lsf": ("bkill", ("lsid",)),
    "sge": ("qdel", ("qstat",)),
    "htcondor": ("condor_rm", ("condor_q", "-totals")),
    "oar": ("oardel", ("oarstat",)),
}


def names(kind: str) -> list[str]:
    """Return the commands that a batch system must have."""
    system, (end, ask) = BATCH_SYSTEMS[kind], COMMANDS[kind]
    return list(dict.fromkeys((system.submit, system.status[0], end, ask[0])))


def commands(target: Target) -> str:
    """Look for the commands of the batch system that was named, and ask it something."""
    assert target.cluster is not None, "only tried when a cluster was named"
    needed, ask = names(target.cluster), COMMANDS[target.cluster][1]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        raise CheckFailed(f"{', '.join(missing)} not found on the PATH")
    asked = " ".join(ask)
    done = subprocess.run(
        ask,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[:200]
        raise CheckFailed(f"`{asked}` left with status {done.returncode}: {said}")
    return f"{', '.join(needed)} are there; `{asked}` answers"
