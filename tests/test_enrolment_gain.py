"""`python -m ser.enrolment_gain`, on a cross-validation of random networks: two folds, two seeds."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.corpus.names import EMOTIONS, parse_stem
from ser.corpus.recordings import find_recordings
from ser.enrolment_gain import format_gain, is_enrolled, main
from ser.predictor import Predictor

pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes")  # the enrolled were the only neutral ones


@pytest.fixture(scope="module")
def gain(judged):
    assert main([f"cross_validation={judged}", "part=test", "workers=1"]) == 0
    return json.loads((judged / "test" / "enrolment.json").read_text())


def test_both_sides_are_what_the_predictor_says_of_the_other_recordings(gain, judged, judged_cross_validation):
    paths = {recording.stem: recording.path for recording in find_recordings(judged_cross_validation / "voices")}
    plain_uars, enrolled_uars = [], []
    for seed in (0, 1):
        true, plain, enrolled = [], [], []
        for fold in (0, 4):
            run = judged / f"fold_subject_wise_{fold}_seed_{seed}"
            predictor = Predictor.load(run)
            scored = pd.read_csv(run / "test" / "predictions.csv")
            for _, of_actor in scored.groupby("actor"):
                tuned = predictor.enrol([paths[stem] for stem in of_actor.file if is_enrolled(parse_stem(stem))])
                for row in of_actor.itertuples():
                    if not is_enrolled(parse_stem(row.file)):
                        true.append(row.true)
                        plain.append(row.predicted)
                        enrolled.append(tuned.predict(paths[row.file]).emotion)
        plain_uars.append(balanced_accuracy_score(true, plain))
        enrolled_uars.append(balanced_accuracy_score(true, enrolled))
    assert gain["n_recordings"] == len(true)
    assert gain["uar"] == pytest.approx(np.mean(plain_uars))
    assert gain["uar_enrolled"] == pytest.approx(np.mean(enrolled_uars))
    assert gain["gain"] == pytest.approx(np.mean(enrolled_uars) - np.mean(plain_uars))
    assert gain["gain"] != 0
    low, high = gain["gain_interval_95"]
    assert low <= gain["gain"] <= high


def test_the_enrolled_recordings_are_neutral_and_left_out(gain, judged):
    names = [parse_stem(stem) for stem in pd.read_csv(next(judged.glob("*_0_*/test/predictions.csv"))).file]
    enrolled = [name for name in names if is_enrolled(name)]
    assert enrolled
    assert {name.emotion for name in enrolled} == {EMOTIONS[0]}
    assert gain["n_recordings"] == gain["n_actors"] * (15 - 1)  # the synthetic corpus has 15 of each actor


def test_the_table_says_what_the_json_says(gain, judged):
    text = (judged / "test" / "enrolment.md").read_text()
    assert text == format_gain(gain)
    assert f"{gain['gain']:.2%}" in text
    assert gain["protocol"] in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["part=test"], "enrolment_gain.cross_validation is missing"),
        (["cross_validation=nowhere"], "nowhere is no folder of a cross-validation"),
        (["cross_validation=nowhere", "part=train"], "part is 'train'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
