import csv
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import balanced_accuracy_score

from ser.evaluation.report import (
    Evaluation,
    ScoredRecording,
    failure_table,
    format_metrics,
    format_predictions,
    write_evaluation,
)

NAMES = ("neutral", "calm", "happy")  # RAVDESS order, which is not the alphabetical one
PROTOCOL = "Random split, seed 42: the checkpoint was chosen on these same recordings."


def _recording(file, true, probabilities, *, channel="speech", actor=1):
    return ScoredRecording(file=file, actor=actor, channel=channel, true=true, probabilities=probabilities)


@pytest.fixture
def small():
    """Five recordings: in speech two of three are recognised, in song one of two; no song is happy."""
    recordings = (
        _recording("e.wav", "calm", (0.1, 0.7, 0.2), channel="song", actor=2),
        _recording("a.wav", "neutral", (0.8, 0.1, 0.1)),
        _recording("b.wav", "happy", (0.25, 0.25, 0.5)),
        _recording("d.wav", "neutral", (0.3, 0.1, 0.6), channel="song", actor=2),
        _recording("c.wav", "calm", (0.6, 0.3, 0.1)),
    )
    return Evaluation(class_names=NAMES, recordings=recordings, protocol=PROTOCOL)


def _table(text, first_cell):
    """Return the rows of the table whose head begins with `first_cell`, as {first cell: {column: cell}}."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first_cell))
    head = re.split(r"\s{2,}", lines[start])
    rows = {}
    for line in lines[start + 1 :]:
        if not line:
            break
        cells = re.split(r"\s{2,}", line)
        rows[cells[0]] = dict(zip(head[1:], cells[1:], strict=True))
    return rows


def test_metrics_of_the_small_example(small):
    # Recalls: neutral 1/2, calm 1/2, happy 1/1.
    assert small.overall.accuracy == pytest.approx(3 / 5)
    assert small.overall.uar == pytest.approx(2 / 3)
    assert small.overall.confusion == ((1, 0, 1), (1, 1, 0), (0, 0, 1))
    assert list(small.by_channel) == ["speech", "song"]
    assert small.by_channel["speech"].accuracy == pytest.approx(2 / 3)
    assert small.by_channel["song"].uar == pytest.approx(1 / 2)
    assert small.by_channel["song"].n_recordings == 2


def test_the_text_says_the_protocol_first_and_then_the_figures(small):
    text = format_metrics(small)
    assert text.splitlines()[0] == PROTOCOL
    summary = dict(re.findall(r"^(\S+(?: \S+)?) {2,}(\S+)$", text, flags=re.MULTILINE))
    assert summary["recordings"] == "5"
    assert summary["accuracy"] == "60.00%"
    assert summary["UAR"] == "66.67%"
    # F1: neutral 2/4, calm 2/3, happy 2/3.
    assert summary["macro F1"] == "61.11%"
    assert summary["weighted F1"] == "60.00%"


def test_the_text_lists_classes_in_their_order(small):
    classes = _table(format_metrics(small), "class")
    assert list(classes) == list(NAMES)
    assert classes["neutral"] == {"recall": "50.00%", "precision": "50.00%", "F1": "50.00%", "support": "2"}
    assert classes["happy"] == {"recall": "100.00%", "precision": "50.00%", "F1": "66.67%", "support": "1"}


def test_the_text_tells_speech_from_song_where_both_occur(small):
    channels = _table(format_metrics(small), "channel")
    assert list(channels) == ["speech", "song"]
    assert channels["speech"]["recordings"] == "3"
    assert channels["speech"]["accuracy"] == "66.67%"
    assert channels["song"]["UAR"] == "50.00%"

    speech = replace(small, recordings=tuple(one for one in small.recordings if one.channel == "speech"))
    assert "channel" not in format_metrics(speech)


def test_an_undefined_share_is_a_dash(small):
    without_happy = replace(small, recordings=small.recordings[:2])
    assert _table(format_metrics(without_happy), "class")["happy"] == {
        "recall": "-",
        "precision": "-",
        "F1": "-",
        "support": "0",
    }


def test_the_tables_are_aligned(small):
    block = format_metrics(small).split("\n\n")[2].splitlines()
    assert len(block) == 1 + len(NAMES)
    assert len({len(line) for line in block}) == 1


def test_every_file_is_written_and_named(small, tmp_path):
    folder = tmp_path / "runs" / "one"
    paths = write_evaluation(small, folder, prefix="val")
    assert sorted(paths) == sorted(folder.iterdir())
    assert {path.name for path in paths} == {
        "val_metrics.txt",
        "val_confusion_matrix.txt",
        "val_confusion_matrix.png",
        "metrics.json",
        "predictions.csv",
    }
    assert (folder / "val_metrics.txt").read_text() == format_metrics(small)
    assert imread(folder / "val_confusion_matrix.png").std() > 0


def test_metrics_json_holds_the_same_facts(small, tmp_path):
    write_evaluation(small, tmp_path, prefix="test")
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert facts == small.as_plain()
    assert facts["protocol"] == PROTOCOL
    assert facts["n_recordings"] == 5
    assert facts["class_names"] == list(NAMES)
    assert facts["overall"] == pytest.approx({"accuracy": 0.6, "uar": 2 / 3, "weighted_f1": 0.6, "macro_f1": 11 / 18})
    assert list(facts["per_class"]) == list(NAMES)
    assert facts["per_class"]["calm"] == pytest.approx({"recall": 0.5, "precision": 1.0, "f1": 2 / 3, "support": 2})
    assert facts["by_channel"]["song"]["accuracy"] == 0.5
    assert facts["by_channel"]["speech"]["n_recordings"] == 3
    assert np.sum(facts["confusion_matrix"]) == 5
    # Confidences 0.8, 0.5, 0.6, 0.6, 0.7: the two of 0.6 share a bin and are wrong, the others are right and alone.
    assert facts["expected_calibration_error"] == pytest.approx((0.2 + 0.5 + 2 * 0.6 + 0.3) / 5)


def test_the_confusion_matrix_text_gives_the_matrix_back(small, tmp_path):
    write_evaluation(small, tmp_path, prefix="test")
    text = (tmp_path / "test_confusion_matrix.txt").read_text()
    assert text.startswith(PROTOCOL)
    rows = _table(text, "true")
    assert list(rows) == list(NAMES)
    assert rows["neutral"] == {"neutral": "1", "calm": "0", "happy": "1"}
    assert rows["calm"] == {"neutral": "1", "calm": "1", "happy": "0"}


def test_predictions_are_sorted_and_complete(small):
    lines = format_predictions(small).splitlines()
    assert lines[0] == "file,actor,channel,true,predicted,confidence,p_neutral,p_calm,p_happy"
    assert lines[1] == "a.wav,1,speech,neutral,neutral,0.8,0.8,0.1,0.1"
    assert lines[4] == "d.wav,2,song,neutral,happy,0.6,0.3,0.1,0.6"
    assert [line.split(",")[0] for line in lines[1:]] == ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]


def test_predictions_give_float32_probabilities_and_metrics_back(tmp_path):
    rng = np.random.default_rng(3)
    table = rng.dirichlet([0.4] * 3, size=40).astype(np.float32)
    recordings = tuple(
        _recording(f'take "{k}", {k % 7}.wav', NAMES[rng.integers(3)], tuple(map(float, row)))
        for k, row in enumerate(table)
    )
    evaluation = Evaluation(class_names=NAMES, recordings=recordings, protocol=PROTOCOL)
    write_evaluation(evaluation, tmp_path, prefix="val")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert len(rows) == 40
    for recording, probabilities in zip(recordings, table, strict=True):
        row = rows[recording.file]
        read = np.array([row[f"p_{name}"] for name in NAMES], dtype=np.float32)
        np.testing.assert_array_equal(read, probabilities)
        assert row["true"] == recording.true
        assert row["predicted"] == NAMES[probabilities.argmax()]
        assert float(row["confidence"]) == max(float(row[f"p_{name}"]) for name in NAMES)
    truth, predicted = zip(*((row["true"], row["predicted"]) for row in rows.values()), strict=True)
    assert evaluation.overall.uar == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_a_folder_that_cannot_be_written_is_an_error_naming_it(small, tmp_path):
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="taken"):
        write_evaluation(small, tmp_path / "taken", prefix="val")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"true": "joy"}, "x.wav is 'joy'"),
        ({"channel": "whisper"}, "x.wav is of channel 'whisper'"),
        ({"probabilities": (0.5, 0.5)}, "x.wav has 2 probabilities for 3 classes"),
        ({"probabilities": (float("nan"), 0.5, 0.5)}, "x.wav .* do not sum to 1"),
        ({"probabilities": (3.0, -1.0, -1.0)}, "x.wav .* do not sum to 1"),
        ({"probabilities": (0.3, 0.3, 0.3)}, "x.wav .* do not sum to 1"),
    ],
)
def test_a_recording_that_cannot_be_scored_is_refused_by_name(change, complaint):
    recording = replace(_recording("x.wav", "calm", (0.2, 0.5, 0.3)), **change)
    with pytest.raises(ValueError, match=complaint):
        Evaluation(class_names=NAMES, recordings=(recording,), protocol=PROTOCOL)


def test_a_recording_scored_twice_is_refused():
    recording = _recording("x.wav", "calm", (0.2, 0.5, 0.3))
    with pytest.raises(ValueError, match=r"x\.wav is scored twice"):
        Evaluation(class_names=NAMES, recordings=(recording, recording), protocol=PROTOCOL)


def test_nothing_to_evaluate_is_refused():
    with pytest.raises(ValueError, match="no recording"):
        Evaluation(class_names=NAMES, recordings=(), protocol=PROTOCOL)


def test_printing_metrics_does_not_load_matplotlib():
    code = "import sys, ser.evaluation.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_failures_are_written_as_csv(tmp_path):
    path = tmp_path / "a,b.wav"
    assert failure_table({path: 'it says "no"'}) == f'file,reason\n"{path}","it says ""no"""\n'
