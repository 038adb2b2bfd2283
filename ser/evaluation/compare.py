"""Compare runs on the recordings that all of them scored: metrics, differences in UAR, changed recordings."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser.errors import CorpusError, SettingsError
from ser.evaluation.intervals import confusions_by_speaker, speaker_interval, unweighted_average_recall
from ser.evaluation.metrics import HEADLINES, classification_metrics
from ser.evaluation.predictions import class_names_of, class_numbers, read_predictions, resampled_units, with_classes
from ser.evaluation.tables import interval, percent, table
from ser.inference.run_folder import newest_run

PREDICTIONS, METRICS = "predictions.csv", "metrics.json"
RESAMPLES = 10_000
CHANGES = {"wrong_to_right": "wrong -> right", "right_to_wrong": "right -> wrong"}


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """The scores of a run, and how it differs from the first run.

    Attributes
    ----------
    run : its folder.
    protocol : what its metrics.json says of its split; empty where there is none.
    metrics : the metrics of `HEADLINES`, fractions in [0, 1].
    uar_difference : its UAR less that of the first run, in [-1, 1]; 0 for the first run itself.
    uar_difference_interval_95 : the ends of the bootstrap interval over speakers; None where there is one speaker.
    changed : recordings that the first run got wrong and this one right, or the other way round; the columns file,
        true, before, after, change (a key of `CHANGES`), by change and file.
    """

    run: str
    protocol: str
    metrics: dict[str, float]
    uar_difference: float
    uar_difference_interval_95: tuple[float, float] | None
    changed: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs on the recordings that all of them scored, which are `n_recordings` of `n_speakers`.

    `n_left_out` recordings were scored by some of the runs alone. The first of `runs` is what the others are compared
    with.
    """

    n_recordings: int
    n_left_out: int
    n_speakers: int
    runs: tuple[RunScores, ...]


def compare(folders: Sequence[Path], *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compare the predictions in the folders of runs, or of evaluations, with those in the first.

    Parameters
    ----------
    folders : each holds predictions.csv, or is a folder of runs, whose newest finished one is taken.
    resamples, seed : of the bootstrap over speakers.

    Raises
    ------
    SettingsError : fewer than two different folders.
    CorpusError : no predictions in a folder, no recording that all have scored, or one of two true classes.
    """
    places = [_place_of_predictions(folder) for folder in folders]
    if len(places) < 2 or len({place.resolve() for place in places}) < len(places):
        raise SettingsError(f"Two or more different runs are compared, but given were {', '.join(map(str, places))}.")
    whole = [_read(place) for place in places]
    indices = [one.index for one in whole]
    common = reduce(pd.Index.intersection, indices).sort_values()
    if common.empty:
        raise CorpusError(f"There is no recording that all of {', '.join(map(str, places))} have scored.")
    # Runs may know different classes: one that a run does not know is never its prediction.
    class_names = list(dict.fromkeys(name for one in whole for name in class_names_of(one)))
    tables = [with_classes(one.loc[common], class_names) for one in whole]
    for place, one in zip(places, tables, strict=True):
        differs = one["true"] != tables[0]["true"]
        if differs.any():
            raise CorpusError(f"{place} and {places[0]} name different true classes of {differs.idxmax()}.")
    confusions = [_confusions(one, len(class_names)) for one in tables]
    n_speakers = confusions[0].shape[1]
    runs = list[RunScores]()
    for place, one, counts in zip(places, tables, confusions, strict=True):
        scores = classification_metrics(one)
        metrics = {name: float(scores[name]) for name in HEADLINES}
        ends = None
        if n_speakers > 1:
            ends = speaker_interval(
                counts, unweighted_average_recall, resamples=resamples, seed=seed, reference=confusions[0]
            )
        runs.append(
            RunScores(
                run=str(place),
                protocol=_protocol_of(place),
                metrics=metrics,
                uar_difference=metrics["uar"] - (runs[0].metrics["uar"] if runs else metrics["uar"]),
                uar_difference_interval_95=ends,
                changed=_changed(tables[0], one),
            )
        )
    left_out = len(reduce(pd.Index.union, indices)) - len(common)
    return Comparison(n_recordings=len(common), n_left_out=left_out, n_speakers=n_speakers, runs=tuple(runs))


def as_text(comparison: Comparison) -> str:
    """Return protocols, the table of metrics in percent, and for each run the table of changed recordings."""
    first, *others = comparison.runs
    lines = [f"{one.run}: {one.protocol}" for one in comparison.runs if one.protocol]
    left_out = f"; {comparison.n_left_out:,} others were left out" if comparison.n_left_out else ""
    speakers = f"{comparison.n_speakers} speaker{'s' if comparison.n_speakers > 1 else ''}"
    lines += ["", f"Scored by all: {comparison.n_recordings:,} recordings of {speakers}{left_out}.", ""]
    rows = [["run", *HEADLINES.values(), "UAR gained", "95% interval", *CHANGES.values()]]
    rows.append([first.run, *map(percent, first.metrics.values()), "", "", "", ""])
    for one in others:
        ends = "-" if one.uar_difference_interval_95 is None else interval(one.uar_difference_interval_95)
        counts = one.changed["change"].value_counts()
        numbers = [str(counts.get(change, 0)) for change in CHANGES]
        rows.append([one.run, *map(percent, one.metrics.values()), percent(one.uar_difference), ends, *numbers])
    lines += [table(rows), "", f"Gained: against {first.run}; the interval is of a bootstrap over speakers."]
    for one in others:
        if len(one.changed):
            named = one.changed.assign(change=one.changed["change"].map(CHANGES))
            changed = table([list(named.columns), *named.astype(str).to_numpy().tolist()], left=len(named.columns))
            lines += ["", f"Changed in {one.run}:", "", changed]
    return "\n".join(lines).lstrip("\n") + "\n"


def as_json(comparison: Comparison) -> str:
    """Return all of a comparison as JSON; fractions in [0, 1]."""
    runs = [asdict(one) | {"changed": one.changed.to_dict("records")} for one in comparison.runs]
    content = asdict(comparison) | {"runs": runs}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_csv(comparison: Comparison) -> str:
    """Return a table with a row a run as CSV; the changed recordings are joined by spaces, fractions in [0, 1]."""
    rows = []
    for one in comparison.runs:
        low, high = one.uar_difference_interval_95 or (None, None)
        row: dict[str, Any] = {"run": one.run, "n_recordings": comparison.n_recordings, **one.metrics}
        row |= {"uar_difference": one.uar_difference, "uar_difference_low": low, "uar_difference_high": high}
        row |= {name: " ".join(one.changed["file"][one.changed["change"] == name]) for name in CHANGES}
        rows.append(row)
    return str(pd.DataFrame(rows).to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def _place_of_predictions(folder: Path) -> Path:
    """Return the folder with predictions: this one, or of its newest run."""
    if not folder.is_dir():
        there = f"is a file; give its folder, {folder.parent}" if folder.is_file() else "is no folder"
        remedy = "" if folder.is_file() else "; give the folder of a finished run or of an evaluation"
        raise CorpusError(f"{folder} {there}{remedy}.")
    for place in (folder, newest_run(folder)):
        if place is not None and (place / PREDICTIONS).is_file():
            return place
    raise CorpusError(f"{folder} holds no {PREDICTIONS}; give the folder of a finished run or of an evaluation.")


def _read(place: Path) -> pd.DataFrame:
    """Return the `prediction_table` of a folder, its classes those of the file, indexed by file."""
    path = place / PREDICTIONS
    try:
        return read_predictions(path).set_index("file")
    except CorpusError as error:
        # What it says is for who resumes a cross-validation.
        raise CorpusError(f"{path} is not the predictions of a run; give the folder of another run.") from error


def _protocol_of(place: Path) -> str:
    try:
        return str(json.loads((place / METRICS).read_text(encoding="utf-8"))["protocol"])
    except (OSError, ValueError, KeyError, TypeError):  # a folder may hold predictions alone
        return ""


def _confusions(predictions: pd.DataFrame, n_classes: int) -> NDArray[np.int64]:
    """Return counts [1, speakers, classes, classes], as `speaker_interval` takes them."""
    true, predicted = class_numbers(predictions), class_numbers(predictions, "predicted")
    return np.stack(
        [[*confusions_by_speaker(true, predicted, resampled_units(predictions.reset_index()), n_classes).values()]]
    )


def _changed(first: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    was_right, is_right = (one["predicted"] == one["true"] for one in (first, other))
    columns = {"true": first["true"], "before": first["predicted"], "after": other["predicted"]}
    changed = pd.DataFrame(columns).astype(str)
    changed["change"] = np.where(is_right, *CHANGES)
    changed = changed[was_right != is_right].rename_axis("file").reset_index()
    return changed.sort_values(["change", "file"], ascending=[False, True], ignore_index=True)
