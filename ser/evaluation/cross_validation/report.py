"""What a cross-validation leaves behind: one Markdown table for people, JSON and CSV for machines, a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ser.data.files import write_text_atomically
from ser.evaluation.context.scores import TABLE as CONTEXT_TABLE
from ser.evaluation.context.scores import format_context, format_csv
from ser.evaluation.cross_validation.record import CORPUS_FOLD, PREDICTIONS, RESULTS, Part
from ser.evaluation.cross_validation.summary import Summary
from ser.evaluation.predictions import format_predictions, probability_columns
from ser.evaluation.tables import UNNAMED, class_rows, confusion_rows, decimal, interval, percent, spread, table

RESULTS_TEXT, PICTURE = "results.md", "confusion_matrix.png"

_SCORES = {
    "uar": ("UAR", percent),
    "accuracy": ("accuracy", percent),
    "calibration_error": ("ECE", percent),
    "calibrated_calibration_error": ("ECE, with temperature", percent),
    "coverage": ("coverage", percent),
    "selective_accuracy": ("selective accuracy", percent),
    "log_loss": ("log-loss", decimal),
    "calibrated_log_loss": ("log-loss, with temperature", decimal),
}
_SCORES_BY_CORPUS = {
    "uar": "UAR",
    "closed_set_uar": "closed-set UAR",
    "calibration_error": "ECE",
    "calibrated_calibration_error": "ECE, T",
    "coverage": "coverage",
    "selective_accuracy": "sel. acc.",
}


_TEMPERATURE = "ECE and log-loss are with temperature."
_CORPUS_NOTE = (
    "UAR is open-set: predictions are among all classes of the model of the fold. Closed-set: among those that the "
    "corpus has, in any part. The interval is of the closed-set UAR, over the speakers of the corpus."
)


def write_results(summary: Summary, folder: Path) -> str:
    """Write `results.md`, `results.json`, `predictions.csv` and `confusion_matrix.png`; return the text of the first.

    Where the models take speaker context, `context.csv` too.

    Raises
    ------
    OSError : a file cannot be written; it names it.
    """
    from ser.evaluation.figures import confusion_figure, save_figure

    results = summary.results
    text = format_results(results)
    write_text_atomically(folder / RESULTS_TEXT, text)
    write_text_atomically(folder / RESULTS, json.dumps(results, indent=2, allow_nan=False) + "\n")
    write_text_atomically(folder / PREDICTIONS, pooled_predictions(summary))
    if in_context := [{"part": name, **row} for name, rows in results["context"].items() for row in rows]:
        write_text_atomically(folder / CONTEXT_TABLE, format_csv(in_context))
    part = last_part(results)
    overall = results["summary"][part]["pooled"]["all_seeds"]
    title = (
        f"{results['protocol'].partition(';')[0]}.\n{_pool(results, part).capitalize()}:\n"
        f"accuracy {overall['accuracy']:.2%}, UAR {overall['uar']:.2%}"
    )
    figure = confusion_figure(overall["confusion_matrix"], results["class_names"], title=title)
    save_figure(figure, folder / PICTURE)
    return text


def last_part(results: Mapping[str, Any]) -> Part:
    """Return the part that the confusion matrix and the tables by class are of: test, or validation without it."""
    return "test" if "test" in results["summary"] else "validation"


def format_results(results: Mapping[str, Any]) -> str:
    """Return the content of results.json as Markdown; the tables are aligned, so that they read well as plain text."""
    part = last_part(results)
    pooled = results["summary"][part]["pooled"]
    sections = [
        "# Cross-validation",
        results["protocol"],
        _summary_table(results),
        _notes(results),
        "## By fold and seed",
        _run_table(results),
        *([f"## By corpus: {part} recordings", corpus_table(results), _CORPUS_NOTE] if _has_corpora(results) else []),
        *_context_section(results, part),
        f"## By class, channel and gender: {_pool(results, part)}",
        class_table(pooled),
        group_table(pooled),
        f"## Confusion matrix: {_pool(results, part)}",
        table(confusion_rows(pooled["all_seeds"]["confusion_matrix"], results["class_names"])),
    ]
    return "\n\n".join(sections) + "\n"


def _context_section(results: Mapping[str, Any], part: Part) -> list[str]:
    rows = results.get("context", {}).get(part)
    return (
        [f"## Speaker context: {part} recordings", f"{format_context(rows, markdown=True)} {_TEMPERATURE}"]
        if rows
        else []
    )


def pooled_predictions(summary: Summary) -> str:
    """Return every prediction as CSV: fold, seed ("ensemble" for the ensemble), part, and what a run's own file has.

    The columns `c_<class>` hold the probabilities with the run's temperature.
    """
    class_names = summary.results["class_names"]
    columns = ["fold", "seed", "part", "file", "speaker", "channel", "corpus", "true", "predicted", "accepted"]
    columns += probability_columns(class_names) + probability_columns(class_names, "c")
    accepted = np.where(summary.predictions["accepted"], "true", "false")
    return format_predictions(summary.predictions.assign(accepted=accepted)[columns])


def _summary_table(results: Mapping[str, Any]) -> str:
    head = ["", "mean over folds", "all folds pooled", "95% interval"]
    rows = [head + (["ensemble, pooled", "95% interval"] if len(results["seeds"]) > 1 else [])]
    for part, one in reversed(results["summary"].items()):  # test first
        pooled, ensemble = one["pooled"], one["ensemble_pooled"]
        for name, (label, form) in _SCORES.items():
            row = [f"{part} {label}", spread(one["mean_over_folds"][name], form), spread(pooled[name], form)]
            row.append(_interval(pooled, name))
            if ensemble:
                row += [form(ensemble[name]["mean"]), _interval(ensemble, name)]
            rows.append(row)
    return table(rows)


def _notes(results: Mapping[str, Any]) -> str:
    n_seeds = len(results["seeds"])
    lines = [
        f"Scores are means ± standard deviations over {n_seeds} seeds." if n_seeds > 1 else "Scores are of one seed.",
        f"Intervals are percentiles of {results['bootstrap']['resamples']:,} resamples of the scored speakers, each "
        "with all recordings: of the score of the pooled recordings, averaged over seeds.",
        "UAR is the mean recall of the classes. ECE, the expected calibration error, is the mean gap between "
        "confidence and accuracy, in 15 bins of equal width.",
        "A prediction is rejected if its confidence, with temperature, is below the rejection threshold: the lowest "
        f"one from which on {results['target_selective_accuracy']:.0%} of the predictions are correct that it was "
        "chosen on (without such a threshold, all are rejected). Coverage is the fraction that is not rejected, "
        "selective accuracy their accuracy.",
    ]
    ensemble = (
        "The ensemble averages the probabilities of all seeds and is scored as one model, with its own temperature."
    )
    lines += [ensemble] if n_seeds > 1 else []
    chosen = "temperature and threshold" if results["keeps_last"] else "checkpoint, temperature and threshold"
    if all(run["fold"].startswith(CORPUS_FOLD) for run in results["runs"]):
        chosen = "" if results["keeps_last"] else "checkpoint"
    if chosen:
        lines.append(f"Validation recordings chose {chosen}: validation scores that depend on these are optimistic.")
    return "\n".join(f"- {line}" for line in lines)


def _run_table(results: Mapping[str, Any]) -> str:
    labels = {"uar": "UAR", "accuracy": "accuracy", "calibration_error": "ECE", "log_loss": "log-loss"}
    columns = [("validation", name, f"val {label}") for name, label in labels.items()]
    if "test" in results["summary"]:
        labels |= {"calibrated_calibration_error": "ECE, T", "calibrated_log_loss": "log-loss, T"}
        labels |= {"coverage": "coverage", "selective_accuracy": "sel. acc."}
        columns += [("test", name, f"test {label}") for name, label in labels.items()]
    rows = [["fold", "seed", "T", "threshold", *(label for _, _, label in columns)]]
    for run in results["runs"]:
        row = [run["fold"], run["seed"], f"{run['temperature']:.2f}", decimal(run["rejection_threshold"])]
        rows.append(row + [_SCORES[name][1](run[part][name]) for part, name, _ in columns])
    means = {part: one["mean_over_folds_by_seed"] for part, one in results["summary"].items()}
    for seed in means["validation"]:
        row = ["mean over folds", seed, "", ""]
        rows.append(row + [_SCORES[name][1](means[part][seed][name]) for part, name, _ in columns])
    return table(rows, left=2)


def _has_corpora(results: Mapping[str, Any]) -> bool:
    return len(results["summary"][last_part(results)]["by_corpus"]) > 1


def corpus_table(results: Mapping[str, Any]) -> str:
    """Return what each corpus holds and its scores in results.json, a row a corpus, and their means."""
    one_part, columns = results["summary"][last_part(results)], list(_SCORES_BY_CORPUS)
    head = list(_SCORES_BY_CORPUS.values())
    place = columns.index("closed_set_uar") + 1  # of the interval
    rows = [["corpus", "recordings", "speakers", "classes", *head[:place], "95% interval", *head[place:]]]
    for corpus, one in one_part["by_corpus"].items():
        counts = [f"{one[key]:,}" for key in ("n_recordings", "n_speakers")] + [str(len(one["classes"]))]
        scores = [spread(one[name]) for name in columns]
        ends = interval(one["closed_set_uar_interval_95"])
        rows.append([corpus or UNNAMED, *counts, *scores[:place], ends, *scores[place:]])
    means = [spread(one_part["mean_over_corpora"][name]) for name in columns]
    rows.append(["mean over corpora", "", "", "", *means[:place], "", *means[place:]])
    return table(rows)


def class_table(pooled: Mapping[str, Any]) -> str:
    """Return recall, precision, F1 and support of every class, of a pooled set in results.json."""
    return table(class_rows(pooled["all_seeds"]["per_class"]))


def group_table(pooled: Mapping[str, Any]) -> str:
    """Return UAR and accuracy of speech and song, women and men, as far as they occur in a pooled set."""
    rows = [["group", "UAR", "accuracy", "recordings"]]
    for members in pooled["by_group"].values():
        for member, one in members.items():
            rows.append([member, percent(one["uar"]), percent(one["accuracy"]), str(one["n_recordings"])])
    return table(rows)


def _pool(results: Mapping[str, Any], part: Part) -> str:
    seeds = len(results["seeds"])
    return f"{part} recordings of all folds" + (f", each counted for {seeds} seeds" if seeds > 1 else "")


def _interval(pooled: Mapping[str, Any], name: str) -> str:
    return interval(pooled["interval_95"][name]) if name in pooled["interval_95"] else ""
