"""The receipt of a part: what it was made of, and the mark that it is complete.

A receipt is written after its part, so a part without one is made again. It holds what may differ
between two runs that give the same bytes: the sources' sizes, times and digests, the versions and
the processor, the seconds and the memory used. It names the SHA-256 of its own content.
"""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from avsc.features.recording import SourceFile
from avsc.features.store.failures import Failure
from avsc.manifests.files import publish

Roles = tuple[str | None, str | None]


@dataclass(frozen=True)
class Receipt:
    """What a part was made of.

    Attributes:
        ids: ids of the block's clips, in row order.
        sources: for each clip, the recordings it was made of, by path relative to the root.
        failures: what could not be made.
        warnings: what was made but should be known.
        part_size: bytes of the part file.
        seconds: wall-clock time of the block's work.
        peak_memory: largest resident set of the worker so far, bytes.
        versions: of what the bytes depend on.
        roles: for each clip, the recordings of its sound and of its images, as the manifest
            names them; empty in receipts of before there was this.
        levels: for each clip, the level of its sound, dBFS; None where that is not known, or it is
            silent; empty for images, and in receipts of before there was this.
    """

    ids: tuple[str, ...]
    sources: tuple[dict[str, SourceFile], ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    part_sha256: str
    part_size: int
    seconds: float
    peak_memory: int
    versions: dict[str, str]
    roles: tuple[Roles, ...] = ()
    levels: tuple[float | None, ...] = ()


@cache
def versions() -> dict[str, str]:
    """Return the versions of everything that a part's bytes depend on, and the processor's kind."""
    packages = ("avsc", "av", "h5py", "numpy", "scipy", "simplejpeg", "soundfile", "soxr")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    """Return a digest of the processor's features: equal ones round alike."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:12]


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Publish a receipt."""
    body = asdict(receipt)
    publish(path, json.dumps({"sha256": _digest(body), **body}).encode())


def read_receipt(path: Path) -> Receipt | None:
    """Return a receipt, or None where there is none that is whole: its part is then made again."""
    try:
        body = json.loads(path.read_bytes())
        if body.pop("sha256") != _digest(body):
            return None
        return Receipt(
            ids=tuple(body.pop("ids")),
            sources=tuple(
                {n: SourceFile(s["size"], s["modified"], s["sha256"]) for n, s in of.items()}
                for of in body.pop("sources")
            ),
            failures=tuple(Failure(**failure) for failure in body.pop("failures")),
            warnings=tuple(body.pop("warnings")),
            roles=tuple((sound, sight) for sound, sight in body.pop("roles", ())),
            levels=tuple(body.pop("levels", ())),
            **body,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
