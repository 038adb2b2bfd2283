"""The parts of the report: which figures and tables stand under which heading, and what is said of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser.eda import embedding, feature_figures, figures, tables
from ser.eda.labels import feature_labels
from ser.eda.outliers import notable
from ser.eda.report import Part, Picture, Table
from ser.evaluation.page import sound_uri
from ser.features.settings import FeatureSettings

_LISTED_EFFECTS = 15
_HELD = (
    "This page holds the recordings, at most ten seconds of each, brought to one level: the licence of their corpus "
    "holds for the page too."
)
_NOT_HELD = "The recordings are not in this page: sounds=false."


def of_recordings(
    recordings: pd.DataFrame, counts: pd.DataFrame, features: FeatureSettings, *, sounds: bool
) -> list[Part]:
    """Return how many recordings of each emotion, how long they are, and examples."""
    examples = figures.example_recordings(recordings)
    drawn = figures.example_figures(examples, features)
    pictures = [
        Picture(
            f"example_{number}_{example.emotion}",
            figure,
            f"{example.emotion}: {example.file}",
            sound=sound_uri(example.path) if sounds else None,
        )
        for number, (example, figure) in enumerate(zip(examples.itertuples(), drawn, strict=True), 1)
    ]
    bars = Picture("emotion_bar_plot", figures.emotion_figure(recordings), "Recordings of each emotion, by channel.")
    lengths = figures.duration_figure(recordings, window=features.duration)
    by_emotion = figures.duration_by_emotion_figure(recordings, window=features.duration)
    scales = (
        "One of each emotion. Waveforms and colours are on the same scales in all: MFCC without the first, which is "
        "the loudness; mel bands in decibels below the loudest of all. "
    )
    return [
        Part(
            "How many of each emotion",
            [bars],
            [Table("label_distribution.csv", counts, "Recordings of each emotion.", percent=["fraction"])],
        ),
        Part(
            "How long they are",
            [
                Picture("audio_duration", lengths, "Duration of the recordings."),
                Picture("audio_duration_by_emotion", by_emotion, "Duration by emotion. Box: quartiles; line: median."),
            ],
            [
                Table(
                    "eda_summary.csv", tables.corpus_summary(recordings), "The corpus in numbers, durations in seconds."
                )
            ],
        ),
        Part("Examples", pictures, note=scales + (_HELD if sounds else _NOT_HELD)),
    ]


def of_outliers(outliers: pd.DataFrame, recordings: pd.DataFrame, *, sounds: bool) -> Part:
    """Return the recordings that are unlike the others, with players."""
    paths: Mapping[str, Path] = dict(zip(recordings["file"], recordings["path"], strict=True))
    shown = notable(outliers, paths)
    return Part(
        "To look at and listen to",
        cards=[one | {"sound": sound_uri(one["path"]) if sounds else ""} for one in shown],
        tables=[Table("outliers.csv", outliers, "The recordings that are furthest from the others.", shown=len(shown))],
        note="The distance of a recording is that to its fifth nearest neighbour, over the median of all recordings. "
        "Means and deviations of the features are standardised for it. " + (_HELD if sounds else _NOT_HELD),
    )


def of_features(
    recordings: pd.DataFrame,
    statistics: pd.DataFrame,
    means: pd.DataFrame,
    effects: pd.DataFrame,
    matrix: pd.DataFrame,
    features: FeatureSettings,
) -> list[Part]:
    """Return how features differ between emotions and other factors, and how they go together."""
    labels = feature_labels(features)
    names = [labels[name] for name in matrix.columns.get_level_values("feature")]
    largest = effects.drop_duplicates("group").set_index("group", drop=False).loc[statistics.columns.unique("group")]
    distributions = [
        Picture(
            f"distribution_{row.group}",
            feature_figures.distribution_figure(recordings, statistics, row, features),
            f"The {row.statistic} of {row.name} by emotion.",
        )
        for row in largest.itertuples(index=False, name="Effect")
    ]
    return [
        Part(
            "Means",
            [
                Picture(
                    "mean_features",
                    feature_figures.mean_feature_figure(statistics, means, names),
                    "How emotions, channels, intensities and genders differ, in standard deviations of the recordings' "
                    "means.",
                )
            ],
        ),
        Part(
            "Distributions",
            distributions,
            note="The mean or deviation over time of each group of features that differs most between emotions. Box: "
            "quartiles; line: median; whiskers: to the last recording within 1.5 boxes; points: the recordings beyond.",
        ),
        Part(
            "Effects",
            [
                Picture(
                    "effect_sizes",
                    feature_figures.effect_figure(effects),
                    "The features that differ most between emotions, and how much they differ between speakers and so "
                    "on.",
                )
            ],
            [
                Table(
                    "effect_sizes.csv",
                    effects,
                    f"The first of {len(effects)} means and deviations: the fraction (η²) of their variance that lies "
                    "between emotions, speakers and so on.",
                    percent=tables.EFFECT_FACTORS,
                    hidden=["feature"],
                    shown=_LISTED_EFFECTS,
                )
            ],
        ),
        Part(
            "Correlations",
            [
                Picture(
                    "correlation_heatmap",
                    feature_figures.correlation_figure(matrix, names),
                    "Correlation of the recordings' mean features.",
                )
            ],
            [
                Table(
                    "group_correlations.csv",
                    tables.group_correlations(matrix),
                    "Mean |r| within and between groups of features.",
                )
            ],
        ),
    ]


def of_neighbours(
    recordings: pd.DataFrame,
    points: NDArray[np.float64],
    agreement: pd.DataFrame,
    confusion: pd.DataFrame,
    *,
    tsne_seed: int | None,
) -> list[Part]:
    """Return the maps of the recordings, and who is near whom; without a seed there is no t-SNE."""
    maps = {"pca": ("Components", embedding.pca_embedding(points))}
    if tsne_seed is not None:
        maps["tsne"] = ("t-SNE", embedding.tsne_embedding(points, seed=tsne_seed))
    pictures = [
        Picture(
            f"embedding_{name}_{factor}",
            feature_figures.map_figure(places, recordings, factor=factor, title=title),
            f"{_MAPS[name]} of the recordings' means and deviations, coloured by {factor}.",
        )
        for name, (title, places) in maps.items()
        for factor in ("emotion", "speaker")
    ]
    return [
        Part("Maps", pictures),
        Part(
            "Nearest neighbours",
            tables=[
                Table(
                    "nearest_neighbours.csv",
                    agreement,
                    "Fraction of recordings whose nearest neighbour agrees with them, and chance.",
                    percent=["fraction", "chance"],
                ),
                Table(
                    "neighbour_emotions.csv",
                    confusion,
                    "Emotion of a recording (row) and of its nearest neighbour (column), another speaker's where there "
                    "is more than one.",
                    percent=list(confusion),
                ),
            ],
        ),
    ]


_MAPS = {"pca": "Principal components", "tsne": "t-SNE"}


def of_unreadable(failures: Mapping[Path, str]) -> Part:
    """Return the files that could not be read."""
    content = pd.DataFrame({"file": [path.name for path in failures], "reason": list(failures.values())})
    caption = "Files that could not be read; they are counted nowhere above."
    return Part("Files that could not be read", tables=[Table("unreadable.csv", content, caption)])
