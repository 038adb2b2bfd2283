import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss

from ser.corpora.ravdess import EMOTIONS
from ser.errors import CheckpointError, CorpusError
from ser.evaluation.calibration import fit_rejection_threshold, fit_temperature
from ser.evaluation.cross_validation.record import read_cross_validation
from ser.evaluation.cross_validation.report import format_results, write_results
from ser.evaluation.cross_validation.summary import spreads, summarise
from ser.evaluation.intervals import actor_interval, unweighted_average_recall
from ser.evaluation.metrics import expected_calibration_error, reliability_bins

FOLDS, SEEDS = ("subject_wise_0", "subject_wise_4"), (0, 1)
COLUMNS = [f"p_{name}" for name in EMOTIONS]


@pytest.fixture(scope="module")
def made(cross_validation):
    return cross_validation()


@pytest.fixture(scope="module")
def summary(made):
    return summarise(made)


@pytest.fixture(scope="module")
def tables(made):
    """The predictions of the runs, read by pandas: (fold, seed, part) -> a frame with the true class's number."""
    frames = {}
    for run in made.runs:
        for part in made.parts:
            frame = pd.read_csv(run.predictions(part))
            frame[COLUMNS] = frame[COLUMNS].div(frame[COLUMNS].sum(axis=1), axis=0)  # nine digits do not sum to 1
            frame["truth"] = frame.true.map(EMOTIONS.index)
            frames[run.fold, run.seed, part] = frame
    return frames


def tempered(frame, temperature):
    powers = frame[COLUMNS].to_numpy() ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def test_each_run_has_the_scores_of_its_predictions(summary, tables):
    entries = {(entry["fold"], entry["seed"]): entry for entry in summary.results["runs"]}
    for (fold, seed, part), frame in tables.items():
        entry, validation = entries[fold, str(seed)], tables[fold, seed, "validation"]
        # Temperature and threshold come from validation, whichever part is scored.
        temperature, probabilities = entry["temperature"], frame[COLUMNS].to_numpy()
        assert temperature == pytest.approx(fit_temperature(validation[COLUMNS], validation.truth))
        calibrated, scaled = tempered(validation, temperature), tempered(frame, temperature)
        threshold = fit_rejection_threshold(calibrated, validation.truth, accuracy=0.8)
        assert entry["rejection_threshold"] == pytest.approx(threshold)
        accepted, labels = scaled.max(axis=1) >= threshold - 1e-12, range(8)
        assert 0 < accepted.mean() < 1
        expected = {
            "n_recordings": len(frame),
            "accuracy": accuracy_score(frame.true, frame.predicted),
            "uar": balanced_accuracy_score(frame.true, frame.predicted),
            "log_loss": log_loss(frame.truth, probabilities, labels=labels),
            "calibration_error": expected_calibration_error(probabilities, frame.truth),
            "calibrated_log_loss": log_loss(frame.truth, scaled, labels=labels),
            "calibrated_calibration_error": expected_calibration_error(scaled, frame.truth),
            "coverage": accepted.mean(),
            "selective_accuracy": (frame.true == frame.predicted)[accepted].mean(),
        }
        assert entry[part] == pytest.approx(expected)
        assert temperature > 1.2  # the runs are overconfident
        assert part == "validation" or entry[part]["calibrated_calibration_error"] < entry[part]["calibration_error"]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_means_over_folds_and_seeds(part, summary, tables):
    plain = summary.results["summary"][part]
    by_seed = [
        np.mean([balanced_accuracy_score(t.true, t.predicted) for t in (tables[f, seed, part] for f in FOLDS)])
        for seed in SEEDS
    ]
    spread = {"mean": pytest.approx(np.mean(by_seed)), "sd": pytest.approx(np.std(by_seed, ddof=1))}
    assert plain["mean_over_folds"]["uar"] == spread
    assert [plain["mean_over_folds_by_seed"][str(seed)]["uar"] for seed in SEEDS] == pytest.approx(by_seed)
    pooled = [pd.concat([tables[f, seed, part] for f in FOLDS]) for seed in SEEDS]
    uars = [balanced_accuracy_score(frame.true, frame.predicted) for frame in pooled]
    assert plain["pooled"]["uar"]["mean"] == pytest.approx(np.mean(uars))
    everything = pd.concat(pooled)
    expected = confusion_matrix(everything.true, everything.predicted, labels=EMOTIONS)
    np.testing.assert_array_equal(plain["pooled"]["all_seeds"]["confusion_matrix"], expected)
    for kind, group, chosen in (
        ("channel", "song", everything.channel == "song"),
        ("gender", "female", everything.actor % 2 == 0),
        ("gender", "male", everything.actor % 2 == 1),
    ):
        got, frame = plain["pooled"]["by_group"][kind][group], everything[chosen]
        assert got["n_recordings"] == len(frame)
        assert got["uar"] == pytest.approx(balanced_accuracy_score(frame.true, frame.predicted))


def test_the_reliability_bins_hold_the_recordings_of_all_runs(summary, tables):
    everything = pd.concat([tables[fold, seed, "test"] for seed in SEEDS for fold in FOLDS])
    reliability = summary.results["summary"]["test"]["pooled"]["reliability"]
    expected = reliability_bins(everything[COLUMNS], everything.truth)
    assert [pytest.approx(each) for each in expected] == reliability["network"]
    # With the temperature they are less sure, and as often right.
    n_correct = sum(each["n"] * each["accuracy"] for each in reliability["calibrated"] if each["n"])
    assert n_correct == pytest.approx((everything.true == everything.predicted).sum())
    assert reliability["calibrated"][-1]["n"] < expected[-1]["n"]


def test_the_interval_resamples_the_actors_that_were_scored(summary, tables):
    frames = [pd.concat([tables[fold, seed, "test"] for fold in FOLDS]) for seed in SEEDS]
    actors = sorted(set(frames[0].actor))
    assert len(actors) == 9
    of_actors = [[frame[frame.actor == actor] for actor in actors] for frame in frames]
    counts = [[confusion_matrix(f.true, f.predicted, labels=EMOTIONS) for f in row] for row in of_actors]
    expected = actor_interval(counts, unweighted_average_recall, resamples=2000, seed=0)
    assert summary.results["summary"]["test"]["pooled"]["interval_95"]["uar"] == pytest.approx(expected)


def test_the_ensemble_averages_the_seeds_and_is_scored_as_one_model(summary, tables):
    plain = summary.results
    entries = {entry["fold"]: entry["test"] for entry in plain["runs"] if entry["seed"] == "ensemble"}
    assert set(entries) == set(FOLDS)
    predicted, true = [], []
    for fold in FOLDS:
        first, second = (tables[fold, seed, "test"] for seed in SEEDS)
        mean = (first[COLUMNS].to_numpy() + second[COLUMNS].to_numpy()) / 2
        chosen = [EMOTIONS[k] for k in mean.argmax(axis=1)]
        assert entries[fold]["accuracy"] == pytest.approx(accuracy_score(first.true, chosen))
        assert entries[fold]["log_loss"] == pytest.approx(log_loss(first.truth, mean, labels=range(8)), rel=1e-6)
        predicted += chosen
        true += list(first.true)
    got = plain["summary"]["test"]["ensemble_pooled"]
    assert got["uar"] == {"mean": pytest.approx(balanced_accuracy_score(true, predicted)), "sd": None}
    # Independent errors: two heads are better than one.
    assert got["uar"]["mean"] > plain["summary"]["test"]["pooled"]["uar"]["mean"]


def test_an_ensemble_of_different_recordings_is_refused(cross_validation):
    made = cross_validation()
    path = made.runs[2].predictions("test")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(CorpusError, match="subject_wise_0 scored different test recordings"):
        summarise(made)


def test_a_single_seed_of_validation_has_no_spread_no_ensemble_and_no_test_scores(cross_validation):
    results = summarise(cross_validation(seeds=(3,), parts=("validation",))).results
    assert list(results["summary"]) == ["validation"]
    assert results["summary"]["validation"]["ensemble_pooled"] is None
    assert results["summary"]["validation"]["mean_over_folds"]["uar"]["sd"] is None
    text = format_results(results)
    assert not any(word in text for word in ("ensemble", "±", "test"))
    assert "## Confusion matrix: validation recordings" in text


def test_a_cross_validation_is_read_back_from_its_folder(cross_validation, tmp_path):
    made = cross_validation(keeps_last=True, command="python cross_validate.py")
    write_results(summarise(made), made.folder)
    moved = made.folder.rename(tmp_path / "moved")
    assert read_cross_validation(moved) == replace(made, folder=moved)
    (moved / "fold_subject_wise_4_seed_1" / "test" / "predictions.csv").unlink()
    unfinished = r"1 of 4 runs of .*moved are not finished \(fold_subject_wise_4_seed_1\)"
    with pytest.raises(CheckpointError, match=unfinished):
        read_cross_validation(moved)


@pytest.mark.parametrize("change", [{"protocol": None}, {"summary": [1]}, {"summary": {"test": {}}}])
def test_results_of_another_release_are_refused(change, summary, tmp_path):
    values = {key: value for key, value in (summary.results | change).items() if value is not None}
    (tmp_path / "results.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"results\.json lacks values that this release writes"):
        read_cross_validation(tmp_path)


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"runs": []}', "no"])
def test_a_folder_without_complete_results_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"results\.json"):
        read_cross_validation(tmp_path)


def test_a_spread_leaves_out_what_is_undefined():
    scores = [{"uar": 0.1, "coverage": 0.5}, {"uar": None, "coverage": None}, {"uar": 0.3, "coverage": None}]
    assert spreads(scores) == {
        "uar": {"mean": pytest.approx(0.2), "sd": pytest.approx(np.sqrt(0.02))},
        "coverage": {"mean": 0.5, "sd": None},
    }
    assert spreads([{"uar": None}]) == {"uar": {"mean": None, "sd": None}}


def test_a_run_that_rejects_everything_has_no_selective_accuracy(cross_validation):
    made = cross_validation()
    path = made.runs[0].predictions("validation")
    frame = pd.read_csv(path)
    frame[COLUMNS] = [np.eye(8)[(EMOTIONS.index(name) + 1) % 8] for name in frame.true]  # every prediction is wrong
    frame.to_csv(path, index=False)
    results = summarise(made).results
    first, second = results["runs"][:2]
    assert first["rejection_threshold"] is None
    assert second["rejection_threshold"] is not None
    assert first["test"]["coverage"] == 0
    assert first["test"]["selective_accuracy"] is None
    # The other fold of that seed accepts some: the mean is its own.
    means = results["summary"]["test"]["mean_over_folds_by_seed"]["0"]
    assert means["selective_accuracy"] == second["test"]["selective_accuracy"]


def test_the_report_states_the_protocol_first_and_the_same_scores(summary):
    text, plain = format_results(summary.results), summary.results
    assert text.splitlines()[2] == "Made up; on purpose."
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    tables = [[[cell.strip() for cell in line.strip("|").split("|")] for line in lines] for lines in blocks]
    summed, by_run, by_class, by_group, matrix = tables
    rows = {row[0]: row[1:] for row in summed[2:]}
    score = plain["summary"]["test"]["mean_over_folds"]["uar"]
    low, high = plain["summary"]["test"]["pooled"]["interval_95"]["uar"]
    assert rows["test UAR"][0] == f"{score['mean']:.2%} ± {score['sd']:.2%}"
    assert rows["test UAR"][2] == f"{low:.2%} to {high:.2%}"
    loss = plain["summary"]["validation"]["mean_over_folds"]["log_loss"]["mean"]
    assert rows["validation log-loss"][0].startswith(f"{loss:.3f}")
    error = plain["runs"][0]["test"]["calibrated_calibration_error"]
    assert by_run[2][by_run[0].index("test ECE, T")] == f"{error:.2%}"
    assert [row[:2] for row in by_run[2:]] == [
        *([fold, str(seed)] for seed in (*SEEDS, "ensemble") for fold in FOLDS),
        *(["mean over folds", name] for name in ("0", "1", "ensemble")),
    ]
    assert [row[0] for row in by_class[2:]] == list(EMOTIONS)
    assert [row[0] for row in by_group[2:]] == ["speech", "song", "female", "male"]
    counts = [[int(cell) for cell in row[1:]] for row in matrix[2:]]
    assert counts == plain["summary"]["test"]["pooled"]["all_seeds"]["confusion_matrix"]
    assert "Validation recordings chose checkpoint, temperature and threshold:" in text
    assert "Validation recordings chose temperature and threshold:" in format_results(plain | {"keeps_last": True})


def test_everything_is_written(summary, tables, tmp_path):
    folder = tmp_path / "results"
    text = write_results(summary, folder)
    assert (folder / "results.md").read_text() == text == format_results(summary.results)
    assert json.loads((folder / "results.json").read_text()) == summary.results
    assert (folder / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    pooled = pd.read_csv(folder / "predictions.csv", dtype={"seed": str})
    assert len(list(folder.iterdir())) == 4
    assert len(pooled) == 1.5 * sum(map(len, tables.values()))  # the ensemble of two seeds is half as many again
    columns = ["file", "actor", "channel", "true", "predicted", *COLUMNS]
    for (fold, seed, part), frame in tables.items():
        ours = pooled[(pooled.fold == fold) & (pooled.seed == str(seed)) & (pooled.part == part)].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours[columns], frame[columns])
        np.testing.assert_allclose(ours[[f"c_{name}" for name in EMOTIONS]].sum(axis=1), 1, rtol=1e-6)
        entry = next(one for one in summary.results["runs"] if (one["fold"], one["seed"]) == (fold, str(seed)))
        assert ours.accepted.mean() == pytest.approx(entry[part]["coverage"])
