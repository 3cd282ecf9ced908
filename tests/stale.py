"""Half-written files as a killed writer leaves them."""

import subprocess
import sys
from pathlib import Path

from avsc.manifests.owners import Owner


def stale_file(folder: Path, name: str) -> Path:
    """Write half of a file `name` in a folder, as of a process of this host that has ended."""
    writer = subprocess.Popen([sys.executable, "-c", "pass"])
    writer.wait()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".tmp-{Owner(Owner.this().host, writer.pid).token}~1~{name}"
    path.write_bytes(b"half")
    return path
