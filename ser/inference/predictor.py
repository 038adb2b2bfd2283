"""A model and a recording in, probabilities with names out. Imports torch only where a torch model is loaded."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.audio.io import Sound, Source, name_of
from ser.corpora.progress import track
from ser.data.storage import StoredFeatures
from ser.errors import AudioError, SettingsError
from ser.features import pipeline
from ser.features.pipeline import LoadedRecording, ModelInput
from ser.features.validation import as_plain
from ser.inference.batches import Outcome, in_batches, load_all
from ser.inference.context import SpeakerContext, SpeakerRecordings, check_context, context_rows
from ser.inference.loading import load_scorer
from ser.inference.metadata_file import short_digest
from ser.inference.output import Output, open_output
from ser.inference.pretrained import DEFAULT_MODEL
from ser.inference.results import Failure, Prediction
from ser.inference.scorer import Scorer, score_in_batches, segments_of
from ser.inference.segments import Segment
from ser.models.metadata import FeatureGroups, ModelMetadata

if TYPE_CHECKING:
    from ser.inference.checkpoint import Networks

_BATCH = 64


class Predictor:
    """A recogniser ready to use.

    >>> import numpy as np
    >>> from ser import Predictor
    >>> predictor = Predictor.load()
    >>> hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
    >>> prediction = predictor.predict((hum, 16_000))  # or "voice.wav", or the bytes of a file
    >>> prediction.status, prediction.emotion, prediction.duration  # a hum is no voice, and has no emotion
    ('no speech found', None, 2.0)
    """

    def __init__(self, scorer: Scorer, metadata: ModelMetadata, *, fingerprint: str | None = None) -> None:
        """Make a predictor of a model on a backend and its metadata.

        `fingerprint` tells the model from others in results files; None: the metadata alone do.
        """
        self.scorer = scorer
        self.metadata = metadata
        self.fingerprint = self._of_model = fingerprint or short_digest(json.dumps(as_plain(metadata)).encode())
        self._recordings = SpeakerRecordings(metadata.context)

    @classmethod
    def load(
        cls,
        source: Path | str = DEFAULT_MODEL,
        *,
        networks: "Networks | None" = None,
        feature_groups: FeatureGroups | None = None,
        encoder: Path | str | None = None,
    ) -> "Predictor":
        """Read a model.

        Parameters
        ----------
        source : a checkpoint, the folder of a run (its best one is taken), an .onnx or .safetensors file that
            `ser.inference.export` or `ser.evaluation.publish` wrote, or the name of a pretrained model; by default the
            one for any voice.
        networks, feature_groups : those of one's own that the model was trained with, by name:
            `networks={"MyNet": MyNet}`. No file names code; so what a model is made of is ours, or is handed in here.
        encoder : the speech encoder that the model was trained on, where that was frozen and so is not in the file: a
            folder, or a name on the Hugging Face hub. It must be the very same, by the SHA-256 of its weights.

        Raises
        ------
        CheckpointError : missing, damaged, foreign or hostile; no code of it runs. Or its backend is not installed, or
            a network, feature group or encoder was not handed in.
        SettingsError : `networks` or `feature_groups` is no dict of names; or there is an `encoder` for a model that
            needs none.
        """
        scorer, metadata, fingerprint = load_scorer(
            source, networks=networks, feature_groups=feature_groups, encoder=encoder
        )
        return cls(scorer, metadata, fingerprint=fingerprint)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.metadata.class_names

    @property
    def context(self) -> SpeakerContext | None:
        """What is known of the speaker, of no recording at first; None where the model takes no speaker context."""
        return self._recordings.context if self.metadata.context else None

    def with_context(self, recordings: Iterable[Source], *, workers: int = 1) -> "Predictor":
        """Return a predictor of the same model that knows other, unlabelled recordings of one speaker.

        One that is among these itself is predicted without itself in its context. Of a long recording each utterance
        counts as a recording; one without speech adds nothing. Nothing is written to a disk.

        Parameters
        ----------
        recordings : sources as of `predict`, none to hundreds; they take the place of what was known before.
        workers : as of `predict_many`.

        Raises
        ------
        AudioError : one cannot be read; it names it.
        SettingsError : the model takes no speaker context.

        Examples
        --------
        >>> from pathlib import Path
        >>> predictor = Predictor.load("ser-voices").with_context(Path("anna").glob("*.wav"))  # doctest: +SKIP
        >>> predictor.predict("today.wav").context_size  # doctest: +SKIP
        12
        """
        known = self.with_speaker_context(SpeakerContext.none(0))
        if isinstance(recordings, (str, bytes, Path)):
            raise SettingsError("recordings is one recording, but should be a list of them.")
        outcomes = load_all(recordings, self.metadata.features, workers=workers)
        for batch in in_batches(outcomes, size=_BATCH):
            read = [(name, _readable(outcome)) for name, outcome in batch]
            with self._one_thread():
                predictions = self.predict_loaded(read)
            for (_, recording), prediction in zip(read, predictions, strict=True):
                known._recordings.add(recording, prediction)
        known.fingerprint = self._fingerprint_with(known._recordings.context)
        return known

    def with_speaker_context(self, context: SpeakerContext) -> "Predictor":
        """Return a predictor of the same model that knows this of the speaker, in place of what was known before.

        Raises
        ------
        SettingsError : the model takes no speaker context, or the context is of another model.
        """
        known = Predictor(self.scorer, self.metadata, fingerprint=self._of_model)
        known._recordings.context = check_context(context, self.metadata.context)
        known.fingerprint = self._fingerprint_with(context)
        return known

    def _fingerprint_with(self, context: SpeakerContext) -> str:
        return (
            short_digest(self._of_model.encode() + context.row().tobytes()) if context.n_recordings else self._of_model
        )

    def predict(self, source: Source, *, name: str | None = None, single_speaker: bool = False) -> Prediction:
        """Predict the emotion of one recording of any length up to ten minutes, at any rate, of one to eight channels.

        Its speech is searched for. A recording that `max_length` frames hold goes in whole, as in training; a longer
        one by its utterances, and the prediction is their mean, weighted by speech. Without speech there is no emotion.

        Parameters
        ----------
        source : the path of a sound file (`ser.audio.formats.NAMES`), its bytes, a file opened as binary, or (samples,
            rate): an array [samples], [samples, channels] or [channels, samples], floats of full scale 1.0, or int8,
            int16, int32 or uint8; and Hz.
        name : becomes `source` of the prediction; the path, where there is one, by default.
        single_speaker : whether one person speaks throughout. Then the utterances before each are in its context,
            beside `context`; models that take no speaker context ignore it.

        Raises
        ------
        AudioError : as `ser.audio.io.read_sound`.
        """
        name = name or name_of(source)
        recording = pipeline.load_features(source, settings=self.metadata.features, name=name)
        return self.predict_loaded([(name, recording)], single_speaker=single_speaker)[0]

    def predict_many(
        self,
        sources: Iterable[Source],
        *,
        workers: int = 1,
        output: Path | str | None = None,
        resume: bool = False,
        single_speaker: bool = False,
    ) -> Iterator[Prediction | Failure]:
        """Predict any number of recordings; yield the results in order, as batches of 64 are done; memory is bounded.

        A recording that cannot be read yields a `Failure`, and the others go on.

        Parameters
        ----------
        sources : as of `predict`; they are taken a few batches ahead.
        workers : processes that decode and extract features; 0: one a core. With more than one, a script of yours needs
            `if __name__ == "__main__":`, as every use of `multiprocessing` does.
        output : a .csv, .jsonl or .parquet file to which every result is added before it is yielded. The sources are
            paths then, and each is predicted once.
        resume : go on with an `output` that is there, of a run that was stopped: what it has a prediction of is left
            out, and what failed is tried once more.
        single_speaker : of each recording, as of `predict`.

        Raises
        ------
        SettingsError, OSError : as `ser.inference.output.open_output`; or a source is no path.
        SerError : a worker died, or `output` cannot be written.

        Examples
        --------
        >>> import numpy as np
        >>> from ser import Failure, Predictor
        >>> hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
        >>> for result in Predictor.load().predict_many([(hum, 16_000), "missing.wav"]):
        ...     print(result.reason if isinstance(result, Failure) else result.status)
        no speech found
        missing.wav: there is no such file.
        """
        if isinstance(sources, (str, bytes, Path)):
            raise SettingsError("sources is one recording, but should be a list of them; `predict` takes one.")
        with ExitStack() as stack:
            file = None
            if output is not None:
                fingerprint = self.fingerprint
                if single_speaker and self.metadata.context:  # other answers, so that a file is not gone on with
                    fingerprint = short_digest(f"{fingerprint} single speaker".encode())
                file = stack.enter_context(self.open_output(output, resume=resume, fingerprint=fingerprint))
            chosen = sources if file is None else filter(file.claim, sources)
            outcomes = load_all(chosen, self.metadata.features, workers=workers)
            for batch in in_batches(outcomes, size=_BATCH):
                done = self.predict_batch(batch, single_speaker=single_speaker)
                if file is not None:
                    file.add(done)
                yield from done

    def predict_files(self, paths: Sequence[Path], *, workers: int = 0) -> tuple[list[Prediction], dict[Path, str]]:
        """Collect what `predict_many` yields, by all cores (`workers` 0) and with progress.

        Returns
        -------
        predictions : of those that could be read, in the order of `paths`.
        failures : path -> why it could not be read.
        """
        many = self.predict_many(paths, workers=workers)
        predictions: list[Prediction] = []
        failures: dict[Path, str] = {}
        for result in track(many, total=len(paths), description="Scoring", unit="recordings"):
            if isinstance(result, Failure):
                failures[Path(result.source)] = result.reason
            else:
                predictions.append(result)
        return predictions, failures

    def open_output(
        self, path: Path | str, *, resume: bool, fingerprint: str | None = None
    ) -> AbstractContextManager[Output]:
        """Open a results file for this model (`ser.inference.output.open_output`), whose rows bear `fingerprint`."""
        return open_output(
            Path(path),
            model=fingerprint or self.fingerprint,
            class_names=self.class_names,
            resume=resume,
            context=self.metadata.context > 0,
        )

    def predict_sound(self, sound: Sound, *, name: str, single_speaker: bool = False) -> Prediction:
        """Return what `predict` does, of a decoded recording at the rate of `metadata.features`."""
        recording = pipeline.features_of_sound(sound, self.metadata.features)
        return self.predict_loaded([(name, recording)], single_speaker=single_speaker)[0]

    def predict_batch(
        self,
        batch: Sequence[Outcome],
        *,
        contexts: Sequence[SpeakerContext] | None = None,
        single_speaker: bool = False,
    ) -> list[Prediction | Failure]:
        """Return the results of what was loaded; the rest as of `predict_loaded`, of what could be read alone."""
        read = [(name, outcome) for name, outcome in batch if not isinstance(outcome, str)]
        with self._one_thread():
            predictions = iter(self.predict_loaded(read, contexts=contexts, single_speaker=single_speaker))
        return [
            Failure(source=name, reason=each) if isinstance(each, str) else next(predictions) for name, each in batch
        ]

    def _one_thread(self) -> AbstractContextManager[object]:
        """Hold the network to one thread: the workers use the cores, and waiting threads only spin.

        An encoder takes many times as long as the workers do, and so all threads.
        """
        limits: AbstractContextManager[object] = threadpool_limits(1 if self.metadata.encoder is None else None)
        return limits

    def predict_loaded(
        self,
        recordings: Sequence[tuple[str, LoadedRecording]],
        *,
        contexts: Sequence[SpeakerContext] | None = None,
        single_speaker: bool = False,
    ) -> list[Prediction]:
        """Return the predictions of named recordings, their utterances together in as few batches as there can be.

        Parameters
        ----------
        contexts : of each recording's speaker, without the recording itself, in place of `context`; of this model.
        single_speaker : of each recording, as of `predict`.
        """
        inputs = [one for _, recording in recordings for one in recording.utterances]
        sizes: list[int] | list[None] = [None] * len(recordings)
        rows = None
        if self.metadata.context:
            contexts = contexts or [self._recordings.context_of(recording) for _, recording in recordings]
            sizes = [context.n_recordings for context in contexts]
            utterances = [len(recording.utterances) for _, recording in recordings]
            # The summary of an utterance does not depend on its context, and it is needed first.
            is_needed = single_speaker and max(utterances, default=0) > 1
            summaries = [segment.summary for segment in self._segments(inputs)] if is_needed else None
            rows = context_rows(contexts, utterances, summaries)
        segments = iter(self._segments(inputs, rows))
        return [
            Prediction(
                source=name,
                class_names=self.class_names,
                segments=tuple(islice(segments, len(recording.utterances))),
                speech=recording.speech,
                duration=recording.duration,
                warnings=recording.warnings,
                rejection_threshold=self.metadata.rejection_threshold,
                context_size=size,
            )
            for (name, recording), size in zip(recordings, sizes, strict=True)
        ]

    def _segments(self, inputs: Sequence[ModelInput], rows: NDArray[np.float32] | None = None) -> list[Segment]:
        return segments_of(self.scorer, inputs, rows, max_length=self.metadata.features.max_length, at_once=_BATCH)

    def score(
        self,
        features: NDArray[np.float32] | StoredFeatures,
        lengths: NDArray[np.int64],
        *,
        contexts: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return probabilities float32 [samples, classes], a batch at a time.

        Parameters
        ----------
        features : float32 [samples, features, max_length], not normalised; or the states of a frozen encoder, where the
            scorer takes these.
        lengths : int64 [samples], frames of each sample before the padding.
        contexts : float32 [samples, 1 + 2 * n_summary], rows of `SpeakerContext`; None: nothing is known of any.
        """
        scored = score_in_batches(self.scorer, features, lengths, contexts, at_once=_BATCH)
        return np.concatenate([one.probabilities for one in scored])

    def summarise(
        self, features: NDArray[np.float32] | StoredFeatures, lengths: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the summaries that speaker context is made of, float32 [samples, n_summary]; parameters as `score`."""
        scored = score_in_batches(self.scorer, features, lengths, None, at_once=_BATCH)
        return np.concatenate([one.summary for one in scored])


def _readable(outcome: LoadedRecording | str) -> LoadedRecording:
    if isinstance(outcome, str):
        raise AudioError(outcome)
    return outcome
