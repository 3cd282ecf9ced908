"""Fixtures that every test may use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from preloaded import compiler, preloaded

# The same examples each time, however slow the machine; to look for others, run pytest with
# --hypothesis-profile=default.
settings.register_profile(
    "same", derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("same")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as avsc-fit does; before torch is imported


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


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Environment in which system calls fail by the rules given (see failing.c)."""
    if compiler() is None:
        pytest.skip("no C compiler (cc or gcc) to make system calls fail with")
    folder = tmp_path_factory.mktemp("failing")

    def environment(*rules: str) -> dict[str, str]:
        return {**preloaded("failing", folder), "FAILING": ";".join(rules)}

    return environment
