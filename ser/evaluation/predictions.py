"""The predictions of a set of recordings: a table with a row a recording, and its file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ser.corpora.ravdess import RecordingName, parse_stem
from ser.errors import CorpusError


def prediction_table(
    names: Sequence[RecordingName], probabilities: ArrayLike, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return the table of the predictions of recordings.

    Parameters
    ----------
    probabilities : float [n, classes], each row not negative and summing to 1.
    class_names : in the order of the probabilities.

    Returns
    -------
    The columns file (the name without suffix), actor, channel, true, predicted (the class that is the most probable;
    the first of equals), confidence (the largest probability), and float64 `p_<class>` for each class. The categories
    of true and predicted are `class_names`, in their order.

    Raises
    ------
    ValueError : no recordings, a recording twice, an unknown true class, or probabilities that do not sum to 1 or are
        not one a class; it names the recording.
    """
    numbers = np.asarray(probabilities, dtype=np.float64)
    if not len(names):
        raise ValueError("there is no recording to evaluate.")
    if numbers.shape != (len(names), len(class_names)):
        raise ValueError(f"{len(names)} recordings of {len(class_names)} classes have probabilities {numbers.shape}.")
    files = pd.Series([name.stem for name in names])
    if files.duplicated().any():
        raise ValueError(f"{files[files.duplicated()].iloc[0]} is scored twice.")
    for file, name, row in zip(files, names, numbers, strict=True):
        if name.emotion not in class_names:
            raise ValueError(f"{file} is {name.emotion!r}, not one of {', '.join(class_names)}.")
        if not (row.min() >= 0 and abs(row.sum() - 1) < 0.01):
            raise ValueError(f"{file} has probabilities that do not sum to 1: {row.tolist()}.")
    facts = {
        "file": files,
        "actor": [name.actor for name in names],
        "channel": [name.channel for name in names],
        "true": pd.Categorical([name.emotion for name in names], class_names),
    }
    return with_probabilities(pd.DataFrame(facts), numbers)


def with_probabilities(table: pd.DataFrame, probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Return a table with these probabilities, float64 [n, classes], and the predictions that they make."""
    class_names = class_names_of(table)
    columns = dict(zip(probability_columns(class_names), probabilities.T, strict=True))
    predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), class_names)
    return table.assign(predicted=predicted, confidence=probabilities.max(axis=1), **columns)


def class_names_of(table: pd.DataFrame) -> list[str]:
    """Return the names of the classes of a table, in the order of its probabilities."""
    return list(table["true"].cat.categories)


def probability_columns(class_names: Sequence[str], prefix: str = "p") -> list[str]:
    """Return the names of the columns of probabilities: "p" of the network, "c" calibrated."""
    return [f"{prefix}_{name}" for name in class_names]


def probabilities_of(table: pd.DataFrame, prefix: str = "p") -> NDArray[np.float64]:
    """Return the probabilities of a table, float64 [n, classes]."""
    # A copy in C order: numpy sums the rows of another order in another order, which shows in the last digit.
    return np.ascontiguousarray(table[probability_columns(class_names_of(table), prefix)], dtype=np.float64)


def class_numbers(table: pd.DataFrame, column: str = "true") -> NDArray[np.int64]:
    """Return the numbers of the true, or of the predicted classes of a table, int64 [n]."""
    return np.asarray(table[column].cat.codes, dtype=np.int64)


def format_predictions(table: pd.DataFrame) -> str:
    """Return a table as CSV; numbers have 9 significant digits, enough to give back every float32."""
    return str(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_predictions(path: Path, class_names: Sequence[str]) -> pd.DataFrame:
    """Read the file of a run: a `prediction_table` of these classes.

    Raises
    ------
    CorpusError : the file is something else; it names it.
    """
    try:
        content = pd.read_csv(path, dtype=str)  # numpy reads the numbers to the last digit, pandas need not
        names = [name for stem in content["file"] if (name := parse_stem(stem))]
        return prediction_table(names, content[probability_columns(class_names)], class_names)
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(
            f"{path} is not the predictions of a run of these classes; delete it and start again."
        ) from error
