"""Table 1: one image a second of the same clips: seconds of the processor, and which frames.

Every peer makes a few clips, and one clip, in turn, over and over. The seconds of a clip are the
difference, divided by the clips between; what is left of one clip's is the start. Both are of the
processor, of all processes, medians. Then each gives the frames of one clip as RGB of the source's
size, which are looked up among all frames that PyAV decodes of it.
"""

import pickle
import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median

from turns import table

from peers.clips import Truth, gather
from peers.measure import Usage, run
from peers.peer import Image, Job, peer, versions
from peers.work import read_back

PEERS = ("avsc", "pyav", "torchcodec", "daft", "datachain", "litdata", "ray")
HALF = Fraction(1, 2)


def extract(name: str, job: Job) -> Usage:
    """Let a peer do a job, anew."""
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir(parents=True)
    usage = run(["-m", "peers.work", name, "extract", job.encoded()], job.out / "log")
    if usage.status:
        raise RuntimeError(f"{name}: {usage.said}")
    return usage


def images(name: str, job: Job) -> list[Image]:
    """Return what a peer has made."""
    usage = run(["-m", "peers.work", name, "images", job.encoded()], job.out / "log")
    if usage.status:
        raise RuntimeError(f"{name}: {usage.said}")
    made: list[Image] = pickle.loads(read_back(job.out).read_bytes())
    return made


def came_out(name: str, folder: Path, out: Path, truth: Truth) -> str:
    """Return which frames a peer gives of a clip: times, how many are as wanted, how many equal."""
    job = Job(folder, out, raw=True)
    extract(name, job)
    found = [truth.find(data) for _, _, data in sorted(images(name, job))]
    wanted = [truth.on_show(k + HALF) for k in range(len(found))]
    right = sum(number == want for (number, _), want in zip(found, wanted, strict=True))
    equal = sum(equal for _, equal in found)
    times = ", ".join(f"{float(truth.times[number]):.2f}" for number, _ in found[:3])
    return f"{times} ... | {right}/{len(found)} | {equal}/{len(found)}"


def measured(
    videos: Sequence[Path], scratch: Path, names: Sequence[str], rounds: int
) -> Iterator[str]:
    """Yield the rows of the table."""
    folders = [gather(scratch / f"{n}-clips", list(videos[:n])) for n in (1, len(videos))]
    truth = Truth.of(videos[0])
    spent: dict[str, list[list[float]]] = {name: [] for name in names}
    faults: dict[str, str] = {}
    for _ in range(rounds):
        for name in names:
            if name in faults:
                continue
            try:
                usages = [extract(name, Job(folder, scratch / name)) for folder in folders]
            except (RuntimeError, ImportError) as fault:
                faults[name] = str(fault).strip().splitlines()[-1]
                continue
            spent[name].append([usage.cpu for usage in usages])
    costs = {}
    for name, pairs in spent.items():
        if pairs:
            clip = median((many - one) / (len(videos) - 1) for one, many in pairs)
            costs[name] = clip, median(one for one, _ in pairs) - clip
    for name in names:
        module = peer(name)
        if name in faults:
            head = f"{versions(module.PACKAGES)} | {module.ADVICE}"
            yield f"{head} | did not run: {faults[name]} | | | | | "
            continue
        clip, start = costs[name]
        ratio = clip / costs["pyav"][0] if "pyav" in costs else 1
        frames = came_out(name, folders[0], scratch / name, truth)
        yield (
            f"{versions(module.PACKAGES)} | {module.ADVICE} | {clip:.2f} | {ratio:.2f} | "
            f"{max(start, 0):.1f} | {frames}"
        )


def report(videos: Sequence[Path], scratch: Path, names: Sequence[str], rounds: int) -> None:
    """Print the table."""
    table(
        "peer | what of it | CPU s a clip | of PyAV's | CPU s to start | frames at, s | "
        "on show at k + 0.5 s | bytes equal to PyAV's",
        *measured(videos, scratch, names, rounds),
    )
