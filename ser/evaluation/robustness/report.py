"""What the measurement leaves in the folder of the cross-validation: a table in Markdown, and JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser.data.files import write_text_atomically
from ser.evaluation.cross_validation.record import Part
from ser.evaluation.robustness.measurement import UNCHANGED, Robustness
from ser.evaluation.robustness.sound_changes import RIR_DIRECT_DB, RIR_T60
from ser.evaluation.tables import interval, percent, table

RESULTS_TEXT, RESULTS = "robustness.md", "robustness.json"


def part_folder(folder: Path, part: Part) -> Path:
    """Return where the results of a part lie: as a run keeps its test predictions apart, in `test`."""
    return folder / "test" if part == "test" else folder


def write_robustness(robustness: Robustness, folder: Path) -> str:
    """Write `robustness.md` and `robustness.json` into a cross-validation's folder; return the text of the first."""
    text = format_robustness(robustness)
    destination = part_folder(folder, robustness.part)
    write_text_atomically(destination / RESULTS_TEXT, text)
    write_text_atomically(destination / RESULTS, json.dumps(as_plain(robustness), indent=2, allow_nan=False) + "\n")
    return text


def as_plain(robustness: Robustness) -> dict[str, Any]:
    """Return the content of robustness.json; all scores are fractions in [0, 1]."""
    cross_validation = robustness.cross_validation
    return {
        "protocol": cross_validation.protocol,
        "part": robustness.part,
        "folds": list(cross_validation.folds),
        "seeds": list(cross_validation.seeds),
        "n_recordings": robustness.n_recordings,
        "of_recordings": robustness.of_recordings,
        "bootstrap": cross_validation.bootstrap(),
        "changes": {
            name: {
                "label": one.label,
                "uar": one.uar,
                "uar_by_seed": {str(seed): uar for seed, uar in one.uar_by_seed.items()},
                "uar_interval_95": list(one.interval),
                "loss": one.loss,
                "loss_interval_95": list(one.loss_interval),
            }
            for name, one in robustness.scores.items()
        },
    }


def format_robustness(robustness: Robustness) -> str:
    """Return everything as Markdown."""
    protocol = robustness.cross_validation.protocol
    sections = ["# Robustness", protocol, robustness_table(as_plain(robustness)), _notes(robustness)]
    return "\n\n".join(sections) + "\n"


def robustness_table(values: Mapping[str, Any]) -> str:
    """Return the table of the content of robustness.json."""
    rows = [["change", "UAR", "95% interval", "lost", "95% interval"]]
    for name, one in values["changes"].items():
        row = [one["label"], percent(one["uar"]), interval(one["uar_interval_95"])]
        lost = ["", ""] if name == UNCHANGED else [percent(one["loss"]), interval(one["loss_interval_95"])]
        rows.append(row + lost)
    return table(rows)


def _notes(robustness: Robustness) -> str:
    seeds = len(robustness.cross_validation.seeds)
    some = robustness.n_recordings < robustness.of_recordings
    counted = f"{robustness.n_recordings:,}" + (f" of {robustness.of_recordings:,}, drawn by chance," if some else "")
    lines = [
        f"Scored: {counted} {robustness.part} recordings of all folds pooled, each by the runs of its own fold"
        + (f"; scores are means over {seeds} seeds." if seeds > 1 else "."),
        f"Intervals are percentiles of {robustness.cross_validation.bootstrap_resamples:,} resamples of the actors. "
        "The loss is resampled together with the unchanged recordings.",
        "The level of speech is the mean power of the loudest half of a recording's 20 ms blocks.",
        "The telephone is a Butterworth band-pass of order 4 at each edge. The room is its direct sound and a tail of "
        f"Gaussian noise that falls by 60 dB in {RIR_T60} s and holds {RIR_DIRECT_DB:.0f} dB less energy.",
        "Each recording is changed before anything else is done to it; what exceeds full scale is not clipped.",
    ]
    return "\n".join(f"- {line}" for line in lines)
