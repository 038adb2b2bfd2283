import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss

from ser.corpora.ravdess import EMOTIONS
from ser.errors import CheckpointError, CorpusError
from ser.evaluation.calibration import apply_temperature, fit_rejection_threshold, fit_temperature
from ser.evaluation.cross_validation.record import read_cross_validation
from ser.evaluation.cross_validation.report import format_results, write_results
from ser.evaluation.cross_validation.summary import spreads, summarise
from ser.evaluation.intervals import speaker_interval, unweighted_average_recall
from ser.evaluation.metrics import expected_calibration_error, reliability_bins

FOLDS = ["subject_wise_0", "subject_wise_4"]
COLUMNS = [f"p_{name}" for name in EMOTIONS]
RUN = ["fold", "seed", "part"]


@pytest.fixture(scope="module")
def made(cross_validation):
    return cross_validation()


@pytest.fixture(scope="module")
def summary(made):
    return summarise(made)


@pytest.fixture(scope="module")
def predictions(made):
    """The predictions of the runs, read by pandas, with the true class's number."""
    runs = [(run.predictions(part), (run.fold, str(run.seed), part)) for run in made.runs for part in made.parts]
    table = pd.concat([pd.read_csv(path).assign(**dict(zip(RUN, run, strict=True))) for path, run in runs])
    table[COLUMNS] = table[COLUMNS].div(table[COLUMNS].sum(axis=1), axis=0)  # nine digits do not sum to 1
    return table.assign(truth=table.true.map(EMOTIONS.index), correct=table.true == table.predicted)


def uar(table):
    return balanced_accuracy_score(table.true, table.predicted)


def test_each_run_has_the_scores_of_its_predictions(summary, predictions):
    entries = {(entry["fold"], entry["seed"]): entry for entry in summary.results["runs"]}
    runs = dict(list(predictions.groupby(RUN)))
    for (fold, seed, part), run in runs.items():
        entry, validation = entries[fold, seed], runs[fold, seed, "validation"]
        # Temperature and threshold come from validation, whichever part is scored.
        temperature = entry["temperature"]
        assert temperature == pytest.approx(fit_temperature(validation[COLUMNS], validation.truth))
        scaled = apply_temperature(validation[COLUMNS], temperature)
        threshold = fit_rejection_threshold(scaled, validation.truth, accuracy=0.8)
        assert entry["rejection_threshold"] == pytest.approx(threshold)
        probabilities, scaled = run[COLUMNS].to_numpy(), apply_temperature(run[COLUMNS], temperature)
        accepted = scaled.max(axis=1) >= threshold - 1e-12
        assert 0 < accepted.mean() < 1
        expected = {
            "n_recordings": len(run),
            "accuracy": accuracy_score(run.true, run.predicted),
            "uar": uar(run),
            "log_loss": log_loss(run.truth, probabilities, labels=range(8)),
            "calibration_error": expected_calibration_error(probabilities, run.truth),
            "calibrated_log_loss": log_loss(run.truth, scaled, labels=range(8)),
            "calibrated_calibration_error": expected_calibration_error(scaled, run.truth),
            "coverage": accepted.mean(),
            "selective_accuracy": run.correct[accepted].mean(),
        }
        assert entry[part] == pytest.approx(expected)
        assert temperature > 1.2  # the runs are overconfident
        assert part == "validation" or entry[part]["calibrated_calibration_error"] < entry[part]["calibration_error"]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_means_over_folds_and_seeds(part, summary, predictions):
    plain, of_part = summary.results["summary"][part], predictions[predictions.part == part]
    by_seed = {seed: np.mean([uar(run) for _, run in runs.groupby("fold")]) for seed, runs in of_part.groupby("seed")}
    mean, sd = np.mean(list(by_seed.values())), np.std(list(by_seed.values()), ddof=1)
    assert plain["mean_over_folds"]["uar"] == pytest.approx({"mean": mean, "sd": sd})
    found = {seed: one["uar"] for seed, one in plain["mean_over_folds_by_seed"].items() if seed != "ensemble"}
    assert found == pytest.approx(by_seed)
    pooled = plain["pooled"]
    assert pooled["uar"]["mean"] == pytest.approx(np.mean([uar(runs) for _, runs in of_part.groupby("seed")]))
    counts = confusion_matrix(of_part.true, of_part.predicted, labels=EMOTIONS)
    assert pooled["all_seeds"]["confusion_matrix"] == counts.tolist()
    genders = np.where(of_part.speaker.astype(int) % 2, "male", "female")
    for kind, groups in (("channel", of_part.channel), ("gender", genders)):
        expected = {group: (len(rows), pytest.approx(uar(rows))) for group, rows in of_part.groupby(groups)}
        found = {group: (one["n_recordings"], one["uar"]) for group, one in pooled["by_group"][kind].items()}
        assert found == expected


def test_the_reliability_bins_hold_the_recordings_of_all_runs(summary, predictions):
    tested = predictions[predictions.part == "test"]
    reliability = summary.results["summary"]["test"]["pooled"]["reliability"]
    expected = reliability_bins(tested[COLUMNS], tested.truth)
    assert [pytest.approx(each) for each in expected] == reliability["network"]
    # With the temperature they are less sure, and as often right.
    n_correct = sum(each["n"] * each["accuracy"] for each in reliability["calibrated"] if each["n"])
    assert n_correct == pytest.approx(tested.correct.sum())
    assert reliability["calibrated"][-1]["n"] < expected[-1]["n"]


def test_the_interval_resamples_the_actors_that_were_scored(summary, predictions):
    counts = [
        [confusion_matrix(rows.true, rows.predicted, labels=EMOTIONS) for _, rows in runs.groupby("speaker")]
        for _, runs in predictions[predictions.part == "test"].groupby("seed")
    ]
    assert np.shape(counts) == (2, 9, 8, 8)
    expected = speaker_interval(counts, unweighted_average_recall, resamples=2000, seed=0)
    assert summary.results["summary"]["test"]["pooled"]["interval_95"]["uar"] == pytest.approx(expected)


def test_the_ensemble_averages_the_seeds_and_is_scored_as_one_model(summary, predictions):
    mean = predictions[predictions.part == "test"].groupby(["fold", "file", "true", "truth"])[COLUMNS].mean()
    table = mean.assign(predicted=mean.idxmax(axis=1).str.removeprefix("p_")).reset_index()
    entries = {entry["fold"]: entry["test"] for entry in summary.results["runs"] if entry["seed"] == "ensemble"}
    assert list(entries) == FOLDS
    for fold, rows in table.groupby("fold"):
        assert entries[fold]["accuracy"] == pytest.approx(accuracy_score(rows.true, rows.predicted))
        assert entries[fold]["log_loss"] == pytest.approx(log_loss(rows.truth, rows[COLUMNS], labels=range(8)))
    tested = summary.results["summary"]["test"]
    assert tested["ensemble_pooled"]["uar"] == {"mean": pytest.approx(uar(table)), "sd": None}
    # Independent errors: two heads are better than one.
    assert tested["ensemble_pooled"]["uar"]["mean"] > tested["pooled"]["uar"]["mean"]


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


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "holds no results.json"),
        ("no", "results.json is damaged"),
        *((content, "results.json lacks values") for content in ("[]", "{}", '{"runs": []}')),
        *(({"summary": summary}, "results.json lacks values") for summary in ([1], {"test": {}})),
        ({"protocol": None}, "results.json lacks values"),
    ],
)
def test_a_folder_without_complete_results_is_refused(content, complaint, summary, tmp_path):
    if isinstance(content, dict):
        changed = summary.results | content
        content = json.dumps({key: value for key, value in changed.items() if key != "protocol" or value})
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(CheckpointError, match=complaint):
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
    assert (first["test"]["coverage"], first["test"]["selective_accuracy"]) == (0, None)
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
    runs = [[fold, seed] for seed in ("0", "1", "ensemble") for fold in FOLDS]
    assert [row[:2] for row in by_run[2:]] == runs + [["mean over folds", seed] for seed in ("0", "1", "ensemble")]
    assert [row[0] for row in by_class[2:]] == list(EMOTIONS)
    assert [row[0] for row in by_group[2:]] == ["speech", "song", "female", "male"]
    counts = [[int(cell) for cell in row[1:]] for row in matrix[2:]]
    assert counts == plain["summary"]["test"]["pooled"]["all_seeds"]["confusion_matrix"]
    assert "Validation recordings chose checkpoint, temperature and threshold:" in text
    assert "Validation recordings chose temperature and threshold:" in format_results(plain | {"keeps_last": True})


def test_everything_is_written(summary, predictions, tmp_path):
    folder = tmp_path / "results"
    text = write_results(summary, folder)
    assert len(list(folder.iterdir())) == 4
    assert (folder / "results.md").read_text() == text == format_results(summary.results)
    assert json.loads((folder / "results.json").read_text()) == summary.results
    assert (folder / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    pooled = pd.read_csv(folder / "predictions.csv", dtype={"seed": str})
    of_runs = pooled[pooled.seed != "ensemble"]
    assert len(pooled) == 1.5 * len(of_runs)  # the ensemble of two seeds is half as many again
    columns = [*RUN, "file", "speaker", "channel", "true", "predicted", *COLUMNS]
    pd.testing.assert_frame_equal(of_runs[columns], predictions[columns].reset_index(drop=True))
    np.testing.assert_allclose(pooled[[f"c_{name}" for name in EMOTIONS]].sum(axis=1), 1, rtol=1e-6)
    accepted = [rows.accepted.mean() for _, rows in pooled.groupby(RUN, sort=False)]
    parts = ("validation", "test")
    assert accepted == pytest.approx([run[part]["coverage"] for run in summary.results["runs"] for part in parts])
