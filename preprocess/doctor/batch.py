"""Whether a batch system's commands are there, and answer."""

import shutil
import subprocess

from avsc.preprocess.doctor.check import Patient, UnwellError

SECONDS = 30
# kind -> commands that are needed; the last, with its arguments, asks the system itself.
COMMANDS = {
    "slurm": (("sbatch",), ("scancel",), ("squeue", "-h", "-t", "running")),
    "pbs": (("qsub",), ("qdel",), ("qstat", "-B")),
    "lsf": (("bsub",), ("bkill",), ("bjobs",), ("lsid",)),
    "sge": (("qsub",), ("qdel",), ("qstat",)),
    "htcondor": (("condor_submit",), ("condor_rm",), ("condor_q", "-totals")),
    "oar": (("oarsub",), ("oardel",), ("oarstat",)),
}


def commands(patient: Patient) -> str:
    """Look for the commands of the batch system that was named, and ask it something."""
    assert patient.cluster is not None, "only tried when a cluster was named"
    needed = COMMANDS[patient.cluster]
    missing = [name for name, *_ in needed if shutil.which(name) is None]
    if missing:
        raise UnwellError(f"{', '.join(missing)} not found on the PATH")
    asked = " ".join(needed[-1])
    done = subprocess.run(
        needed[-1],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[:200]
        raise UnwellError(f"`{asked}` left with status {done.returncode}: {said}")
    return f"{', '.join(name for name, *_ in needed)} are there; `{asked}` answers"
