"""The three tasks of `python -m ser eda`: the whole analysis, the plot of emotions alone, the feature table."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ser
from ser.corpora.manifest import same_content
from ser.corpora.selection import locate_corpus
from ser.data.files import write_text_atomically
from ser.eda import corpus_panels, embedding, feature_panels, findings, tables
from ser.eda.feature_table import write_feature_table
from ser.eda.observations import Observations, chosen_recordings, name_table, observe
from ser.eda.report import Picture, Section, Table, format_report
from ser.eda.settings import EdaSettings
from ser.errors import CorpusError, SettingsError
from ser.evaluation.figures import save_figure
from ser.features.settings import FeatureSettings

log = logging.getLogger(__name__)

_OUTPUTS = {"report": "report.html", "plot_emotions": "emotion_bar_plot.png", "table": "features.parquet"}
_FEWEST = 4
"""Recordings; with fewer there are no useful neighbours, components or correlations."""
_LISTED_EFFECTS = 15


def run(settings: EdaSettings) -> Path:
    """Do the task of `settings`; return the file that it writes; a report has further files beside it.

    Raises
    ------
    SettingsError : the output cannot be written.
    CorpusError, DownloadError : the corpus is absent, or holds too few recordings.
    AudioError : no recording could be read.
    """
    path = Path(settings.output_path or Path(settings.output_dir) / _OUTPUTS[settings.task])
    _check_writable(path, key="output_path" if settings.output_path else "output_dir")
    root = locate_corpus(settings.data, data_dir=Path(settings.paths["data_dir"]))
    recordings = chosen_recordings(root, settings.data)
    cache_dir, workers = Path(settings.paths["cache_dir"]), settings.data.workers
    if settings.task == "plot_emotions":
        save_figure(corpus_panels.emotion_figure(name_table(recordings)), path)
    elif settings.task == "table":
        write_feature_table(path, recordings, settings.features, cache_dir=cache_dir, workers=workers)
    else:
        observations = observe(recordings, settings.features, cache_dir=cache_dir, workers=workers)
        if (n_recordings := len(observations.recordings)) < _FEWEST:
            raise CorpusError(f"{root} holds {n_recordings} readable recordings; at least {_FEWEST} are needed.")
        equal = same_content(recording.path for recording in recordings)
        _write_analysis(path, observations, settings, equal=equal)
    log.info("Written to %s", path)
    return path


def _check_writable(path: Path, *, key: str) -> None:
    """Refuse a place that cannot be written before the work for it is done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        reason = "it is a folder" if path.is_dir() else None
        if not os.access(path.parent, os.W_OK):
            reason = "writing there is not permitted"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise SettingsError(f"{key} is no place to write {path} ({reason}); name another with {key}=<path>.")


def _write_analysis(
    path: Path, observations: Observations, settings: EdaSettings, *, equal: Sequence[tuple[Path, ...]]
) -> None:
    """Write every table and figure beside `path`, then the report to it."""
    points = embedding.standardised(observations)
    contents = _tables(observations, points)
    for name, table in contents.items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text_atomically(path.parent / f"{name}.csv", text)
    maps = {"embedding_pca": embedding.pca_embedding(points)}
    if settings.tsne:
        maps["embedding_tsne"] = embedding.tsne_embedding(points, seed=settings.seed)
    pictures = {}
    for name, (figure, caption) in _figures(observations, contents, maps).items():
        pictures[name] = Picture(path=path.with_name(f"{name}.png"), caption=caption)
        save_figure(figure, pictures[name].path)
    sections = _sections(observations, contents, pictures, equal=equal)
    report = format_report(sections, title="Exploratory data analysis", made_from=_made_from(observations.features))
    write_text_atomically(path, report)


def _tables(observations: Observations, points: NDArray[np.float64]) -> dict[str, pd.DataFrame]:
    """Return each table by the name of its file."""
    found, failures = observations.recordings, observations.failures
    neighbours = embedding.nearest_neighbours(points, found["actor"].to_numpy())
    contents = {
        "label_distribution": tables.label_distribution(found),
        "eda_summary": tables.corpus_summary(found),
        **{f"mean_features_{group}": table for group, table in tables.mean_features(observations).items()},
        "effect_sizes": tables.effect_sizes(observations),
        "group_correlations": tables.group_correlations(observations),
        "nearest_neighbours": embedding.neighbour_table(neighbours, found),
        "neighbour_emotions": embedding.neighbour_emotions(neighbours, found),
    }
    if failures:
        contents["unreadable"] = pd.DataFrame({"file": [p.name for p in failures], "reason": list(failures.values())})
    return contents


def _figures(
    observations: Observations, contents: Mapping[str, pd.DataFrame], maps: Mapping[str, embedding.Embedding]
) -> dict[str, tuple[Figure, str]]:
    """Return each figure with its caption, by the name of its file."""
    found, features, effects = observations.recordings, observations.features, contents["effect_sizes"]
    figures = {
        "emotion_bar_plot": (corpus_panels.emotion_figure(found), "Recordings of each emotion, by channel."),
        "audio_duration": (
            corpus_panels.duration_figure(found, window=features.duration),
            "Duration of the recordings.",
        ),
        "examples": (
            corpus_panels.example_figure(corpus_panels.choose_examples(found), features),
            "Waveform, MFCC and mel spectrogram of one recording of each emotion.",
        ),
        "mean_features": (
            feature_panels.mean_feature_figure(observations),
            "How emotions, channels, intensities and genders differ, in standard deviations of the recordings' means.",
        ),
        "feature_distributions": (
            feature_panels.distribution_figure(observations, effects),
            "Distribution of the mean or deviation of each group that differs most between emotions.",
        ),
        "effect_sizes": (
            feature_panels.effect_figure(effects),
            "The features that differ most between emotions, and how much they differ between actors and so on.",
        ),
        "correlation_heatmap": (
            feature_panels.correlation_figure(tables.correlations(observations), features),
            "Correlation of the recordings' mean features.",
        ),
    }
    for name, embedded in maps.items():
        caption = f"{embedded.title}: the same points, coloured by emotion and by actor."
        figures[name] = (feature_panels.embedding_figure(embedded, found), caption)
    return figures


def _sections(
    observations: Observations,
    contents: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Picture],
    *,
    equal: Sequence[tuple[Path, ...]],
) -> list[Section]:
    found, labels, effects = observations.recordings, contents["label_distribution"], contents["effect_sizes"]
    agreement, confusion = contents["nearest_neighbours"], contents["neighbour_emotions"]
    sections = [
        Section(
            title="The recordings",
            findings=findings.corpus_findings(found, labels, equal, window=observations.features.duration),
            parts=[
                pictures["emotion_bar_plot"],
                Table(content=labels, caption="Recordings of each emotion.", percent=("fraction",)),
                pictures["audio_duration"],
                Table(content=contents["eda_summary"], caption="The corpus in numbers, durations in seconds."),
                pictures["examples"],
            ],
        ),
        Section(
            title="The features",
            findings=findings.feature_findings(observations, effects),
            parts=[
                pictures["mean_features"],
                pictures["feature_distributions"],
                pictures["effect_sizes"],
                Table(
                    content=effects.head(_LISTED_EFFECTS),
                    caption=f"The first of {len(effects)} means and deviations: the fraction (η²) of their variance "
                    "that lies between emotions, actors and so on.",
                    percent=tables.EFFECT_FACTORS,
                ),
                pictures["correlation_heatmap"],
                Table(
                    content=contents["group_correlations"], caption="Mean |r| within and between groups of features."
                ),
            ],
        ),
        Section(
            title="Why a random split is optimistic",
            findings=findings.neighbour_findings(agreement, confusion),
            parts=[
                *(picture for name, picture in pictures.items() if name.startswith("embedding")),
                Table(
                    content=agreement,
                    caption="Fraction of recordings whose nearest neighbour agrees with them, and chance.",
                    percent=("fraction", "chance"),
                ),
                Table(
                    content=confusion,
                    caption="Emotion of a recording (row) and of its nearest neighbour (column), another actor's where "
                    "there is more than one.",
                    percent=tuple(confusion.columns),
                ),
            ],
        ),
    ]
    if "unreadable" in contents:
        unreadable = Table(
            content=contents["unreadable"], caption="Files that could not be read; they are counted nowhere above."
        )
        sections.append(Section(title="Left out", findings=[], parts=[unreadable]))
    return sections


def _made_from(features: FeatureSettings) -> str:
    return (
        f"Made by ser {ser.__version__} from {features.n_features} features per frame ({', '.join(features.groups)}) "
        f"at {features.sample_rate:,} Hz, hop {features.hop_length}: mean and standard deviation over the frames of "
        "each whole recording, mel bands in decibels."
    )
