"""Running avsc-fit in this process, as the shell would."""

import sys

import pytest

from avsc.train.cli import main


def run_fit(monkeypatch, capsys, *arguments):
    """Return exit status, standard output and standard error of one command."""
    monkeypatch.setattr(sys, "argv", ["avsc-fit", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code, *capsys.readouterr()


def refused(result, status, *texts):
    """Check for one line of error that says `texts` in this order."""
    code, _, err = result
    line = err.strip().splitlines()[-1]
    assert code == status, line
    assert line.lower().startswith(("avsc-fit: error: ", "error: "))
    assert "Traceback" not in err
    at = 0
    for text in texts:
        assert text in line[at:], line
        at = line.index(text, at)
