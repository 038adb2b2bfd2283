"""One run from configuration to report: data, module, fit, evaluation of the best checkpoint."""

import dataclasses
import logging
import math
import platform
import shlex
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger
from torchmetrics import Metric

import ser
from ser.data.datamodule import EmotionData, format_split
from ser.data.files import write_text_atomically
from ser.data.workers import keep_freed_memory
from ser.errors import CheckpointError, CorpusError, SettingsError
from ser.evaluation.context.draws import contexts_of
from ser.evaluation.context.predictions import predict_features
from ser.evaluation.context.scores import write_context_scores
from ser.evaluation.report import Evaluation, failure_table, format_metrics, score_predictions, write_evaluation
from ser.inference.checkpoint import load_recogniser
from ser.inference.predictor import Predictor
from ser.inference.run_folder import LAST, SPLIT, find_checkpoint
from ser.inference.torch_backend import TorchScorer
from ser.models.encoder import Encoder
from ser.models.metadata import with_scored
from ser.models.registry import network_name
from ser.training.components import build, build_function
from ser.training.config import RunSettings
from ser.training.encoder import read_encoder, use_encoder
from ser.training.initialisation import initialise
from ser.training.loss import takes_allowed
from ser.training.module import EmotionClassifier
from ser.training.overrides import command_line, overridden
from ser.training.reference_files import write_reference_files
from ser.training.rejection import keep_rejection_threshold
from ser.training.tensorboard import RunTensorBoardLogger
from ser.training.trainer import build_trainer

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "lightning", "numpy", "scipy", "librosa", "soundfile", "soxr", "scikit-learn")


def train(
    settings: RunSettings,
    configuration: Mapping[str, Any],
    *,
    overrides: Sequence[str] | None = None,
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] | None = None,
) -> dict[str, float]:
    """Train, choose the best epoch, score it, and write everything into the run's folder.

    Parameters
    ----------
    configuration : the resolved configuration as plain values, kept in the checkpoints.
    overrides : those that the run was begun with, for its report and TensorBoard; None: they are not known.
    defaults : returns the configuration that a run like this one has without overrides, for the report.

    Returns
    -------
    The row of the best epoch in the learning curve: "epoch", "lr" and the metrics, such as "val/uar".

    Raises
    ------
    SerError : bad data, a trainer that cannot be set up, or a checkpoint that cannot be resumed.
    """
    # Lightning announces hardware and gives tips at the level below; its warnings are kept.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 has renamed; nothing that a user could do about it.
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    # The metrics that are logged are those of all processes already.
    warnings.filterwarnings("ignore", message=r"It is .* to use `self.log\(.*sync_dist=True")
    # A resumed run goes on in its folder, and a checkpoint is that of a whole epoch (`WholeEpochs`).
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=r"You're resuming from a checkpoint that ended before the epoch ended")
    keep_freed_memory()
    checkpoint = _checkpoint_to_resume(settings)
    trainer = build_trainer(settings)  # before the data, because it refuses hardware that is not there
    encoder = read_encoder(settings)  # that too, because it refuses what is no encoder
    L.seed_everything(settings.seed, verbose=False)
    data = build_data(settings)
    data.setup()
    if encoder is not None:
        use_encoder(data, encoder, trainer.strategy.root_device)
    if trainer.is_global_zero:
        _write_data_tables(settings.run_dir, data, resumes=checkpoint is not None)
    module = build_module(settings, data, configuration, encoder, resumes=checkpoint)
    for logger in trainer.loggers:
        if isinstance(logger, RunTensorBoardLogger):
            logger.log_settings(overridden(configuration, overrides))
        elif not isinstance(logger, CSVLogger):  # it would copy config.yaml
            logger.log_hyperparams(dict(configuration))
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except (KeyboardInterrupt, SystemExit) as end:
        log.warning("Interrupted; go on with: ser train ckpt_path=%s", shlex.quote(str(settings.run_dir)))
        if isinstance(end, SystemExit):  # Lightning's, with a status of 0 after SIGTERM
            raise SystemExit(130 if isinstance(end.__context__, KeyboardInterrupt) else 143) from end
        raise
    except (MisconfigurationException, ValueError) as error:
        if not _is_raised_by_lightning(error):
            raise
        # What the trainer cannot know before it has the data, such as a fraction of its batches that is less than one.
        raise SettingsError(f"trainer refuses these settings: {' '.join(str(error).split())}") from error
    if not module.history:
        raise SettingsError("trainer.max_time is over before the first step, so nothing was trained; give more time.")
    best = _best_epoch(module.history, settings)
    if math.isnan(best["train/loss"]):
        wrong = f"The training loss is not a number in epoch {int(best['epoch'])}"
        raise SettingsError(f"{wrong}; give a lower model.lr, or look at model.loss.")
    if getattr(trainer, "fast_dev_run", False):
        log.info("A batch of training and one of validation went through (trainer.fast_dev_run); nothing is kept")
    elif trainer.is_global_zero:
        command = "" if overrides is None else command_line("ser train", overrides)
        _report(
            settings, data, module, trainer, command=command, defaults=defaults(configuration) if defaults else None
        )
    return best


def _is_raised_by_lightning(error: BaseException) -> bool:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and str(place.tb_frame.f_globals.get("__name__")).startswith("lightning.")


def _checkpoint_to_resume(settings: RunSettings) -> Path | None:
    if settings.ckpt_path is None:
        return None
    try:
        return find_checkpoint(Path(settings.ckpt_path), which=LAST)
    except CheckpointError:
        # The run's settings were found already: it was killed within its first epoch.
        log.warning("%s has no complete checkpoint yet; it starts from the first epoch", settings.ckpt_path)
        return None


def build_data(settings: RunSettings) -> EmotionData:
    """Return the data of a run, not yet set up."""
    data_dir, cache_dir = Path(settings.paths.data_dir), Path(settings.paths.cache_dir)
    data: EmotionData = settings.data_class(
        settings.data,
        features=settings.features,
        augment=settings.own_augment or settings.augment,
        data_dir=data_dir,
        cache_dir=cache_dir,
        seed=settings.seed,
        per_band=settings.per_band,
    )
    return data


def _write_data_tables(run_dir: Path, data: EmotionData, *, resumes: bool) -> None:
    """Write which recording is in which part, and which could not be read; a resumed run must have the same parts."""
    path, text = run_dir / SPLIT, format_split(data.split)
    if resumes and path.is_file() and path.read_text(encoding="utf-8") != text:
        raise CorpusError(f"{path} names other recordings than the corpus holds; bring them back, or start anew.")
    write_text_atomically(path, text)
    if data.failures:
        path = run_dir / "unreadable.csv"
        write_text_atomically(path, failure_table(data.failures))
        log.warning("%d recordings could not be read; see %s", len(data.failures), path)


def build_module(
    settings: RunSettings,
    data: EmotionData,
    configuration: Mapping[str, Any],
    encoder: Encoder | None = None,
    *,
    resumes: Path | None = None,
) -> EmotionClassifier:
    """Return the Lightning module.

    Parameters
    ----------
    encoder : the speech encoder of the settings, with its pretrained weights.
    resumes : the checkpoint whose weights the trainer will load into it.
    """
    scored = () if settings.data.split == "all" else data.split.test or data.split.validation
    libraries = _LIBRARIES if encoder is None else (*_LIBRARIES, "transformers")
    metadata = dataclasses.replace(
        settings.metadata(),
        encoder=None if encoder is None else encoder.metadata,
        class_names=data.class_names,
        protocol=settings.describe_protocol(data.split),
        corpus_root="" if data.data.corpora else str(*data.places.values()),
        corpora={name: str(place) for name, place in data.places.items()} if data.data.corpora else {},
        configuration=dict(configuration),
        versions={"ser": ser.__version__, "python": platform.python_version(), **{n: version(n) for n in libraries}},
    )
    metadata = with_scored(metadata, [recording.id for recording in scored])
    recogniser, metadata = initialise(settings, data, metadata, resumes=resumes)
    if encoder is not None and recogniser.encoder is not None:
        recogniser.encoder.load_state_dict(encoder.state_dict())
    class_counts = _class_counts(data)
    model, n_classes = settings.model, len(data.class_names)
    given = {"n_classes": n_classes, "num_classes": n_classes}
    loss = build_function(model.loss, where="model.loss", given={**given, "class_counts": class_counts})
    _check_allowed(loss, data)
    partial = {"_partial_": True}  # the module calls them with its weights, and with its optimiser
    module: EmotionClassifier = settings.module_class(
        recogniser,
        metadata,
        loss=loss,
        optimiser=build({**model.optimiser, **partial}, where="model.optimiser"),
        scheduler=build({**model.scheduler, **partial}, where="model.scheduler") if model.scheduler else None,
        scheduler_interval=model.scheduler_interval,
        scheduler_monitor=model.scheduler_monitor,
        metrics={
            name: build(values, where=f"model.metrics.{name}", given=given, base=Metric)
            for name, values in model.metrics.items()
        },
        spectrogram=settings.spectrogram,
        body_lr=model.body_lr,
        seed=settings.seed,
    )
    return module


def _class_counts(data: EmotionData) -> list[int] | list[float]:
    """Return how many training samples of each class an epoch has, on average."""
    emotions, draws = [sample.recording.emotion for sample in data.prepared["train"].samples], data.draws("train")
    if draws is None:
        counts = Counter(emotions)
        return [counts[name] for name in data.class_names]
    sums = dict.fromkeys(data.class_names, 0.0)
    for emotion, times in zip(emotions, draws.tolist(), strict=True):
        sums[emotion] += times
    return list(sums.values())


def _check_allowed(loss: Any, data: EmotionData) -> None:
    """Refuse a loss that cannot leave out the classes that a corpus lacks, or that gives classes weights."""
    if data.allowed("train") is None:
        return
    if not takes_allowed(loss):
        raise SettingsError(
            f"model.loss takes no `allowed`, but not every corpus has all of {', '.join(data.class_names)}; give "
            "model/loss=cross_entropy, or data.classes that all corpora have."
        )
    if getattr(loss, "class_weights", None) is not None:
        raise SettingsError(
            "model.loss.class_weight_power is over 0, but not every corpus has all classes, and class weights would "
            "favour those that few corpora have; give 0, or experiment=several_corpora."
        )


def _best_epoch(history: Sequence[dict[str, float]], settings: RunSettings) -> dict[str, float]:
    """Return the row of the epoch that `checkpoints/best.ckpt` has: the first of equals, without a monitor the last."""
    monitor, mode = settings.best_epoch_by
    rows = [row for row in history if monitor in row]
    if monitor is None or not rows:
        if monitor is not None:
            log.warning("%r was never logged, so the last epoch is kept; there are %s", monitor, ", ".join(history[-1]))
        return history[-1]
    sign = 1 if mode == "min" else -1
    # Lightning takes a metric that is not a number for infinitely bad.
    return min(rows, key=lambda row: math.inf if math.isnan(row[monitor]) else sign * row[monitor])


def _report(
    settings: RunSettings,
    data: EmotionData,
    module: EmotionClassifier,
    trainer: L.Trainer,
    *,
    command: str,
    defaults: Mapping[str, Any] | None,
) -> None:
    """Score the best checkpoint and write the reports, the learning curve and the loggers' last entries."""
    from ser.evaluation.figures import learning_curve_figure, save_figure
    from ser.evaluation.html_report import REPORT, write_html_report

    run_dir, evaluations = settings.run_dir, {}
    # The file is scored, read as its users will read it, not the module in memory.
    own_network = {network_name(settings.network_class): settings.network_class}
    best, own_groups = find_checkpoint(run_dir), settings.features.own_groups
    recogniser, metadata = load_recogniser(best, networks=own_network, feature_groups=own_groups)
    predictor = Predictor(TorchScorer(recogniser, temperature=metadata.temperature), metadata)
    validation = _evaluate(predictor, data, "validation")
    write_evaluation(validation, run_dir, prefix="val")
    log.info("Validation, best epoch\n%s", format_metrics(validation.results))
    if data.split.validation:  # else these are recordings that it was trained on
        _evaluate_in_context(predictor, data, "validation", validation, run_dir)
        threshold = keep_rejection_threshold(best, validation)
        log.info("A prediction of less confidence than %.0f%% is uncertain", 100 * threshold)
        metadata = dataclasses.replace(metadata, rejection_threshold=threshold)
    if data.split.test and settings.score_test:
        test = evaluations["test"] = _evaluate(predictor, data, "test")
        write_evaluation(test, run_dir / "test", prefix="test")
        log.info("Test\n%s", format_metrics(test.results))
        _evaluate_in_context(predictor, data, "test", test, run_dir / "test")
    save_figure(learning_curve_figure(module.history), run_dir / "learning_curve.png")
    recordings = [sample.recording for part in data.prepared.values() for sample in part.samples]
    sounds = {recording.id: recording.path for recording in recordings}
    write_html_report(
        run_dir / REPORT,
        evaluations | {"val": validation},
        metadata,
        title=f"{settings.run_name}, {run_dir.name}",
        command=command,
        sounds=sounds,
        history=module.history,
        defaults=defaults,
        split=data.split,
    )
    # The scaler there is of the training part, which a fine-tuned model is not normalised by.
    if settings.reference_files and not settings.per_band and settings.init_from is None:
        write_reference_files(run_dir, recogniser, data.scaler, class_names=metadata.class_names)
    for logger in trainer.loggers:
        if isinstance(logger, RunTensorBoardLogger):
            logger.log_outcome(validation, sounds)
            logger.finalize("success")
    log.info("Everything of this run is in %s", run_dir)


def _evaluate(predictor: Predictor, data: EmotionData, part: str) -> Evaluation:
    prepared, split = data.prepared[part], data.split
    recordings = [sample.recording for sample in prepared.samples]
    return score_predictions(
        recordings,
        predictor.score(prepared.features, prepared.lengths),
        predictor.class_names,
        protocol=predictor.metadata.protocol,
        others=(*split.train, *split.validation, *split.test),
    )


def _evaluate_in_context(
    predictor: Predictor, data: EmotionData, part: str, evaluation: Evaluation, folder: Path
) -> None:
    """Write what speaker context is worth on a part, where the model takes any."""
    if not predictor.metadata.context:
        return
    prepared, split = data.prepared[part], data.split
    recordings = [sample.recording for sample in prepared.samples]
    found = predict_features(predictor, prepared.features, prepared.lengths, recordings, contexts_of("curve"))
    known = (*split.train, *split.validation, *split.test)
    text = write_context_scores(folder, found, evaluation.predictions, known)
    log.info("Speaker context, %s recordings\n%s", part, text)
