"""Clips that never end, and clips whose decoder takes its process with it.

A clip is given so many seconds. The kernel keeps the time (`setitimer`): whatever the decoder does,
the process is ended by SIGALRM when they are over, and a decoder that crashes ends it by itself.
Where that must cost the clip alone, it is decoded in a `Child`: the clip whose child dies or does
not end is the one to blame, and becomes a failure like any other.

Parent and child speak by pickles, over pipes that no one else can reach.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from avsc.features.clip import ClipRecords, make_clip
from avsc.features.limits import Limits
from avsc.features.recording import look
from avsc.features.specs import Spec
from avsc.features.store.failures import Failure
from avsc.manifests.errors import AvscError, MediaError

_CHILD = "from avsc.features.isolate import serve; serve()"
_END = "end"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of a child: as many of them work as there are cores."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process by SIGALRM if the body takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def unforeseen(clip: str, fault: Exception) -> MediaError:
    """Return what nobody foresaw, a defect of ours, as a fault of the clip, code ``"unforeseen"``.

    It must not end a night's work on all the others.
    """
    where = traceback.extract_tb(fault.__traceback__)[-1]
    return MediaError(
        "unforeseen",
        f"{clip}: {type(fault).__name__}: {fault} (in {Path(where.filename).name}, line "
        f"{where.lineno}). This is a defect of avsc: report it, with the recording.",
    )


def make_clip_in_time(
    clip: str, audio: Path | None, video: Path | None, specs: Mapping[str, Spec], limits: Limits
) -> ClipRecords:
    """Do as `make_clip`; this process is ended by SIGALRM when it takes too long.

    What nobody foresaw is a failure of this clip.
    """
    with time_limit(limits.timeout):
        try:
            return make_clip(clip, audio, video, specs, limits)
        except (AvscError, MemoryError):
            raise
        except Exception as fault:
            return _failed(clip, audio, video, specs, unforeseen(clip, fault))


def make_clip_isolated(
    clip: str,
    audio: Path | None,
    video: Path | None,
    specs: Mapping[str, Spec],
    limits: Limits | None = None,
) -> ClipRecords:
    """Do as `make_clip`, in a child; its death is a failure of every product.

    Code ``"timeout"`` when the clip took too long, else ``"crashed"``.
    """
    limits = Limits() if limits is None else limits
    with Child() as child:
        child.ask(_one, clip, audio, video, dict(specs), limits)
        try:
            (made,) = child.answers(clip, limits)
        except MediaError as fault:
            return _failed(clip, audio, video, specs, fault)
    assert isinstance(made, ClipRecords)
    return made


def _one(*arguments: Any) -> Iterator[ClipRecords]:
    yield make_clip_in_time(*arguments)


def _failed(
    clip: str,
    audio: Path | None,
    video: Path | None,
    specs: Mapping[str, Spec],
    fault: MediaError,
) -> ClipRecords:
    """Return that nothing was made of a clip, and why."""
    failures = [Failure(clip, name, None, "worker", fault.code, str(fault)) for name in specs]
    sources = {path: look(path) for path in (audio, video) if path is not None}
    return ClipRecords({name: [] for name in specs}, failures, [], sources)


class Child:
    """A process that does what it is asked, one thing after the other; a context manager.

    What it is asked is a function that yields answers: it is called in the child, and each answer
    travels back as soon as it is there.
    """

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **ONE_THREAD},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._asking, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dead(self) -> bool:
        """Whether the child has ended, and can be asked nothing more."""
        return self._process.poll() is not None

    def ask(self, function: Callable[..., Iterable[Any]], *arguments: Any) -> None:
        """Ask for the answers of a function, given by its name in its module."""
        with suppress(BrokenPipeError):  # it has died, as `answers` will say
            self._asking.write(pickle.dumps((function, arguments)))
            self._asking.flush()

    def answer(self, clip: str, limits: Limits) -> Any:
        """Wait for the next answer and return it; None after the last one.

        Args:
            clip: what it is about, for messages.
            limits: those that the child got.

        Raises:
            MediaError: the child has died: code ``"timeout"`` or ``"crashed"``. Others are those
                that the function raised.
        """
        try:
            kind, value = pickle.load(self._answers)
        except (EOFError, pickle.UnpicklingError):
            raise self._verdict(clip, limits) from None
        if kind == _END:
            return None
        if kind == "fault":
            raise value
        return value

    def answers(self, clip: str, limits: Limits) -> Iterator[Any]:
        """Yield all answers; arguments and faults are those of `answer`."""
        while (value := self.answer(clip, limits)) is not None:
            yield value

    def kill(self) -> None:
        """Kill the child, from another thread than the one that waits for its answers, say."""
        self._process.kill()

    def close(self) -> None:
        """End the child."""
        with suppress(BrokenPipeError):
            self._asking.close()
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._said.close()

    def _verdict(self, clip: str, limits: Limits) -> MediaError:
        """Return the fault of a clip whose child has died."""
        status = self._process.wait()
        code, reason = "crashed", ""
        if status == -signal.SIGALRM:
            code, reason = "timeout", f"did not end within {limits.timeout} s (--clip-timeout)"
        elif status == -signal.SIGKILL:
            reason = "was killed, as the system does to processes that take too much memory"
        elif status < 0:
            reason = f"was ended by {signal.Signals(-status).name}"
        else:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")[-500:].strip()
            reason = f"left with status {status}: {said}"
        return MediaError(
            code,
            f"{clip}: the process that decoded it {reason}. Look at the recording, or leave it "
            "out.",
        )


def serve() -> None:
    """Do what is asked on standard input and write the answers to standard output, until its end.

    What else writes to standard output, such as a decoder, writes to standard error.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answers, suppress(EOFError, BrokenPipeError):
        while True:
            function, arguments = pickle.load(sys.stdin.buffer)
            try:
                for value in function(*arguments):
                    _send(answers, "answer", value)
                _send(answers, _END, None)
            except AvscError as fault:
                _send(answers, "fault", fault)


def _send(answers: Any, kind: str, value: Any) -> None:
    answers.write(pickle.dumps((kind, value)))
    answers.flush()
