"""Score a checkpoint on recordings whose emotion is known, by their names or a manifest: from sound to report."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from ser.audio.io import Source
from ser.corpora.manifest import CHANNELS, Recording
from ser.corpora.reading import corpus_in, corpus_names, find_recordings, locate_corpus, reader_names
from ser.corpora.selection import Channel, DataSettings, of_channel
from ser.corpora.sound import read_recording
from ser.data.files import write_text_atomically
from ser.errors import AudioError, CorpusError, SettingsError
from ser.evaluation.context.draws import contexts_of
from ser.evaluation.context.predictions import predict_sounds
from ser.evaluation.context.scores import write_context_scores
from ser.evaluation.recordings import (
    corpus_of,
    describe_labels,
    describe_left_out,
    describe_overlap,
    has_own_reader,
    read_several,
    recordings_of_run,
)
from ser.evaluation.report import (
    Evaluation,
    failure_table,
    format_confusion_matrix,
    format_metrics,
    score_predictions,
    write_evaluation,
)
from ser.features.validation import ListOf, Natural, settings_dataclass, suggestion
from ser.inference.context import NO_CONTEXT
from ser.inference.own_parts import import_function, import_own_parts
from ser.inference.predictor import Predictor
from ser.inference.pretrained import NO_DEFAULT, default_model
from ser.inference.results import Prediction
from ser.models.metadata import ModelMetadata

log = logging.getLogger(__name__)


@settings_dataclass
class EvaluationSettings:
    """The configuration of `evaluate.py`; every key is explained in `conf/evaluate.yaml`."""

    output_dir: str
    checkpoint: str | None = None
    test_dir: str | None = None
    corpus: str | None = None
    corpora: dict[str, str | None] | ListOf[str] | None = None
    label_map: dict[str, str | None] | None = None
    channel: Channel = "both"
    context: int | str | None = None
    root: str | None = None
    workers: Natural = 0
    networks: dict[str, str] = field(default_factory=dict)
    feature_groups: dict[str, str] = field(default_factory=dict)
    encoder: str | None = None
    reader: str | None = None

    def __post_init__(self) -> None:
        if self.corpus is not None and self.corpus not in corpus_names():
            raise SettingsError(f"corpus is {self.corpus!r}; {suggestion(self.corpus, corpus_names())}.")
        if self.context is not None:
            contexts_of(self.context)
        if self.corpora is None:
            return
        if len(self.corpora) < 2 or len(set(self.corpora)) < len(self.corpora):
            remedy = "name two or more, each once; a single one is corpus=<name> test_dir=<folder>"
            raise SettingsError(f"corpora is {list(self.corpora)}; {remedy}.")
        for key in ("test_dir", "corpus", "root", "reader"):
            if getattr(self, key) is not None:
                raise SettingsError(f"{key} is of one corpus, but corpora names several; leave one of the two out.")


def evaluate(
    settings: EvaluationSettings,
    *,
    command: str = "",
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] | None = None,
) -> Evaluation:
    """Score, print and write `test_metrics.txt` and its companions; list what could not be read in `unreadable.csv`.

    Where the settings name a context, the recordings are scored in it too (`ser.evaluation.context`).

    Parameters
    ----------
    command : that repeats it, for the report.
    defaults : returns the configuration that a run like that of the model has without overrides, for the report.

    Raises
    ------
    CheckpointError : the checkpoint cannot be used.
    SettingsError : none is named, and there is no pretrained model to take; or a path of one's own names nothing; or
        the model takes no speaker context, and the settings name one.
    CorpusError : no recording to score.
    """
    source = settings.checkpoint or default_model()
    if source is None:
        raise SettingsError(
            f"evaluate.checkpoint is missing; train a model with `ser train` and name its run. {NO_DEFAULT}"
        )
    from ser.evaluation.html_report import REPORT, write_html_report  # --help does not load matplotlib

    own = import_own_parts(settings.networks, settings.feature_groups)
    predictor = Predictor.load(source, encoder=settings.encoder, **own)
    if settings.context is not None and predictor.context is None:
        raise SettingsError(f"evaluate.context is {settings.context!r}, but: {NO_CONTEXT}")
    recordings, others, protocol = _recordings_to_score(settings, predictor.metadata)
    output_dir = Path(settings.output_dir)
    scored, predictions, failures, n_without = _predict(predictor, recordings, workers=settings.workers)
    if n_without:
        protocol += f" Recordings without a prediction, for want of speech in them: {n_without}."
    if failures:
        write_text_atomically(output_dir / "unreadable.csv", failure_table(failures))
    if not scored:
        path, reason = next(iter(failures.items()))
        raise CorpusError(f"None of {len(recordings)} recordings could be read; the first was {path}: {reason}")
    probabilities = np.array([prediction.probabilities for prediction in predictions])
    evaluation = score_predictions(scored, probabilities, predictor.class_names, protocol=protocol, others=others)
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
    if settings.context is not None:
        sources = _sounds(scored, sample_rate=predictor.metadata.features.sample_rate)
        contexts = contexts_of(settings.context)
        found = predict_sounds(predictor, sources, scored, predictions, contexts, workers=settings.workers)
        log.info("%s", write_context_scores(output_dir, found, evaluation.predictions, [*scored, *others]))
    for reason in failures.values():
        log.warning("Left out: %s", reason)
    log.info("Written to %s", output_dir)
    return evaluation


def _predict(
    predictor: Predictor, recordings: Sequence[Recording], *, workers: int
) -> tuple[list[Recording], list[Prediction], dict[Path, str], int]:
    """Return what has a prediction, the predictions, path -> why there is none, and how many lack speech."""
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
    scored, predictions = list[Recording](), list[Prediction]()
    for recording, prediction in zip(read, found, strict=True):
        if prediction.probabilities is None:
            _add_reason(failures, recording.path, f"{prediction.source}: {prediction.status}.")
        else:
            scored.append(recording)
            predictions.append(prediction)
    return scored, predictions, failures, len(read) - len(scored)


def _sounds(recordings: Sequence[Recording], *, sample_rate: int) -> Iterator[Source]:
    for one in recordings:
        yield (read_recording(one, sample_rate=sample_rate), sample_rate) if one.is_cut else one.path


def _add_reason(failures: dict[Path, str], path: Path, reason: str) -> None:
    """Add a reason to those of a file, of which several parts may fail."""
    failures[path] = f"{failures[path]} {reason}" if path in failures else reason


def _recordings_to_score(
    settings: EvaluationSettings, metadata: ModelMetadata
) -> tuple[list[Recording], list[Recording], str]:
    """Return the recordings, all that their corpora have in the channel, and the sentences on what they are."""
    found, where = _find(settings, metadata)
    found = list(of_channel(found, settings.channel))
    kept_out = metadata.scored_names
    if _is_of_run(settings, metadata) and kept_out:  # otherwise there is nothing but what it was trained on
        kept = [recording for recording in found if recording.id in kept_out]
        if not kept:
            raise CorpusError("None of the recordings that the run kept from training is there; give test_dir or root.")
        n_missing = len(kept_out) - len(kept)
        if settings.channel == "both" and n_missing:
            log.warning("%d of the %d recordings that the run kept from training are missing", n_missing, len(kept_out))
        return kept, found, metadata.protocol
    kept = [recording for recording in found if recording.emotion in metadata.class_names]
    if not kept:
        raise CorpusError(f"{where} holds no recording of the checkpoint's classes in channel {settings.channel}.")
    channels = " and ".join(channel for channel in CHANNELS if channel in {recording.channel for recording in kept})
    sentences = [
        f"Recordings in {where}, {channels}.",
        describe_overlap(metadata, kept, are_prefixed=settings.corpora is not None),
        describe_labels(settings.label_map or {}),
        describe_left_out(Counter(one.emotion for one in found if one.emotion not in metadata.class_names)),
    ]
    return kept, found, " ".join(filter(None, sentences))


def _is_of_run(settings: EvaluationSettings, metadata: ModelMetadata) -> bool:
    """Whether no other recordings are named than those of the model's run."""
    own = None if metadata.corpora else corpus_in(metadata.configuration)[0]
    return settings.test_dir is None and settings.corpora is None and settings.corpus in (None, own)


def _find(settings: EvaluationSettings, metadata: ModelMetadata) -> tuple[list[Recording], str]:
    """Return what is named to be scored, and where it lies."""
    reader = None if settings.reader is None else import_function(settings.reader, where="evaluate.reader")
    for label, name in (settings.label_map or {}).items():
        if name is not None and name not in metadata.class_names:
            known = suggestion(name, metadata.class_names)
            raise SettingsError(f"evaluate.label_map calls {label!r} {name!r}, which the model does not know; {known}.")
    if settings.corpora is not None:
        return read_several(settings.corpora, label_map=settings.label_map)
    corpus, of_run = corpus_in(metadata.configuration)
    if _is_of_run(settings, metadata):
        if reader is not None:
            place, label_map = corpus_of(metadata, root=settings.root), settings.label_map or of_run
            return find_recordings(place, reader=reader, label_map=label_map), str(place)
        if has_own_reader(metadata):
            raise CorpusError(
                "The model's corpus is one of your own: give reader=<module>.<function>, as in its training."
            )
        return recordings_of_run(metadata, root=settings.root, label_map=settings.label_map)
    if settings.test_dir is not None:
        place = Path(settings.test_dir)
    elif settings.corpus not in reader_names():
        raise SettingsError(f"test_dir is needed with corpus={settings.corpus}: the folder or the table to score.")
    else:
        named = DataSettings(corpus=settings.corpus, root=settings.root, download=False)
        place = locate_corpus(named, data_dir=Path("data"))
    found = find_recordings(place, settings.corpus or corpus, reader=reader, label_map=settings.label_map)
    return found, str(place)
