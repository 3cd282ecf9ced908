"""t-SNE maps of two runs' embeddings, and numbers for how well they separate the scenes.

t-SNE (van der Maaten and Hinton 2008; scikit-learn's Barnes-Hut) starts from the first 50 principal
components, as its authors advise, with perplexity 30 and a PCA initialisation, so that equal input
gives an equal map. Distances between distant clusters and cluster sizes mean nothing in it: each
number is therefore given in the space of the embeddings too.

Silhouette (Rousseeuw 1987), -1 to 1: how much nearer a point lies to its own scene than to the
next. Purity, 0 to 1: among the points of some scenes that are easily confused (metro, bus, tram),
the mean share of a point's 10 nearest neighbours that are of its own scene; the second figure
excludes neighbours from the point's own location, which are similar for another reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances, silhouette_score

from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.evaluate.tested_runs import check_store
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.refs import find_store
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.paper.tsne_embeddings import (
    Layer,
    Points,
    SegmentId,
    choose_points,
    embeddings,
    middle_samples,
)

CONFUSABLE = ("metro", "bus", "tram")
"""The scenes that the paper finds mixed by the pipeline and separated by joint training."""
COMPONENTS = 50
NEIGHBOURS = 10


@dataclass(frozen=True)
class Separation:
    """How well the scenes are separated in one space.

    Attributes:
        silhouette: -1 to 1.
        purity: 0 to 1.
        purity_elsewhere: 0 to 1, without neighbours from the same location; NaN where a point has
            no others.
    """

    silhouette: float
    purity: float
    purity_elsewhere: float


@dataclass(frozen=True)
class LayerMap:
    """One layer of one run.

    Attributes:
        system: what was trained.
        layer: where the embeddings were taken.
        dimensions: values of an embedding.
        points: in the plane, float64 [points, 2].
        space: separation in the space of the embeddings.
        plane: separation in the plane.
    """

    run: Path
    system: str
    layer: Layer
    dimensions: int
    points: NDArray[np.float64]
    space: Separation
    plane: Separation


@dataclass(frozen=True)
class Maps:
    """Maps of the same points by two runs.

    Attributes:
        classes: scene labels in the order of their indices.
        among: scenes whose purity is given.
        rows: maps by layer, then by run.
    """

    classes: tuple[str, ...]
    points: Points
    among: tuple[str, ...]
    rows: tuple[tuple[LayerMap, ...], ...]

    def __iter__(self) -> Iterator[LayerMap]:
        return chain.from_iterable(self.rows)


@dataclass(frozen=True)
class MapOptions:
    """What to draw.

    Attributes:
        layers: rows of the figure.
        most: largest number of points.
        seed: of the choice of points, PCA and t-SNE.
        perplexity: of t-SNE.
    """

    layers: tuple[Layer, ...]
    fold: str
    most: int
    seed: int
    perplexity: float


@dataclass(frozen=True)
class _RunSamples:
    """A run and its samples of the fold.

    Attributes:
        store: that it was trained on.
        source: what the samples refer to.
        middle: number of the sample that stands for each segment.
    """

    trained: Trained
    store: Store
    source: Source
    samples: Samples
    middle: dict[SegmentId, int]


def make_maps(
    runs: Sequence[Path], options: MapOptions, computing: Computing, console: Console
) -> Maps:
    """Embed the same points by both runs, and map them to the plane.

    Raises:
        AvscError: a run cannot be used, or the runs have nothing in common.
        SettingError: a layer is not there, or there are too few points for the perplexity.
    """
    opened = [_open_run(run, options.fold) for run in runs]
    store = opened[0].store
    for other in opened[1:]:
        if other.store.classes != store.classes:
            raise SettingError(
                f"{other.store.path}: its scenes are {', '.join(other.store.classes)}; those of "
                f"{store.path} are {', '.join(store.classes)}. Name runs on the same scenes."
            )
        _check_truth(store, other.store)
    common = set.intersection(*({*run.middle} for run in opened))
    points = choose_points(sorted(common), store.clips, store.classes, options.most, options.seed)
    if len(points) <= options.perplexity:
        raise SettingError(
            f"--perplexity is {options.perplexity:g} and there are {len(points)} points; it must "
            "be less."
        )
    scenes = len(np.unique(points.scene))
    if not 1 < scenes < len(points):
        raise SettingError(
            f"{store.path}: there are {len(points)} segments of {scenes} scenes to draw; wanted at "
            "least two scenes, and two segments of one of them. Draw other clips by --fold."
        )
    console.say(f"{len(points):,} of {points.available:,} segments, balanced over the scenes")
    among = tuple(name for name in CONFUSABLE if name in store.classes)
    among = among if len(among) > 1 else store.classes
    columns = [_map_run(run, points, among, options, computing, console) for run in opened]
    return Maps(store.classes, points, among, tuple(zip(*columns, strict=True)))


def _known(clip: Clip) -> tuple[object, ...]:
    return clip.scene, clip.segments, clip.location


def _check_truth(first: Store, second: Store) -> None:
    """Raise a `SettingError` naming a clip whose scene or location two stores give differently."""
    known = {clip.id: clip for clip in first.clips}
    for there in second.clips:
        here = known.get(there.id, there)
        if _known(here) != _known(there):
            raise SettingError(
                f"{second.path}: clip {there.id!r} is {there.label_text} at {there.location}, and "
                f"in {first.path} {here.label_text} at {here.location}. Name runs on the same "
                "clips."
            )


def _open_run(run: Path, fold: str) -> _RunSamples:
    trained = restore(run)
    record = trained.record
    remedy = "Put it back, or run the command in the folder where the run was started."
    store = Store.open(find_store(record.store.path, run, remedy), list(record.store.specs))
    check_store(store, trained, allow_other=False)
    rows = fold_rows(store, trained, fold)
    source = trained_inputs(record, store, run).source(rows)
    samples = source.samples(rows)
    return _RunSamples(trained, store, source, samples, middle_samples(samples, store.clips))


def _map_run(
    run: _RunSamples,
    points: Points,
    among: Sequence[str],
    options: MapOptions,
    computing: Computing,
    console: Console,
) -> list[LayerMap]:
    samples = run.samples.take(np.array([run.middle[segment] for segment in points.segments]))
    folder, system = run.trained.folder.path, run.trained.record.system.name
    by_layer = embeddings(run.trained.network, run.source, samples, options.layers, computing)
    chosen = np.array([run.store.classes.index(name) for name in among])
    maps = []
    for layer in options.layers:
        values = by_layer[layer]
        dimensions = values.shape[1]
        console.say(f"{folder}: {layer}, {dimensions} values")
        mapped = plane(values, options.seed, options.perplexity)
        before, after = (
            separation(space, points.scene, points.group, chosen) for space in (values, mapped)
        )
        maps.append(LayerMap(folder, system, layer, dimensions, mapped, before, after))
    return maps


def plane(values: NDArray[np.float32], seed: int, perplexity: float = 30.0) -> NDArray[np.float64]:
    """Return the t-SNE map of points, float64 [points, 2].

    Args:
        values: embeddings, [points, values].
        seed: of PCA and t-SNE.
        perplexity: of t-SNE; less than the number of points.
    """
    exact = np.asarray(values, np.float64)
    if min(exact.shape) > COMPONENTS:
        exact = PCA(COMPONENTS, random_state=seed).fit_transform(exact)
    tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    return np.asarray(tsne.fit_transform(exact), np.float64)


def separation(
    values: NDArray[np.floating],
    scene: NDArray[np.int64],
    group: NDArray[np.int64],
    among: NDArray[np.int64],
) -> Separation:
    """Return how well the scenes of points are separated.

    Args:
        values: the points, [points, dimensions].
        scene: class index of each.
        group: location of each.
        among: class indices of the scenes whose purity is wanted.
    """
    chosen = np.isin(scene, among)
    scenes, groups = scene[chosen], group[chosen]
    distance = pairwise_distances(values[chosen])
    np.fill_diagonal(distance, np.inf)
    elsewhere = np.where(groups[:, None] == groups, np.inf, distance)
    return Separation(
        float(silhouette_score(values, scene)),
        _purity(distance, scenes),
        _purity(elsewhere, scenes),
    )


def _purity(distance: NDArray[np.floating], scene: NDArray[np.int64]) -> float:
    """Return the mean share of a point's nearest that are of its scene; inf is no neighbour."""
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    neighbours = np.isfinite(np.take_along_axis(distance, nearest, 1))
    if not neighbours.any(1).all():
        return float("nan")
    same = (scene[nearest] == scene[:, None]) & neighbours
    return float((same.sum(1) / neighbours.sum(1)).mean())
