import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss

from ser.corpora.ravdess import EMOTIONS
from ser.errors import CheckpointError, CorpusError
from ser.evaluation.calibration import apply_temperature, fit_rejection_threshold, fit_temperature
from ser.evaluation.cross_validation.predictions import ensemble, read_model
from ser.evaluation.cross_validation.record import read_cross_validation
from ser.evaluation.cross_validation.report import format_predictions, format_results, write_results
from ser.evaluation.cross_validation.summary import spreads, summarise
from ser.evaluation.metrics import expected_calibration_error

FOLDS, SEEDS = ("subject_wise_0", "subject_wise_4"), (0, 1)
COLUMNS = [f"p_{name}" for name in EMOTIONS]


@pytest.fixture
def made(cross_validation):
    return cross_validation()


@pytest.fixture
def summary(made):
    return summarise(made)


@pytest.fixture
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
        got, probabilities = entry[part], frame[COLUMNS].to_numpy()
        assert got["n_recordings"] == len(frame)
        assert got["accuracy"] == pytest.approx(accuracy_score(frame.true, frame.predicted))
        assert got["uar"] == pytest.approx(balanced_accuracy_score(frame.true, frame.predicted))
        assert got["log_loss"] == pytest.approx(log_loss(frame.truth, probabilities, labels=range(8)), rel=1e-6)
        assert got["calibration_error"] == pytest.approx(expected_calibration_error(probabilities, frame.truth))
        # Temperature and threshold come from validation, whichever part is scored.
        assert entry["temperature"] == pytest.approx(fit_temperature(validation[COLUMNS], validation.truth))
        scaled = tempered(frame, entry["temperature"])
        assert got["calibrated_log_loss"] == pytest.approx(log_loss(frame.truth, scaled, labels=range(8)), rel=1e-6)
        assert got["calibrated_calibration_error"] == pytest.approx(expected_calibration_error(scaled, frame.truth))
        threshold = fit_rejection_threshold(
            apply_temperature(validation[COLUMNS], entry["temperature"]), validation.truth, accuracy=0.8
        )
        assert entry["rejection_threshold"] == pytest.approx(threshold)
        kept = scaled.max(axis=1) >= threshold - 1e-12
        assert 0 < got["coverage"] < 1
        assert got["coverage"] == pytest.approx(kept.mean())
        assert got["selective_accuracy"] == pytest.approx((frame.true == frame.predicted)[kept].mean())


def test_the_temperature_improves_overconfident_runs(summary):
    for entry in summary.results["runs"]:
        if entry["seed"] != "ensemble":
            assert entry["temperature"] > 1.2
            assert entry["test"]["calibrated_calibration_error"] < entry["test"]["calibration_error"]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_means_over_folds_and_seeds(part, summary, tables):
    plain = summary.results["summary"][part]
    by_seed = [
        np.mean([balanced_accuracy_score(t.true, t.predicted) for t in (tables[f, seed, part] for f in FOLDS)])
        for seed in SEEDS
    ]
    assert plain["mean_over_folds"]["uar"]["mean"] == pytest.approx(np.mean(by_seed))
    assert plain["mean_over_folds"]["uar"]["sd"] == pytest.approx(abs(by_seed[0] - by_seed[1]) / np.sqrt(2))
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


def test_the_reliability_bins_are_the_calibration_error_taken_apart(summary, tables):
    pooled = summary.results["summary"]["test"]["pooled"]
    everything = pd.concat([tables[fold, seed, "test"] for seed in SEEDS for fold in FOLDS])
    bins = pooled["reliability"]["network"]
    assert sum(each["n"] for each in bins) == len(everything)
    right, confidence = everything.true == everything.predicted, everything[COLUMNS].max(axis=1)
    for each in bins:
        inside = (confidence > each["low"]) & (confidence <= each["high"])
        assert each["n"] == inside.sum()
        if each["n"]:
            assert each["accuracy"] == pytest.approx(right[inside].mean())
            assert each["confidence"] == pytest.approx(confidence[inside].mean())
    gaps = [each["n"] * abs(each["accuracy"] - each["confidence"]) for each in bins if each["n"]]
    expected = expected_calibration_error(everything[COLUMNS].to_numpy(), everything.truth)
    assert sum(gaps) / len(everything) == pytest.approx(expected)
    # With the temperature they are less sure, and as often right.
    calibrated = pooled["reliability"]["calibrated"]
    hits = [sum(each["n"] * each["accuracy"] for each in of if each["n"]) for of in (bins, calibrated)]
    assert hits[0] == pytest.approx(hits[1]) == pytest.approx(right.sum())
    assert calibrated[-1]["n"] < bins[-1]["n"]


def test_the_interval_resamples_the_actors_that_were_scored(summary, tables):
    """A plain bootstrap, one resample after the other, with random numbers of its own."""
    frames = [pd.concat([tables[fold, seed, "test"] for fold in FOLDS]) for seed in SEEDS]
    actors = sorted(set(frames[0].actor))
    assert len(actors) == 9
    of_actor = [
        {a: confusion_matrix(f[f.actor == a].true, f[f.actor == a].predicted, labels=EMOTIONS) for a in actors}
        for f in frames
    ]
    rng, values = np.random.default_rng(99), []
    for _ in range(3000):
        drawn = rng.choice(actors, size=len(actors))
        sums = [sum(matrices[actor] for actor in drawn) for matrices in of_actor]
        values.append(np.mean([np.mean(s.diagonal() / s.sum(axis=1)) for s in sums]))
    low, high = summary.results["summary"]["test"]["pooled"]["interval_95"]["uar"]
    assert low < summary.results["summary"]["test"]["pooled"]["uar"]["mean"] < high
    assert [low, high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.003)


def test_the_ensemble_averages_the_seeds_and_is_scored_as_one_model(summary, tables):
    plain = summary.results
    entries = {entry["fold"]: entry for entry in plain["runs"] if entry["seed"] == "ensemble"}
    assert set(entries) == set(FOLDS)
    predicted, true = [], []
    for fold in FOLDS:
        first, second = (tables[fold, seed, "test"] for seed in SEEDS)
        mean = (first[COLUMNS].to_numpy() + second[COLUMNS].to_numpy()) / 2
        chosen = [EMOTIONS[k] for k in mean.argmax(axis=1)]
        assert entries[fold]["test"]["accuracy"] == pytest.approx(accuracy_score(first.true, chosen))
        assert entries[fold]["test"]["log_loss"] == pytest.approx(
            log_loss(first.truth, mean, labels=range(8)), rel=1e-6
        )
        predicted += chosen
        true += list(first.true)
    got = plain["summary"]["test"]["ensemble_pooled"]
    assert got["uar"] == {"mean": pytest.approx(balanced_accuracy_score(true, predicted)), "sd": None}
    # Independent errors: two heads are better than one.
    assert got["uar"]["mean"] > plain["summary"]["test"]["pooled"]["uar"]["mean"]


def test_an_ensemble_of_different_recordings_is_refused(made):
    path = made.runs[2].predictions("test")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    models = [read_model(made.runs[place], made) for place in (0, 2)]
    with pytest.raises(CorpusError, match="subject_wise_0 scored different test recordings"):
        ensemble(models, target_selective_accuracy=0.8)


@pytest.mark.parametrize(
    "text", ["", "file,true\n", "file,true\nhello,calm\n", "file,true\n03-01-01-01-01-01-01,calm\n"]
)
def test_a_foreign_file_is_refused_by_name(text, made):
    made.runs[0].predictions("test").write_text(text)
    with pytest.raises(CorpusError, match=r"test/predictions\.csv is not the predictions"):
        summarise(made)


def test_a_single_seed_has_no_spread_and_no_ensemble(cross_validation):
    summary = summarise(cross_validation(seeds=(3,)))
    assert summary.results["summary"]["test"]["ensemble_pooled"] is None
    assert summary.results["summary"]["test"]["mean_over_folds"]["uar"]["sd"] is None
    text = format_results(summary.results)
    assert "ensemble" not in text
    assert "±" not in text


def test_without_test_scores_there_are_validation_scores_only(cross_validation):
    summary = summarise(cross_validation(parts=("validation",)))
    assert list(summary.results["summary"]) == ["validation"]
    text = format_results(summary.results)
    assert "test" not in text
    assert "## Confusion matrix: validation recordings" in text


@pytest.mark.parametrize("keeps_last", [False, True])
def test_the_report_names_what_validation_recordings_chose(keeps_last, cross_validation):
    summary = summarise(cross_validation(keeps_last=keeps_last))
    assert summary.results["keeps_last"] is keeps_last
    chosen = "temperature and threshold" if keeps_last else "checkpoint, temperature and threshold"
    assert f"Validation recordings chose {chosen}:" in format_results(summary.results)


def test_a_cross_validation_is_read_back_from_its_folder(summary, made, tmp_path):
    write_results(summary, made.folder)
    assert read_cross_validation(made.folder) == made
    moved = made.folder.rename(tmp_path / "moved")
    assert read_cross_validation(moved) == replace(made, folder=moved)
    (moved / "fold_subject_wise_4_seed_1" / "test" / "predictions.csv").unlink()
    with pytest.raises(
        CheckpointError, match=r"1 of 4 runs of .*moved are not finished \(fold_subject_wise_4_seed_1\)"
    ):
        read_cross_validation(moved)


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"runs": []}', "no", "without protocol", "a list as summary"])
def test_a_folder_without_complete_results_is_refused(content, summary, made):
    write_results(summary, made.folder)
    path = made.folder / "results.json"
    values = json.loads(path.read_text())
    path.unlink()
    if content == "without protocol":
        del values["protocol"]
        content = json.dumps(values)
    if content == "a list as summary":
        content = json.dumps(values | {"summary": [1]})
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=r"results\.json"):
        read_cross_validation(made.folder)


def test_a_spread_leaves_out_what_is_undefined():
    scores = [{"uar": 0.1, "coverage": 0.5}, {"uar": None, "coverage": None}, {"uar": 0.3, "coverage": None}]
    assert spreads(scores) == {
        "uar": {"mean": pytest.approx(0.2), "sd": pytest.approx(np.sqrt(0.02))},
        "coverage": {"mean": 0.5, "sd": None},
    }
    assert spreads([{"uar": None}]) == {"uar": {"mean": None, "sd": None}}


def test_a_run_that_rejects_everything_has_no_selective_accuracy(made):
    path = made.runs[0].predictions("validation")
    frame = pd.read_csv(path)
    frame["true"] = [EMOTIONS[(EMOTIONS.index(name) + 1) % 8] for name in frame.predicted]  # every prediction is wrong
    frame.to_csv(path, index=False)
    summary = summarise(made)
    first, second = summary.results["runs"][:2]
    assert first["rejection_threshold"] is None
    assert second["rejection_threshold"] is not None
    assert first["test"]["coverage"] == 0
    assert first["test"]["selective_accuracy"] is None
    # The other fold of that seed accepts some: the mean is its own.
    means = summary.results["summary"]["test"]["mean_over_folds_by_seed"]["0"]
    assert means["selective_accuracy"] == second["test"]["selective_accuracy"]


def markdown_tables(text):
    """Return the tables of a Markdown text, each a list of rows of cells."""
    tables, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            tables.append(rows)
            rows = []
    return tables


def test_the_report_states_the_protocol_first_and_the_same_scores(summary):
    text, plain = format_results(summary.results), summary.results
    assert text.splitlines()[2] == "Made up; on purpose."
    summed, by_run, by_class, by_group, matrix = markdown_tables(text)
    rows = {row[0]: row[1:] for row in summed[2:]}
    score = plain["summary"]["test"]["mean_over_folds"]["uar"]
    low, high = plain["summary"]["test"]["pooled"]["interval_95"]["uar"]
    assert rows["test UAR"][0] == f"{score['mean']:.2%} ± {score['sd']:.2%}"
    assert rows["test UAR"][2] == f"{low:.2%} to {high:.2%}"
    assert rows["validation log-loss"][0].startswith(
        f"{plain['summary']['validation']['mean_over_folds']['log_loss']['mean']:.3f}"
    )
    columns = by_run[0]
    entry = plain["runs"][0]
    assert by_run[2][columns.index("test ECE, T")] == f"{entry['test']['calibrated_calibration_error']:.2%}"
    assert [row[:2] for row in by_run[2:]] == [
        *([fold, str(seed)] for seed in SEEDS for fold in FOLDS),
        *([fold, "ensemble"] for fold in FOLDS),
        *(["mean over folds", name] for name in ("0", "1", "ensemble")),
    ]
    assert [row[0] for row in by_class[2:]] == list(EMOTIONS)
    assert [row[0] for row in by_group[2:]] == ["speech", "song", "female", "male"]
    counts = [[int(cell) for cell in row[1:]] for row in matrix[2:]]
    assert counts == plain["summary"]["test"]["pooled"]["all_seeds"]["confusion_matrix"]


def test_everything_is_written(summary, tmp_path):
    folder = tmp_path / "results"
    text = write_results(summary, folder)
    assert (folder / "results.md").read_text() == text == format_results(summary.results)
    assert json.loads((folder / "results.json").read_text()) == summary.results
    assert (folder / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion_matrix.png", "predictions.csv", "results.json", "results.md",
    ]  # fmt: skip


def test_all_predictions_are_pooled(summary, tables, tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(format_predictions(summary))
    pooled = pd.read_csv(path, dtype={"seed": str})
    assert len(pooled) == 1.5 * sum(map(len, tables.values()))  # the ensemble of two seeds is half as many again
    for (fold, seed, part), frame in tables.items():
        ours = pooled[(pooled.fold == fold) & (pooled.seed == str(seed)) & (pooled.part == part)].reset_index(drop=True)
        pd.testing.assert_frame_equal(
            ours[["file", "true", "predicted", *COLUMNS]], frame[["file", "true", "predicted", *COLUMNS]]
        )
        np.testing.assert_allclose(ours[[f"c_{name}" for name in EMOTIONS]].sum(axis=1), 1, rtol=1e-6)
