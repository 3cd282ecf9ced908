"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings and lists, named by AVSC_REAL_DATA."""
    folder = os.environ.get("AVSC_REAL_DATA")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = f"AVSC_REAL_DATA is {folder!r}: no folder of real recordings"
    if os.environ.get("AVSC_REQUIRE_REAL_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
