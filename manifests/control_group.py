"""What a control group (of Linux, version 1 or 2) leaves of a machine's processors and memory."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def processor_share() -> float | None:
    """Return how many processors' time the control group grants; None without a limit."""
    words = _read(CGROUP / "cpu.max").split()
    if len(words) == 2 and words[0] != "max":
        return int(words[0]) / int(words[1])
    quota = _read(CGROUP / "cpu/cpu.cfs_quota_us").strip()
    period = _read(CGROUP / "cpu/cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def memory_limit() -> int | None:
    """Return the bytes that the control group grants; None without a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(CGROUP / name).strip()
        if text.isdecimal():
            return int(text)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
