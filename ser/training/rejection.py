"""The rejection threshold of a run's model: chosen on the validation part, kept in the checkpoint."""

from pathlib import Path

from ser.evaluation.calibration import TARGET_SELECTIVE_ACCURACY, fit_rejection_threshold
from ser.evaluation.predictions import class_numbers, probabilities_of
from ser.evaluation.report import Evaluation
from ser.inference.checkpoint import ENTRY, read_checkpoint, save_atomically


def keep_rejection_threshold(checkpoint: Path, validation: Evaluation) -> float:
    """Choose a threshold on the validation part and write it into the metadata of a checkpoint; return it.

    It is the lowest confidence from which on four in five validation predictions are right, as in a cross-validation;
    1.0, which rejects nearly all, where no confidence reaches that. The temperature stays 1: what a run reports is of
    the probabilities that its network gives, and the checkpoint gives the same ones.

    Parameters
    ----------
    validation : of the predictions of this checkpoint.
    """
    table = validation.predictions
    truth, probabilities = class_numbers(table), probabilities_of(table)
    found = fit_rejection_threshold(probabilities, truth, accuracy=TARGET_SELECTIVE_ACCURACY)
    threshold = 1.0 if found is None else found
    content = read_checkpoint(checkpoint)
    if content[ENTRY].get("rejection_threshold") != threshold:
        save_atomically({**content, ENTRY: {**content[ENTRY], "rejection_threshold": threshold}}, checkpoint)
    return threshold
