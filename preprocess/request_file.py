"""request.json: what the last run was asked that its store does not say.

``STORE/request.json`` holds the data set's folder and the limits, for `explain` and `failures
--retry`. It is not part of the store's content: a copy of the store on another machine is complete
without it, and another folder can be named with ``--root``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from avsc.features.limits import Limits
from avsc.features.store.layout import clips_file, read_description
from avsc.manifests.clips import Dataset
from avsc.manifests.errors import SettingError, StoreError
from avsc.manifests.files import publish
from avsc.manifests.table import read_rows
from avsc.preprocess.plan import Check
from avsc.preprocess.request import ExtractionRequest, changed


def request_file(store: Path) -> Path:
    """Return the path of request.json."""
    return store / "request.json"


def save_request(request: ExtractionRequest) -> None:
    """Write what a request says beyond its store; a file that says the same is left alone."""
    values = {"root": str(request.dataset.root), "limits": asdict(request.limits)}
    data, path = (json.dumps(values, indent=1) + "\n").encode(), request_file(request.store)
    if not path.is_file() or path.read_bytes() != data:
        publish(path, data)


def load_request(
    store: Path, root: Path | None, check: Check, changes: Mapping[str, int | None] | None = None
) -> ExtractionRequest:
    """Return the request that made a store, for all its products and clips.

    Args:
        store: the store's folder.
        root: of the data set, where it is not what it was.
        check: how to detect changed recordings.
        changes: options of specs that are to differ.

    Raises:
        StoreError: there is no store, or it does not say where its recordings are.
        ManifestError: its clip table is damaged.
    """
    description = read_description(store)
    description = replace(description, specs=changed(description.specs, changes or {}))
    said, limits = _read(store)
    folder = root or said
    if folder is None or not folder.is_dir():
        where = "does not say where its recordings are"
        what = where if folder is None else f"{folder} is no folder"
        raise StoreError(f"{store}: {what}; name the data set's folder with --root.")
    clips = tuple(read_rows(clips_file(store)))
    dataset = Dataset(description.dataset, folder.absolute(), description.classes, clips)
    return ExtractionRequest(store.absolute(), dataset, description, check, limits)


def _read(store: Path) -> tuple[Path | None, Limits]:
    """Return the root and the limits of the last run; None and the defaults where none are said."""
    try:
        values = json.loads(request_file(store).read_bytes())
        return Path(values["root"]), Limits(**values["limits"])
    except (OSError, ValueError, KeyError, TypeError, SettingError):
        return None, Limits()
