"""`python -m ser robustness cross_validation=<folder>`: how much UAR its runs lose when the sound changes.

Changes the recordings that the runs of a finished cross-validation have scored (`part=validation`, or `part=test`) in
level, with noise, by a telephone's band and a small room, and predicts them again with the runs. It writes
`robustness.md` and `robustness.json` into the folder, for the test part into `test/` in it. `count=<n>` takes n
recordings of each fold, `workers=<n>` as many processes.
"""

import logging
from functools import partial
from pathlib import Path

from ser.cli.command import key_value_command
from ser.evaluation.cross_validation.record import Part
from ser.features.validation import Natural, Positive, settings_dataclass


@settings_dataclass
class RobustnessSettings:
    """The settings of the command; `count` recordings of each fold (None: all), `workers` processes (0: all cores)."""

    cross_validation: str
    part: Part = "validation"
    count: Positive | None = None
    workers: Natural = 0


def _measure(settings: RobustnessSettings) -> str:
    """Return the table, which is also written."""
    from ser.evaluation.robustness.measurement import measure  # torch, only once it is needed
    from ser.evaluation.robustness.report import write_robustness

    folder = Path(settings.cross_validation)
    values = measure(folder, part=settings.part, count=settings.count, workers=settings.workers)
    return write_robustness(values, folder)


main = partial(
    key_value_command, _measure, RobustnessSettings, name="robustness", description=__doc__, log_level=logging.INFO
)
