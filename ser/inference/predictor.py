"""A model and a recording in, probabilities with names out. Imports torch only where a torch model is loaded."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.audio.io import Sound, Source, in_memory, name_of
from ser.corpora.progress import track
from ser.data.storage import StoredFeatures
from ser.data.workers import map_in_workers
from ser.errors import CheckpointError, SettingsError, missing_package
from ser.features import pipeline
from ser.features.extract import fit_length
from ser.features.pipeline import LoadedRecording, ModelInput
from ser.features.validation import as_plain
from ser.inference.metadata_file import ONNX, SAFETENSORS, fingerprint_of, short_digest
from ser.inference.onnx_backend import load_onnx_scorer
from ser.inference.output import Output, open_output
from ser.inference.pretrained import check_own, find_model
from ser.inference.results import Failure, Prediction
from ser.inference.run_folder import find_checkpoint
from ser.inference.scorer import Scorer
from ser.inference.segments import Segment
from ser.models.metadata import FeatureGroups, ModelMetadata

if TYPE_CHECKING:
    from ser.inference.checkpoint import Networks

_BATCH = 64


class Predictor:
    """A recogniser ready to use.

    >>> import numpy as np
    >>> from ser import Predictor
    >>> predictor = Predictor.load("ser-ravdess")
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
        self.fingerprint = fingerprint or short_digest(json.dumps(as_plain(metadata)).encode())

    @classmethod
    def load(
        cls,
        source: Path | str,
        *,
        networks: "Networks | None" = None,
        feature_groups: FeatureGroups | None = None,
        encoder: Path | str | None = None,
    ) -> "Predictor":
        """Read a model.

        Parameters
        ----------
        source : a checkpoint, the folder of a run (its best one is taken), an .onnx or .safetensors file that
            `ser.inference.export` or `ser.evaluation.publish` wrote, or the name of a pretrained model.
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
        check_own(networks=networks, feature_groups=feature_groups)
        path = find_model(source)
        if path.suffix == ONNX:
            if encoder is not None:
                raise SettingsError(f"encoder is {str(encoder)!r}, but {path} was trained without one; leave it out.")
            scorer, metadata = load_onnx_scorer(path, feature_groups=feature_groups)
            return cls(scorer, metadata, fingerprint=fingerprint_of(path))
        try:
            # torch takes a second to import, and need not be installed.
            import safetensors.torch  # noqa: F401 - of which the next reads its files

            from ser.inference.torch_backend import load_torch_scorer
        except ModuleNotFoundError as error:
            export = f"export {path} --format onnx"
            command = "publish <run> --name <name>" if path.suffix == SAFETENSORS else export
            remedy = f"where it is, write a model that does without: `ser {command}`"
            raise CheckpointError(f"{missing_package(error, str(path))}; or, {remedy}.") from error
        path = find_checkpoint(path)
        torch_scorer, metadata = load_torch_scorer(
            path, networks=networks, feature_groups=feature_groups, encoder=encoder
        )
        return cls(torch_scorer, metadata, fingerprint=fingerprint_of(path))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.metadata.class_names

    def predict(self, source: Source, *, name: str | None = None) -> Prediction:
        """Predict the emotion of one recording of any length up to ten minutes, at any rate, of one to eight channels.

        Its speech is searched for. A recording that `max_length` frames hold goes in whole, as in training; a longer
        one by its utterances, and the prediction is their mean, weighted by speech. Without speech there is no emotion.

        Parameters
        ----------
        source : the path of a sound file (`ser.audio.formats.NAMES`), its bytes, a file opened as binary, or (samples,
            rate): an array [samples], [samples, channels] or [channels, samples], floats of full scale 1.0, or int8,
            int16, int32 or uint8; and Hz.
        name : becomes `source` of the prediction; the path, where there is one, by default.

        Raises
        ------
        AudioError : as `ser.audio.io.read_sound`.
        """
        name = name or name_of(source)
        recording = pipeline.load_features(source, settings=self.metadata.features, name=name)
        return self.predict_loaded([(name, recording)])[0]

    def predict_many(
        self,
        sources: Iterable[Source],
        *,
        workers: int = 1,
        output: Path | str | None = None,
        resume: bool = False,
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

        Raises
        ------
        SettingsError, OSError : as `ser.inference.output.open_output`; or a source is no path.
        SerError : a worker died, or `output` cannot be written.

        Examples
        --------
        >>> import numpy as np
        >>> from ser import Failure, Predictor
        >>> hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
        >>> for result in Predictor.load("ser-ravdess").predict_many([(hum, 16_000), "missing.wav"]):
        ...     print(result.reason if isinstance(result, Failure) else result.status)
        no speech found
        missing.wav: there is no such file.
        """
        if isinstance(sources, (str, bytes, Path)):
            raise SettingsError("sources is one recording, but should be a list of them; `predict` takes one.")
        with ExitStack() as stack:
            file = None
            if output is not None:
                opened = open_output(Path(output), model=self.fingerprint, class_names=self.class_names, resume=resume)
                file = stack.enter_context(opened)
            attempt = partial(pipeline.try_load_features, settings=self.metadata.features)
            # Ten minutes of sound are some 10 to 20 MB of features, so that few chunks wait to be taken.
            outcomes = map_in_workers(attempt, _named(sources, file), workers=workers, ahead=1)
            for batch in _in_batches(outcomes):
                # One thread for the network: the workers use the cores, and waiting threads only spin. An encoder takes
                # many times as long as they do.
                with threadpool_limits(1 if self.metadata.encoder is None else None):
                    read = [(name, outcome) for name, outcome in batch if not isinstance(outcome, str)]
                    predictions = iter(self.predict_loaded(read))
                done = [
                    Failure(source=name, reason=each) if isinstance(each, str) else next(predictions)
                    for name, each in batch
                ]
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

    def score(self, features: NDArray[np.float32] | StoredFeatures, lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return probabilities float32 [samples, classes], a batch at a time.

        Parameters
        ----------
        features : float32 [samples, features, max_length], not normalised; or the states of a frozen encoder, where the
            scorer takes these.
        lengths : int64 [samples], frames of each sample before the padding.
        """
        batches = [slice(start, start + _BATCH) for start in range(0, len(features), _BATCH)]
        return np.concatenate([self.scorer(features[batch], lengths[batch])[0] for batch in batches])

    def predict_sound(self, sound: Sound, *, name: str) -> Prediction:
        """Return what `predict` does, of a decoded recording at the rate of `metadata.features`."""
        return self.predict_loaded([(name, pipeline.features_of_sound(sound, self.metadata.features))])[0]

    def predict_loaded(self, recordings: Sequence[tuple[str, LoadedRecording]]) -> list[Prediction]:
        """Return the predictions of named recordings, their utterances together in as few batches as there can be."""
        inputs = [one for _, recording in recordings for one in recording.utterances]
        segments = iter(self._segments(inputs))
        return [
            Prediction(
                source=name,
                class_names=self.class_names,
                segments=tuple(islice(segments, len(recording.utterances))),
                speech=recording.speech,
                duration=recording.duration,
                warnings=recording.warnings,
                rejection_threshold=self.metadata.rejection_threshold,
            )
            for name, recording in recordings
        ]

    def _segments(self, inputs: Sequence[ModelInput]) -> list[Segment]:
        max_length = self.metadata.features.max_length
        segments = []
        for start in range(0, len(inputs), _BATCH):
            batch = inputs[start : start + _BATCH]
            features = np.stack([fit_length(one.features, max_length) for one in batch])
            lengths = np.array([one.length for one in batch], dtype=np.int64)
            segments += [
                Segment(
                    start=one.start,
                    end=one.end,
                    speech=one.speech,
                    probabilities=probabilities,
                    attention=attention,
                    offset=one.offset,
                )
                for one, probabilities, attention in zip(batch, *self.scorer(features, lengths)[:2], strict=True)
            ]
        return segments


def _in_batches(
    outcomes: Iterable[tuple[str, LoadedRecording | str]],
) -> Iterator[list[tuple[str, LoadedRecording | str]]]:
    """Yield what there is by `_BATCH`, sooner where long recordings have that many utterances: so memory is bounded."""
    batch: list[tuple[str, LoadedRecording | str]] = []
    n_utterances = 0
    for name, outcome in outcomes:
        batch.append((name, outcome))
        n_utterances += 0 if isinstance(outcome, str) else len(outcome.utterances)
        if max(len(batch), n_utterances) >= _BATCH:
            yield batch
            batch, n_utterances = [], 0
    if batch:
        yield batch


def _named(sources: Iterable[Source], output: Output | None) -> Iterator[tuple[str, Source]]:
    """Yield the sources with their names, as worker processes can take them; each that `output` lacks once."""
    for source in sources:
        name = name_of(source)
        if output is None or output.claim(source):
            yield name, in_memory(source)
