"""From two runs to maps of their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.evaluate.predict import check_store
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.refs import find_store
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.paper.tsne_layers import Layer, embeddings
from avsc.train.paper.tsne_plane import Measures, measures, plane
from avsc.train.paper.tsne_points import Place, Points, choose_points, middle_samples

ALIKE = ("metro", "bus", "tram")
"""The scenes that the paper finds entangled by the pipeline and apart by joint training."""


@dataclass(frozen=True)
class Map:
    """One layer of one run.

    Attributes:
        run: its folder.
        system: what was trained.
        layer: where the embeddings were taken.
        dimensions: values of an embedding.
        points: in the plane, float64 [points, 2].
        space: numbers in the space of the embeddings.
        plane: numbers in the plane.
    """

    run: Path
    system: str
    layer: Layer
    dimensions: int
    points: NDArray[np.float64]
    space: Measures
    plane: Measures


@dataclass(frozen=True)
class Maps:
    """What two runs make of the same points.

    Attributes:
        classes: scene labels in the order of their indices.
        points: what is drawn.
        among: scenes whose purity is given.
        maps: by layer, then by run.
    """

    classes: tuple[str, ...]
    points: Points
    among: tuple[str, ...]
    maps: tuple[tuple[Map, ...], ...]


@dataclass(frozen=True)
class Drawing:
    """What to draw.

    Attributes:
        layers: rows of the picture.
        fold: clips of which fold.
        most: points, at most.
        seed: of the choice of points, PCA and t-SNE.
        perplexity: of t-SNE.
    """

    layers: tuple[Layer, ...]
    fold: str
    most: int
    seed: int
    perplexity: float


@dataclass(frozen=True)
class _Seen:
    """A run and the samples that it can see."""

    trained: Trained
    store: Store
    source: Source
    samples: Samples
    middle: dict[Place, int]


def make_maps(
    runs: Sequence[Path], drawing: Drawing, computing: Computing, console: Console
) -> Maps:
    """Embed the same points by both runs, and lay them out.

    Raises:
        AvscError: a run cannot be used, or the runs have nothing in common.
        SettingError: a layer is not there, or there are too few points for the perplexity.
    """
    seen = [_see(run, drawing.fold) for run in runs]
    store = seen[0].store
    for each in seen[1:]:
        if each.store.classes != store.classes:
            raise SettingError(
                f"{each.store.path}: its scenes are {', '.join(each.store.classes)}; those of "
                f"{store.path} are {', '.join(store.classes)}. Name runs on the same scenes."
            )
        _check_truth(store, each.store)
    common = set.intersection(*({*each.middle} for each in seen))
    points = choose_points(sorted(common), store.clips, store.classes, drawing.most, drawing.seed)
    if len(points) <= drawing.perplexity:
        raise SettingError(
            f"--perplexity is {drawing.perplexity:g} and there are {len(points)} points; it must "
            "be less."
        )
    scenes = len(np.unique(points.scene))
    if not 1 < scenes < len(points):
        raise SettingError(
            f"{store.path}: {len(points)} segments of {scenes} scenes are there to be drawn; at "
            "least two scenes are wanted, and two segments of one. Draw other clips by --fold."
        )
    console.say(f"{len(points):,} of {points.of:,} segments, as many of each scene as there are")
    among = tuple(name for name in ALIKE if name in store.classes)
    among = among if len(among) > 1 else store.classes
    columns = [_map_run(each, points, among, drawing, computing, console) for each in seen]
    return Maps(store.classes, points, among, tuple(zip(*columns, strict=True)))


def _check_truth(first: Store, second: Store) -> None:
    """Raise a `SettingError` naming a clip whose scene or location two stores give differently."""
    known = {clip.id: clip for clip in first.clips}
    for there in second.clips:
        here = known.get(there.id, there)
        if (here.scene, here.location) != (there.scene, there.location):
            raise SettingError(
                f"{second.path}: clip {there.id!r} is {there.scene} at {there.location}, and in "
                f"{first.path} {here.scene} at {here.location}. Name runs on the same clips."
            )


def _see(run: Path, fold: str) -> _Seen:
    trained = restore(run)
    record = trained.record
    remedy = "Put it back, or run the command where the run was begun."
    path = find_store(record.store.path, run, remedy)
    store = Store.open(path, list(record.store.specs))
    check_store(store, trained, allow_other=False)
    rows = fold_rows(store, trained, fold)
    source = trained_inputs(record, store, run).source(rows)
    samples = source.samples(rows)
    return _Seen(trained, store, source, samples, middle_samples(samples, store.clips))


def _map_run(
    seen: _Seen,
    points: Points,
    among: Sequence[str],
    drawing: Drawing,
    computing: Computing,
    console: Console,
) -> list[Map]:
    samples = seen.samples.take(np.array([seen.middle[place] for place in points.places]))
    network = seen.trained.network
    values = embeddings(network, seen.source, samples, drawing.layers, computing)
    chosen = np.array([seen.store.classes.index(name) for name in among])
    made = []
    for layer in drawing.layers:
        console.say(f"{seen.trained.folder.path}: {layer}, {values[layer].shape[1]} values")
        flat = plane(values[layer], drawing.seed, drawing.perplexity)
        made.append(
            Map(
                seen.trained.folder.path,
                seen.trained.record.system.name,
                layer,
                values[layer].shape[1],
                flat,
                measures(values[layer], points.scene, points.group, chosen),
                measures(flat, points.scene, points.group, chosen),
            )
        )
    return made
