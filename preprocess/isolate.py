"""Clips that never end, and clips whose decoder takes its process with it.

A clip is given so many seconds. The kernel keeps the time (`setitimer`): whatever the decoder does,
the process is ended by SIGALRM when they are over, and a decoder that crashes ends it by itself. A
block that loses its process twice is therefore worked on clip by clip, each in a child of its own;
the clip whose child dies or does not end is the one to blame, and becomes a failure like any other.

Parent and child speak by pickles, over pipes that no one else can reach.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from avsc.features.clip import Made, make_clip
from avsc.features.limits import Limits
from avsc.features.specs import Spec
from avsc.features.store.failures import Failure
from avsc.manifests.errors import AvscError
from avsc.preprocess.receipt import look

_CHILD = "from avsc.preprocess.isolate import child; child()"


def make_clip_in_time(
    clip: str, audio: Path | None, video: Path | None, specs: Mapping[str, Spec], limits: Limits
) -> Made:
    """Do as `make_clip`; this process is ended by SIGALRM when it takes too long.

    What nobody foresaw, a defect of ours, is a failure of this clip, code ``"unforeseen"``: it must
    not end a night's work on all the others.
    """
    signal.setitimer(signal.ITIMER_REAL, limits.timeout)
    try:
        return make_clip(clip, audio, video, specs, limits)
    except (AvscError, MemoryError):
        raise
    except Exception as fault:
        where = traceback.extract_tb(fault.__traceback__)[-1]
        text = (
            f"{clip}: {type(fault).__name__}: {fault} (in {Path(where.filename).name}, line "
            f"{where.lineno}). This is a defect of avsc: report it, with the recording."
        )
        return _failed(clip, audio, video, specs, "unforeseen", text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def make_clip_isolated(
    clip: str,
    audio: Path | None,
    video: Path | None,
    specs: Mapping[str, Spec],
    limits: Limits | None = None,
) -> Made:
    """Do as `make_clip`, in a child; its death is a failure of every product.

    Code ``"timeout"`` when the clip took too long, else ``"crashed"``.
    """
    limits = Limits() if limits is None else limits
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps((clip, audio, video, dict(specs), limits)),
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        made = pickle.loads(done.stdout)
        assert isinstance(made, Made)
        return made
    code, reason = _verdict(done, limits)
    text = f"{clip}: the process that decoded it {reason}. Look at the recording, or leave it out."
    return _failed(clip, audio, video, specs, code, text)


def _failed(
    clip: str,
    audio: Path | None,
    video: Path | None,
    specs: Mapping[str, Spec],
    code: str,
    text: str,
) -> Made:
    """Return that nothing was made of a clip, and why."""
    failures = [Failure(clip, name, None, "worker", code, text) for name in specs]
    found = {path: look(path) for path in (audio, video) if path is not None}
    return Made({name: [] for name in specs}, failures, [], found)


def _verdict(done: subprocess.CompletedProcess[bytes], limits: Limits) -> tuple[str, str]:
    """Return the code of a child's failure, and what became of the child."""
    if done.returncode == -signal.SIGALRM:
        return "timeout", f"did not end within {limits.timeout} s (--clip-timeout)"
    if done.returncode == -signal.SIGKILL:
        return "crashed", "was killed, as the system does to processes that take too much memory"
    if done.returncode < 0:
        return "crashed", f"was ended by {signal.Signals(-done.returncode).name}"
    said = done.stderr.decode(errors="replace")[-500:].strip()
    return "crashed", f"left with status {done.returncode}: {said}"


def child() -> None:
    """Read one clip's arguments from standard input and write what it gave to standard output."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    made = make_clip_in_time(*pickle.loads(sys.stdin.buffer.read()))
    with answer:
        pickle.dump(made, answer)
