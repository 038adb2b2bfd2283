"""Speaker context in the results of a cross-validation: pooled over its folds, averaged over its seeds."""

import csv
import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, log_loss

from ser.corpora.ravdess import EMOTIONS
from ser.evaluation.context.draws import ALL, NONE, SPEAKER, Context
from ser.evaluation.context.predictions import FILE, ContextPredictions, write_context_predictions
from ser.evaluation.context.scores import TABLE
from ser.evaluation.cross_validation.report import write_results
from ser.evaluation.cross_validation.summary import summarise
from ser.evaluation.predictions import class_numbers, probabilities_of, read_predictions

CONTEXTS = (Context(NONE, 0), Context(SPEAKER, 5), Context(SPEAKER, ALL))


@pytest.fixture(scope="module")
def made(cross_validation):
    """A cross-validation whose models are right in context, and better the larger it is."""
    made = cross_validation()
    for run in made.runs:
        for part in made.parts:
            table = read_predictions(run.predictions(part))
            before, truth = probabilities_of(table), np.eye(8)[class_numbers(table)]
            rng = np.random.default_rng(len(table))
            better = [np.where(rng.random((len(table), 1)) < share, truth, before) for share in (0.3, 0.8)]
            found = ContextPredictions(
                files=tuple(table["file"]),
                contexts=CONTEXTS,
                sizes=np.array([np.full(len(table), size) for size in (0, 5, 20)]),
                probabilities=np.array([before, *better], dtype=np.float32),
            )
            write_context_predictions(run.predictions(part).with_name(FILE), found)
    return made


@pytest.fixture(scope="module")
def written(made):
    summary = summarise(made)
    return summary, write_results(summary, made.folder)


def test_folds_are_one_set_and_seeds_are_averaged(written, made):
    summary, _ = written
    assert list(summary.results["context"]) == list(made.parts)
    for part, rows in summary.results["context"].items():
        assert [(row["kind"], row["k"], row["context_size"]) for row in rows] == [
            ("none", 0, 0.0), ("speaker", 5, 5.0), ("speaker", "all", 20.0),
        ]  # fmt: skip
        uars = []
        for place, row in enumerate(rows):
            by_seed = []
            for seed in made.seeds:
                pairs = [
                    (read_predictions(run.predictions(part)), np.load(run.predictions(part).with_name(FILE)))
                    for run in made.runs
                    if run.seed == seed
                ]
                truth = np.concatenate([class_numbers(table) for table, _ in pairs])
                chosen = np.concatenate([file["probabilities"][place].argmax(axis=1) for _, file in pairs])
                by_seed.append(balanced_accuracy_score(truth, chosen))
            assert row["uar"] == pytest.approx(np.mean(by_seed))
            assert row["n_recordings"] == len(truth)
            assert row["uar_low"] < row["uar"] < row["uar_high"]
            uars.append(row["uar"])
            assert row["uar_lost"] == pytest.approx(uars[0] - uars[-1])
        assert uars == sorted(uars)
        assert rows[2]["uar_lost_high"] < -0.05  # a gain beyond doubt
        # Of the two parts the scores without context are those of the whole table.
        pooled = summary.results["summary"][part]["pooled"]
        assert rows[0]["uar"] == pytest.approx(pooled["uar"]["mean"])
        assert [rows[0]["uar_low"], rows[0]["uar_high"]] == pytest.approx(pooled["interval_95"]["uar"])


def test_temperature_and_threshold_are_chosen_on_every_context_of_the_speaker(written, made):
    """Of the first run: without context, with 5, and with all, each as much."""
    run, entry = made.runs[0], written[0].results["runs"][0]
    table = read_predictions(run.predictions("validation"))
    truth = np.tile(class_numbers(table), 3)
    found = np.load(run.predictions("validation").with_name(FILE))["probabilities"].astype(np.float64)
    logs = np.log(np.concatenate(found).clip(min=1e-12))

    def probabilities(temperature):
        return softmax(logs / temperature, axis=1)

    best = minimize_scalar(lambda t: log_loss(truth, probabilities(np.exp(t)), labels=range(8)), bounds=(-3, 3))
    assert entry["temperature"] == pytest.approx(np.exp(best.x), rel=0.01)
    confidence = probabilities(entry["temperature"]).max(axis=1)
    kept = confidence >= entry["rejection_threshold"] - 1e-9
    right = np.concatenate(found).argmax(axis=1) == truth
    assert right[kept].mean() >= made.target_selective_accuracy
    assert kept[truth.size // 3 :].any()


def test_the_tables_are_written(written, made):
    summary, text = written
    assert "## Speaker context: test recordings" in text
    assert "| context" in text
    rows = list(csv.DictReader((made.folder / TABLE).open(encoding="utf-8")))
    assert [(row["part"], row["kind"], row["k"]) for row in rows][:3] == [
        ("validation", "none", "0"), ("validation", "speaker", "5"), ("validation", "speaker", "all"),
    ]  # fmt: skip
    assert float(rows[-1]["uar"]) == pytest.approx(summary.results["context"]["test"][-1]["uar"])
    kept = json.loads((made.folder / "results.json").read_text(encoding="utf-8"))
    assert kept["context"] == summary.results["context"]


def test_runs_without_context_have_no_table(made, tmp_path, undrawn):
    (made.runs[0].folder / FILE).unlink()
    assert list(summarise(made).results["context"]) == ["test"]
    (made.runs[1].folder / "test" / FILE).unlink()
    summary = summarise(made)
    assert summary.results["context"] == {}
    text = write_results(summary, tmp_path)
    assert "Speaker context" not in text
    assert not (tmp_path / TABLE).exists()
    assert EMOTIONS[0] in text
