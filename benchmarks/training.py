"""One epoch of training, the plain loop of the reference implementation against ours: samples per second.

    python benchmarks/training.py [--samples 1600] [--repeats 2] [--threads 2]

Both sides train the same network from the same weights on the same batches with the same dropout, in this process, in
turn. They must end with the same weights, or the two would compare different work.
"""

import argparse
import contextlib
import copy
import logging
import statistics
import time
import warnings

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ser.corpora.ravdess import EMOTIONS
from ser.data.samplers import EpochBatchSampler, FeatureDataset, epoch_seed, feature_loader
from ser.features.settings import FeatureSettings
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser
from ser.training.module import EmotionClassifier

Data = tuple[Tensor, Tensor, Tensor]
"""Features, lengths, labels."""

BATCH_SIZE = 8
SEED = 42


def plain_epoch(model: nn.Module, train: Data, validation: Data) -> float:
    """Train and validate for one epoch as the reference implementation does; return the seconds it took."""
    # A generator of its own: a loader draws a number when it starts, and dropout must begin where our side's does.
    order = [index for batch in EpochBatchSampler(train[1], batch_size=BATCH_SIZE, seed=SEED) for index in batch]
    loader = DataLoader(TensorDataset(*train), batch_size=BATCH_SIZE, sampler=order, generator=torch.Generator())
    validation_batches = DataLoader(TensorDataset(*validation), batch_size=BATCH_SIZE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    criterion = nn.CrossEntropyLoss()
    started = time.perf_counter()
    torch.manual_seed(epoch_seed(SEED, 0))
    model.train()
    loss_sum, correct = 0.0, 0
    for features, lengths, labels in loader:
        optimizer.zero_grad()
        logits, _ = model(features, lengths)
        loss = criterion(logits, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum().item()
    model.eval()
    with torch.no_grad():
        for features, lengths, labels in validation_batches:
            logits, _ = model(features, lengths)
            loss_sum += criterion(logits, labels).item() * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum().item()
    return time.perf_counter() - started


def our_epoch(classifier: EmotionClassifier, train: Data, validation: Data) -> float:
    """Train and validate for one epoch as `train.py` does, checkpoints and logs left out; return the seconds."""
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    batches, validation_batches = (
        feature_loader(FeatureDataset(*part), EpochBatchSampler(part[1], batch_size=batch_size, seed=seed))
        for part, batch_size, seed in ((train, BATCH_SIZE, SEED), (validation, 64, None))
    )
    started = time.perf_counter()
    trainer.fit(classifier, train_dataloaders=batches, val_dataloaders=validation_batches)
    return time.perf_counter() - started


def measure(*, samples: int, repeats: int) -> list[dict[str, float | str]]:
    """Return one row a side: median seconds, samples a second; raise AssertionError where the weights differ."""
    generator = torch.Generator().manual_seed(0)

    def data(count: int) -> Data:
        features = torch.randn(count, 187, 216, generator=generator)
        return features, torch.full((count,), 216), torch.randint(0, 8, (count,), generator=generator)

    train, validation = data(samples), data(samples // 8)
    metadata = ModelMetadata(
        architecture="cnn_bilstm_luong",
        network={},
        class_names=EMOTIONS,
        features=FeatureSettings(),
        protocol="benchmark",
    )
    torch.manual_seed(SEED)
    fresh = build_recogniser(metadata)
    seconds: dict[str, list[float]] = {"plain loop": [], "ser": []}
    for _ in range(repeats + 1):
        plain, ours = copy.deepcopy(fresh), copy.deepcopy(fresh)
        classifier = EmotionClassifier(ours, metadata, seed=SEED)
        seconds["plain loop"].append(plain_epoch(plain, train, validation))
        with contextlib.redirect_stderr(None):
            seconds["ser"].append(our_epoch(classifier, train, validation))
        for (name, theirs), mine in zip(plain.state_dict().items(), ours.state_dict().values(), strict=True):
            assert torch.allclose(theirs, mine, rtol=1e-5, atol=1e-6), (
                f"the two sides trained different weights: {name}"
            )
    medians = {side: statistics.median(times[1:]) for side, times in seconds.items()}  # the first warms up
    return [
        {"side": side, "seconds": median, "samples/s": samples / median, "ratio": medians["plain loop"] / median}
        for side, median in medians.items()
    ]


def main() -> list[dict[str, float | str]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1600)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    rows = measure(samples=options.samples, repeats=options.repeats)
    print(f"One epoch of {options.samples} samples at batch {BATCH_SIZE}, {options.threads} threads\n")
    print("| side | seconds (median) | samples/s | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['side']} | {row['seconds']:.2f} | {row['samples/s']:.1f} | {row['ratio']:.2f} |")
    return rows


if __name__ == "__main__":
    main()
