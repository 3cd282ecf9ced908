"""What the figures were made on: the line that stands above the tables."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("av", "numpy", "opencv-python-headless", "scipy", "soxr", "torch")


def processor() -> str:
    """Return the name of the processor's model, as the kernel has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def described() -> str:
    """Return date, processor, and versions."""
    tools = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{datetime.date.today()}; {processor()}, {platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} cores; {platform.system()}, "
        f"Python {platform.python_version()}, {tools}"
    )
