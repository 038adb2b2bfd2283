"""Score a checkpoint on recordings whose emotion is known, by their names or a manifest: from sound to report."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.corpora.manifest import CHANNELS, Recording
from ser.corpora.ravdess import corpus_root
from ser.corpora.reading import corpus_in, corpus_names, find_recordings, reader_names
from ser.corpora.selection import Channel, of_channel
from ser.corpora.sound import read_recording
from ser.data.files import write_text_atomically
from ser.errors import AudioError, CorpusError, SettingsError
from ser.evaluation.report import (
    Evaluation,
    failure_table,
    format_confusion_matrix,
    format_metrics,
    score_predictions,
    write_evaluation,
)
from ser.features.validation import Natural, settings_dataclass, suggestion
from ser.inference.own_parts import import_function, import_own_parts
from ser.inference.predictor import Predictor
from ser.inference.pretrained import NO_DEFAULT, default_model
from ser.models.metadata import ModelMetadata

log = logging.getLogger(__name__)


@settings_dataclass
class EvaluationSettings:
    """The configuration of `evaluate.py`; every key is explained in `conf/evaluate.yaml`."""

    output_dir: str
    checkpoint: str | None = None
    test_dir: str | None = None
    corpus: str | None = None
    channel: Channel = "both"
    root: str | None = None
    workers: Natural = 0
    networks: dict[str, str] = field(default_factory=dict)
    feature_groups: dict[str, str] = field(default_factory=dict)
    reader: str | None = None

    def __post_init__(self) -> None:
        if self.corpus is not None and self.corpus not in corpus_names():
            raise SettingsError(f"corpus is {self.corpus!r}; {suggestion(self.corpus, corpus_names())}.")


def evaluate(
    settings: EvaluationSettings,
    *,
    command: str = "",
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] | None = None,
) -> Evaluation:
    """Score, print and write `test_metrics.txt` and its companions; list what could not be read in `unreadable.csv`.

    Parameters
    ----------
    command : that repeats it, for the report.
    defaults : returns the configuration that a run like that of the model has without overrides, for the report.

    Raises
    ------
    CheckpointError : the checkpoint cannot be used.
    SettingsError : none is named, and there is no pretrained model to take; or a path of one's own names nothing.
    CorpusError : no recording to score.
    """
    source = settings.checkpoint or default_model()
    if source is None:
        raise SettingsError(
            f"evaluate.checkpoint is missing; train a model with `ser train` and name its run. {NO_DEFAULT}"
        )
    from ser.evaluation.html_report import REPORT, write_html_report  # --help does not load matplotlib

    predictor = Predictor.load(source, **import_own_parts(settings.networks, settings.feature_groups))
    recordings, protocol = _recordings_to_score(settings, predictor.metadata)
    output_dir = Path(settings.output_dir)
    scored, probabilities, failures, n_without = _predict(predictor, recordings, workers=settings.workers)
    if n_without:
        protocol += f" Recordings without a prediction, for want of speech in them: {n_without}."
    if failures:
        write_text_atomically(output_dir / "unreadable.csv", failure_table(failures))
    if not scored:
        path, reason = next(iter(failures.items()))
        raise CorpusError(f"None of {len(recordings)} recordings could be read; the first was {path}: {reason}")
    evaluation = score_predictions(scored, probabilities, predictor.class_names, protocol=protocol)
    write_evaluation(evaluation, output_dir, prefix="test")
    write_html_report(
        output_dir / REPORT,
        {"test": evaluation},
        predictor.metadata,
        title=f"Evaluation of {source}",
        command=command,
        sounds={recording.id: recording.path for recording in recordings},
        defaults=defaults(predictor.metadata.configuration) if defaults else None,
    )
    log.info("%s\n%s", format_metrics(evaluation.results), format_confusion_matrix(evaluation.results))
    for reason in failures.values():
        log.warning("Left out: %s", reason)
    log.info("Written to %s", output_dir)
    return evaluation


def _predict(
    predictor: Predictor, recordings: Sequence[Recording], *, workers: int
) -> tuple[list[Recording], list[NDArray[np.float32]], dict[Path, str], int]:
    """Return what has a prediction, the probabilities, path -> why there is none, and how many lack speech."""
    whole = [recording for recording in recordings if not recording.is_cut]
    found, failures = predictor.predict_files([one.path for one in whole], workers=workers) if whole else ([], {})
    read = [one for one in whole if one.path not in failures]
    rate = predictor.metadata.features.sample_rate
    for recording in recordings:
        if recording.is_cut:
            try:
                waveform = read_recording(recording, sample_rate=rate)
                found.append(predictor.predict((waveform, rate), name=recording.id))
                read.append(recording)
            except AudioError as error:
                _add_reason(failures, recording.path, str(error))
    scored, probabilities = list[Recording](), list[NDArray[np.float32]]()
    for recording, prediction in zip(read, found, strict=True):
        if prediction.probabilities is None:
            _add_reason(failures, recording.path, f"{prediction.source}: {prediction.status}.")
        else:
            scored.append(recording)
            probabilities.append(prediction.probabilities)
    return scored, probabilities, failures, len(read) - len(scored)


def _add_reason(failures: dict[Path, str], path: Path, reason: str) -> None:
    """Add a reason to those of a file, of which several parts may fail."""
    failures[path] = f"{failures[path]} {reason}" if path in failures else reason


def _recordings_to_score(settings: EvaluationSettings, metadata: ModelMetadata) -> tuple[list[Recording], str]:
    """Return the recordings, and the sentence on what they are."""
    folder = corpus_of(metadata, root=settings.root) if settings.test_dir is None else Path(settings.test_dir)
    reader = None if settings.reader is None else import_function(settings.reader, where="evaluate.reader")
    if reader is None and settings.test_dir is None and _was_read_by_an_own_reader(metadata):
        raise CorpusError("The model's corpus is one of your own: give reader=<module>.<function>, as in its training.")
    corpus, label_map = corpus_in(metadata.configuration)
    own_labels = label_map if settings.corpus in (None, corpus) and settings.test_dir is None else None
    found = find_recordings(folder, settings.corpus or corpus, reader=reader, label_map=own_labels)
    found = list(of_channel(found, settings.channel))
    scored = set(metadata.scored_recordings)
    if settings.test_dir is None and scored:  # otherwise there is nothing but what it was trained on
        kept = [recording for recording in found if recording.id in scored]
        if not kept:
            raise CorpusError("None of the recordings that the run kept from training is there; give test_dir or root.")
        n_missing = len(scored) - len(kept)
        if settings.channel == "both" and n_missing:
            log.warning("%d of the %d recordings that the run kept from training are missing", n_missing, len(scored))
        return kept, metadata.protocol
    kept = [recording for recording in found if recording.emotion in metadata.class_names]
    if not kept:
        raise CorpusError(f"{folder} holds no recording of the checkpoint's classes in channel {settings.channel}.")
    if len(kept) < len(found):
        log.warning("%d recordings of classes that the model does not know are left out", len(found) - len(kept))
    overlap = _overlap_with_training(metadata, kept)
    channels = "speech and song" if settings.channel == "both" else settings.channel
    return kept, f"Recordings in {folder}, {channels}. {overlap}"


def _was_read_by_an_own_reader(metadata: ModelMetadata) -> bool:
    data = metadata.configuration.get("data")
    return isinstance(data, Mapping) and data.get("reader") is not None


def corpus_of(metadata: ModelMetadata, *, root: str | None = None) -> Path:
    """Return the folder, or manifest, of a model's corpus: `root`, else where it was, else where `train.py` looks."""
    at_training = metadata.corpus_root if metadata.corpus_root and Path(metadata.corpus_root).exists() else None
    return corpus_root(root or at_training, default=Path("data/ravdess"))[0]


def _overlap_with_training(metadata: ModelMetadata, recordings: Collection[Recording]) -> str:
    """Return the sentence on which scored recordings the model was trained on, as far as the checkpoint has it."""
    if _is_another_corpus(metadata, recordings):
        return "None of them is of the corpus that the model was trained on."
    if not metadata.scored_recordings:
        return _trained_on_all(metadata, recordings)
    scored = set(metadata.scored_recordings)
    others = sum(recording.id not in scored for recording in recordings)
    if not others:
        return metadata.protocol
    return (
        f"{others} of {len(recordings)} are not among those that the run kept from training: it may have trained "
        "on them or on other recordings of their speakers."
    )


def _is_another_corpus(metadata: ModelMetadata, recordings: Collection[Recording]) -> bool:
    """Whether a corpus known by name was trained on, and all recordings are of other ones known by name."""
    trained, _ = corpus_in(metadata.configuration)
    known = {recording.corpus for recording in recordings}
    names = set(reader_names())
    return trained in names and not _was_read_by_an_own_reader(metadata) and trained not in known and known <= names


def _trained_on_all(metadata: ModelMetadata, recordings: Collection[Recording]) -> str:
    """Return the sentence on a model that was trained on all recordings of its corpus."""
    data = metadata.configuration.get("data")
    data = data if isinstance(data, Mapping) else {}
    if data.get("corpus") == "synthetic":
        return "The model was trained on synthetic voices only, and on all of them."
    channel = data.get("channel")
    seen = sum(channel not in CHANNELS or recording.channel == channel for recording in recordings)
    these = "these very recordings" if seen == len(recordings) else f"{seen} of these {len(recordings)} recordings"
    speakers = "" if seen == len(recordings) else ", and others of the same speakers"
    return (
        f"The run kept nothing from training: by their names, {these} were trained on{speakers}. The metrics show "
        "how well the model remembers, not how well it predicts unseen speakers."
    )
