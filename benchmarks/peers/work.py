"""The process that a peer works in: `python -m peers.work NAME extract|images JOB`.

`images` writes what the peer reads back as a pickle, beside the job's folder.
"""

import pickle
import sys
from pathlib import Path

from peers.peer import Job, peer


def read_back(out: Path) -> Path:
    """Return the file for what was read back of a job."""
    return out.with_name(f"{out.name}.images")


def main() -> None:
    name, what, text = sys.argv[1:]
    job = Job.parse(text)
    if what == "extract":
        job.out.mkdir(parents=True, exist_ok=True)
        peer(name).extract(job)
    else:
        read_back(job.out).write_bytes(pickle.dumps(list(peer(name).images(job))))


if __name__ == "__main__":
    main()
