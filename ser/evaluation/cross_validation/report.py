"""What a cross-validation leaves behind: one Markdown table for people, JSON and CSV for machines, a picture."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from ser.data.files import write_text_atomically
from ser.evaluation.cross_validation.record import PREDICTIONS, RESULTS, Part
from ser.evaluation.cross_validation.summary import Pooled, Spread, Summary, as_plain, seed_name
from ser.evaluation.metrics import Metrics
from ser.evaluation.tables import decimal, interval, percent, table

RESULTS_TEXT, PICTURE = "results.md", "confusion_matrix.png"

_FRACTIONS = {
    "uar": "UAR",
    "accuracy": "accuracy",
    "calibration_error": "ECE",
    "calibrated_calibration_error": "ECE, with temperature",
    "coverage": "coverage",
    "selective_accuracy": "selective accuracy",
}
_SHORT: dict[Part, str] = {"validation": "val", "test": "test"}
_NATS = {"log_loss": "log-loss", "calibrated_log_loss": "log-loss, with temperature"}


def write_results(summary: Summary, folder: Path) -> str:
    """Write `results.md`, `results.json`, `predictions.csv` and `confusion_matrix.png`; return the text of the first.

    Raises
    ------
    OSError : a file cannot be written; it names it.
    """
    from ser.evaluation.figures import confusion_figure, save_figure

    text = format_results(summary)
    write_text_atomically(folder / RESULTS_TEXT, text)
    write_text_atomically(folder / RESULTS, json.dumps(as_plain(summary), indent=2, allow_nan=False) + "\n")
    write_text_atomically(folder / PREDICTIONS, format_predictions(summary))
    part = last_part(summary)
    overall = summary.parts[part].pooled.overall
    title = (
        f"{summary.cross_validation.protocol.partition(';')[0]}.\n{_pool(summary, part).capitalize()}:\n"
        f"accuracy {overall.accuracy:.2%}, UAR {overall.uar:.2%}"
    )
    save_figure(
        confusion_figure(overall.confusion, summary.cross_validation.class_names, title=title), folder / PICTURE
    )
    return text


def last_part(summary: Summary) -> Part:
    """Return the part that the confusion matrix and the tables by class are of: test, or validation without it."""
    return "test" if "test" in summary.parts else "validation"


def format_results(summary: Summary) -> str:
    """Return everything as Markdown; the tables are aligned, so that they read well as plain text."""
    part = last_part(summary)
    best, class_names = summary.parts[part].pooled, summary.cross_validation.class_names
    sections = [
        "# Cross-validation",
        summary.cross_validation.protocol,
        _summary_table(summary),
        _notes(summary),
        "## By fold and seed",
        _run_table(summary),
        f"## By class, channel and gender: {_pool(summary, part)}",
        _class_table(best.overall),
        _group_table(best),
        f"## Confusion matrix: {_pool(summary, part)}",
        table(
            [["true \\ predicted", *class_names]]
            + [[name, *map(str, counts)] for name, counts in zip(class_names, best.overall.confusion, strict=True)]
        ),
    ]
    return "\n\n".join(sections) + "\n"


def format_predictions(summary: Summary) -> str:
    """Return every prediction as CSV: fold, seed ("ensemble" for the ensemble), part, and what a run's own file has.

    The columns `c_<class>` hold the probabilities with the run's temperature.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = summary.cross_validation.class_names
    writer.writerow(
        ["fold", "seed", "part", "file", "actor", "channel", "true", "predicted", "accepted"]
        + [f"p_{name}" for name in names]
        + [f"c_{name}" for name in names]
    )
    for model in summary.models:
        for part, scored in model.parts.items():
            for row, name in enumerate(scored.names):
                probabilities = (*scored.probabilities[row], *scored.calibrated[row])
                writer.writerow(
                    [
                        model.fold,
                        seed_name(model.seed),
                        part,
                        name.stem,
                        name.actor,
                        name.channel,
                        names[scored.truth[row]],
                    ]
                    + [names[scored.predicted[row]], str(bool(scored.accepted[row])).lower()]
                    + [f"{probability:.9g}" for probability in probabilities]
                )
    return text.getvalue()


def _summary_table(summary: Summary) -> str:
    several = len(summary.cross_validation.seeds) > 1
    head = ["", "mean over folds", "all folds pooled", "95% interval"]
    rows = [head + (["ensemble, pooled", "95% interval"] if several else [])]
    for part in reversed(tuple(summary.parts)):  # test first
        one = summary.parts[part]
        for name, label in (_FRACTIONS | _NATS).items():
            form = percent if name in _FRACTIONS else decimal
            row = [f"{part} {label}", _spread(one.fold_mean[name], form), _spread(one.pooled.scores[name], form)]
            row.append(_interval(one.pooled, name))
            if one.ensemble:
                row += [form(one.ensemble.scores[name].mean), _interval(one.ensemble, name)]
            rows.append(row)
    return table(rows)


def _notes(summary: Summary) -> str:
    cross_validation = summary.cross_validation
    n_seeds = len(cross_validation.seeds)
    lines = [
        f"Scores are means ± standard deviations over {n_seeds} seeds." if n_seeds > 1 else "Scores are of one seed.",
        f"Intervals are percentiles of {cross_validation.bootstrap_resamples:,} resamples of the scored actors, each "
        "with all recordings: of the score of the pooled recordings, averaged over seeds.",
        "UAR is the mean recall of the classes. ECE, the expected calibration error, is the mean gap between "
        "confidence and accuracy, in 15 bins of equal width.",
        "A prediction is rejected if its confidence, with temperature, is below the rejection threshold: the lowest "
        f"one from which on {cross_validation.target_selective_accuracy:.0%} of the run's validation predictions are "
        "correct (without such a threshold, all are rejected). Coverage is the fraction that is not rejected, "
        "selective accuracy their accuracy.",
    ]
    if n_seeds > 1:
        lines.append(
            "The ensemble averages the probabilities of all seeds and is scored as one model, with its own temperature."
        )
    chosen = "temperature and threshold" if cross_validation.keeps_last else "checkpoint, temperature and threshold"
    lines.append(f"Validation recordings chose {chosen}: validation scores that depend on these are optimistic.")
    return "\n".join(f"- {line}" for line in lines)


def _run_table(summary: Summary) -> str:
    columns = {"uar": "UAR", "accuracy": "accuracy", "calibration_error": "ECE", "log_loss": "log-loss"}
    with_temperature = {"calibrated_calibration_error": "ECE, T", "calibrated_log_loss": "log-loss, T"}
    chosen = {"coverage": "coverage", "selective_accuracy": "sel. acc."}
    wanted: dict[Part, dict[str, str]] = {"validation": columns, "test": columns | with_temperature | chosen}
    head = ["fold", "seed", "T", "threshold"]
    head += [f"{_SHORT[part]} {label}" for part in summary.parts for label in wanted[part].values()]
    rows = [head]
    for model, scores in zip(summary.models, summary.scores, strict=True):
        row = [model.fold, seed_name(model.seed), f"{model.temperature:.2f}", decimal(model.rejection_threshold)]
        row += [_cell(name, getattr(scores[part], name)) for part in summary.parts for name in wanted[part]]
        rows.append(row)
    for seed in summary.parts["validation"].fold_means:
        row = ["mean over folds", seed_name(seed), "", ""]
        row += [_cell(name, one.fold_means[seed][name]) for part, one in summary.parts.items() for name in wanted[part]]
        rows.append(row)
    return table(rows, left=2)


def _class_table(metrics: Metrics) -> str:
    rows = [["class", "recall", "precision", "F1", "support"]]
    rows += [
        [one.name, percent(one.recall), percent(one.precision), percent(one.f1), str(one.support)]
        for one in metrics.per_class
    ]
    return table(rows)


def _group_table(pooled: Pooled) -> str:
    rows = [["group", "UAR", "accuracy", "recordings"]]
    rows += [
        [member, percent(metrics.uar), percent(metrics.accuracy), str(metrics.n_recordings)]
        for members in pooled.groups.values()
        for member, metrics in members.items()
    ]
    return table(rows)


def _pool(summary: Summary, part: Part) -> str:
    seeds = len(summary.cross_validation.seeds)
    return f"{part} recordings of all folds" + (f", each counted for {seeds} seeds" if seeds > 1 else "")


def _cell(name: str, value: float | None) -> str:
    return percent(value) if name in _FRACTIONS else decimal(value)


def _spread(spread: Spread, form: Callable[[float | None], str]) -> str:
    return form(spread.mean) + ("" if spread.sd is None else f" ± {form(spread.sd)}")


def _interval(pooled: Pooled, name: str) -> str:
    if name not in pooled.intervals:
        return ""
    return interval(pooled.intervals[name])
