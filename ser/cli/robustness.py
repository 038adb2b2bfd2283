"""`ser robustness <cross-validation>`: how much UAR its runs lose when the sound changes."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from ser.cli.command import FeatureGroups, Networks, own_parts
from ser.evaluation.cross_validation.record import Part
from ser.features.validation import Natural, Positive, read_settings, settings_dataclass


@settings_dataclass
class RobustnessSettings:
    """The part to score, `count` recordings of each fold (None: all), `workers` processes (0: all cores)."""

    part: Part
    count: Positive | None
    workers: Natural


def robustness(
    cross_validation: Annotated[Path, typer.Argument(help="the folder of a finished cross-validation")],
    part: Annotated[str, typer.Option(help="the recordings to change: validation or test")] = "validation",
    count: Annotated[int | None, typer.Option(help="recordings of each fold; all if left out")] = None,
    workers: Annotated[int, typer.Option(help="worker processes; 0 takes all cores")] = 0,
    network: Networks = None,
    feature_group: FeatureGroups = None,
) -> int:
    """Measure how much UAR the runs of a cross-validation lose when the sound changes.

    Changes the recordings that the runs have scored in level, with noise, by a telephone's band and a small room, and
    predicts them again with the runs. Writes robustness.md and robustness.json into the folder, for the test part into
    test/ in it.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = {"part": part, "count": count, "workers": workers}
    settings = read_settings(RobustnessSettings, given, where="robustness")

    from ser.evaluation.robustness.measurement import measure  # torch, only once it is needed
    from ser.evaluation.robustness.report import write_robustness

    own = own_parts(network, feature_group)
    values = measure(cross_validation, part=settings.part, count=settings.count, workers=settings.workers, **own)
    sys.stdout.write(write_robustness(values, cross_validation))
    return 0
