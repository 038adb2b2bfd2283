"""`ser evaluate` and `ser predict`, as their users type them."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.command_line import is_one_sentence, rows_of


def test_the_kept_out_recordings_are_scored_as_the_run_did(process, debug_run, folder):
    """By utterance where they last longer than the window of the run: so the scores are not the same here."""
    evaluation = folder / "evaluation"
    process("evaluate.py", f"checkpoint={debug_run}", f"output_dir={evaluation}")
    ours, theirs = (json.loads((place / "metrics.json").read_text()) for place in (evaluation, debug_run))
    assert ours["protocol"] == theirs["protocol"]
    assert np.sum(ours["confusion_matrix"], axis=1).tolist() == np.sum(theirs["confusion_matrix"], axis=1).tolist()
    ours, theirs = (rows_of(place / "predictions.csv") for place in (evaluation, debug_run))
    assert [row["file"] for row in ours] == [row["file"] for row in theirs]
    promised = ["test_metrics.txt", "test_confusion_matrix.txt", "test_confusion_matrix.png", "predictions.csv"]
    assert [name for name in promised if not (evaluation / name).stat().st_size] == []


def test_another_folder_with_a_bad_recording(command, debug_run, voices, folder, tmp_path):
    test_dir = tmp_path / "mine"
    test_dir.mkdir()
    for path in sorted(voices.rglob("*.wav"))[:5]:
        shutil.copy(path, test_dir)
    bad = "03-01-08-01-01-01-24.wav"
    (test_dir / bad).write_bytes(b"not sound at all")
    done = command("evaluate.py", f"checkpoint={debug_run}", f"test_dir={test_dir}", f"output_dir={tmp_path}/out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n_recordings"] == 5
    assert "it may have trained on them" in metrics["protocol"]
    (left_out,) = rows_of(tmp_path / "out" / "unreadable.csv")
    assert left_out["file"].endswith(f"/{bad}")
    assert re.search(f"Left out: .*/{bad}", done.stdout)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["checkpoint=no/such.ckpt"], "no/such.ckpt: there is no such checkpoint"),
        (["checkpoint=RUN", "test_dir=no/such"], "no/such is not a folder"),
        (["checkpoint=RUN", "test_dir=EMPTY"], "holds no RAVDESS recording"),
        (["checkpoint=RUN", "channel=whisper"], "evaluate.channel is 'whisper'"),
        (["checkpoint=RUN/config.yaml"], "config.yaml"),
    ],
)
def test_wrong_settings_are_one_sentence(overrides, sentence, command, debug_run, tmp_path):
    overrides = [text.replace("RUN", str(debug_run)).replace("EMPTY", str(tmp_path)) for text in overrides]
    done = command("evaluate.py", *overrides, f"output_dir={tmp_path}/out", status=1)
    assert is_one_sentence(done.stderr, sentence), done.stderr


def test_predict_prints_every_probability_in_class_order(command, debug_run, voices):
    files = [str(path) for path in sorted(voices.rglob("*.wav"))[:2]]
    predict = ("-m", "ser", "predict", *files, f"--model={debug_run}")
    shown = json.loads(command(*predict, "--json").stdout)
    assert [row["file"] for row in shown] == files
    for row in shown:
        assert " ".join(row["probabilities"]) == "neutral calm happy sad angry fearful disgust surprise"
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["emotion"] == max(row["probabilities"], key=row["probabilities"].get)
    header, *table = command(*predict).stdout.splitlines()
    assert header.split()[-1] == "surprise"
    assert [line.split()[:2] for line in table[:2]] == [[row["file"], row["emotion"]] for row in shown]
    for row, expected in zip(csv.DictReader(command(*predict, "--csv").stdout.splitlines()), shown, strict=True):
        assert float(row["p_calm"]) == pytest.approx(expected["probabilities"]["calm"], abs=1e-6)


def test_predict_takes_folders_rates_and_channels_and_names_what_it_cannot_read(process, debug_run, tmp_path):
    noise = np.random.default_rng(0).normal(scale=0.1, size=(48000, 2))
    soundfile.write(tmp_path / "stereo.wav", noise, 48000)
    soundfile.write(tmp_path / "low.flac", noise[:16000, 0], 8000)
    (tmp_path / "text.wav").write_text("hello")
    done = process("-m", "ser", "predict", str(tmp_path), f"--model={debug_run}", "--json", status=1)
    assert [Path(row["file"]).name for row in json.loads(done.stdout)] == ["low.flac", "stereo.wav"]
    assert is_one_sentence(done.stderr, f"error: {tmp_path}/text.wav cannot be read as sound")


def test_the_corpus_command_says_what_is_missing(command, process, voices):
    done = process("-m", "ser", "corpus", str(voices), status=1)
    assert "60 / 1440" in done.stdout
    assert "missing: 2392" in done.stdout
    assert "no/such is not a folder" in command("-m", "ser", "corpus", "no/such", status=1).stderr
