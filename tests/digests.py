"""Files of a folder by name and SHA-256: equal for equal bytes, and short where they differ."""

from hashlib import sha256
from pathlib import Path


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """Return the SHA-256 of all files under a folder, or of those that match a pattern."""
    paths = {path for pattern in patterns or ("*",) for path in folder.rglob(pattern)}
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.is_file()
    }


def timeless(store: Path) -> dict[str, str]:
    """Return the digests of a store's files that hold no times; receipts and events do."""
    return {
        name: digest
        for name, digest in digests(store).items()
        if name == "store.json" or Path(name).suffix not in (".json", ".jsonl")
    }
