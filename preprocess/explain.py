"""Why a clip will or will not be made again: the plan's reasons for it, and what it was made of."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from avsc.features.recording import SourceFile
from avsc.features.specs import Spec
from avsc.features.store.layout import part_file, product_folder, receipt_file
from avsc.features.store.part import read_part
from avsc.manifests.clips import Clip, located
from avsc.manifests.errors import ManifestError, StoreError
from avsc.preprocess.block_claims import claim_holder
from avsc.preprocess.plan import Reason, describe_source, other_folders, reasons_to_make, sources
from avsc.preprocess.receipt import Receipt, read_receipt
from avsc.preprocess.request import ExtractionRequest


@dataclass(frozen=True)
class Location:
    """Where a clip is in a store.

    Attributes:
        row: in the clip table.
        clips: all clips of the block.
    """

    clip: Clip
    row: int
    block: int
    clips: tuple[Clip, ...]

    @property
    def row_in_block(self) -> int:
        """Row of the clip in its block."""
        return self.clips.index(self.clip)


def locate(request: ExtractionRequest, name: str) -> Location:
    """Return where a clip is.

    Raises:
        ManifestError: the store's clip table does not name it.
    """
    clips, size = request.dataset.clips, request.description.block_size
    rows = {clip.id: row for row, clip in enumerate(clips)}
    if name not in rows:
        near = difflib.get_close_matches(name, rows, 1)
        meant = f"Did you mean {near[0]!r}?" if near else f"It names {clips[0].id!r} and so on."
        raise ManifestError(
            f"{request.store}: its clip table does not name clip {name!r}. {meant} A clip that is "
            "new in the manifest is added by the next `avsc-prep extract`."
        )
    block = rows[name] // size
    return Location(clips[rows[name]], rows[name], block, clips[block * size : (block + 1) * size])


def explain(request: ExtractionRequest, name: str) -> Iterator[str]:
    """Yield lines that say, for each product of a clip, whether it will be made again and why."""
    location = locate(request, name)
    content = request.check == "content"
    found = [
        sources(request.dataset.root, c, content and c == location.clip) for c in location.clips
    ]
    yield f"{name}: row {location.row} of {len(request.dataset.clips)}, block {location.block}"
    for path, source in found[location.row_in_block].items():
        yield f"  {located(request.dataset.root, path)}: {describe_source(source)}"
    if maker := claim_holder(request.store, location.block):
        yield f"  its block is being made by {maker}"
    for product, spec in request.description.specs.items():
        why = reasons_to_make(
            request.store, spec, location.block, location.clips, found, request.check
        )
        yield from _product(request, location, product, spec, why)


def _product(
    request: ExtractionRequest,
    location: Location,
    product: str,
    spec: Spec,
    why: Mapping[int, Reason],
) -> Iterator[str]:
    reason = why.get(location.row_in_block)
    head = f"{product} {spec.digest[:12]}"
    if reason is None:
        yield f"{head}: done, will not be made again"
    else:
        yield f"{head}: will be made again; {reason.kind}: {reason.detail}"
    if reason is None and why:
        others = len(why)
        yield f"  its part will be written again, because of {others} other clips of its block"
    if reason and reason.kind == "spec changed":
        yield from _differences(request, location, spec)
    receipt = read_receipt(receipt_file(request.store, spec, location.block))
    if receipt and location.clip.id in receipt.ids:
        yield from _made_by(request, location, spec, receipt)


def _differences(request: ExtractionRequest, location: Location, spec: Spec) -> Iterator[str]:
    """Yield the parameters in which a spec differs from those that made the part before."""
    wanted = {**spec.absent(), **json.loads(spec.canonical())}
    for folder in other_folders(request.store, spec, location.block):
        part = part_file(request.store, spec, location.block)
        path = folder / part.relative_to(product_folder(request.store, spec))
        try:
            before = {**spec.absent(), **json.loads(read_part(path).spec)}
        except (StoreError, ValueError):
            continue
        for name in sorted(wanted.keys() | before.keys()):
            if before.get(name) != wanted.get(name):
                yield f"  {folder.name} has {name} {before.get(name)}, wanted {wanted.get(name)}"


def _made_by(
    request: ExtractionRequest, location: Location, spec: Spec, receipt: Receipt
) -> Iterator[str]:
    """Yield what a receipt says of a clip."""
    path = part_file(request.store, spec, location.block).relative_to(request.store)
    yield f"  in {path} (sha256 {receipt.part_sha256[:12]}, {receipt.part_size} bytes)"
    made: Mapping[str, SourceFile] = receipt.sources[receipt.ids.index(location.clip.id)]
    for name, source in made.items():
        yield f"  made of {name}: {describe_source(source)}"
    versions = ", ".join(f"{name} {value}" for name, value in receipt.versions.items())
    yield f"  made by {versions}"
    seconds, memory = receipt.seconds, receipt.peak_memory
    yield f"  its block took {seconds:.1f} s and {memory / 1e6:.0f} MB"
    for failure in receipt.failures:
        if failure.clip == location.clip.id:
            image = failure.image({spec.product: spec})
            of = f" of {image}" if image else ""
            yield f"  failed{of}: {failure.code}: {failure.message}"
