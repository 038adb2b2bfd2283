"""What the JSON files of a cross-validation's folder say, as the tables of the card."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser.errors import CheckpointError
from ser.evaluation.cross_validation.report import RESULTS
from ser.evaluation.markdown import decimal, interval, percent, table
from ser.evaluation.metrics import ReliabilityBin
from ser.evaluation.robustness.measurement import UNCHANGED
from ser.evaluation.robustness.report import RESULTS as ROBUSTNESS
from ser.evaluation.robustness.report import part_folder
from ser.training.cross_validation.settings import Part

_FIGURES = {"uar": "UAR", "accuracy": "accuracy"}


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
        """The part that the card tells of: test, or validation where no test recordings were scored."""
        return "test" if "test" in self.values["summary"] else "validation"

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.values["summary"][self.part]

    @property
    def command(self) -> str:
        return self.values["command"] or "python cross_validate.py ckpt_path=<its folder>"

    @property
    def confusion(self) -> list[list[int]]:
        return self.summary["pooled"]["all_seeds"]["confusion_matrix"]

    @property
    def class_names(self) -> list[str]:
        return self.values["class_names"]

    @property
    def reliability(self) -> dict[str, tuple[ReliabilityBin, ...]]:
        """The bins of both kinds of probabilities, by what the diagram calls them."""
        bins = self.summary["pooled"]["reliability"]
        labels = {"network": "as the network answers", "calibrated": "with temperature"}
        return {label: tuple(ReliabilityBin(**each) for each in bins[kind]) for kind, label in labels.items()}


def read_results(folder: Path) -> Results:
    """Read what `cross_validate.py` and `ser.robustness` left in `folder`.

    Raises
    ------
    CheckpointError : there are no results, or they were written by an earlier release; it names the file.
    """
    values = _read(folder / RESULTS)
    if values is None:
        raise CheckpointError(f"{folder} holds no {RESULTS}; it should be the folder of a finished cross-validation.")
    summaries = values.get("summary", {})
    if not {"command", "keeps_last"} <= values.keys() or not all(
        "reliability" in one["pooled"] for one in summaries.values()
    ):
        raise CheckpointError(
            f"{folder / RESULTS} lacks what a model card tells; write it again, which trains nothing: "
            f"python cross_validate.py ckpt_path={folder}"
        )
    results = Results(values=values, robustness=_read_robustness(folder))
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
    head = ["", *(["mean over folds", "all folds pooled"] if several else ["held-out part"]), "95% interval"]
    rows = [head + ([f"ensemble of {len(seeds)}{', pooled' if several else ''}", "95% interval"] if ensemble else [])]
    for key, label in _FIGURES.items():
        row = [label, *([_spread(summary["mean_over_folds"][key])] if several else []), _spread(pooled[key])]
        row.append(interval(pooled["interval_95"][key]))
        if ensemble:
            row += [percent(ensemble[key]["mean"]), interval(ensemble["interval_95"][key])]
        rows.append(row)
    by_seed = summary["mean_over_folds_by_seed"]
    one_by_one = [["seed", *(f"{label}{', mean over folds' if several else ''}" for label in _FIGURES.values())]]
    one_by_one += [[str(seed), *(percent(by_seed[str(seed)][key]) for key in _FIGURES)] for seed in seeds]
    chose = results.part == "validation" and not results.values["keeps_last"]
    flatters = " On these recordings the checkpoint was chosen, so they flatter." if chose else ""
    per_seed = pooled["all_seeds"]["n_recordings"] // len(seeds)
    several = f"Means ± standard deviations over {len(seeds)} seeds; intervals" if len(seeds) > 1 else "Intervals"
    told = (
        f"Scored: {per_seed:,} {results.part} recordings.{flatters} UAR is the mean recall of the classes. {several} "
        f"are of a bootstrap over actors. `{results.command}`"
    )
    by_seed_table = [table(one_by_one)] if len(seeds) > 1 else []
    return "\n\n".join([results.values["protocol"], table(rows), *by_seed_table, told])


def class_table(results: Results) -> str:
    """Return recall, precision, F1 and support of every class."""
    rows = [["class", "recall", "precision", "F1", "support"]]
    rows += [
        [name, *(percent(one[key]) for key in ("recall", "precision", "f1")), str(one["support"])]
        for name, one in results.summary["pooled"]["all_seeds"]["per_class"].items()
    ]
    return table(rows)


def group_table(results: Results) -> str:
    """Return UAR and accuracy of speech and song, women and men, as far as they were scored."""
    rows = [["group", *_FIGURES.values(), "recordings"]]
    rows += [
        [member, *(percent(one[key]) for key in _FIGURES), str(one["n_recordings"])]
        for members in results.summary["pooled"]["by_group"].values()
        for member, one in members.items()
    ]
    return table(rows)


def temperatures(results: Results) -> str:
    """Return the range of the runs' temperatures, the ensembles left out."""
    found = [run["temperature"] for run in results.values["runs"] if run["seed"] != "ensemble"]
    return f"{decimal(min(found))} to {decimal(max(found))}"


def _spread(spread: Mapping[str, float | None]) -> str:
    return percent(spread["mean"]) + ("" if spread["sd"] is None else f" ± {percent(spread['sd'])}")


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON.") from error
