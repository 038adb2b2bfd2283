import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.image import imread

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import parse_stem
from ser.evaluation.report import (
    failure_table,
    format_confusion_matrix,
    format_metrics,
    score_predictions,
    write_evaluation,
)

CLASSES = ("neutral", "calm", "happy")  # RAVDESS order, which is not the alphabetical one
PROTOCOL = "Random split, seed 42: the checkpoint was chosen on these same recordings."
RECORDINGS = {
    "03-02-02-01-01-01-02": (0.1, 0.7, 0.2),
    "03-01-01-01-01-01-01": (0.8, 0.1, 0.1),
    "03-01-03-01-01-01-01": (0.25, 0.25, 0.5),
    "03-02-01-01-01-01-02": (0.3, 0.1, 0.6),
    "03-01-02-01-01-01-01": (0.6, 0.3, 0.1),
}


def scored(files):
    """Return the evaluation of some of five recordings: in speech two of three are recognised, in song one of two."""
    rows = [RECORDINGS[file] for file in files]
    return score_predictions(
        [parse_stem(file).recording(Path(file)) for file in files], rows, CLASSES, protocol=PROTOCOL
    )


@pytest.fixture
def small():
    return scored(RECORDINGS)


def test_the_text_gives_the_protocol_first_and_then_the_metrics(small):
    # Recalls: neutral 1/2, calm 1/2, happy 1/1. F1: neutral 2/4, calm 2/3, happy 2/3.
    # Confidences 0.8, 0.5, 0.6, 0.6, 0.7: the two of 0.6 share a bin and are wrong, the others are right and alone.
    assert format_metrics(small.results) == (
        f"{PROTOCOL}\n"
        "\n"
        "recordings              5\n"
        "accuracy           60.00%\n"
        "UAR                66.67%\n"
        "weighted F1        60.00%\n"
        "macro F1           61.11%\n"
        "calibration error  44.00%\n"
        "\n"
        "class     recall  precision      F1  support\n"
        "neutral   50.00%     50.00%  50.00%        2\n"
        "calm      50.00%    100.00%  66.67%        2\n"
        "happy    100.00%     50.00%  66.67%        1\n"
        "\n"
        "channel  accuracy     UAR  weighted F1  macro F1  recordings\n"
        "speech     66.67%  66.67%       55.56%    55.56%           3\n"
        "song       50.00%  50.00%       50.00%    33.33%           2\n"
        "\n"
        "Some papers call the recall of a class its accuracy; UAR is the mean recall of the classes that occur.\n"
        "A dash stands for an undefined value.\n"
    )


def test_one_channel_has_no_table_and_an_undefined_value_is_a_dash():
    text = format_metrics(scored([file for file in RECORDINGS if file.startswith("03-02")]).results)
    assert "channel" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["neutral", "0.00%", "-", "0.00%", "1"] in rows
    assert ["happy", "-", "0.00%", "0.00%", "0"] in rows


def test_corpora_have_a_table_and_closed_set_metrics_where_one_lacks_a_class():
    rows = [
        ("cremad", "1001", "happy", (0.2, 0.5, 0.3)),  # right among neutral and happy
        ("cremad", "1001", "neutral", (0.8, 0.1, 0.1)),
        ("cremad", "1002", "neutral", (0.3, 0.1, 0.6)),
        ("ravdess", "01", "calm", (0.2, 0.7, 0.1)),
    ]
    recordings = [
        Recording(path=Path(), id=str(n), emotion=emotion, speaker=speaker, corpus=corpus)
        for n, (corpus, speaker, emotion, _) in enumerate(rows)
    ]
    others = [replace(recordings[-1], id=label, emotion=label) for label in ("neutral", "happy", "bored")]
    found = score_predictions(recordings, [row[-1] for row in rows], CLASSES, protocol=PROTOCOL, others=others)
    assert found.results["overall"]["uar"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found.results["closed_set"] == pytest.approx({"accuracy": 3 / 4, "uar": (1 / 2 + 1 + 1) / 3})
    # Confidences of cremad 0.5 (wrong), 0.8 (right), 0.6 (wrong): gaps 0.5, 0.2, 0.6.
    text = format_metrics(found.results)
    assert "closed-set accuracy  75.00%\nclosed-set UAR       83.33%\n" in text
    assert (
        "corpus   recordings  speakers  classes  accuracy      UAR  closed-set UAR  calibration error\n"
        "cremad            3         2        2    33.33%   25.00%          75.00%             43.33%\n"
        "ravdess           1         1        3   100.00%  100.00%         100.00%             30.00%\n"
    ) in text
    assert "Closed-set: among those that the recording's corpus has.\n" in text
    alone = score_predictions(recordings[3:], [rows[3][-1]], CLASSES, protocol=PROTOCOL, others=others).results
    assert alone["closed_set"] is None
    assert "corpus" not in format_metrics(alone).replace("recording's corpus", "")


def test_the_text_gives_the_confusion_matrix(small):
    assert format_confusion_matrix(small.results) == (
        f"{PROTOCOL}\n"
        "\n"
        "true \\ predicted  neutral  calm  happy\n"
        "neutral                 1     0      1\n"
        "calm                    1     1      0\n"
        "happy                   0     0      1\n"
    )


def test_every_file_holds_the_same_facts(small, tmp_path):
    write_evaluation(small, tmp_path / "runs" / "one", prefix="val")
    texts = {path.name: path.read_text() for path in tmp_path.rglob("*.*") if path.suffix != ".png"}
    assert imread(tmp_path / "runs" / "one" / "val_confusion_matrix.png").std() > 0
    assert set(texts) == {"val_metrics.txt", "val_confusion_matrix.txt", "metrics.json", "predictions.csv"}
    assert texts["val_metrics.txt"] == format_metrics(small.results)
    assert texts["val_confusion_matrix.txt"] == format_confusion_matrix(small.results)
    facts = json.loads(texts["metrics.json"])
    assert facts == small.results
    assert (facts["protocol"], facts["n_recordings"], facts["class_names"]) == (PROTOCOL, 5, list(CLASSES))
    assert facts["overall"] == pytest.approx({"accuracy": 0.6, "uar": 2 / 3, "weighted_f1": 0.6, "macro_f1": 11 / 18})
    assert list(facts["per_class"]) == list(CLASSES)
    assert facts["per_class"]["calm"] == pytest.approx({"recall": 0.5, "precision": 1.0, "f1": 2 / 3, "support": 2})
    assert {name: one["n_recordings"] for name, one in facts["by_channel"].items()} == {"speech": 3, "song": 2}
    assert facts["by_channel"]["song"]["uar"] == 0.5
    assert facts["expected_calibration_error"] == pytest.approx(0.44)
    assert facts["confusion_matrix"] == [[1, 0, 1], [1, 1, 0], [0, 0, 1]]
    lines = texts["predictions.csv"].splitlines()
    assert lines[0] == "file,speaker,gender,channel,corpus,true,predicted,confidence,p_neutral,p_calm,p_happy"
    assert lines[1] == "03-01-01-01-01-01-01,01,male,speech,ravdess,neutral,neutral,0.8,0.8,0.1,0.1"
    assert lines[4] == "03-02-01-01-01-01-02,02,female,song,ravdess,neutral,happy,0.6,0.3,0.1,0.6"
    assert [line.split(",")[0] for line in lines[1:]] == sorted(RECORDINGS)


def test_a_folder_that_cannot_be_written_is_an_error_naming_it(small, tmp_path):
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="taken"):
        write_evaluation(small, tmp_path / "taken", prefix="val")


def test_failures_are_written_as_csv(tmp_path):
    path = tmp_path / "a,b.wav"
    assert failure_table({path: 'it says "no"'}) == f'file,reason\n"{path}","it says ""no"""\n'


@pytest.mark.parametrize(
    ("module", "use", "forbidden"),
    [
        ("metrics", "pass", {"torch", "matplotlib"}),
        ("report", "pass", {"matplotlib"}),
        ("figures", "confusion_figure([[1]], ['calm'], title='').canvas.draw()", {"matplotlib.pyplot"}),
    ],
)
def test_a_module_loads_no_more_than_it_needs(module, use, forbidden):
    code = f"import sys; from ser.evaluation.{module} import *; {use}; sys.exit(bool({forbidden} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
