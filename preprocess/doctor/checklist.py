"""The checks, in the order in which they are tried."""

import importlib
from collections.abc import Callable

from avsc.manifests.checks import Check
from avsc.preprocess.doctor import batch, file_system, machine
from avsc.preprocess.doctor.target import Target


def media(name: str) -> Callable[[Target], str]:
    """Return an attempt of the module media, imported when it is made: that may fail, too."""

    def attempt(target: Target) -> str:
        module = importlib.import_module("avsc.preprocess.doctor.media")
        return str(getattr(module, name)(target))

    return attempt


FILES = (
    Check(
        "rename",
        file_system.rename,
        "Put the store (--out) on a file system that replaces files at once: a local disk, NFS, "
        "Lustre, GPFS or BeeGFS; not an object store or a sync folder.",
    ),
    Check(
        "flush",
        file_system.flush,
        "Look at the disk's health and your quota, or put the store (--out) elsewhere.",
    ),
    Check(
        "part",
        file_system.part,
        "Look at your quota and permissions, or put the store (--out) on another file system.",
    ),
    Check(
        "locks",
        file_system.locks,
        "Nothing depends on it; HDF5 of other programs may need HDF5_USE_FILE_LOCKING=FALSE here.",
        needed=False,
    ),
    Check("room", file_system.room, "Make room, or name another folder with --out."),
    Check(
        "clock",
        file_system.clock,
        "Let time be kept by NTP on this machine and the file server: whether a block is still "
        "worked on is judged by file times.",
    ),
)
MEDIA = (
    Check(
        "recordings",
        media("recordings"),
        "Install the wheels of av and soundfile from PyPI (`pip install --force-reinstall av "
        "soundfile`), which bring their decoders along.",
    ),
    Check(
        "sound track",
        media("sound_track"),
        "Install the wheel of av from PyPI, or give the sound as WAV files.",
        needed=False,
    ),
    Check("JPEG", media("jpeg"), "Install the wheel of simplejpeg from PyPI."),
)
MACHINE = (
    Check("scratch", machine.scratch, "Point TMPDIR to a folder that you may write, with room."),
    Check(
        "Dask",
        machine.dask,
        "Extraction runs its workers by Dask, which reads these files when it starts.",
    ),
    Check("open files", machine.open_files, "Raise the limit: `ulimit -n 4096`."),
    Check("cores", machine.cores, "Say how many workers to start with --workers."),
    Check("memory", machine.memory, "Start fewer workers with --workers, or ask for more memory."),
    Check(
        "loopback",
        machine.loopback,
        "Bring the interface lo up and let no firewall or proxy stand before 127.0.0.1.",
    ),
)
DATA_SET = Check(
    "data set",
    file_system.data_set,
    "Look at the path (--root), the permissions and whether links in it lead somewhere.",
)
CLUSTER = Check(
    "cluster",
    batch.commands,
    "Run this on a login node, load the batch system's module, or name another with --cluster.",
)


def checks_for(target: Target) -> tuple[Check[Target], ...]:
    """Return the checks for a target."""
    named = ((DATA_SET, target.root), (CLUSTER, target.cluster))
    return (*FILES, *MEDIA, *MACHINE, *(check for check, value in named if value is not None))
