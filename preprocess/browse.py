"""A page of a store: what was extracted of which clips, and what was not."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from avsc.features.pages.clip_media import ClipMedia
from avsc.features.pages.page import Cell, ClipColumn, Page, Section, Value
from avsc.features.specs import Spec
from avsc.features.store.failures import Failure
from avsc.features.store.layout import read_description, receipt_file
from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip, found_labels
from avsc.manifests.errors import SettingError
from avsc.preprocess.receipt import read_receipt

LISTED = 1000
"""Failures and warnings that a page lists of each kind; failures.csv and receipts have them all."""
FILTERED = ("scene", "city", "fold", "state")


def choose(store: Store, ids: Sequence[str], sample: int | None, seed: int) -> list[int]:
    """Return the rows of the clips that a page shows, in order.

    Args:
        ids: of clips that are named; empty for a sample.
        sample: how many clips to draw, as evenly from the scenes as they allow; None for all.

    Raises:
        SettingError: an id is not in the store.
    """
    row_of = {clip.id: row for row, clip in enumerate(store.clips)}
    unknown = [name for name in ids if name not in row_of]
    if unknown:
        raise SettingError(f"--clip: {store.path} has no clip {unknown[0]!r}.")
    if ids:
        return sorted({row_of[name] for name in ids})
    if sample is None or sample >= len(store.clips):
        return list(range(len(store.clips)))
    draw = random.Random(seed)
    scenes: dict[str, list[int]] = defaultdict(list)
    for row in draw.sample(range(len(store.clips)), len(store.clips)):
        scenes[store.clips[row].label_text].append(row)
    turns = sorted((turn, scene, row) for scene, rows in scenes.items()
                   for turn, row in enumerate(rows))  # fmt: skip
    return sorted(row for _, _, row in turns[:sample])


def page(
    store: Store, rows: Sequence[int], sound: Callable[[int], bytes | None] | None = None
) -> Page:
    """Return the page of some clips of a store.

    Args:
        rows: of the clips, in the clip table.
        sound: returns that of a clip, by its row; None without sound.
    """
    media, warnings = ClipMedia(store), _warnings(store)
    failures: dict[str, list[Failure]] = defaultdict(list)
    for failure in store.failures:
        failures[failure.clip].append(failure)
    counts = {name: Counter(store.records(name).clip.tolist()) for name in store.products}

    def clip(number: int) -> dict[str, object]:
        clip = store.clips[rows[number]].id
        said = [("failed", _said(failure, store.specs)) for failure in failures[clip]]
        return {**media.shown(rows[number]), "facts": said}

    def cells(row: int) -> list[Value]:
        clip = store.clips[row]
        state = "failed" if clip.id in failures else "complete"
        held = [float(counts[name][row]) for name in store.products]
        return [clip.id, clip.labels, clip.city, clip.location, clip.fold, state, *held]

    named = [("clip", "Clip"), ("scene", "Scene"), ("city", "City"), ("location", "Location"),
             ("fold", "Fold"), ("state", "State")]  # fmt: skip
    columns = [
        ClipColumn(name, title, name in FILTERED, several=name == "scene") for name, title in named
    ]
    columns += [ClipColumn(name, f"{name}, records", number=0) for name in store.products]
    return Page(
        title=f"{store.name}: {store.path}",
        text=[
            f"{len(store.clips):,} clips, {len(failures):,} of them with failures; this page shows "
            f"{len(rows):,}. Fingerprint {store.fingerprint[:12]}.",
        ],
        sections=[
            _counts(store.clips),
            *_listed(store, warnings, {store.clips[row].id for row in rows}),
        ],
        columns=columns,
        rows=[cells(row) for row in rows],
        clip=clip,
        sound=None if sound is None else lambda number: sound(rows[number]),
        after=[_products(store)],
    )


def _warnings(store: Store) -> list[str]:
    """Return what the receipts warn of, once each."""
    blocks = range(-(-len(store.clips) // read_description(store.path).block_size))
    warnings: dict[str, None] = {}
    for spec in map(store.spec, store.products):
        for block in blocks:
            receipt = read_receipt(receipt_file(store.path, spec, block))
            warnings |= dict.fromkeys(receipt.warnings if receipt else ())
    return list(warnings)


def _counts(clips: Iterable[Clip]) -> Section:
    """Return how many clips there are of each scene, by fold and city."""
    clips = list(clips)
    kinds = [("fold", value) for value in sorted({clip.fold for clip in clips if clip.fold})]
    kinds += [("city", value) for value in sorted({clip.city for clip in clips if clip.city})]
    scenes = sorted(found_labels(clips))
    number = Counter((label, name, getattr(clip, name)) for clip in clips
                     for label in clip.labels for name in ("fold", "city"))  # fmt: skip
    every = Counter(label for clip in clips for label in clip.labels)
    most = max(every.values())
    rows = [
        [
            Cell(scene, head=True),
            Cell(str(every[scene]), {"scene": scene}),
            *(
                Cell(str(count), {"scene": scene, name: value} if count else {}, count / most)
                for name, value in kinds
                for count in [number[scene, name, value]]
            ),
        ]
        for scene in scenes
    ]
    columns = ["scene", "clips", *(value for _, value in kinds)]
    text = "Clips of the whole store; a number leads to those of them that this page shows."
    return Section("Clips by scene, fold and city", [text], columns, rows)


def _listed(store: Store, warnings: Sequence[str], shown: Set[str]) -> Iterable[Section]:
    """Return what failed and what was warned of; the clips that are shown are linked."""
    failures = store.failures
    kinds = Counter((failure.product, failure.code) for failure in failures)
    text = [f"{product}, {code}: {number:,}" for (product, code), number in sorted(kinds.items())]
    if len(failures) > LISTED:
        text.append(f"The first {LISTED:,} of {len(failures):,}; failures.csv has all.")
    rows = [
        [
            Cell(f.clip, {"clip": f.clip} if f.clip in shown else {}, head=True),
            Cell(f.product),
            Cell(_said(f, store.specs)),
        ]
        for f in failures[:LISTED]
    ]
    yield Section(
        "Failures", text or ["Nothing failed."], ["clip", "product", "reason"] if rows else [], rows
    )
    text = [f"{len(warnings):,} warnings." if warnings else "Nothing was warned of."]
    yield Section("Warnings", text, ["warning"] if warnings else [],
                  [[Cell(warning)] for warning in warnings[:LISTED]])  # fmt: skip


def _said(failure: Failure, specs: Mapping[str, Spec]) -> str:
    what = f"{failure.product} {failure.image(specs)}".rstrip()
    return f"{what}, {failure.code}: {failure.message}"


def _products(store: Store) -> Section:
    rows = [
        [Cell(name, head=True), Cell(spec.digest[:12]), Cell(spec.canonical())]
        for name in store.products
        for spec in [store.spec(name)]
    ]
    return Section("Products", (), ["product", "digest", "spec"], rows)
