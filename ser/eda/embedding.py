"""Distances between recordings: two-dimensional maps, and nearest neighbours."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

from ser.eda.observations import Observations

_TSNE_INPUTS = 50
"""Principal components that t-SNE reads, as in van der Maaten and Hinton (2008)."""
_PERPLEXITY = 30
ANYONE, OTHERS = "any recording", "another actor's"
"""Which recordings are admitted as the neighbour of one: all others, or all that another actor spoke."""


@dataclass(frozen=True)
class Embedding:
    """A map of the recordings: its title, `points` float64 [recordings, 2], and the labels of its axes."""

    title: str
    points: NDArray[np.float64]
    axis_labels: tuple[str, str]


def standardised(observations: Observations) -> NDArray[np.float64]:
    """Return means and deviations of every recording, standardised, float64 [recordings, 2 * features]."""
    statistics = np.hstack([observations.means, observations.deviations])
    points: NDArray[np.float64] = StandardScaler().fit_transform(statistics)
    return points


def pca_embedding(points: NDArray[np.float64]) -> Embedding:
    """Return the first two principal components of `points` [recordings, columns], with their variance."""
    pca = PCA(n_components=2, svd_solver="full").fit(points)
    first, second = pca.explained_variance_ratio_
    labels = (f"component 1 ({first:.0%} of the variance)", f"component 2 ({second:.0%} of the variance)")
    return Embedding("Principal components", pca.transform(points), labels)


def tsne_embedding(points: NDArray[np.float64], *, seed: int) -> Embedding:
    """Return t-SNE (van der Maaten and Hinton 2008) of `points`: neighbours stay together, distances mean nothing."""
    reduced = PCA(n_components=min(_TSNE_INPUTS, *points.shape), svd_solver="full").fit_transform(points)
    tsne = TSNE(perplexity=min(_PERPLEXITY, (len(points) - 1) / 3), init="pca", random_state=seed)
    return Embedding("t-SNE", tsne.fit_transform(reduced), ("t-SNE 1 (no unit)", "t-SNE 2 (no unit)"))


def _admitted(actors: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return, for `ANYONE` and `OTHERS`, which recordings may be the neighbour of which, bool [recordings, recordings].

    `OTHERS` is left out where there is one actor only.
    """
    of_others = actors[:, None] != actors
    return {ANYONE: ~np.eye(len(actors), dtype=bool)} | ({OTHERS: of_others} if of_others.any() else {})


def nearest_neighbours(points: NDArray[np.float64], actors: NDArray[np.int64]) -> dict[str, NDArray[np.intp]]:
    """Find the nearest other recording (Euclidean) of each: its place among the recordings, int [recordings].

    Parameters
    ----------
    points : float64 [recordings, columns], two recordings or more.
    actors : int64 [recordings].

    Returns
    -------
    nearest of `ANYONE`, and of `OTHERS` where there is more than one actor.
    """
    distances = pairwise_distances(points)
    return {name: np.where(admitted, distances, np.inf).argmin(axis=1) for name, admitted in _admitted(actors).items()}


def neighbour_table(nearest: Mapping[str, NDArray[np.intp]], recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the fraction of recordings whose nearest neighbour agrees, and the fraction by chance, in [0, 1].

    The columns are neighbour (which recordings are admitted), agreement (in what), fraction, and chance: the mean
    fraction of the admitted recordings that agree. The fraction that agrees in emotion is the accuracy of a
    nearest-neighbour classifier on seen speakers (`ANYONE`) or on unseen ones (`OTHERS`).
    """
    admitted = _admitted(recordings["actor"].to_numpy())
    rows = []
    for name, factor in ((ANYONE, "actor"), (ANYONE, "emotion"), (OTHERS, "emotion")):
        if name in nearest:
            values, _ = pd.factorize(recordings[factor])
            agreeing = admitted[name] & (values[:, None] == values)
            fraction = np.mean(values[nearest[name]] == values)
            chance = np.mean(agreeing.sum(axis=1) / admitted[name].sum(axis=1))
            rows.append({"neighbour": name, "agreement": f"same {factor}", "fraction": fraction, "chance": chance})
    return pd.DataFrame(rows)


def neighbour_emotions(nearest: Mapping[str, NDArray[np.intp]], recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the emotions of the nearest neighbours, another actor's where there is one: fractions of each row.

    A row for each emotion of a recording (column "emotion"), a column for each emotion of its neighbour.
    """
    emotions, order = recordings["emotion"].astype(str), list(recordings["emotion"].cat.categories)
    found = emotions.to_numpy()[nearest.get(OTHERS, nearest[ANYONE])]
    fractions = pd.crosstab(emotions, found, normalize="index").reindex(index=order, columns=order, fill_value=0.0)
    return fractions.rename_axis(index="emotion", columns=None).reset_index()
