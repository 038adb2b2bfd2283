"""A cross-validation that was never trained: only the predictions that its runs would have left."""

from pathlib import Path

import numpy as np
import pytest

from ser.corpora.manifest import CHANNELS
from ser.corpora.ravdess import EMOTIONS, expected_names
from ser.corpora.splits import FOLDS
from ser.data.files import write_text_atomically
from ser.evaluation.cross_validation.record import CrossValidation
from ser.evaluation.predictions import format_predictions, prediction_table


@pytest.fixture(scope="session")
def cross_validation(tmp_path_factory):
    """A function that makes a cross-validation of two folds: more often correct than not, overconfident."""

    def make(**settings):
        made = CrossValidation(
            folder=tmp_path_factory.mktemp("cross-validation"),
            protocol="Made up; on purpose.",
            folds=("subject_wise_0", "subject_wise_4"),
            class_names=EMOTIONS,
            bootstrap_resamples=2000,
            bootstrap_seed=0,
            target_selective_accuracy=0.8,
            **{"seeds": (0, 1), "parts": ("validation", "test")} | settings,
        )
        for run in made.runs:
            rng = np.random.default_rng([run.seed, *map(ord, run.fold)])
            actors = {"validation": FOLDS[run.fold].validation, "test": FOLDS[run.fold].test}
            for part in made.parts:
                names = [n.recording(Path(n.stem)) for channel in CHANNELS for n in expected_names(channel)]
                names = [name for name in names if name.speaker in actors[part]]
                logits = rng.normal(scale=3, size=(len(names), 8))
                logits[np.arange(len(names)), [EMOTIONS.index(name.emotion) for name in names]] += 5
                probabilities = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
                probabilities /= probabilities.sum(axis=1, keepdims=True)
                predictions = format_predictions(prediction_table(names, probabilities, EMOTIONS))
                write_text_atomically(run.predictions(part), predictions)
        return made

    return make
