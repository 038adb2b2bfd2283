"""The three tasks of `ser eda`: the whole analysis, the plot of emotions alone, the feature table."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sklearn.preprocessing import StandardScaler

import ser
from ser.corpora.manifest import Recording, same_content
from ser.corpora.reading import locate_corpus, read_corpus
from ser.corpora.selection import DataSettings, of_channel
from ser.eda import embedding, figures, findings, parts, tables
from ser.eda.labels import feature_labels
from ser.eda.observations import name_table, observe, write_feature_table
from ser.eda.outliers import outlier_table
from ser.eda.report import Section, write_report, write_table
from ser.errors import CorpusError, SettingsError
from ser.evaluation.figures import save_figure
from ser.features.settings import FeatureSettings
from ser.features.validation import Seed, settings_dataclass

log = logging.getLogger(__name__)

_OUTPUTS = {"report": "report.html", "plot_emotions": "emotion_bar_plot.png", "table": "features.parquet"}
_FEWEST = 4
"""Recordings; with fewer there are no useful neighbours, components or correlations."""


@settings_dataclass
class EdaSettings:
    """The configuration of `ser eda`; every key is explained in `conf/eda.yaml`."""

    task: Literal["report", "plot_emotions", "table"]
    data: DataSettings
    features: FeatureSettings
    paths: dict[str, str]  # of the group `paths`, "cache_dir" and "data_dir" are used
    output_dir: str
    output_path: str | None = None
    tsne: bool = True
    sounds: bool = True
    seed: Seed = 42

    def __post_init__(self) -> None:
        if self.output_path is not None and self.task == "report":
            raise SettingsError(f"output_path is {self.output_path!r}, but a report is many files: set output_dir.")
        suffix = Path(_OUTPUTS[self.task]).suffix
        if self.output_path is not None and Path(self.output_path).suffix.lower() != suffix:
            raise SettingsError(f"output_path is {self.output_path!r}, but should end in {suffix}, which is written.")


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
    classes = settings.data.classes
    of_classes = [r for r in read_corpus(settings.data, root) if classes is None or r.emotion in classes]
    recordings = of_channel(of_classes, settings.data.channel)
    if not recordings:
        raise CorpusError(f"{root} holds no recording of data.channel={settings.data.channel} in data.classes.")
    if settings.task == "plot_emotions":
        save_figure(figures.emotion_figure(name_table(recordings)), path)
    elif settings.task == "table":
        cache_dir = Path(settings.paths["cache_dir"])
        write_feature_table(path, recordings, settings.features, cache_dir=cache_dir, workers=settings.data.workers)
    else:
        _write_analysis(path, root, recordings, settings)
    log.info("Written to %s", path)
    return path


def _check_writable(path: Path, *, key: str) -> None:
    """Refuse a place that cannot be written before the work for it is done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK)
        reason = "writing there is not permitted" if not writable else "it is a folder" if path.is_dir() else None
    except OSError as error:
        reason = error.strerror
    if reason:
        raise SettingsError(f"{key} is no place to write {path} ({reason}); name another with {key}=<path>.")


def _write_analysis(path: Path, root: Path, recordings: Sequence[Recording], settings: EdaSettings) -> None:
    """Write every table and figure beside `path`, then the report to it."""
    features, cache_dir = settings.features, Path(settings.paths["cache_dir"])
    found, statistics, failures = observe(recordings, features, cache_dir=cache_dir, workers=settings.data.workers)
    if len(found) < _FEWEST:
        raise CorpusError(f"{root} holds {len(found)} readable recordings; at least {_FEWEST} are needed.")
    equal = same_content(recording.path for recording in recordings)
    matrix, labels = statistics["mean"].corr(), feature_labels(features)
    counts, effects = tables.label_distribution(found), tables.effect_sizes(found, statistics, labels)
    means = tables.mean_features(found, statistics)
    for group in means.columns.unique("group"):
        write_table(path.with_name(f"mean_features_{group}.csv"), means[group].reset_index())
    points = StandardScaler().fit_transform(statistics)
    nearest = embedding.nearest_neighbours(points, found["speaker"].to_numpy())
    agreement, confusion = embedding.neighbour_table(nearest, found), embedding.neighbour_emotions(nearest, found)
    outliers = outlier_table(found, statistics, points, labels)
    sections = [
        Section(
            "The recordings",
            findings.corpus_findings(found, counts, equal, window=features.duration),
            parts.of_recordings(found, counts, features, sounds=settings.sounds),
        ),
        Section(
            "The outliers",
            findings.outlier_findings(outliers),
            [parts.of_outliers(outliers, found, sounds=settings.sounds)],
        ),
        Section(
            "The features",
            findings.feature_findings(effects, matrix),
            parts.of_features(found, statistics, means, effects, matrix, features),
        ),
        Section(
            "Why a random split is optimistic",
            findings.neighbour_findings(agreement, confusion),
            parts.of_neighbours(
                found, points, agreement, confusion, tsne_seed=settings.seed if settings.tsne else None
            ),
        ),
    ]
    if failures:
        sections.append(Section("Left out", [], [parts.of_unreadable(failures)]))
    made_from = (
        f"Made by ser {ser.__version__} from {features.n_features} features per frame ({', '.join(features.groups)}) "
        f"at {features.sample_rate:,} Hz, hop {features.hop_length}: mean and standard deviation over the frames of "
        "each whole recording, mel bands in decibels. Its figures and tables are files beside it too."
    )
    write_report(path, sections, title="Exploratory data analysis", made_from=made_from)
