"""Epochs of three recipes on the CPU and on a GPU, in 32 bits and in bf16: seconds, memory, and whether curves agree.

    python benchmarks/gpu.py [--samples 1024] [--epochs 3] [--threads 0] [--device cuda]

Sounds are made up, as features; of the project only networks, augmentation and training are needed: no corpus, no
librosa, no Hydra. Features are on the device before training, as in `ser train`. Each side trains the same weights on
the same batches and the same augmentation. Dropout is off, since its random numbers are others on a GPU: so the curves
of 32 bits must agree, but for rounding, and the command fails where they do not.
"""

import argparse
import contextlib
import logging
import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from functools import partial

import lightning as L
import torch
from torch import Tensor, nn

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.data.samplers import EpochBatchSampler, FeatureDataset, SpeakerBatchSampler, feature_loader
from ser.features.settings import FeatureSettings
from ser.models.metadata import ModelMetadata
from ser.models.networks.context_bilstm import ContextBiLstm
from ser.models.precision import computes_in_bf16
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser
from ser.training.context import fit_statistics
from ser.training.module import EmotionClassifier
from ser.training.optimiser import adam

CLASSES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprise")
SEED = 42
PER_SPEAKER = 8
STRONG = SpectrogramAugmentSettings(
    vtlp=0.1, speed=0.15, rir=0.3, eq=0.5, telephone=0.1, noise=0.4, n_masks=2, freq_mask=8, time_mask=12
)
TOLERANCE = 2e-2
"""Between the losses of an epoch in 32 bits, relative: sums in another order, over some hundred steps of training."""


@dataclass(frozen=True)
class Recipe:
    """What decides on the work of a step."""

    architecture: str
    n_rows: int
    n_frames: int
    batch_size: int
    lr: float
    features: FeatureSettings
    spectrogram: SpectrogramAugmentSettings


LOGMEL = FeatureSettings(groups=("logmel", "pitch"), n_mels=64, sample_rate=16000, hop_length=320, max_length=256)
RECIPES = {
    "baseline": Recipe("cnn_bilstm_luong", 187, 216, 8, 1e-4, FeatureSettings(), SpectrogramAugmentSettings()),
    "logmel_resbilstm": Recipe("residual_bilstm", 66, 200, 32, 1e-3, LOGMEL, STRONG),
    "voices": Recipe("context_bilstm", 66, 150, 64, 1e-3, LOGMEL, STRONG),
}


@dataclass(frozen=True)
class Measured:
    """Of one side: the median seconds of an epoch, its first left out; the loss of each epoch; MiB on the device."""

    seconds: float
    losses: list[float]
    memory: float | None


class _Clock(L.Callback):
    """Note when each epoch of training begins and ends; what the device has been given is done by then."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._wait(pl_module)
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._wait(pl_module)
        self.seconds.append(time.perf_counter() - self._started)

    def _wait(self, module: L.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)


def made_up(recipe: Recipe, samples: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features float32 [samples, rows, frames], lengths, labels and speakers int64 [samples].

    A class has a spectrum of its own, so that there is something to learn.
    """
    draws = torch.Generator().manual_seed(SEED)
    labels = torch.randint(len(CLASSES), (samples,), generator=draws)
    spectra = torch.randn(len(CLASSES), recipe.n_rows, 1, generator=draws)
    features = torch.randn(samples, recipe.n_rows, recipe.n_frames, generator=draws) + spectra[labels]
    if recipe.spectrogram.changes_sound:
        features = 6 * features - 40  # decibels
        features[:, 64:] = 0.5 + 0.1 * features[:, 64:] / 40
    lengths = torch.randint(recipe.n_frames // 2, recipe.n_frames + 1, (samples,), generator=draws)
    lengths[0] = recipe.n_frames
    features *= torch.arange(recipe.n_frames) < lengths[:, None, None]
    return features, lengths, labels, torch.arange(samples) // (2 * PER_SPEAKER)


def fresh_recogniser(recipe: Recipe, data: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Recogniser, ModelMetadata]:
    """Return random weights without dropout, and the metadata."""
    metadata = ModelMetadata(
        architecture=recipe.architecture,
        network={},
        class_names=CLASSES,
        features=recipe.features,
        protocol="benchmark",
    )
    torch.manual_seed(SEED)
    recogniser = build_recogniser(metadata)
    for module in recogniser.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    if isinstance(recogniser.network, ContextBiLstm):
        features, lengths, labels, speakers = data
        fit_statistics(recogniser.network, features, lengths, speakers, labels)
    elif recipe.spectrogram.changes_sound:
        shape = recogniser.normalisation.mean.shape
        recogniser.normalisation.set_statistics(torch.full(shape, -40.0), torch.full(shape, 8.0))
    return recogniser, metadata


def train(recipe: Recipe, *, samples: int, epochs: int, device: str, precision: str) -> Measured:
    """Train for some epochs by `EmotionClassifier` on a device ("cpu", "cuda", ...), and measure."""
    data = made_up(recipe, samples)
    recogniser, metadata = fresh_recogniser(recipe, data)
    features, lengths, labels, speakers = (one.to(device) for one in data)
    if isinstance(recogniser.network, ContextBiLstm):
        allowed = torch.ones(samples, len(CLASSES), dtype=torch.bool, device=device)
        dataset = FeatureDataset(features, lengths, labels, allowed, speakers, crop=True)
        batches: SpeakerBatchSampler | EpochBatchSampler = SpeakerBatchSampler(
            data[3], torch.arange(samples), batch_size=recipe.batch_size, per_speaker=PER_SPEAKER, seed=SEED
        )
    else:
        is_per_band = recipe.spectrogram.changes_sound
        dataset = FeatureDataset(features, lengths, labels, crop=is_per_band)
        batches = EpochBatchSampler(data[1], batch_size=recipe.batch_size, seed=SEED, by_length=is_per_band)
    classifier = EmotionClassifier(
        recogniser, metadata, optimiser=partial(adam, lr=recipe.lr), spectrogram=recipe.spectrogram, seed=SEED
    )
    clock = _Clock()
    trainer = L.Trainer(
        accelerator="cpu" if device == "cpu" else "gpu",
        devices=1,
        precision=precision,  # type: ignore[arg-type]  # one of Lightning's names
        max_epochs=epochs,
        gradient_clip_val=5.0,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.redirect_stderr(None):
        trainer.fit(classifier, train_dataloaders=feature_loader(dataset, batches))
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
    return Measured(
        seconds=statistics.median(clock.seconds[1:] or clock.seconds),
        losses=[row["train/loss"] for row in classifier.history],
        memory=memory,
    )


def measure(*, samples: int, epochs: int, device: str) -> list[dict[str, float | str | None]]:
    """Return a row for each recipe and side; raise AssertionError where curves in 32 bits differ."""
    rows: list[dict[str, float | str | None]] = []
    for name, recipe in RECIPES.items():
        on_cpu = train(recipe, samples=samples, epochs=epochs, device="cpu", precision="32-true")
        sides = {("cpu", "32-true"): on_cpu}
        in_16_bits = ("bf16-mixed",) if computes_in_bf16(torch.device(device)) else ()
        for precision in ("32-true", *in_16_bits):
            sides[device, precision] = train(recipe, samples=samples, epochs=epochs, device=device, precision=precision)
        for (where, precision), found in sides.items():
            difference = max(abs(one - other) / other for one, other in zip(found.losses, on_cpu.losses, strict=True))
            if precision == "32-true":
                assert difference <= TOLERANCE, f"{name}: the losses on {where} differ by {difference:.1%}"
            rows.append(
                {
                    "recipe": name,
                    "side": f"{where}, {precision}",
                    "seconds": found.seconds,
                    "samples/s": samples / found.seconds,
                    "ratio": on_cpu.seconds / found.seconds,
                    "difference": difference,
                    "memory": found.memory,
                    "loss": found.losses[-1],
                }
            )
    return rows


def main() -> list[dict[str, float | str | None]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=3, help="the first warms up")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU side; 0: as many as PyTorch takes")
    parser.add_argument("--device", default="cuda", help="cpu rehearses the command where there is no GPU")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: there is no GPU that PyTorch can use here; --device cpu rehearses the command without one.")
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in ("lightning.pytorch", "ser"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    rows = measure(samples=options.samples, epochs=options.epochs, device=options.device)
    card = torch.cuda.get_device_name() if options.device == "cuda" else "no GPU"
    print(
        f"{card}; torch {torch.__version__}, {torch.get_num_threads()} threads on the CPU; {options.samples} samples\n"
    )
    print("| recipe | side | seconds an epoch | samples/s | ratio | losses differ by | MiB on the device | last loss |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        memory = "" if row["memory"] is None else f"{row['memory']:.0f}"
        print(
            f"| {row['recipe']} | {row['side']} | {row['seconds']:.2f} | {row['samples/s']:.0f} | {row['ratio']:.2f} "
            f"| {row['difference']:.1e} | {memory} | {row['loss']:.3f} |"
        )
    return rows


if __name__ == "__main__":
    main()
