"""Fine-tuning on a few recordings of a speaker, against the first model alone and against training from nothing.

    python benchmarks/fine_tuning.py --first-model RUN --manifest MANIFEST.csv [--n-speakers 10] [--per-class 4]
    python benchmarks/fine_tuning.py --first-model RUN --corpus cremad --root FOLDER --speakers 1006 1008 --n 60

Each speaker is one that the first model has not been trained on. Some recordings, drawn by a fixed seed alike from each
emotion, are for training; all others of the speaker are scored, among the emotions that the speaker has recordings of
(closed set). Both trainings are those of `experiment=fine_tune`: the same recordings, batches and number of steps.
Overrides of Hydra may follow, such as model.lr=3e-4. Training from nothing has the learning rate of its own recipe,
which is higher.
"""

import argparse
import csv
import logging
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import lightning as L
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import DictConfig
from recordings import PROJECT

from ser.cli.hydra_command import CONF_FOLDER
from ser.corpora.manifest import Recording
from ser.corpora.reading import MANIFEST, find_recordings
from ser.data.files import write_text_atomically
from ser.evaluation.intervals import accuracy, unweighted_average_recall
from ser.inference.torch_backend import TorchScorer
from ser.training.config import read_run_settings
from ser.training.configuration import plain
from ser.training.fine_tuning import Initial, load_initial
from ser.training.initial_settings import fit_to_initial_model
from ser.training.run import build_data, build_module
from ser.training.trainer import build_trainer

SYSTEMS = ("first model", "from nothing", "fine-tuned")
RESAMPLES = 10_000


def recordings_by_speaker(options: argparse.Namespace) -> dict[str, list[Recording]]:
    """Return the recordings of each speaker of the corpus, sorted by name."""
    found = find_recordings(options.manifest or options.root, options.corpus or MANIFEST)
    of_speaker = defaultdict(list)
    for recording in sorted(found, key=lambda one: one.id):
        of_speaker[str(recording.speaker)].append(recording)
    return dict(of_speaker)


def choose_speakers(of_speaker: dict[str, list[Recording]], initial: Initial, options: argparse.Namespace) -> list[str]:
    """Return the speakers that are named, or some of those that the first model keeps for its own test."""
    if options.speakers:
        return list(options.speakers)
    # By their names alone: ids of a manifest have a suffix, and of several corpora the corpus before them.
    scored = {PurePosixPath(name).stem for name in initial.metadata.scored_recordings}
    unseen = [name for name, own in of_speaker.items() if any(PurePosixPath(one.id).stem in scored for one in own)]
    if not unseen:
        raise SystemExit("The first model's metadata name no speakers of this corpus as unseen; give --speakers.")
    drawn = np.random.default_rng(options.seed).permutation(sorted(unseen))[: options.n_speakers]
    return sorted(map(str, drawn))


def draw(own: Sequence[Recording], *, per_class: int, seed: int) -> set[str]:
    """Return the names of `per_class` recordings of each emotion; the seed and the speaker's recordings decide them."""
    rng, chosen = np.random.default_rng(seed), set[str]()
    for emotion in sorted({one.emotion for one in own}):
        names = [one.id for one in own if one.emotion == emotion]
        if len(names) <= per_class:
            raise SystemExit(f"{own[0].speaker} has {len(names)} recordings of {emotion}; give a smaller --per-class.")
        chosen |= {names[place] for place in rng.permutation(len(names))[:per_class]}
    return chosen


def write_table(path: Path, own: Sequence[Recording], training: set[str]) -> None:
    """Write a manifest of the recordings of a speaker."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "emotion", "speaker", "split", "start", "end"])
        for one in own:
            part = "train" if one.id in training else "test"
            rows.writerow([one.path.absolute(), one.emotion, one.speaker, part, one.start, one.end])


def configuration_of(first: str, table: Path, work: Path, cache: Path, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration of a fine-tuning on the table."""
    given = [
        *("experiment=fine_tune", f"init_from={first}", "data=manifest", f"data.manifest={table}"),
        *("data.split=official", "data.workers=1", "logger=none", "trainer.accelerator=cpu"),
        *(f"paths.run_dir={work}/run", f"paths.cache_dir={cache}"),
        *overrides,
    ]
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        configuration = compose("train", given)
    fit_to_initial_model(configuration, given)
    return configuration


def from_nothing(configuration: DictConfig, lr: float) -> DictConfig:
    """Return the configuration of a training from random weights, with the features and the network of the other."""
    changed = configuration.copy()
    changed.init_from = None
    changed.model.update({"lr": lr, "body_lr": None, "freeze": []})
    return changed


def confusions(configuration: DictConfig, initial: Initial | None = None) -> NDArray[np.int64]:
    """Train, or with `initial` do not, and return the confusion matrix of the scored recordings, rows true.

    The rows and columns are the classes of the table.
    """
    resolved = plain(configuration)
    settings = read_run_settings(resolved)
    L.seed_everything(settings.seed, verbose=False)
    data = build_data(settings)
    data.setup()
    names, prepared = data.class_names, data.prepared["validation"]
    if initial is None:
        module = build_module(settings, data, resolved)
        build_trainer(settings).fit(module, datamodule=data)
        scorer, of_model = TorchScorer(module.recogniser), names
    else:
        scorer, of_model = TorchScorer(initial.recogniser), initial.metadata.class_names
    probabilities = scorer(prepared.features, prepared.lengths).probabilities
    closed = np.stack(
        [
            probabilities[:, of_model.index(name)] if name in of_model else np.zeros(len(probabilities))
            for name in names
        ],
        axis=1,
    )
    truth = [names.index(sample.recording.emotion) for sample in prepared.samples]
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truth, closed.argmax(axis=1)), 1)
    return counts


def summary_of(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """Return the mean over speakers and the ends of its 95% interval, by a bootstrap over speakers."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each speaker and system."""
    initial, of_speaker = load_initial(options.first_model), recordings_by_speaker(options)
    print(f"First model: {initial.entry.name}, sha256 {initial.entry.sha256[:16]}\n{initial.entry.protocol}\n")
    rows: list[dict[str, Any]] = []
    for speaker in choose_speakers(of_speaker, initial, options):
        own = of_speaker.get(speaker)
        if own is None:
            raise SystemExit(f"--speakers has {speaker}, who is not in the corpus.")
        per_class = options.per_class
        if options.n is not None:
            per_class = options.n // len({one.emotion for one in own})
        training = draw(own, per_class=per_class, seed=options.seed)
        with tempfile.TemporaryDirectory() as name:
            table = Path(name) / "labels.csv"
            write_table(table, own, training)
            configuration = configuration_of(
                options.first_model, table, Path(name), options.cache.resolve(), options.overrides
            )
            found = {
                "first model": confusions(configuration, initial),
                "from nothing": confusions(from_nothing(configuration, options.lr_from_nothing)),
                "fine-tuned": confusions(configuration),
            }
        for system, counts in found.items():
            scores = {"accuracy": float(accuracy(counts)), "uar": float(unweighted_average_recall(counts))}
            rows.append(
                {"speaker": speaker, "system": system, "n_training": len(training), "n_scored": int(counts.sum())}
                | {key: round(value, 4) for key, value in scores.items()}
            )
        print(speaker, ", ".join(f"{row['system']} {row['uar']:.3f}" for row in rows[-len(found) :]), flush=True)
    return rows


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return the means over speakers with their intervals, and what fine-tuning gains, as a Markdown table."""
    lines = ["| system | UAR (95% interval over speakers) | accuracy |", "|---|---|---|"]

    def values(system: str, score: str) -> NDArray[np.float64]:
        return np.array([row[score] for row in rows if row["system"] == system])

    def line(name: str, uar: NDArray[np.float64], rate: NDArray[np.float64]) -> str:
        cells = ["{:.3f} ({:.3f} to {:.3f})".format(*summary_of(one)) for one in (uar, rate)]
        return f"| {name} | {cells[0]} | {cells[1]} |"

    lines += [line(system, values(system, "uar"), values(system, "accuracy")) for system in SYSTEMS]
    for other in SYSTEMS[:2]:
        gains = [values("fine-tuned", score) - values(other, score) for score in ("uar", "accuracy")]
        lines.append(line(f"fine-tuned minus {other}", *gains))
    return "\n".join(lines)


def main() -> list[dict[str, Any]]:
    """Measure, print a table, write the rows as CSV and return them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-model", required=True, help="a run's folder, a checkpoint, or a pretrained model")
    corpus = parser.add_mutually_exclusive_group(required=True)
    corpus.add_argument("--manifest", type=Path, help="a table of recordings with speakers")
    corpus.add_argument("--corpus", help="the name of a corpus, with --root")
    parser.add_argument("--root", type=Path, help="the folder of the corpus")
    parser.add_argument("--speakers", nargs="+", help="their names; else some that the first model kept for its test")
    parser.add_argument("--n-speakers", type=int, default=10)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--per-class", type=int, default=4, help="training recordings of each emotion")
    size.add_argument("--n", type=int, help="training recordings in all, alike from each emotion")
    parser.add_argument("--seed", type=int, default=0, help="of speakers and training recordings")
    parser.add_argument("--lr-from-nothing", type=float, default=3e-3)
    parser.add_argument("--cache", type=Path, default=PROJECT / "outputs" / "cache", help="of features")
    parser.add_argument("--output", type=Path, help="a CSV file, a row for each speaker and system")
    options, options.overrides = parser.parse_known_args()
    if unknown := [word for word in options.overrides if word.startswith("-") or "=" not in word]:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    if options.corpus and options.root is None:
        parser.error("--corpus needs --root")
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric", "ser"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    rows = measure(options)
    print(f"\n{table_of(rows)}")
    if options.output:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        write_text_atomically(options.output, "\n".join(lines) + "\n")
    return rows


if __name__ == "__main__":
    main()
