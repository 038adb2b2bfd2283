"""Small recipes whose state is all that a checkpoint has to carry, and the comparison of two ends to the bit."""

from pathlib import Path

import torch

from ser.inference.checkpoint import read_checkpoint

EPOCHS = 6
_SMALL = (f"trainer.max_epochs={EPOCHS}", "trainer.accelerator=cpu", "~logger.tensorboard")
RECIPES = {
    # A patience of 0 and a high rate, so that ReduceLROnPlateau steps within the few epochs.
    "plateau": ("experiment=debug", "model.lr=0.02", "model.scheduler.patience=0", *_SMALL),
    # One cycle by step, EMA, batches of like length, augmentation drawn from a generator of its own.
    "logmel_resbilstm": (
        "experiment=logmel_resbilstm", "data=synthetic", "data.split=random", "data.fold=null",
        "data.synthetic.n_actors=2", "data.batch_size=16", "data.channel=speech", "model.network.channels=[8, 8]",
        "model.network.lstm_hidden=8", "spectrogram.mixup_probability=0.5", *_SMALL,
    ),
    # Batches by speaker, with contexts that are drawn.
    "voices": (
        "experiment=voices", "data=synthetic", "data.split=random", "data.fold=null", "data.weights=null",
        "data.overlapping_classes=null",
        "data.augment_corpora=null", "data.synthetic.n_actors=2", "data.batch_size=16", "data.channel=speech",
        "model.network.channels=[4, 4]", "model.network.lstm_hidden=8", *_SMALL,
    ),
}  # fmt: skip
_COMPARED = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "history")
_OF_EMA = ("current_model_state", "averaging_state")


def differences(run: Path, unbroken: Path) -> list[str]:
    """Return what of a finished run differs from an unbroken one's, and checkpoints that should not be there."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (read_checkpoint(one / "checkpoints" / name) for one in (run, unbroken))
        keys = [*_COMPARED, *(key for key in _OF_EMA if key in theirs)]
        found += [f"{name}: {key}" for key in keys if not _equal(ours[key], theirs[key])]
    for name in ("val_metrics.txt", "predictions.csv", "metrics.json"):
        if (run / name).read_bytes() != (unbroken / name).read_bytes():
            found.append(name)
    return found + [path.name for path in run.rglob("*.ckpt") if path.name not in ("last.ckpt", "best.ckpt")]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_equal, one, other))
    return one == other
