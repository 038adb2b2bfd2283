"""The JSON files in a cross-validation's folder, as tables of the card."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser.errors import CheckpointError
from ser.evaluation.cross_validation.record import RESULTS, Part, read_results
from ser.evaluation.metrics import ReliabilityBin
from ser.evaluation.robustness.measurement import UNCHANGED
from ser.evaluation.robustness.report import RESULTS as ROBUSTNESS
from ser.evaluation.robustness.report import part_folder
from ser.evaluation.tables import decimal, interval, percent, spread, table

_SCORES = {"uar": "UAR", "accuracy": "accuracy"}


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of one cross-validation.

    Attributes
    ----------
    values : the content of results.json.
    robustness : of robustness.json, of the test part where there is one; None without either.
    """

    values: Mapping[str, Any]
    robustness: Mapping[str, Any] | None

    @property
    def part(self) -> Part:
        """The part that the card reports: test, or validation where no test recordings were scored."""
        return "test" if "test" in self.values["summary"] else "validation"

    @property
    def summary(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.values["summary"][self.part]
        return found

    @property
    def command(self) -> str:
        return str(self.values["command"] or "python cross_validate.py ckpt_path=<its folder>")

    @property
    def confusion(self) -> list[list[int]]:
        return list(self.summary["pooled"]["all_seeds"]["confusion_matrix"])

    @property
    def class_names(self) -> list[str]:
        return list(self.values["class_names"])

    @property
    def reliability(self) -> dict[str, tuple[ReliabilityBin, ...]]:
        """The reliability bins of both kinds of probabilities, by their labels in the diagram."""
        bins = self.summary["pooled"]["reliability"]
        labels = {"network": "without temperature", "calibrated": "with temperature"}
        return {label: tuple(ReliabilityBin(**each) for each in bins[kind]) for kind, label in labels.items()}


def read_folder(folder: Path) -> Results:
    """Read the results of a cross-validation and, where it was measured, its robustness.

    Raises
    ------
    CheckpointError : as `read_results`, or the robustness was measured on other predictions.
    """
    results = Results(values=read_results(folder), robustness=_read_robustness(folder))
    _check_robustness(results, folder)
    return results


def _read_robustness(folder: Path) -> Mapping[str, Any] | None:
    found = [_read(part_folder(folder, part) / ROBUSTNESS) for part in ("test", "validation")]
    return next((one for one in found if one is not None), None)


def _check_robustness(results: Results, folder: Path) -> None:
    """Refuse a robustness.json of other predictions: unchanged recordings must have the UAR of the results."""
    measured = results.robustness
    if measured is None or measured["n_recordings"] < measured["of_recordings"]:
        return
    summary = results.values["summary"].get(measured["part"])
    if summary is None or not math.isclose(measured["changes"][UNCHANGED]["uar"], summary["pooled"]["uar"]["mean"]):
        raise CheckpointError(
            f"The {ROBUSTNESS} of {folder} is not of its {RESULTS}; measure again: "
            f"python -m ser robustness cross_validation={folder} part={measured['part']}"
        )


def scores(results: Results) -> str:
    """Return protocol, command, and UAR and accuracy: over folds, pooled, of the ensemble, seed by seed."""
    summary, seeds = results.summary, results.values["seeds"]
    pooled, ensemble = summary["pooled"], summary["ensemble_pooled"]
    several = len(results.values["folds"]) > 1
    head = ["", *(["mean over folds", "all folds pooled"] if several else [f"{results.part} part"]), "95% interval"]
    rows = [head + ([f"ensemble of {len(seeds)}{', pooled' if several else ''}", "95% interval"] if ensemble else [])]
    for key, label in _SCORES.items():
        row = [label, *([spread(summary["mean_over_folds"][key])] if several else []), spread(pooled[key])]
        row.append(interval(pooled["interval_95"][key]))
        if ensemble:
            row += [percent(ensemble[key]["mean"]), interval(ensemble["interval_95"][key])]
        rows.append(row)
    by_seed = summary["mean_over_folds_by_seed"]
    one_by_one = [["seed", *(f"{label}{', mean over folds' if several else ''}" for label in _SCORES.values())]]
    one_by_one += [[str(seed), *(percent(by_seed[str(seed)][key]) for key in _SCORES)] for seed in seeds]
    chose = results.part == "validation" and not results.values["keeps_last"]
    optimistic = " These recordings chose the checkpoint, so the scores are optimistic." if chose else ""
    per_seed = pooled["all_seeds"]["n_recordings"] // len(seeds)
    means = f"Means ± standard deviations over {len(seeds)} seeds; intervals" if len(seeds) > 1 else "Intervals"
    notes = (
        f"Scored: {per_seed:,} {results.part} recordings.{optimistic} UAR is the mean recall of the classes. {means} "
        f"are of a bootstrap over actors. `{results.command}`"
    )
    by_seed_table = [table(one_by_one)] if len(seeds) > 1 else []
    return "\n\n".join([results.values["protocol"], table(rows), *by_seed_table, notes])


def temperatures(results: Results) -> str:
    """Return the range of the runs' temperatures, the ensembles left out."""
    found = [run["temperature"] for run in results.values["runs"] if run["seed"] != "ensemble"]
    return f"{decimal(min(found))} to {decimal(max(found))}"


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON.") from error
