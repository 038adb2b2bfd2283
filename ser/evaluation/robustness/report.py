"""What the measurement leaves in the folder of the cross-validation: a table in Markdown, and JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser.data.files import write_text_atomically
from ser.errors import CheckpointError
from ser.evaluation.cross_validation.record import Part
from ser.evaluation.robustness.measurement import UNCHANGED
from ser.evaluation.robustness.sound_changes import RIR_DIRECT_DB, RIR_T60
from ser.evaluation.tables import UNNAMED, interval, percent, table

RESULTS_TEXT, RESULTS = "robustness.md", "robustness.json"


def part_folder(folder: Path, part: Part) -> Path:
    """Return where the results of a part lie: as a run keeps its test predictions apart, in `test`."""
    return folder / "test" if part == "test" else folder


def write_robustness(values: Mapping[str, Any], folder: Path) -> str:
    """Write what was measured as `robustness.md` and `robustness.json` into a cross-validation's folder.

    Parameters
    ----------
    values : of `ser.evaluation.robustness.measurement.measure`.

    Returns
    -------
    The text of robustness.md.
    """
    sections = ["# Robustness", values["protocol"], robustness_table(values)]
    for name, one in values["by_corpus"].items():
        sections += [f"## {name or UNNAMED}: {one['n_recordings']:,} recordings", robustness_table(one)]
    text = "\n\n".join([*sections, "## Notes", _notes(values)]) + "\n"
    destination = part_folder(folder, values["part"])
    write_text_atomically(destination / RESULTS_TEXT, text)
    write_text_atomically(destination / RESULTS, json.dumps(values, indent=2, allow_nan=False) + "\n")
    return text


def read_robustness(folder: Path, results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the content of the robustness.json of a cross-validation, of its test part where that was measured.

    Parameters
    ----------
    results : the content of its results.json; unchanged recordings must have the UAR in it.

    Returns
    -------
    As of `ser.evaluation.robustness.measurement.measure`; None where nothing was measured.

    Raises
    ------
    CheckpointError : the file is not JSON, or was measured on other predictions.
    """
    paths = [part_folder(folder, part) / RESULTS for part in ("test", "validation")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON.") from error
    if values["n_recordings"] == values["of_recordings"]:
        summary = results["summary"].get(values["part"])
        if summary is None or not math.isclose(values["changes"][UNCHANGED]["uar"], summary["pooled"]["uar"]["mean"]):
            raise CheckpointError(
                f"The {RESULTS} of {folder} is not of its results.json; measure again: "
                f"ser robustness {folder} --part {values['part']}"
            )
    return values


def robustness_table(values: Mapping[str, Any]) -> str:
    """Return the table of the content of robustness.json, or of one of its corpora."""
    rows = [["change", "UAR", "95% interval", "lost", "95% interval"]]
    for name, one in values["changes"].items():
        row = [one["label"], percent(one["uar"]), interval(one["uar_interval_95"])]
        lost = ["", ""] if name == UNCHANGED else [percent(one["loss"]), interval(one["loss_interval_95"])]
        rows.append(row + lost)
    return table(rows)


def _notes(values: Mapping[str, Any]) -> str:
    count, total, seeds = values["n_recordings"], values["of_recordings"], len(values["seeds"])
    counted = f"{count:,}" if count == total else f"{count:,} of {total:,}, drawn by chance,"
    means = f"; scores are means over {seeds} seeds" if seeds > 1 else ""
    lines = [
        f"Scored: {counted} {values['part']} recordings of all folds pooled, each by the runs of its own fold{means}.",
        f"Intervals are percentiles of {values['bootstrap']['resamples']:,} resamples of the speakers. The loss is "
        "resampled together with the unchanged recordings.",
        "The level of speech is the mean power of the loudest half of a recording's 20 ms blocks.",
        "The telephone is a Butterworth band-pass of order 4 at each edge. The room is its direct sound and a tail of "
        f"Gaussian noise that falls by 60 dB in {RIR_T60} s and holds {RIR_DIRECT_DB:.0f} dB less energy.",
        "Each recording is changed before anything else is done to it; what exceeds full scale is not clipped.",
    ]
    return "\n".join(f"- {line}" for line in lines)
