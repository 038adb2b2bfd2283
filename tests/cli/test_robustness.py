"""`ser robustness`, on a cross-validation of random networks: two folds, two seeds."""

import json
import shutil
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.cli.main import main
from ser.corpora.ravdess import EMOTIONS
from ser.corpora.reading import find_recordings
from ser.evaluation.robustness.sound_changes import CHANGES, load_changed_features
from ser.inference.predictor import Predictor
from tests.command_line import is_one_sentence

COLUMNS = [f"p_{name}" for name in EMOTIONS]


@pytest.fixture(scope="module")
def measured(moved_cross_validation):
    assert main(["robustness", str(moved_cross_validation), "--part=test", "--workers=1"]) == 0
    return json.loads((moved_cross_validation / "test" / "robustness.json").read_text())


def test_unchanged_has_the_scores_of_the_cross_validation(measured, moved_cross_validation):
    results = json.loads((moved_cross_validation / "results.json").read_text())
    pooled = results["summary"]["test"]["pooled"]
    unchanged = measured["changes"]["unchanged"]
    assert unchanged["uar"] == pytest.approx(pooled["uar"]["mean"])
    assert unchanged["uar_interval_95"] == pytest.approx(pooled["interval_95"]["uar"])
    assert (unchanged["loss"], unchanged["loss_interval_95"]) == (0, [0, 0])
    assert measured["protocol"] == results["protocol"]
    assert measured["n_recordings"] * 2 == pooled["all_seeds"]["n_recordings"]


def test_each_change_is_scored_by_the_runs_to_which_the_actor_is_unseen(
    measured, moved_cross_validation, scored_cross_validation
):
    """The same by hand: one change, recording by recording, scored by scikit-learn."""
    recordings = {r.id: r for r in find_recordings(scored_cross_validation / "voices")}
    place = 1 + list(CHANGES).index("noise_10_db")
    changed = cache(lambda file, settings: load_changed_features(recordings[file], settings=settings))
    uars = []
    for seed in (0, 1):
        true, predicted = [], []
        for fold in (0, 4):
            run = moved_cross_validation / f"fold_subject_wise_{fold}_seed_{seed}"
            predictor = Predictor.load(run)
            table = pd.read_csv(run / "test" / "predictions.csv")
            for row in table.itertuples():
                features, lengths = changed(row.file, predictor.metadata.features)
                probabilities = predictor.score(features[[place]], lengths[[place]])[0]
                predicted.append(EMOTIONS[probabilities.argmax()])
                true.append(row.true)
        uars.append(balanced_accuracy_score(true, predicted))
    noisy, unchanged = measured["changes"]["noise_10_db"], measured["changes"]["unchanged"]
    assert list(noisy["uar_by_seed"].values()) == pytest.approx(uars)
    assert noisy["uar"] == pytest.approx(np.mean(uars))
    assert noisy["loss"] == pytest.approx(unchanged["uar"] - noisy["uar"])
    low, high = noisy["loss_interval_95"]
    assert low <= noisy["loss"] <= high
    assert list(measured["changes"]) == ["unchanged", *CHANGES]


def test_the_table_says_what_the_json_says(measured, moved_cross_validation):
    text = (moved_cross_validation / "test" / "robustness.md").read_text()
    assert text.splitlines()[2] == measured["protocol"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    for one, row in zip(measured["changes"].values(), rows[2:], strict=True):
        assert row[:2] == [one["label"], f"{one['uar']:.2%}"]
    assert rows[-1][3] == f"{measured['changes']['rir']['loss']:.2%}"
    assert "Scored: 60 test recordings of all folds pooled" in text


def test_some_recordings_of_the_validation_part_by_two_workers(moved_cross_validation, capsys):
    assert main(["robustness", str(moved_cross_validation), "--count=10", "--workers=2"]) == 0
    first = (moved_cross_validation / "robustness.json").read_bytes()
    assert (moved_cross_validation / "robustness.md").read_text() == capsys.readouterr().out
    scored = "Scored: 20 of 60, drawn by chance, validation recordings"
    assert scored in (moved_cross_validation / "robustness.md").read_text()
    assert json.loads(first)["n_recordings"] == 20
    assert main(["robustness", str(moved_cross_validation), "--count=10", "--workers=1"]) == 0
    assert (moved_cross_validation / "robustness.json").read_bytes() == first


def test_a_run_that_predicts_differently_than_before_is_an_error(moved_cross_validation, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(moved_cross_validation, copy)
    path = copy / "fold_subject_wise_4_seed_1" / "test" / "predictions.csv"
    table = pd.read_csv(path)
    table.loc[3, COLUMNS] = table.loc[3, COLUMNS].to_numpy() * 0.999 + 0.001 / 8
    table.to_csv(path, index=False)
    assert main(["robustness", str(copy), "--part=test", "--workers=1"]) == 1
    sentence = f"fold_subject_wise_4_seed_1 predicts {table.file[3]} differently from its predictions.csv"
    assert is_one_sentence(capsys.readouterr().err, sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("{0}/nowhere", "nowhere holds no results.json; give the folder of a finished cross-"),
        ("{0} --part training", "robustness.part is 'training'; known are validation, test."),
        ("{0} --count 0", "robustness.count is 0, but should be at least 1."),
    ],
)
def test_wrong_settings_are_one_sentence(arguments, sentence, moved_cross_validation, capsys):
    assert main(["robustness", *arguments.format(moved_cross_validation).split()]) == 1
    assert is_one_sentence(capsys.readouterr().err, sentence)
