"""Leave one corpus out: each fold tests one corpus, and its model has the classes of the others."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.corpora.manifest import Recording
from ser.errors import CorpusError
from ser.evaluation.calibration import apply_temperature, fit_rejection_threshold, fit_temperature
from ser.evaluation.cross_validation.record import CrossValidation, read_cross_validation
from ser.evaluation.cross_validation.report import format_results, write_results
from ser.evaluation.cross_validation.summary import summarise
from ser.evaluation.predictions import format_predictions, prediction_table

CLASSES = ("neutral", "calm", "happy", "sad")
HAS = {"ravdess": CLASSES, "kemotts": ("neutral", "happy", "sad"), "mine": ("happy", "sad")}
KNOWN = {left: tuple(c for c in CLASSES if any(c in HAS[o] for o in HAS if o != left)) for left in HAS}
"""Without RAVDESS, no model knows calm."""


def recordings_of(corpus, classes, n_speakers):
    emotions = [emotion for emotion in HAS[corpus] if emotion in classes]
    named = [(f"{corpus}/{speaker}", emotion) for speaker in range(n_speakers) for emotion in emotions]
    return [
        Recording(path=Path(), id=f"{speaker}-{emotion}-{take}", emotion=emotion, speaker=speaker, corpus=corpus)
        for speaker, emotion in named
        for take in range(4)
    ]


@pytest.fixture(scope="module")
def left_out(tmp_path_factory):
    made = CrossValidation(
        folder=tmp_path_factory.mktemp("corpora"),
        protocol="Each corpus left out in turn.",
        folds=tuple(f"corpus_{name}" for name in HAS),
        seeds=(0, 1),
        parts=("validation", "test"),
        class_names=CLASSES,
        bootstrap_resamples=2000,
        bootstrap_seed=0,
        target_selective_accuracy=0.6,
    )
    for run in made.runs:
        corpus = run.fold.removeprefix("corpus_")
        classes, rng = KNOWN[corpus], np.random.default_rng([run.seed, len(corpus)])
        parts = {
            "validation": [one for name in HAS if name != corpus for one in recordings_of(name, classes, 2)],
            "test": recordings_of(corpus, classes, 5),
        }
        for part, recordings in parts.items():
            logits = rng.normal(scale=3, size=(len(recordings), len(classes)))
            logits[np.arange(len(recordings)), [classes.index(one.emotion) for one in recordings]] += 4
            probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            path = run.predictions(part)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(format_predictions(prediction_table(recordings, probabilities, classes)))
    return made


@pytest.fixture(scope="module")
def summary(left_out):
    return summarise(left_out)


def read(run, part="test"):
    return pd.read_csv(run.predictions(part))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_each_corpus_has_the_scores_of_its_own_fold(left_out, summary):
    test = summary.results["summary"]["test"]
    assert list(test["by_corpus"]) == sorted(HAS)
    open_set, closed_set = {}, {}
    for corpus, has in HAS.items():
        tables = [read(run) for run in left_out.runs if run.fold == f"corpus_{corpus}"]
        columns = [f"p_{name}" for name in CLASSES if name in has and name in KNOWN[corpus]]
        guess = [table[columns].idxmax(axis=1).str.removeprefix("p_") for table in tables]
        open_set[corpus] = [balanced_accuracy_score(one.true, one.predicted) for one in tables]
        closed_set[corpus] = [balanced_accuracy_score(one.true, g) for one, g in zip(tables, guess, strict=True)]
        found = test["by_corpus"][corpus]
        assert found["n_recordings"] == len(tables[0])
        assert found["n_speakers"] == 5
        assert found["classes"] == list(has)
        assert found["uar"]["mean"] == pytest.approx(np.mean(open_set[corpus]))
        assert found["closed_set_uar"]["mean"] == pytest.approx(np.mean(closed_set[corpus]))
        low, high = found["closed_set_uar_interval_95"]
        assert low < found["closed_set_uar"]["mean"] < high
    assert np.mean(closed_set["mine"]) > np.mean(open_set["mine"])  # two classes of four
    for name, scores in (("uar", open_set), ("closed_set_uar", closed_set)):
        by_seed = np.mean(list(scores.values()), axis=0)
        expected = {"mean": by_seed.mean(), "sd": by_seed.std(ddof=1)}
        assert test["mean_over_corpora"][name] == pytest.approx(expected)


def test_a_class_that_a_model_does_not_know_has_no_probability(left_out, summary):
    rows = summary.predictions[(summary.predictions["fold"] == "corpus_ravdess") & (summary.predictions["seed"] == "0")]
    assert (rows["p_calm"] == 0).all()
    assert (rows["c_calm"] == 0).all()
    assert list(rows["predicted"].cat.categories) == list(CLASSES)
    assert "calm" not in set(rows["predicted"])


def test_a_model_is_calibrated_on_what_the_others_predict_of_their_corpora(left_out, summary):
    """By the geometric mean of their temperatures and the mean of their thresholds, so that each counts once."""
    tables = []
    for run in left_out.runs[1:3]:  # seed 0, all but RAVDESS
        known, table = list(KNOWN[run.fold.removeprefix("corpus_")]), read(run)
        tables.append((table[[f"p_{name}" for name in known]].to_numpy(), table.true.map(known.index).to_numpy()))
    temperature = np.exp(np.mean([np.log(fit_temperature(*one)) for one in tables]))
    entry = summary.results["runs"][0]
    assert (entry["fold"], entry["seed"]) == ("corpus_ravdess", "0")
    assert entry["temperature"] == pytest.approx(temperature)
    thresholds = [fit_rejection_threshold(apply_temperature(p, temperature), t, accuracy=0.6) for p, t in tables]
    assert entry["rejection_threshold"] == pytest.approx(np.mean([1.0 if t is None else t for t in thresholds]))
    assert "Validation recordings chose" not in format_results(summary.results | {"keeps_last": True})


def test_the_report_has_a_row_for_each_corpus_and_their_mean(summary, tmp_path):
    write_results(summary, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == summary.results
    text = format_results(summary.results)
    block = text.split("## By corpus: test recordings\n\n")[1].split("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block]
    assert head == [
        "corpus", "recordings", "speakers", "classes", "UAR", "closed-set UAR", "95% interval", "ECE", "ECE, T",
        "coverage", "sel. acc.",
    ]  # fmt: skip
    assert [row[:4] for row in rows] == [
        ["kemotts", "60", "5", "3"], ["mine", "40", "5", "2"], ["ravdess", "60", "5", "4"],
        ["mean over corpora", "", "", ""],
    ]  # fmt: skip
    one = summary.results["summary"]["test"]["by_corpus"]["mine"]["closed_set_uar"]
    assert rows[1][5] == f"{one['mean']:.2%} ± {one['sd']:.2%}"
    assert "Closed-set: among those that the corpus has" in text
    pooled = pd.read_csv(tmp_path / "predictions.csv", dtype={"seed": str})
    assert set(pooled["corpus"]) == set(HAS)
    assert (pooled[pooled["fold"] == "corpus_ravdess"]["p_calm"] == 0).all()


def test_it_is_read_back_and_a_file_of_other_classes_is_refused(left_out, summary, tmp_path):
    write_results(summary, left_out.folder)
    assert read_cross_validation(left_out.folder) == left_out
    run = left_out.runs[0]
    before = run.predictions("test").read_text()
    run.predictions("test").write_text(before.replace("p_neutral", "p_bored").replace("neutral", "bored"))
    with pytest.raises(CorpusError, match="is not the predictions of a run of these classes"):
        summarise(left_out)
    rows = recordings_of("ravdess", ("happy", "sad"), 2)
    run.predictions("test").write_text(
        format_predictions(prediction_table(rows, [(0.5, 0.5)] * len(rows), ("happy", "sad")))
    )
    with pytest.raises(CorpusError, match="is of other classes than the run's"):
        summarise(left_out)
    run.predictions("test").write_text(before)
