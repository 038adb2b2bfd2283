"""The predictions of a set of recordings: a table with a row a recording, and its file."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ser.corpora.manifest import Recording
from ser.errors import CorpusError


def prediction_table(
    recordings: Sequence[Recording], probabilities: ArrayLike, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return the table of the predictions of recordings.

    Parameters
    ----------
    probabilities : float [n, classes], each row not negative and summing to 1.
    class_names : in the order of the probabilities.

    Returns
    -------
    The columns file (the recording's id), speaker, gender and corpus (empty where they are not known), channel, true,
    predicted (the class that is the most probable; the first of equals), confidence (the largest probability), and
    float64 `p_<class>` for each class. The categories of true and predicted are `class_names`, in their order.

    Raises
    ------
    ValueError : no recordings, a recording twice, an unknown true class, or probabilities that do not sum to 1 or are
        not one a class; it names the recording.
    """
    numbers = np.asarray(probabilities, dtype=np.float64)
    if not len(recordings):
        raise ValueError("there is no recording to evaluate.")
    if numbers.shape != (len(recordings), len(class_names)):
        raise ValueError(
            f"{len(recordings)} recordings of {len(class_names)} classes have probabilities {numbers.shape}."
        )
    files = pd.Series([recording.id for recording in recordings])
    if files.duplicated().any():
        raise ValueError(f"{files[files.duplicated()].iloc[0]} is scored twice.")
    for file, recording, row in zip(files, recordings, numbers, strict=True):
        if recording.emotion not in class_names:
            raise ValueError(f"{file} is {recording.emotion!r}, not one of {', '.join(class_names)}.")
        if not (row.min() >= 0 and abs(row.sum() - 1) < 0.01):
            raise ValueError(f"{file} has probabilities that do not sum to 1: {row.tolist()}.")
    facts = {
        "file": files,
        "speaker": [recording.speaker or "" for recording in recordings],
        "gender": [recording.gender or "" for recording in recordings],
        "channel": [recording.channel for recording in recordings],
        "corpus": [recording.corpus for recording in recordings],
        "true": pd.Categorical([recording.emotion for recording in recordings], class_names),
    }
    return with_probabilities(pd.DataFrame(facts), numbers)


def with_probabilities(table: pd.DataFrame, probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Return a table with these probabilities, float64 [n, classes], and the predictions that they make."""
    class_names = class_names_of(table)
    columns = dict(zip(probability_columns(class_names), probabilities.T, strict=True))
    predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), class_names)
    return table.assign(predicted=predicted, confidence=probabilities.max(axis=1), **columns)


def with_classes(table: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Return a table with these classes, of which it may lack some: their probabilities are 0."""
    if class_names_of(table) == list(class_names):
        return table
    named = {name: table[name].cat.set_categories(class_names) for name in ("true", "predicted")}
    prefixes = [prefix for prefix in ("p", "c") if f"{prefix}_{class_names_of(table)[0]}" in table]
    columns = [column for prefix in prefixes for column in probability_columns(class_names, prefix)]
    return table.assign(**named, **{column: 0.0 for column in columns if column not in table})


def classes_by_corpus(
    corpora: Iterable[str], labels: Iterable[str], class_names: Sequence[str]
) -> dict[str, list[str]]:
    """Return the classes that each corpus has, in the order of `class_names`.

    Parameters
    ----------
    corpora, labels : of each recording, its corpus and its label; labels that are none of `class_names` do not count.
    """
    found = set(zip(corpora, labels, strict=True))
    return {
        corpus: [name for name in class_names if (corpus, name) in found]
        for corpus in sorted({corpus for corpus, _ in found})
    }


def closed_set(table: pd.DataFrame, classes: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """Return a table with the closed-set predictions: the most probable of the classes that the recording's corpus has.

    Without it, predictions are open-set: the most probable of all classes of the model.

    Parameters
    ----------
    classes : corpus -> the classes that it has, those of its recordings in the table among them.

    Returns
    -------
    The table with other values in predicted; confidence and probabilities stay those of the model.
    """
    chosen = closed_set_probabilities(table, classes).argmax(axis=1)
    return table.assign(predicted=pd.Categorical.from_codes(chosen, class_names_of(table)))


def closed_set_probabilities(table: pd.DataFrame, classes: Mapping[str, Collection[str]]) -> NDArray[np.float64]:
    """Return the probabilities given that the class is one of those that the recording's corpus has.

    Parameters
    ----------
    classes : as of `closed_set`.

    Returns
    -------
    float64 [n, classes]: 0 of the classes that the corpus lacks; the others add up to 1.
    """
    names, rows = np.unique(table["corpus"].to_numpy(dtype=str), return_inverse=True)
    allowed = np.array([[name in classes[corpus] for name in class_names_of(table)] for corpus in names])[rows]
    # Where all classes of a corpus have a probability of 0, they are alike.
    kept = np.where(allowed, np.maximum(probabilities_of(table), np.finfo(np.float64).tiny), 0)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


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


def resampled_units(table: pd.DataFrame) -> pd.Series:
    """Return what a bootstrap draws: the speaker of each recording, where none is known the recording itself."""
    return table["speaker"].where(table["speaker"] != "", "recording " + table["file"])


def class_numbers(table: pd.DataFrame, column: str = "true") -> NDArray[np.int64]:
    """Return the numbers of the true, or of the predicted classes of a table, int64 [n]."""
    return np.asarray(table[column].cat.codes, dtype=np.int64)


def format_predictions(table: pd.DataFrame) -> str:
    """Return a table as CSV; numbers have 9 significant digits, enough to give back every float32."""
    return str(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_predictions(path: Path, class_names: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the file of a run: a `prediction_table` of the classes that have a column in it.

    Parameters
    ----------
    class_names : that it may have, in the order of the result; None: any, in the order of the columns.

    Raises
    ------
    CorpusError : the file is something else, or has other classes; it names it.
    """
    try:
        # Text: numpy reads the numbers to the last digit, pandas need not, and a speaker may be called 01, or NA.
        content = pd.read_csv(path, dtype=str, keep_default_na=False)
        columns = [content[name] for name in ("file", "speaker", "gender", "channel", "corpus", "true")]
        recordings = [
            Recording(
                path=Path(file), id=file, speaker=speaker, gender=gender, channel=channel, corpus=corpus, emotion=true
            )
            for file, speaker, gender, channel, corpus, true in zip(*columns, strict=True)
        ]
        found = [name[2:] for name in content.columns if name.startswith("p_")]
        if class_names is not None:
            found.sort(key=class_names.index)  # a ValueError where it is none of them
        return prediction_table(recordings, content[probability_columns(found)], found)
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(
            f"{path} is not the predictions of a run of these classes; delete it and start again."
        ) from error
