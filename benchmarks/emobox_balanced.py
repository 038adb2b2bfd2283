"""A model that RAVDESS was left out of, on the 240 recordings of RAVDESS that EmoBox scores across corpora.

    python benchmarks/emobox_balanced.py RUN

RUN is the folder of a run that tested RAVDESS whole, such as fold_corpus_ravdess_seed_42 of a cross-validation with
folds=corpora. Sixty recordings each are angry, happy, neutral and sad; the prediction is among these four, so chance is
25%. The names are those of emo-box/EmoBox (Ma et al. 2024, arXiv:2406.07162), in emobox_ravdess_balanced.txt. A run of
a model that takes speaker context has its scores with the contexts of its evaluation too.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ser.evaluation.context.predictions import FILE, read_context_predictions
from ser.evaluation.intervals import accuracy, confusions_by_speaker, speaker_interval
from ser.evaluation.predictions import (
    class_names_of,
    class_numbers,
    closed_set,
    read_predictions,
    resampled_units,
)

NAMES = Path(__file__).with_name("emobox_ravdess_balanced.txt")
CLASSES = ("neutral", "happy", "sad", "angry")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run / "test"
    predictions, names = read_predictions(folder / "predictions.csv"), set(NAMES.read_text().split())
    tables = {"none": predictions}
    if (folder / FILE).is_file():
        found = read_context_predictions(folder / FILE).tables(predictions)
        tables = {f"{context.kind} {context.size}": table for context, table in found.items()}
    for context, table in tables.items():
        print(f"context {context}: {scores_of(table, names)}")


def scores_of(table: pd.DataFrame, names: set[str]) -> str:
    """Return the accuracy on the named recordings, among the four classes, with its interval over actors."""
    rows = table[table["file"].str.rpartition("/")[2].isin(names)]
    if len(rows) != len(names):
        sys.exit(
            f"{len(rows)} of the {len(names)} recordings are in the run's test part; name one that tested RAVDESS."
        )
    rows = closed_set(rows, dict.fromkeys(rows["corpus"].unique(), CLASSES))
    truth, guess = class_numbers(rows), class_numbers(rows, "predicted")
    confusions = confusions_by_speaker(truth, guess, resampled_units(rows), len(class_names_of(rows)))
    counts = np.array([list(confusions.values())])
    low, high = speaker_interval(counts, accuracy, resamples=10_000, seed=0)
    interval = f"95% interval {low:.1%} to {high:.1%}"
    return f"{np.mean(truth == guess):.1%} ({interval}) of {len(rows)} recordings, {len(confusions)} actors"


if __name__ == "__main__":
    main()
