"""Progress of extraction and download: a bar on a terminal, plain lines elsewhere."""

import contextlib
import os
import pty
import subprocess
import sys

import pytest

from avsc.preprocess.progress import Reporter

SCRIPT = """
from avsc.preprocess.progress import Reporter
with Reporter(4) as reporter:
    reporter.say("warning: [a] clip")
    reporter.advance(4, 1)
"""


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(4_000_000_000, "download", "GB", 1e-9) as reporter:
        reporter.reach(1_000_000_000)  # found there already: not yet due, and no part of the rate
        reporter.say("audio.8: done")
        reporter.reach(4_000_000_000)
    out, err = capsys.readouterr()
    first, last = err.splitlines()
    assert (out, first) == ("", "audio.8: done")
    assert last.startswith("4.00/4.00 GB, ")
    assert last.endswith(" GB/s, 0 min left")


def test_clips_left_to_another_run_are_no_longer_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Reporter(4) as reporter:
        reporter.leave(2)
        reporter.advance(2, 1)
    line = capsys.readouterr().err
    assert line.startswith("2/2 clips, ")
    assert ", 1 failures, 0 min left" in line


def test_a_bar_on_a_terminal() -> None:
    theirs, ours = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        check=True,
        stderr=ours,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(ours)
    shown = ""
    with contextlib.suppress(OSError):  # at the end
        while read := os.read(theirs, 1 << 16):
            shown += read.decode(errors="replace")
    os.close(theirs)
    assert "warning: [a] clip" in shown
    assert "4/4 clips" in shown
    assert "━" in shown
