"""The commands as their users type them, on the tiny synthetic corpus: every experiment, a sweep, wrong settings."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from ser.corpora.ravdess import EMOTIONS
from ser.inference.checkpoint import load_recogniser, read_checkpoint
from ser.inference.predictor import Predictor
from tests.command_line import ROOT, is_one_sentence, rows_of

# Fine-tuning keeps the network that it starts from, and several corpora need to be named: test_fine_tune.py,
# tests/slow/test_several_corpora.py.
ELSEWHERE = {"fine_tune", "several_corpora", "voices"}
EXPERIMENTS = sorted({path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")} - ELSEWHERE)

pytestmark = [pytest.mark.usefixtures("undrawn"), pytest.mark.no_cover]  # whole runs, slow to draw and to trace


def test_a_run_leaves_all_that_it_promises(debug_run):
    promised = [
        "config.yaml", "split.csv", "val_metrics.txt", "val_confusion_matrix.txt", "metrics.json", "predictions.csv",
        "val_confusion_matrix.png", "learning_curve.png", "train.log", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "emotion_classification_model.pth", "scaler.pkl", "label_encoder.pkl", "csv/version_0/metrics.csv",
        "report.html", "overrides.txt",
    ]  # fmt: skip
    assert [name for name in promised if not (debug_run / name).stat().st_size] == []
    assert {path.parent.name for path in (debug_run / "tb").rglob("events.*")} == {"train", "val", "best"}
    assert not list(debug_run.rglob("*.partial"))


def test_the_model_has_a_rejection_threshold_of_its_validation_part(debug_run, voices):
    rows = rows_of(debug_run / "predictions.csv")
    ranked = sorted(((float(row["confidence"]), row["true"] == row["predicted"]) for row in rows), reverse=True)
    enough = [c for c, _ in ranked if np.mean([right for other, right in ranked if other >= c]) >= 0.8]
    everything = np.mean([right for _, right in ranked]) >= 0.8
    predictor = Predictor.load(debug_run)
    threshold = predictor.metadata.rejection_threshold
    assert threshold == pytest.approx(0.0 if everything else min(enough, default=1.0))
    assert predictor.metadata.temperature == 1
    prediction = predictor.predict(next(voices.rglob("*.wav")))
    assert prediction.is_uncertain == (prediction.confidence < threshold)


def test_the_split_is_what_was_trained_and_scored(debug_run):
    parts = {row["file"]: row["part"] for row in rows_of(debug_run / "split.csv")}
    metrics = json.loads((debug_run / "metrics.json").read_text())
    scored = {row["file"] for row in rows_of(debug_run / "predictions.csv")}
    assert scored == {name for name, part in parts.items() if part == "validation"}
    assert len(parts) == 60
    assert metrics["n_recordings"] == len(scored) == 12
    assert np.sum(metrics["confusion_matrix"]) == 12


def test_every_epoch_is_logged(debug_run):
    rows = rows_of(debug_run / "csv" / "version_0" / "metrics.csv")
    for name in ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "train/uar", "val/uar", "lr-Adam"):
        assert sum(bool(row[name]) for row in rows) == 2, name


def test_the_reference_files_hold_the_model(debug_run):
    recogniser, metadata = load_recogniser(debug_run)
    files = (debug_run / "label_encoder.pkl", debug_run / "scaler.pkl")
    encoder, scaler = (pickle.loads(path.read_bytes()) for path in files)  # noqa: S301 - we wrote them in this test
    assert tuple(encoder.inverse_transform(range(8))) == metadata.class_names == EMOTIONS
    assert list(encoder.transform(["neutral", "angry"])) == [0, 4]
    assert isinstance(scaler, StandardScaler)
    features = np.random.default_rng(0).normal(size=(3, 187, 64)).astype(np.float32)
    theirs = scaler.transform(features.reshape(3, -1)).reshape(features.shape)
    ours = recogniser.normalisation(torch.from_numpy(features), torch.full((3,), 64))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    weights = torch.load(debug_run / "emotion_classification_model.pth", weights_only=True)
    for name, value in recogniser.network.state_dict().items():
        assert torch.equal(weights[name], value)


def test_two_runs_of_one_seed_are_equal_and_of_another_seed_differ(train, folder, debug_run):
    train("experiment=debug", f"hydra.run.dir={folder}/again")
    train("experiment=debug", "seed=0", "data.split_seed=42", f"hydra.run.dir={folder}/other")
    runs = (debug_run, folder / "again", folder / "other")
    first, again, other = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in runs)
    assert first["history"] == again["history"]
    for name, value in first["state_dict"].items():
        assert torch.equal(value, again["state_dict"][name]), name
    assert first["history"] != other["history"]


def test_the_experiment_of_any_voice_ends_with_a_model_that_takes_context(train, tiny, tiny_voices, folder):
    run_dir = folder / "experiment-voices"
    of_one_corpus = (
        "data.corpora=null",
        "data.weights=null",
        "data.augment_corpora=null",
        "data.augment_count=1",
    )
    speakers = ("data.fold=null", "data.validation_speakers=[1]", "data.test_speakers=[2,3]")
    network = ("model.network.channels=[4,4]", "data.batch_size=16")
    overrides = (*tiny, *tiny_voices, *of_one_corpus, *speakers, *network, f"hydra.run.dir={run_dir}")
    train("experiment=voices", *overrides)
    recogniser, metadata = load_recogniser(run_dir)
    assert metadata.context == recogniser.n_summary == 157 + 4 * 8 + len(metadata.class_names)
    assert not torch.equal(recogniser.network.mean, torch.zeros(157))  # the statistics of the training part are in it
    rows = rows_of(run_dir / "test" / "context.csv")
    assert [row["kind"] for row in rows] == ["none", *["speaker"] * 4, *["other"] * 4, *["emotion"] * 4]
    predictions = np.load(run_dir / "test" / "context_predictions.npz")["probabilities"]
    assert np.abs(predictions[4] - predictions[0]).max() > 1e-3  # with all others of the speaker, and with none


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs(experiment, train, tiny, tiny_voices, folder):
    run_dir = folder / f"experiment-{experiment}"
    train(f"experiment={experiment}", *tiny, *tiny_voices, f"hydra.run.dir={run_dir}")
    metadata = load_recogniser(run_dir)[1]
    expected = {"baseline_rms": 188, "logmel_resbilstm": 66, "logmel_resbilstm_seen_speakers": 66}.get(experiment, 187)
    assert metadata.features.n_features == expected
    assert len(metadata.class_names) == (7 if experiment == "baseline_without_neutral" else 8)
    assert (run_dir / "scaler.pkl").exists() == (experiment == "baseline")
    if experiment in ("speaker_independent", "logmel_resbilstm"):
        assert (run_dir / "test" / "test_metrics.txt").is_file()
        split = {(row["part"], row["speaker"]) for row in rows_of(run_dir / "split.csv")}
        actors = {"train": ("01", "04"), "validation": ("03", "06"), "test": ("02", "05")}
        assert split == {(part, actor) for part in actors for actor in actors[part]}
    if experiment == "logmel_resbilstm_seen_speakers":
        assert "every test speaker is seen in training" in (run_dir / "test" / "test_metrics.txt").read_text()


def test_a_sweep_writes_one_sorted_table_the_same_by_both_launchers(train, tiny, folder):
    tables = {}
    for launcher in ("basic", "processes"):
        done = train(
            "-m", f"hydra/launcher={launcher}", "experiment=debug", "logger=none", *tiny, "data.augment_count=0,1",
            f"hydra.sweep.dir='{folder}/sweep {launcher}'",
        )  # fmt: skip
        path = folder / f"sweep {launcher}" / "sweep.csv"
        assert str(path) in done.stdout
        tables[launcher] = path.read_text()
    assert tables["processes"] == tables["basic"]
    rows = list(csv.DictReader(tables["basic"].splitlines()))
    losses = [float(row["val/loss"]) for row in rows]
    assert len(rows) == 2
    assert losses == sorted(losses)
    assert {row["data.augment_count"] for row in rows} == {"0", "1"}
    assert "Everything of this run is in" in (folder / "sweep processes" / "0" / "output.log").read_text()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+trainer.max_epoch=3", "trainer.max_epoch is not a setting; did you mean 'max_epochs'"),
        ("data.root=/no/such/folder", "/no/such/folder is not a folder; set data.root"),
        ("trainer.accelerator=gpux", "trainer.accelerator is 'gpux', which is refused"),
        ("model.network._target_=no.Such", "model.network._target_ is 'no.Such', which cannot be imported"),
        ("model.scheduler.factor=2", "model.scheduler.factor is 2, which is refused"),
    ],
)
def test_wrong_settings_are_one_sentence(override, sentence, train):
    done = train(override, status=1)
    assert is_one_sentence(done.stderr, sentence), done.stderr


def test_refused_settings_leave_no_folder(process, folder):
    before = {path.name for path in folder.iterdir()}
    done = process("train.py", "features.max_length=0", "run_name=refused", f"paths.output_dir={folder}", status=1)
    assert is_one_sentence(done.stderr, "error: features.max_length is 0")
    assert not list(folder.glob("refused/*/*"))
    assert {path.name for path in folder.iterdir()} <= before | {"refused"}
