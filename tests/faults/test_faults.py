"""A few of each fault; `make faults` injects them in full."""

import pytest
from faults.ground import Ground
from faults.table import FAULTS, Fault, tried


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.few], ids=lambda fault: fault.name)
def test_fault(ground: Ground, fault: Fault) -> None:
    row = tried(fault, ground, fault.few)
    assert (row.lost, row.wrong, row.amiss) == (0, 0, ())
    assert row.line
    if row.times == 0:
        pytest.skip(row.line)
