"""One clip in a process of its own, for a block whose worker died.

A decoder that crashes takes its process with it. A block that lost its worker twice is therefore
worked on clip by clip, each in a child; the clip whose child dies is the one to blame, and becomes
a failure like any other.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from avsc.features.recipe import Made, make_clip
from avsc.features.specs import Spec
from avsc.features.store.failures import Failure

_CHILD = "from avsc.preprocess.isolate import child; child()"


def make_clip_isolated(
    clip: str, audio: Path | None, video: Path | None, specs: Mapping[str, Spec]
) -> Made:
    """Do as `make_clip`, in a child process; its death is a failure of every product."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps((clip, audio, video, dict(specs))),
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        made = pickle.loads(done.stdout)
        assert isinstance(made, Made)
        return made
    if done.returncode < 0:
        reason = f"was ended by {signal.Signals(-done.returncode).name}"
    else:
        reason = f"left with status {done.returncode}: {done.stderr.decode()[-500:].strip()}"
    text = f"{clip}: the process that decoded it {reason}. Look at the recording, or leave it out."
    failures = [Failure(clip, name, None, "worker", "crashed", text) for name in specs]
    return Made({name: [] for name in specs}, failures)


def child() -> None:
    """Read one clip's arguments from standard input and write what it gave to standard output."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    made = make_clip(*pickle.loads(sys.stdin.buffer.read()))
    with answer:
        pickle.dump(made, answer)
