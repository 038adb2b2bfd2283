"""Distances between recordings: two-dimensional maps, and nearest neighbours."""

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


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """A map of the recordings: its title, `points` float64 [recordings, 2], and the labels of its axes."""

    title: str
    points: NDArray[np.float64]
    axis_labels: tuple[str, str]


def standardised(observations: Observations) -> NDArray[np.float64]:
    """Return means and deviations of every recording, standardised, float64 [recordings, 2 * features]."""
    return StandardScaler().fit_transform(np.hstack([observations.means, observations.deviations]))


def pca_embedding(points: NDArray[np.float64]) -> Embedding:
    """Return the first two principal components of `points` [recordings, columns], with their variance."""
    pca = PCA(n_components=2, svd_solver="full").fit(points)
    first, second = pca.explained_variance_ratio_
    return Embedding(
        title="Principal components",
        points=pca.transform(points),
        axis_labels=(f"component 1 ({first:.0%} of the variance)", f"component 2 ({second:.0%} of the variance)"),
    )


def tsne_embedding(points: NDArray[np.float64], *, seed: int) -> Embedding:
    """Return t-SNE (van der Maaten and Hinton 2008) of `points`: neighbours stay together, distances mean nothing."""
    reduced = PCA(n_components=min(_TSNE_INPUTS, *points.shape), svd_solver="full").fit_transform(points)
    tsne = TSNE(perplexity=min(_PERPLEXITY, (len(points) - 1) / 3), init="pca", random_state=seed)
    return Embedding(
        title="t-SNE", points=tsne.fit_transform(reduced), axis_labels=("t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    )


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Each recording's nearest other one (Euclidean), as places among the recordings, int [recordings] each.

    Attributes
    ----------
    of_anyone : nearest of all others.
    of_others : nearest of the other actors' recordings; None where there is one actor only.
    """

    of_anyone: NDArray[np.intp]
    of_others: NDArray[np.intp] | None


def nearest_neighbours(points: NDArray[np.float64], actors: NDArray[np.int64]) -> Neighbours:
    """Find the neighbours of `points` [recordings, columns], two or more, that `actors` [recordings] spoke."""
    distances = pairwise_distances(points)
    np.fill_diagonal(distances, np.inf)
    of_anyone = distances.argmin(axis=1)
    if len(np.unique(actors)) == 1:
        return Neighbours(of_anyone=of_anyone, of_others=None)
    distances[actors[:, None] == actors] = np.inf
    return Neighbours(of_anyone=of_anyone, of_others=distances.argmin(axis=1))


def neighbour_table(neighbours: Neighbours, recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the fraction of recordings whose nearest neighbour agrees, and the fraction by chance, in [0, 1].

    The columns are neighbour (which recordings are admitted), agreement (in what), fraction, and chance: the mean
    fraction of the admitted recordings that agree. The fraction that agrees in emotion is the accuracy of a
    nearest-neighbour classifier on seen speakers ("any recording") or on unseen ones ("another actor's").
    """
    rows = [
        _agreement("any recording", factor, neighbours.of_anyone, recordings, other_actors=False)
        for factor in ("actor", "emotion")
    ]
    if neighbours.of_others is not None:
        rows.append(_agreement("another actor's", "emotion", neighbours.of_others, recordings, other_actors=True))
    return pd.DataFrame(rows)


def _agreement(
    label: str, factor: str, nearest: NDArray[np.intp], recordings: pd.DataFrame, *, other_actors: bool
) -> dict[str, str | float]:
    values, _ = pd.factorize(recordings[factor])
    admitted = ~np.eye(len(values), dtype=bool)
    if other_actors:
        actors = recordings["actor"].to_numpy()
        admitted &= actors[:, None] != actors
    agreeing = admitted & (values[:, None] == values)
    return {
        "neighbour": label,
        "agreement": f"same {factor}",
        "fraction": float(np.mean(values[nearest] == values)),
        "chance": float(np.mean(agreeing.sum(axis=1) / admitted.sum(axis=1))),
    }


def neighbour_emotions(neighbours: Neighbours, recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the emotions of the nearest neighbours, another actor's where there is one: fractions of each row.

    A row for each emotion of a recording (column "emotion"), a column for each emotion of its neighbour.
    """
    nearest = neighbours.of_anyone if neighbours.of_others is None else neighbours.of_others
    emotions = recordings["emotion"]
    found = pd.Series(emotions.to_numpy()[nearest], index=emotions.index, name="neighbour")
    fractions = pd.crosstab(emotions.astype(str), found.astype(str), normalize="index")
    order = list(emotions.cat.categories)
    fractions = fractions.reindex(index=order, columns=order, fill_value=0.0)
    fractions.columns.name = None
    return fractions.rename_axis("emotion").reset_index()
