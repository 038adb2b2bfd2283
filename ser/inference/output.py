"""The results file of a long run: rows as they come, of one model, and once each, however often the run is stopped.

CSV and JSON lines are added to. A Parquet file is only readable when it is finished, so its rows are first added to a
journal of JSON lines beside it, which is gone when the Parquet file is complete.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from ser.data.files import locked_or_refused, replace_when_complete
from ser.errors import SerError, SettingsError
from ser.inference.result_lines import CsvLines, ForeignLineError, JsonLines, Lines, key_of
from ser.inference.results import Failure, Prediction

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

CSV, JSONL, PARQUET = ".csv", ".jsonl", ".parquet"
_LONGEST_LINE = 2**26
_STRANGE_LINES = 1000
"""After so many, none of them a row, a file is another one."""


class Output(Protocol):
    """A results file that is open."""

    def claim(self, source: object) -> bool:
        """Return whether a recording is to be predicted: once, unless the file holds its prediction.

        Raises
        ------
        SettingsError : it is no path, so it could not be found again; or a stream, of which the file has a prediction.
        """

    def add(self, results: Iterable[Prediction | Failure]) -> None:
        """Write a row for each result, so that they survive a kill and a power cut; raises SerError."""


def check_output(path: Path, *, resume: bool) -> None:
    """Check what can be checked before there is a model.

    Raises
    ------
    SettingsError : an unknown suffix, no ordinary file, or one that exists although `resume` is false.
    """
    if path.suffix.lower() not in (CSV, JSONL, PARQUET):
        raise SettingsError(f"The results file is {path}, but should end in {CSV}, {JSONL} or {PARQUET}.")
    if path.is_dir():
        raise SettingsError(f"{path} is a folder; name a file in it, such as {path / f'results{path.suffix}'}.")
    for there in (path, journal_of(path)) if path.suffix.lower() == PARQUET else (path,):
        if there.exists() and not there.is_file():
            raise SettingsError(f"{there} is a device or a pipe, not a file; name another.")
        if there.exists() and not resume:
            raise SettingsError(f"{there} exists; go on with it by `--resume` (`resume=True`), or name another file.")


def journal_of(path: Path) -> Path:
    """Return where the rows of a Parquet file are kept until it is complete."""
    return path.with_name(f"{path.name}{JSONL}")


@contextmanager
def open_output(
    path: Path, *, model: str, class_names: Sequence[str], resume: bool, context: bool = False
) -> Iterator[Output]:
    """Open a results file for the predictions of a model, and finish it when the block ends, even by an error.

    Parameters
    ----------
    path : a .csv, .jsonl or .parquet file; its folder is made where it is missing.
    model : the fingerprint of the model; every row bears it.
    resume : go on with a file that is there: rows without a prediction are taken out, to be tried again.
    context : whether the model takes speaker context, so that rows tell its size.

    Raises
    ------
    SettingsError : as of `check_output`; or the file is no results file, or of another model (it is not changed
        then), or another process writes to it.
    SerError : the file cannot be written; what it holds is kept. Or it is Parquet, and pyarrow is not installed.
    OSError : the file cannot be read.
    """
    check_output(path, resume=resume)
    suffix = path.suffix.lower()
    if suffix != PARQUET:
        lines: Lines = CsvLines(class_names, context) if suffix == CSV else JsonLines()
        with _open_lines(path, lines, model=model) as file:
            yield file
        return

    from ser.inference.parquet import check_pyarrow, finish_parquet, unpack_parquet

    check_pyarrow(path)
    journal = journal_of(path)
    is_unpacked = path.exists() and not journal.exists()
    if is_unpacked:
        with _named_in_errors(journal):
            unpack_parquet(path, journal)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_open_lines(journal, JsonLines(), model=model))
        except SettingsError:
            if is_unpacked:  # of another model: the Parquet file stays as it was, and alone
                journal.unlink()
            raise
        try:
            yield file
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell; the journal is still there
                file.end()
                finish_parquet(journal, path, class_names, context=context)
            raise
        # Under the lock, so that no other process begins a journal that is then taken away.
        file.end()
        with _named_in_errors(path):
            finish_parquet(journal, path, class_names, context=context)


class LineFile:
    """A results file of lines."""

    def __init__(self, path: Path, file: BinaryIO, lines: Lines, *, model: str, taken: set[str]) -> None:
        """Add to `file`, which was opened for appending, without a buffer."""
        self._path, self._file, self._lines, self._model, self._taken = path, file, lines, model, taken

    def claim(self, source: object) -> bool:
        """Return whether a recording is to be predicted, as `Output` says."""
        if not isinstance(source, str | Path):
            raise SettingsError(f"A source is given as {type(source).__name__}, but with `output` all should be paths.")
        if (key := key_of(source)) not in self._taken:
            self._taken.add(key)
            return True
        if str(source) == "-" or (Path(source).exists() and not Path(source).is_file()):
            unknown = f"whether {self._path} holds this one cannot be known"
            raise SettingsError(f"{source} is a stream: {unknown}; give a file.")
        return False

    def add(self, results: Iterable[Prediction | Failure]) -> None:
        """Write a row for each result, so that they survive a kill and a power cut; raises SerError."""
        self.write(b"".join(self._lines.format(result, model=self._model) for result in results))

    def write(self, content: bytes) -> None:
        """Write lines, all of them or none."""
        size = os.fstat(self._file.fileno()).st_size
        with _named_in_errors(self._path):
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[self._file.write(rest) :]
                os.fsync(self._file.fileno())
            except BaseException:  # Ctrl-C too
                os.ftruncate(self._file.fileno(), size)
                raise

    def end(self) -> None:
        """Make ready for the file to be removed, which Windows does not with one that is open."""
        if fcntl is None:
            self._file.close()


@contextmanager
def _open_lines(path: Path, lines: Lines, *, model: str) -> Iterator[LineFile]:
    """Open a file of lines that no other process writes to, with whole rows of this model in it, and no failures."""
    with ExitStack() as stack:
        with _named_in_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("ab", buffering=0))
            locked_or_refused(file, path)
            survey = _survey(path, lines, model=model)
            is_headless = bool(lines.header) and not survey.has_header and path.stat().st_size > 0
            if survey.dropped or is_headless:
                if fcntl is None:  # Windows replaces no file that is open
                    file.close()
                _rewrite(path, lines, survey)
                file = stack.enter_context(path.open("ab", buffering=0))
                locked_or_refused(file, path)
        if survey.n_damaged:
            log.warning("%s had %d damaged lines; their recordings are predicted again", path, survey.n_damaged)
        output = LineFile(path, file, lines, model=model, taken=survey.keys)
        if not path.stat().st_size:
            output.write(lines.header)
        yield output


@dataclass
class _Survey:
    """What a file holds: keys of the rows to keep, the numbers of the lines to drop, how many of these are damaged."""

    keys: set[str] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    has_header: bool = False
    n_damaged: int = 0


def _survey(path: Path, lines: Lines, *, model: str) -> _Survey:
    """Read a file; raises SettingsError where it is no results file, or of another model."""
    found, is_ours, strange = _Survey(), False, 0
    for number, line in _numbered(path):
        if number == 1 and lines.header:
            classes = lines.read_header(line) if line.endswith(b"\n") else None
            if classes is not None and classes != lines.read_header(lines.header):
                other = f"{path} holds predictions of another model, with the classes {classes}"
                raise SettingsError(f"{other}; name another file.")
            if classes is not None:
                is_ours = found.has_header = True
                continue
        try:
            row = lines.read(line) if line.endswith(b"\n") else None
        except ForeignLineError as error:
            raise SettingsError(_no_results_file(path, number)) from error
        if row is None:
            found.dropped.add(number)
            is_empty = not line.strip(b"\0\r\n")
            start = line.rstrip(b"\0")
            begins = start.startswith(lines.beginning) or lines.beginning.startswith(start)
            is_cut = begins and not line.endswith(b"\n")
            strange = strange or (0 if is_empty or is_cut else number)
            if strange and not is_ours and number > _STRANGE_LINES:
                break
            found.n_damaged += line.endswith(b"\n")
            continue
        if row.model != model:
            other = f"{path} holds predictions of another model ({row.model}, not {model})"
            raise SettingsError(f"{other}; name another file.")
        is_ours = True
        if row.is_failure or row.path in found.keys:
            found.dropped.add(number)
        else:
            found.keys.add(row.path)
    if strange and not is_ours:
        raise SettingsError(_no_results_file(path, strange))
    return found


def _rewrite(path: Path, lines: Lines, survey: _Survey) -> None:
    with replace_when_complete(path.resolve()) as temporary, temporary.open("wb") as file:
        file.write(lines.header)
        for number, line in _numbered(path):
            if number not in survey.dropped and not (number == 1 and survey.has_header):
                file.write(line)


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers from 1; what has no line ends, in parts, so that memory is bounded."""
    with path.open("rb") as file:
        yield from enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1)


def _no_results_file(path: Path, number: int) -> str:
    return f"{path} is no results file (see its line {number}); name another."


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_begun = path.is_file() and path.stat().st_size > 0
        kept = "; what it holds is kept, and `--resume` goes on" if is_begun else ""
        raise SerError(f"{path} cannot be written: {error.strerror or error}{kept}.") from error
