"""The mark of a folder that was made here: ``synth.json``, the settings it was made with."""

import json
from pathlib import Path
from typing import Any

from avsc.manifests.errors import ManifestError
from avsc.manifests.files import occupied, publish, remove_stale_files

VERSION = 2
"""Raised by hand when the same settings come to give other files."""


def claim(out: Path, kind: str, settings: dict[str, Any]) -> None:
    """Mark a folder as made with some settings, or find it to be so; rid it of half-written files.

    Raises:
        ManifestError: it holds something else.
    """
    held = {"kind": kind, "version": VERSION, **settings}
    path, wanted = out / "synth.json", (json.dumps(held, indent=2) + "\n").encode()
    if path.exists():
        if path.read_bytes() != wanted:
            raise ManifestError(
                f"{path}: made with other settings: {path.read_text()}. Give the same ones, or "
                "name another folder."
            )
    elif occupied(out):
        raise ManifestError(
            f"{out}: not empty, and not made by `avsc-prep synth`; name another folder."
        )
    else:
        publish(path, wanted)
    remove_stale_files(out)
