"""A model and a recording in, probabilities with names out. Imports torch only where a torch model is loaded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.audio.io import SILENCE_PEAK, Readable, Sound, Source, name_of
from ser.corpora.progress import track
from ser.data.workers import map_in_workers
from ser.errors import CheckpointError, SettingsError, missing_package
from ser.features import pipeline
from ser.features.pipeline import ModelInput
from ser.inference.metadata_file import ONNX, SAFETENSORS
from ser.inference.onnx_backend import load_onnx_scorer
from ser.inference.pretrained import find_model
from ser.inference.results import Failure, Prediction, append_results, read_finished
from ser.inference.segments import Segment, attention_over_time, cut_segments
from ser.models.metadata import FeatureGroups, ModelMetadata

if TYPE_CHECKING:
    from ser.inference.checkpoint import Networks

_BATCH = 64
_SEGMENTS_AT_ONCE = 16
"""Fewer than recordings in a batch: ten minutes of sound then need 28 MB more, and no more time."""

Scorer = Callable[[NDArray[np.float32], NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A model on a backend: maps features float32 [batch, features, max_length], not normalised, and lengths int64 [batch],
frames of each recording before the padding, to probabilities float32 [batch, classes] and attention weights float32
[batch, weights].
"""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The prediction for a recording of any length.

    Attributes
    ----------
    overall : for the whole recording: the mean of the segments' probabilities, and of their attention, which here
        covers the recording and no padding.
    attention_seconds : float64 [weights], the middle of the time that each weight of `overall.attention` stands for.
    segments : one, or overlapping ones where the recording is longer than `max_length` frames.
    """

    overall: Prediction
    attention_seconds: NDArray[np.float64]
    segments: tuple[Segment, ...]


class Predictor:
    """A recogniser ready to use.

    >>> import numpy as np
    >>> from ser import Predictor
    >>> predictor = Predictor.load("ser-ravdess")
    >>> hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
    >>> prediction = predictor.predict((hum, 16_000))  # or "voice.wav", or the bytes of a file
    >>> prediction.emotion in predictor.class_names, len(prediction.top(3)), prediction.duration
    (True, 3, 2.0)
    """

    def __init__(self, scorer: Scorer, metadata: ModelMetadata) -> None:
        """Make a predictor of a model on a backend and its metadata."""
        self.scorer = scorer
        self.metadata = metadata

    @classmethod
    def load(
        cls,
        source: Path | str,
        *,
        networks: "Networks | None" = None,
        feature_groups: FeatureGroups | None = None,
    ) -> "Predictor":
        """Read a model.

        Parameters
        ----------
        source : a checkpoint, the folder of a run (its best one is taken), an .onnx or .safetensors file that
            `ser.inference.export` or `ser.evaluation.publish` wrote, or the name of a pretrained model.
        networks, feature_groups : those of one's own that the model was trained with, by name:
            `networks={"MyNet": MyNet}`. No file names code; so what a model is made of is ours, or is handed in here.

        Raises
        ------
        CheckpointError : missing, damaged, foreign or hostile; no code of it runs. Or its backend is not installed, or
            a network or feature group of one's own was not handed in.
        """
        path = find_model(source)
        if path.suffix == ONNX:
            return cls(*load_onnx_scorer(path, feature_groups=feature_groups))
        try:
            # torch takes a second to import, and need not be installed.
            import safetensors.torch  # noqa: F401 - of which the next reads its files

            from ser.inference.torch_backend import load_torch_scorer
        except ModuleNotFoundError as error:
            export = f"export {path} --format onnx"
            command = "publish <run> --name <name>" if path.suffix == SAFETENSORS else export
            remedy = f"where it is, write a model that does without: `ser {command}`"
            raise CheckpointError(f"{missing_package(error, str(path))}; or, {remedy}.") from error
        return cls(*load_torch_scorer(path, networks=networks, feature_groups=feature_groups))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.metadata.class_names

    def predict(self, source: Source, *, name: str | None = None) -> Prediction:
        """Predict the emotion of one recording, at any rate, of one to eight channels.

        Parameters
        ----------
        source : the path of a sound file (WAV, FLAC, OGG, MP3), its bytes, a file opened as binary, or (samples, rate):
            an array [samples], [samples, channels] or [channels, samples], floats of full scale 1.0, or int8, int16,
            int32 or uint8; and Hz.
        name : becomes `source` of the prediction; the path, where there is one, by default.

        Raises
        ------
        AudioError : as `ser.audio.io.read_sound`.
        """
        name = name or name_of(source)
        recording = pipeline.load_features(source, settings=self.metadata.features, name=name)
        return self._predict_batch([(name, recording)])[0]

    def predict_many(
        self, sources: Iterable[Source], *, workers: int = 1, results: Path | str | None = None
    ) -> Iterator[Prediction | Failure]:
        """Predict any number of recordings; yield the results in order, as batches of 64 are done; memory is bounded.

        A recording that cannot be read yields a `Failure`, and the others go on.

        Parameters
        ----------
        sources : as of `predict`; they are taken a few batches ahead.
        workers : processes that decode and extract features; 0: one a core. With more than one, a script of yours needs
            `if __name__ == "__main__":`, as every use of `multiprocessing` does.
        results : a file to which every result is added as one line of JSON (`to_dict`). Where it exists, the sources
            (here paths) that it has a prediction of are left out: so a run that was stopped goes on, and tries once
            more what failed. For another model, name another file.

        Raises
        ------
        SettingsError : `results` is some other file, or a source is no path, which could not be found again.
        SerError : a worker died.

        Examples
        --------
        >>> import numpy as np
        >>> from ser import Failure, Predictor
        >>> hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
        >>> for result in Predictor.load("ser-ravdess").predict_many([(hum, 16_000), "missing.wav"]):
        ...     print(result.reason if isinstance(result, Failure) else result.duration)
        2.0
        missing.wav: there is no such file.
        """
        if isinstance(sources, (str, bytes, Path)):
            raise SettingsError("sources is one recording, but should be a list of them; `predict` takes one.")
        results = None if results is None else Path(results)
        finished = set() if results is None else read_finished(results)
        tasks = _named(sources, finished, only_paths=results is not None)
        attempt = partial(pipeline.try_load_features, settings=self.metadata.features)
        outcomes = map_in_workers(attempt, tasks, workers=workers)
        while batch := list(islice(outcomes, _BATCH)):
            # One thread for the network: the workers use the cores, and waiting threads only spin.
            with threadpool_limits(1):
                read = [(name, outcome) for name, outcome in batch if not isinstance(outcome, str)]
                predictions = iter(self._predict_batch(read))
            done = [Failure(source=n, reason=each) if isinstance(each, str) else next(predictions) for n, each in batch]
            if results is not None:
                append_results(results, (result.to_dict() for result in done))
            yield from done

    def predict_long(self, sound: Sound, *, name: str) -> Timeline:
        """Predict over a recording of any length: as `predict` where one segment holds it, else by several.

        Parameters
        ----------
        sound : at the rate of `metadata.features`.
        name : becomes `source` of the prediction.
        """
        settings = self.metadata.features
        segments: list[Segment] = []
        cuts = iter(cut_segments(sound.waveform, settings))
        while batch := list(islice(cuts, _SEGMENTS_AT_ONCE)):
            segments += self._predict_segments(batch)
        voiced = [segment.probabilities for segment in segments if segment.probabilities is not None]
        seconds, attention = attention_over_time(segments, settings=settings, duration=sound.duration)
        overall = Prediction(
            source=name,
            class_names=self.class_names,
            probabilities=np.mean(voiced, axis=0, dtype=np.float32),
            attention=attention,
            duration=sound.duration,
            warnings=pipeline.warnings_of_level(sound),
            rejection_threshold=self.metadata.rejection_threshold,
        )
        return Timeline(overall=overall, attention_seconds=seconds, segments=tuple(segments))

    def predict_files(
        self, paths: Sequence[Path], *, workers: int = 0, results: Path | None = None
    ) -> tuple[list[Prediction], dict[Path, str]]:
        """Collect what `predict_many` yields, by all cores (`workers` 0) and with progress.

        Returns
        -------
        predictions : of those that could be read, in the order of `paths`.
        failures : path -> why it could not be read.
        """
        many = self.predict_many(paths, workers=workers, results=results)
        predictions: list[Prediction] = []
        failures: dict[Path, str] = {}
        for result in track(many, total=len(paths), description="Scoring", unit="recordings"):
            if isinstance(result, Failure):
                failures[Path(result.source)] = result.reason
            else:
                predictions.append(result)
        return predictions, failures

    def score(self, features: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return probabilities float32 [samples, classes], a batch at a time.

        Parameters
        ----------
        features : float32 [samples, features, max_length], not normalised.
        lengths : int64 [samples], frames of each sample before the padding.
        """
        batches = [slice(start, start + _BATCH) for start in range(0, len(features), _BATCH)]
        return np.concatenate([self.scorer(features[batch], lengths[batch])[0] for batch in batches])

    def _predict_batch(self, recordings: Sequence[tuple[str, ModelInput]]) -> list[Prediction]:
        """Return the predictions of named recordings, by one call of the network."""
        outputs = self._outputs([(recording.features, recording.length) for _, recording in recordings])
        return [
            Prediction(
                source=name,
                class_names=self.class_names,
                probabilities=probabilities,
                attention=attention,
                offset=recording.offset,
                duration=recording.duration,
                warnings=recording.warnings,
                rejection_threshold=self.metadata.rejection_threshold,
            )
            for (name, recording), (probabilities, attention) in zip(recordings, outputs, strict=True)
        ]

    def _predict_segments(self, cuts: Sequence[tuple[int, NDArray[np.float32]]]) -> list[Segment]:
        """Return the predictions of what `cut_segments` returns, by one call of the network."""
        settings = self.metadata.features
        rate = settings.sample_rate
        # What is so quiet that `read_sound` would refuse it as a recording has no prediction.
        trimmed = [
            pipeline.preprocess(waveform, settings) if float(np.abs(waveform).max()) >= SILENCE_PEAK else None
            for _, waveform in cuts
        ]
        outputs = iter(self._outputs([pipeline.network_input(one[0], settings) for one in trimmed if one is not None]))
        segments = []
        for (start, waveform), voiced in zip(cuts, trimmed, strict=True):
            probabilities, attention = next(outputs) if voiced is not None else (None, None)
            offset = (start + (voiced[1] if voiced is not None else 0)) / rate
            end = (start + len(waveform)) / rate
            segments.append(
                Segment(start=start / rate, end=end, probabilities=probabilities, attention=attention, offset=offset)
            )
        return segments

    def _outputs(
        self, inputs: Sequence[tuple[NDArray[np.float32], int]]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return probabilities [classes] and attention [weights] for each pair of features and length."""
        if not inputs:
            return []
        features, lengths = zip(*inputs, strict=True)
        return list(zip(*self.scorer(np.stack(features), np.array(lengths, dtype=np.int64)), strict=True))


def _named(sources: Iterable[Source], finished: set[str], *, only_paths: bool) -> Iterator[tuple[str, Source]]:
    """Yield the sources that are not finished with their names, as worker processes can take them."""
    for source in sources:
        if only_paths and not isinstance(source, str | Path):
            kind = type(source).__name__
            raise SettingsError(f"A source is given as {kind}, but with a results file all should be paths.")
        name = name_of(source)
        if name not in finished:
            yield name, source.read() if isinstance(source, Readable) else source
