"""t-SNE, and numbers for what the eye sees in it.

t-SNE (van der Maaten and Hinton 2008; scikit-learn's Barnes-Hut) begins from the first 50 principal
components, as its authors advise, with perplexity 30, from a PCA start, so that equal input gives
an equal picture. Distances between far clusters and their sizes mean nothing in it: each number is
therefore given in the space of the embeddings too.

Silhouette (Rousseeuw 1987), -1 to 1: how much nearer a point lies to its own scene than to the
next. Purity, 0 to 1: among the points of some scenes that are easily mistaken (metro, bus, tram),
the mean share of a point's 10 nearest that are of its own scene; the second figure leaves out
neighbours from the point's own location, which are alike for another reason.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances, silhouette_score

COMPONENTS = 50
NEIGHBOURS = 10


@dataclass(frozen=True)
class Measures:
    """Numbers for one set of points in one space.

    Attributes:
        silhouette: -1 to 1.
        purity: 0 to 1.
        purity_elsewhere: 0 to 1, without neighbours from the same location; NaN where a point has
            no others.
    """

    silhouette: float
    purity: float
    purity_elsewhere: float


def plane(values: NDArray[np.float32], seed: int, perplexity: float = 30.0) -> NDArray[np.float64]:
    """Return the points in the plane, float64 [points, 2].

    Args:
        values: embeddings, [points, values].
        seed: of PCA and t-SNE.
        perplexity: of t-SNE; less than the number of points.
    """
    exact = np.asarray(values, np.float64)
    least = min(exact.shape)
    if least > COMPONENTS:
        exact = PCA(COMPONENTS, random_state=seed).fit_transform(exact)
    return np.asarray(
        TSNE(
            perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed
        ).fit_transform(exact),
        np.float64,
    )


def measures(
    values: NDArray[np.floating],
    scene: NDArray[np.int64],
    group: NDArray[np.int64],
    among: NDArray[np.int64],
) -> Measures:
    """Return the numbers of points in a space.

    Args:
        values: the points, [points, dimensions].
        scene: class index of each.
        group: location of each.
        among: class indices of the scenes whose purity is wanted.
    """
    chosen = np.isin(scene, among)
    near, of, place = values[chosen], scene[chosen], group[chosen]
    distance = pairwise_distances(near)
    np.fill_diagonal(distance, np.inf)
    elsewhere = np.where(place[:, None] == place, np.inf, distance)
    return Measures(
        float(silhouette_score(values, scene)),
        _purity(distance, of),
        _purity(elsewhere, of),
    )


def _purity(distance: NDArray[np.floating], scene: NDArray[np.int64]) -> float:
    """Return the mean share of a point's nearest that are of its scene; inf is no neighbour."""
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    there = np.isfinite(np.take_along_axis(distance, nearest, 1))
    if not there.any(1).all():
        return float("nan")
    same = (scene[nearest] == scene[:, None]) & there
    return float((same.sum(1) / there.sum(1)).mean())
