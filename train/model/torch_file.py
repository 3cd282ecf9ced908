"""Reading what `torch.save` wrote, as tensors and plain values alone, its checksums compared.

Such a file is a ZIP archive with a CRC-32 for each tensor. `torch.load` does not look at them: a
flipped bit would give other weights and no error. Files from before PyTorch 1.6 are no archives and
have no checksums.
"""

import zipfile
from pathlib import Path
from typing import Any

import torch

ARCHIVE = b"PK\x03\x04"


def load_archive(path: Path) -> Any:
    """Return what a file holds, on the CPU.

    Raises:
        ValueError: a checksum differs, or the archive is damaged otherwise.
        Exception: whatever else `torch.load` raises for a file that it cannot read.
    """
    with path.open("rb") as file:
        if file.read(4) == ARCHIVE:
            _compare_checksums(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _compare_checksums(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            # What is marked as a folder, torch returns as memory that was never written.
            folders = [each.filename for each in archive.infolist() if each.external_attr]
    except Exception as fault:  # damaged archives raise nearly every type there is
        raise ValueError(f"a damaged archive: {fault}") from fault
    if damaged or folders:
        raise ValueError(f"the checksum of {damaged or folders[0]} differs")
