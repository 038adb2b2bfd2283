"""One run from settings to report: data, model, trainer, fit, evaluation of the best checkpoint."""

import logging
import platform
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import ser
from ser.corpora.splits import Split
from ser.data.cache import Prepared, Sample
from ser.data.datamodule import EmotionData, format_split
from ser.data.files import write_text_atomically
from ser.data.workers import keep_freed_memory
from ser.errors import CheckpointError, CorpusError, SettingsError
from ser.evaluation.report import Evaluation, ScoredRecording, format_metrics, write_evaluation
from ser.inference.checkpoint import fresh_recogniser, load_recogniser
from ser.inference.predictor import Predictor, failure_table
from ser.inference.run_folder import BEST, CHECKPOINTS, LAST, find_checkpoint
from ser.inference.torch_backend import TorchScorer
from ser.models.metadata import ModelMetadata
from ser.models.registry import ARCHITECTURES
from ser.training.callbacks import AtomicCheckpointIO, EmaWeightAveraging, ResumableEarlyStopping
from ser.training.config import RunSettings
from ser.training.module import EmotionClassifier
from ser.training.reference_files import write_reference_files
from ser.training.utterance_head import fit_utterance_head

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "lightning", "numpy", "scipy", "librosa", "soundfile", "soxr", "scikit-learn")


def train(settings: RunSettings, configuration: Mapping[str, Any]) -> dict[str, float]:
    """Train, choose the best epoch, score it, and write everything into the run's folder.

    Parameters
    ----------
    configuration : the resolved configuration as plain values, kept in the checkpoints.

    Returns
    -------
    The metrics of the best epoch: name -> value, as monitored.

    Raises
    ------
    SerError : bad data, or a checkpoint that cannot be resumed.
    """
    # Lightning announces hardware and gives tips at this level; its warnings are kept.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 has renamed; nothing that a user could do about it.
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    keep_freed_memory()
    run_dir = settings.run_dir
    resume_from = _resume_point(settings)
    trainer = build_trainer(settings)  # first, because it refuses hardware that is not there
    L.seed_everything(settings.seed, verbose=False)
    data = build_data(settings)
    data.setup()
    _write_split(run_dir / "split.csv", data.split, resumes=resume_from is not None)
    if data.failures:
        write_text_atomically(run_dir / "unreadable.csv", failure_table(data.failures))
        log.warning("%d recordings could not be read; see %s", len(data.failures), run_dir / "unreadable.csv")

    classifier = _build_classifier(settings, data, configuration)
    try:
        trainer.fit(classifier, datamodule=data, ckpt_path=resume_from, weights_only=True)
    except (KeyboardInterrupt, SystemExit):
        log.warning("Interrupted; go on with: python train.py ckpt_path=%s", run_dir)
        raise
    return _report(settings, data, classifier, trainer)


def build_data(settings: RunSettings) -> EmotionData:
    """Return the data of a run, not yet set up."""
    return EmotionData(
        settings.data,
        features=settings.features,
        augment=settings.augment,
        data_dir=Path(settings.paths.data_dir),
        cache_dir=Path(settings.paths.cache_dir),
        seed=settings.seed,
        per_band=ARCHITECTURES[settings.model.name].per_band,
    )


def _write_split(path: Path, split: Split, *, resumes: bool) -> None:
    text = format_split(split)
    if resumes and path.is_file() and path.read_text(encoding="utf-8") != text:
        raise CorpusError(f"{path} names other recordings than the corpus holds; bring them back, or start anew.")
    write_text_atomically(path, text)


def build_trainer(settings: RunSettings) -> L.Trainer:
    """Return the trainer with its callbacks and loggers.

    Raises
    ------
    SettingsError : Lightning refuses the group `trainer`, such as a GPU that is not there.
    """
    try:
        return L.Trainer(
            **settings.trainer,
            callbacks=_callbacks(settings),
            logger=_loggers(settings),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=settings.run_dir,
            enable_progress_bar=_shows_progress(settings),
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise SettingsError(f"trainer cannot be set up so: {' '.join(str(error).split())}") from error


def _build_classifier(settings: RunSettings, data: EmotionData, configuration: Mapping[str, Any]) -> EmotionClassifier:
    kept_out = () if settings.data.split == "all" else data.split.test or data.split.validation
    metadata = ModelMetadata(
        architecture=settings.model.name,
        network=settings.model.network,
        class_names=settings.data.classes,
        features=settings.features,
        protocol=settings.describe_protocol(),
        scored_recordings=tuple(recording.stem for recording in kept_out),
        corpus_root=str(data.root),
        configuration=dict(configuration),
        versions={"ser": ser.__version__, "python": platform.python_version(), **{n: version(n) for n in _LIBRARIES}},
    )
    recogniser = fresh_recogniser(metadata)
    shape = recogniser.normalisation.mean.shape
    mean, scale = (torch.from_numpy(column[: shape.numel()]) for column in (data.scaler.mean_, data.scaler.scale_))
    recogniser.normalisation.set_statistics(mean.reshape(shape), scale.reshape(shape))
    if recogniser.utterance_head is not None:
        log.info("Fitting the second opinion")
        features, lengths, labels = data.tensors("train")
        fit_utterance_head(
            recogniser.utterance_head,
            features,
            lengths,
            labels,
            data.groups("train"),
            feature_settings=settings.features,
            spectrogram=settings.spectrogram,
            seed=settings.seed,
        )
    counts = Counter(sample.recording.name.emotion for sample in data.prepared["train"].samples)
    return EmotionClassifier(
        recogniser,
        metadata=metadata,
        settings=settings.model,
        seed=settings.seed,
        spectrogram=settings.spectrogram,
        class_counts=[counts[name] for name in settings.data.classes],
    )


def _callbacks(settings: RunSettings) -> list[Callback]:
    stopping, choice = settings.callbacks.early_stopping, settings.callbacks.checkpoint
    folder = settings.run_dir / CHECKPOINTS

    def checkpoint(name: str, *, monitor: str | None, mode: str = "min") -> ModelCheckpoint:
        return ModelCheckpoint(
            dirpath=folder,
            filename=name.removesuffix(".ckpt"),
            monitor=monitor,
            mode=mode,
            # One file of a fixed name, replaced atomically; Lightning's default would write best-v1, best-v2, ...
            enable_version_counter=False,
            # After the epoch's last hook, so that a resumed run begins a new epoch rather than finishing an old one.
            save_on_train_epoch_end=True,
        )

    callbacks: list[Callback] = [
        # The epoch's number always gains, so the last epoch is the best where nothing else is asked for.
        checkpoint(BEST, monitor=choice.monitor or "epoch", mode=choice.mode if choice.monitor else "max"),
        checkpoint(LAST, monitor=None),  # after the best, whose state it holds
    ]
    if stopping.monitor is not None:
        callbacks.append(
            ResumableEarlyStopping(
                monitor=stopping.monitor, mode=stopping.mode, patience=stopping.patience, min_delta=stopping.min_delta
            )
        )
    if settings.model.optimiser.ema_decay:
        callbacks.append(EmaWeightAveraging(settings.model.optimiser.ema_decay))
    if settings.logger.tensorboard or settings.logger.csv:
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    if _shows_progress(settings):
        callbacks.append(RichProgressBar())
    return callbacks


def _shows_progress(settings: RunSettings) -> bool:
    return settings.callbacks.progress and sys.stdout.isatty()


def _loggers(settings: RunSettings) -> list[Logger]:
    loggers: list[Logger] = []
    if settings.logger.tensorboard:
        loggers.append(TensorBoardLogger(settings.run_dir, name="tensorboard", version="", default_hp_metric=False))
    if settings.logger.csv:
        loggers.append(CSVLogger(settings.run_dir, name="csv"))
    return loggers


def _resume_point(settings: RunSettings) -> Path | None:
    if settings.ckpt_path is None:
        return None
    try:
        return find_checkpoint(Path(settings.ckpt_path), which=LAST)
    except CheckpointError:
        # The settings were found, so the run is there: it was killed within its first epoch.
        log.warning("%s has no complete checkpoint yet; it starts from the first epoch", settings.ckpt_path)
        return None


def _report(
    settings: RunSettings, data: EmotionData, classifier: EmotionClassifier, trainer: L.Trainer
) -> dict[str, float]:
    from ser.evaluation.figures import learning_curve_figure, save_figure

    run_dir = settings.run_dir
    # What people will use is what is scored: the file, read as they will read it.
    recogniser, metadata = load_recogniser(run_dir / CHECKPOINTS / BEST)
    predictor = Predictor(TorchScorer(recogniser, temperature=metadata.temperature), metadata)
    evaluation = _evaluate(predictor, data.prepared["validation"])
    write_evaluation(evaluation, run_dir, prefix="val")
    log.info("Validation, best epoch\n%s", format_metrics(evaluation))
    if data.split.test and settings.score_test:
        test = _evaluate(predictor, data.prepared["test"])
        write_evaluation(test, run_dir / "test", prefix="test")
        log.info("Test\n%s", format_metrics(test))
    save_figure(learning_curve_figure(classifier.history), run_dir / "learning_curve.png")
    if settings.reference_files and not ARCHITECTURES[settings.model.name].per_band:
        write_reference_files(run_dir, recogniser, data.scaler, class_names=metadata.class_names)

    choice = settings.callbacks.checkpoint
    if choice.monitor is None:
        best = classifier.history[-1]
    else:
        choose = min if choice.mode == "min" else max
        best = choose(classifier.history, key=lambda row: row[choice.monitor])
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            _log_outcome(logger, evaluation, metadata, epoch=int(best["epoch"]))
        logger.finalize("success")
    log.info("Everything of this run is in %s", run_dir)
    return best


def _log_outcome(logger: TensorBoardLogger, evaluation: Evaluation, metadata: ModelMetadata, *, epoch: int) -> None:
    """Add the confusion matrix, and the settings with the final metrics: TensorBoard's images and HParams tab."""
    from ser.evaluation.figures import confusion_figure

    figure = confusion_figure(evaluation.overall.confusion, evaluation.class_names, title="Validation")
    logger.experiment.add_figure("val/confusion_matrix", figure, global_step=epoch)
    final = {f"final/{name}": value for name, value in evaluation.overall.headline().items()}
    logger.log_hyperparams(_flat(metadata.configuration), metrics=final)


def _evaluate(predictor: Predictor, prepared: Prepared) -> Evaluation:
    probabilities = predictor.score(prepared.features, prepared.lengths)
    return Evaluation(
        class_names=predictor.class_names,
        recordings=tuple(map(_scored, prepared.samples, probabilities)),
        protocol=predictor.metadata.protocol,
    )


def _scored(sample: Sample, probabilities: np.ndarray) -> ScoredRecording:
    name = sample.recording.name
    return ScoredRecording(
        file=sample.recording.stem,
        actor=name.actor,
        channel=name.channel,
        true=name.emotion,
        probabilities=tuple(map(float, probabilities)),
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level of dotted keys, for TensorBoard's table."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, (int, float, str, bool)) else str(value)
    return flat
