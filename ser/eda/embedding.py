"""Distances between recordings: two-dimensional maps, and nearest neighbours."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances

_TSNE_INPUTS = 50
"""Principal components that t-SNE reads, as in van der Maaten and Hinton (2008)."""
_PERPLEXITY = 30
ANYONE, OTHERS = "any recording", "another speaker's"
"""Which recordings are admitted as the neighbour of one: all others, or all that another speaker spoke."""


def pca_embedding(points: NDArray[np.float64]) -> pd.DataFrame:
    """Return the first two principal components of `points` [recordings, columns]; the columns name their variance."""
    pca = PCA(n_components=2, svd_solver="full").fit(points)
    names = [f"component {n} ({part:.0%} of the variance)" for n, part in enumerate(pca.explained_variance_ratio_, 1)]
    return pd.DataFrame(pca.transform(points), columns=names)


def tsne_embedding(points: NDArray[np.float64], *, seed: int) -> pd.DataFrame:
    """Return t-SNE (van der Maaten and Hinton 2008) of `points`: neighbours stay together, distances mean nothing."""
    reduced = PCA(n_components=min(_TSNE_INPUTS, *points.shape), svd_solver="full").fit_transform(points)
    tsne = TSNE(perplexity=min(_PERPLEXITY, (len(points) - 1) / 3), init="pca", random_state=seed)
    return pd.DataFrame(tsne.fit_transform(reduced), columns=["t-SNE 1 (no unit)", "t-SNE 2 (no unit)"])


def nearest_neighbours(points: NDArray[np.float64], speakers: NDArray[np.int64]) -> dict[str, NDArray[np.intp]]:
    """Return the place of the nearest recording (Euclidean) of each, int [recordings], of `ANYONE` and of `OTHERS`.

    `points` are float64 [recordings, columns], two recordings or more. One speaker alone has no `OTHERS`.
    """
    distances, nearest = pairwise_distances(points), {}
    for name, excluded in ((ANYONE, np.arange(len(speakers))), (OTHERS, speakers)):
        admitted = excluded[:, None] != excluded
        if admitted.any():
            nearest[name] = np.where(admitted, distances, np.inf).argmin(axis=1)
    return nearest


def neighbour_table(nearest: Mapping[str, NDArray[np.intp]], recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the fraction of recordings whose nearest neighbour agrees, and the fraction by chance, in [0, 1].

    The columns are neighbour (which recordings are admitted), agreement (in what), fraction, and chance: the mean
    fraction of the admitted recordings that agree. The fraction that agrees in emotion is the accuracy of a
    nearest-neighbour classifier on seen speakers (`ANYONE`) or on unseen ones (`OTHERS`).
    """
    speakers, each, rows = recordings["speaker"].to_numpy(), np.arange(len(recordings)), []
    for name, factor, excluded in ((ANYONE, "speaker", each), (ANYONE, "emotion", each), (OTHERS, "emotion", speakers)):
        if name in nearest:
            values, _ = pd.factorize(recordings[factor])
            admitted = excluded[:, None] != excluded
            fraction = np.mean(values[nearest[name]] == values)
            chance = np.mean((admitted & (values[:, None] == values)).sum(axis=1) / admitted.sum(axis=1))
            rows.append({"neighbour": name, "agreement": f"same {factor}", "fraction": fraction, "chance": chance})
    return pd.DataFrame(rows)


def neighbour_emotions(nearest: Mapping[str, NDArray[np.intp]], recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the emotions of the nearest neighbours, another speaker's where there is one: fractions of each row.

    A row for each emotion of a recording (column "emotion"), a column for each emotion of its neighbour.
    """
    emotions, order = recordings["emotion"].astype(str), list(recordings["emotion"].cat.categories)
    found = emotions.to_numpy()[nearest.get(OTHERS, nearest[ANYONE])]
    fractions = pd.crosstab(emotions, found, normalize="index").reindex(index=order, columns=order, fill_value=0.0)
    return fractions.rename_axis(index="emotion", columns=None).reset_index()


def isolation(points: NDArray[np.float64], *, neighbours: int = 5) -> NDArray[np.float64]:
    """Return how far each of `points` [recordings, columns] is from its fifth nearest, over the median of all.

    A recording far above 1 is unlike every other: an outlier by the distance to its k-th neighbour (Ramaswamy, Rastogi
    and Shim 2000, doi:10.1145/335191.335437). Of fewer recordings, the furthest counts.
    """
    distances = np.sort(pairwise_distances(points), axis=1)  # the first is that to itself
    found = distances[:, min(neighbours, len(points) - 1)]
    return np.asarray(found / (np.median(found) or 1.0), dtype=np.float64)
