"""The rows of a results file as Parquet: a column for the probability of each class, the utterances nested."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser.data.files import replace_when_complete
from ser.errors import SettingsError, missing_package
from ser.inference.result_lines import row_of
from ser.inference.results import Failure, Prediction

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 10_000
"""Of a row group."""
_OF_BOTH = ("file", "path", "model")
_OF_PREDICTIONS = ("emotion", "confidence", "uncertain", "status", "speech", "duration", "utterances", "warnings")

_CONTEXT = "context_size"
"""A column of the predictions of models that take speaker context."""


def finish_parquet(journal: Path, path: Path, class_names: Sequence[str], *, context: bool = False) -> None:
    """Write the rows of a journal of JSON lines as a Parquet file, whole or not at all, and remove the journal.

    Parameters
    ----------
    context : whether there is a column for the size of the speaker context.

    Raises
    ------
    OSError : it cannot be written; the journal is kept.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(class_names, context)
    with (
        replace_when_complete(path.resolve()) as temporary,
        journal.open("rb") as lines,
        pq.ParquetWriter(temporary, schema) as writer,
    ):
        while rows := [_flat(json.loads(line), class_names) for line in islice(lines, _ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    journal.unlink()


def table_of(
    results: Iterable[Prediction | Failure], *, model: str, class_names: Sequence[str], context: bool = False
) -> "pa.Table":
    """Return the rows of results as a table; `model` and `context` as of `ser.inference.output.open_output`."""
    import pyarrow as pa

    rows = [_flat(row_of(result, model=model), class_names) for result in results]
    return pa.Table.from_pylist(rows, _schema(class_names, context))


def unpack_parquet(path: Path, journal: Path) -> None:
    """Write the rows of a Parquet file as a journal of JSON lines, whole or not at all.

    Raises
    ------
    SettingsError : it is no Parquet file, or has other columns.
    OSError : the journal cannot be written.
    """
    rows = _rows_of(path)
    with replace_when_complete(journal) as temporary, temporary.open("w", encoding="ascii") as file:
        for row in rows:
            file.write(f"{json.dumps(_nested(row))}\n")


def check_pyarrow(path: Path) -> None:
    """Raise SettingsError where the package that writes Parquet is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise SettingsError(f"{missing_package(error, str(path))}; or name a .csv or .jsonl file.") from error


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not {*_OF_BOTH, *_OF_PREDICTIONS, "error"} <= set(file.schema_arrow.names):
                raise SettingsError(f"{path} is no results file (it has other columns); name another.")
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise SettingsError(
            f"{path} is no results file (it is not, or not all of, a Parquet file); name another."
        ) from error


def _schema(class_names: Sequence[str], context: bool) -> "pa.Schema":
    import pyarrow as pa

    number, text = pa.float64(), pa.string()
    utterance = pa.struct(
        {
            **{"start": number, "end": number, "emotion": text, "confidence": number},
            "probabilities": pa.struct(dict.fromkeys(class_names, number)),
        }
    )
    return pa.schema(
        {
            **{"file": text, "emotion": text, "confidence": number, "uncertain": pa.bool_(), "status": text},
            **{"speech": number, "duration": number},
            **({_CONTEXT: pa.int64()} if context else {}),
            **{f"p_{name}": number for name in class_names},
            **{"utterances": pa.list_(utterance), "warnings": pa.list_(text)},
            **{"error": text, "path": text, "model": text},
        }
    )


def _flat(row: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """Return a row of JSON as one of Parquet; what it lacks is null there."""
    probabilities = row.get("probabilities") or {}
    return {**row, **{f"p_{name}": probabilities.get(name) for name in class_names}}


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of Parquet as one of JSON."""
    if row["error"] is not None:
        return {"file": row["file"], "error": row["error"], "path": row["path"], "model": row["model"]}
    probabilities = {name[2:]: p for name, p in row.items() if name.startswith("p_") and p is not None}
    values = {name: row[name] for name in (*_OF_PREDICTIONS, _CONTEXT) if name in row}
    return {"file": row["file"], **values, "probabilities": probabilities, "path": row["path"], "model": row["model"]}
