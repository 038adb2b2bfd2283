"""Runs of a cross-validation that were never trained: only what they would have left behind."""

from pathlib import Path

import numpy as np
import pytest

from ser.corpora.ravdess import CHANNELS, EMOTIONS, expected_names
from ser.corpora.splits import FOLDS
from ser.data.files import write_text_atomically
from ser.evaluation.report import Evaluation, ScoredRecording, format_predictions
from ser.training.config import read_run_settings
from ser.training.cross_validation.plan import FoldRun


@pytest.fixture
def fold_run(tmp_path):
    """Return a run of `fold` and `seed` in a folder of its own; nothing is in it."""

    def make(fold, seed, **settings):
        folder = tmp_path / f"fold_{fold}_seed_{seed}"
        configuration = {
            "data": {"split": "speaker", "fold": fold},
            "features": {},
            "augment": {},
            "model": {},
            "trainer": {"max_epochs": 1},
            "callbacks": {},
            "logger": {},
            "paths": {"output_dir": "o", "run_dir": str(folder), "cache_dir": "o/cache", "data_dir": "data"},
            "seed": seed,
            "run_name": "test",
        } | settings
        return FoldRun(fold=fold, seed=seed, configuration=configuration, settings=read_run_settings(configuration))

    return make


@pytest.fixture
def finished_run(fold_run):
    """The same with made-up predictions of the fold's actors: right somewhat more often than not, and overconfident."""

    def make(fold, seed, **settings):
        run = fold_run(fold, seed, **settings)
        rng = np.random.default_rng([seed, *map(ord, fold)])
        actors = {"validation": FOLDS[fold].validation, "test": FOLDS[fold].test}
        for part in run.parts:
            names = [n for channel in CHANNELS for n in expected_names(channel) if n.actor in actors[part]]
            logits = rng.normal(scale=3, size=(len(names), 8))
            logits[np.arange(len(names)), [EMOTIONS.index(name.emotion) for name in names]] += 5
            shares = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
            shares /= shares.sum(axis=1, keepdims=True)
            recordings = tuple(
                ScoredRecording(
                    file=name.stem,
                    actor=name.actor,
                    channel=name.channel,
                    true=name.emotion,
                    probabilities=tuple(map(float, row)),
                )
                for name, row in zip(names, shares, strict=True)
            )
            evaluation = Evaluation(class_names=EMOTIONS, recordings=recordings, protocol="Made up.")
            write_text_atomically(run.predictions(part), format_predictions(evaluation))
        Path(run.folder / "learning_curve.png").touch()
        return run

    return make
