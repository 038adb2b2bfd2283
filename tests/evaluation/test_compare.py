"""`ser compare`: what it prints of two runs is what can be counted by hand."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.cli.main import main
from ser.corpora.ravdess import EMOTIONS, parse_stem
from ser.evaluation.compare import as_csv, as_json, as_text, compare
from ser.evaluation.predictions import format_predictions, prediction_table
from tests.command_line import is_one_sentence

SPEAKERS, CLASSES = (1, 2, 3, 4), ("calm", "happy", "sad")
STEMS = [
    f"03-01-{EMOTIONS.index(name) + 1:02}-01-01-{take:02}-{speaker:02}"
    for speaker in SPEAKERS
    for name in CLASSES
    for take in (1, 2)
]


def write_run(folder, wrong=(), *, stems=STEMS, class_names=CLASSES, protocol=None):
    """Write the predictions of a run that is right everywhere but in `wrong`, stem -> class."""
    names = [parse_stem(stem).recording(Path(stem)) for stem in stems]
    predicted = [dict(wrong).get(name.id, name.emotion) for name in names]
    probabilities = np.full((len(names), len(class_names)), 0.1 / (len(class_names) - 1))
    for row, emotion in zip(probabilities, predicted, strict=True):
        row[class_names.index(emotion)] = 0.9
    folder.mkdir(parents=True)
    table = prediction_table(names, probabilities, class_names)
    (folder / "predictions.csv").write_text(format_predictions(table))
    if protocol:
        (folder / "metrics.json").write_text(json.dumps({"protocol": protocol}))
    return folder


@pytest.fixture
def runs(tmp_path):
    """A run that is wrong in two sad recordings, and one that is right in one of them and wrong in another three."""
    sad = [stem for stem in STEMS if parse_stem(stem).emotion == "sad"]
    before = {sad[0]: "calm", sad[1]: "happy"}
    after = {sad[0]: "happy", sad[3]: "calm", sad[5]: "calm", STEMS[0]: "sad"}
    return write_run(tmp_path / "a", before, protocol="Random split."), write_run(tmp_path / "b", after), before, after


def test_metrics_differences_and_changes_are_those_counted_by_hand(runs):
    first, second, before, after = runs
    comparison = compare([first, second])
    assert (comparison.n_recordings, comparison.n_speakers, comparison.n_left_out) == (24, 4, 0)
    true = [parse_stem(stem).emotion for stem in STEMS]
    uars = [balanced_accuracy_score(true, [w.get(s, t) for s, t in zip(STEMS, true, strict=True)]) for w in runs[2:]]
    one, two = comparison.runs
    assert (one.metrics["uar"], two.metrics["uar"]) == pytest.approx(uars)
    assert (one.uar_difference, two.uar_difference) == pytest.approx((0, uars[1] - uars[0]))
    assert one.uar_difference_interval_95 == (0, 0)
    low, high = two.uar_difference_interval_95
    assert low < two.uar_difference < high
    assert one.changed.empty
    (right,) = set(before) - set(after)
    wrong = sorted(set(after) - set(before))
    assert list(two.changed["file"]) == [right, *wrong]
    assert list(two.changed["change"]) == ["wrong_to_right", *["right_to_wrong"] * 3]
    assert tuple(two.changed.iloc[0])[1:4] == ("sad", "happy", "sad")


def test_text_json_and_csv_hold_the_same(runs):
    comparison = compare(runs[:2])
    second = comparison.runs[1]
    text = as_text(comparison)
    assert text.startswith(f"{runs[0]}: Random split.\n\nScored by all: 24 recordings of 4 speakers.\n")
    row = [
        cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(f"| {runs[1]}")).split("|")
    ]
    assert (row[3], row[6], row[8:10]) == (f"{second.metrics['uar']:.2%}", f"{second.uar_difference:.2%}", ["1", "3"])
    assert all(f"| {file} " in text for file in second.changed["file"])
    plain = json.loads(as_json(comparison))["runs"][1]
    assert plain["metrics"] == second.metrics
    assert plain["changed"] == second.changed.to_dict("records")
    first_row, row = csv.DictReader(io.StringIO(as_csv(comparison)))
    assert first_row["wrong_to_right"] == first_row["right_to_wrong"] == ""
    assert float(row["uar_difference"]) == pytest.approx(second.uar_difference)
    assert float(row["uar_difference_low"]) == pytest.approx(second.uar_difference_interval_95[0])
    assert [*row["wrong_to_right"].split(), *row["right_to_wrong"].split()] == list(second.changed["file"])


def test_only_what_all_have_scored_counts_and_classes_may_differ(tmp_path):
    first = write_run(tmp_path / "a", {STEMS[0]: "sad"}, stems=STEMS[:18])
    second = write_run(tmp_path / "b", {STEMS[7]: "angry"}, stems=STEMS[6:], class_names=(*CLASSES, "angry"))
    third = write_run(tmp_path / "c", stems=STEMS[6:12])
    comparison = compare([first, second, third])
    assert (comparison.n_recordings, comparison.n_speakers, comparison.n_left_out) == (6, 1, 18)
    assert [one.metrics["uar"] for one in comparison.runs] == pytest.approx([1, 5 / 6, 1])
    assert [one.uar_difference_interval_95 for one in comparison.runs] == [None] * 3  # one speaker varies by nothing
    assert "6 recordings of 1 speaker; 18 others were left out." in as_text(comparison)


def test_a_folder_of_runs_is_its_newest_and_the_command_prints_all_three_ways(tmp_path, runs, capsys):
    newest = write_run(tmp_path / "train" / "2026-01-01")
    write_run(tmp_path / "train" / "killed")
    (newest / "job.json").write_text("{}")
    assert main(["compare", "--json", str(runs[0]), str(tmp_path / "train")]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][1]["run"] == str(newest)
    for option in ([], ["--csv"]):
        assert main(["compare", str(runs[0]), *option, str(tmp_path / "train")]) == 0
        assert str(newest) in capsys.readouterr().out


def test_what_cannot_be_compared_is_one_sentence(tmp_path, runs, capsys):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "other", stems=[stem.replace("03-01", "03-02") for stem in STEMS])
    for name, content in (("broken", ""), ("foreign", "a,b\n1,2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.csv").write_text(content)
    for arguments, sentence in (
        (["a"], "Two or more different runs are compared, but given were"),
        (["a", "b/../a"], "Two or more different runs are compared, but given were"),
        (["a", "empty"], "empty holds no predictions.csv; give the folder of a finished run"),
        (["a", "nowhere"], "nowhere is no folder; give the folder of a finished run or of an evaluation."),
        (["a", "broken/predictions.csv"], f"predictions.csv is a file; give its folder, {tmp_path / 'broken'}."),
        (["a", "other"], "There is no recording that all of"),
        (["a", "broken"], "broken/predictions.csv is not the predictions of a run; give the folder of another run."),
        (["a", "foreign"], "foreign/predictions.csv is not the predictions of a run; give the folder of another run."),
    ):
        assert main(["compare", *(str(tmp_path / name) for name in arguments)]) == 1
        assert is_one_sentence(capsys.readouterr().err, sentence), sentence
