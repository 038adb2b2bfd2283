"""Recordings of several speakers, whose names are known: those of each speaker are context of one another."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

from ser.corpora.table import open_table
from ser.errors import CorpusError, SettingsError
from ser.inference.batches import Outcome, in_batches, load_all
from ser.inference.context import NO_CONTEXT, SpeakerRecordings
from ser.inference.metadata_file import short_digest
from ser.inference.predictor import Predictor
from ser.inference.result_lines import key_of
from ser.inference.results import Failure, Prediction

_AT_ONCE = 64
_KEPT_BYTES = 2**28
"""Features of one speaker that are kept in memory: those of some thousand recordings."""


def predict_by_speaker(
    predictor: Predictor,
    recordings: Sequence[tuple[Path, str]],
    *,
    workers: int = 1,
    output: Path | str | None = None,
    resume: bool = False,
) -> Iterator[Prediction | Failure]:
    """Predict each recording with all others of its speaker as context; yield the results speaker by speaker.

    Every recording is needed before the first of its speaker is answered. So there are two passes: one for summaries,
    one for answers. Features are kept between them, up to 256 MiB a speaker; those of a speaker who has more are
    computed twice, which takes longer and keeps memory bounded. A recording that cannot be read yields a `Failure`, and
    is in no context.

    Parameters
    ----------
    recordings : path and speaker; without a name of the speaker ("") a recording has no context. The speakers come in
        the order of their first recordings.
    workers, output, resume : as of `Predictor.predict_many`.

    Raises
    ------
    SettingsError : the model takes no speaker context; or as of `Predictor.predict_many`.
    SerError : as of `Predictor.predict_many`.
    """
    if not predictor.metadata.context:
        raise SettingsError(NO_CONTEXT)
    by_speaker: dict[str, list[Path]] = {}
    for path, speaker in dict.fromkeys(recordings):
        by_speaker.setdefault(speaker, []).append(path)
    with ExitStack() as stack:
        file, claimed = None, dict(by_speaker)
        if output is not None:
            opened = predictor.open_output(output, resume=resume, fingerprint=_fingerprint(predictor, by_speaker))
            file = stack.enter_context(opened)
            claimed = {speaker: list(filter(file.claim, paths)) for speaker, paths in by_speaker.items()}
        # The others of a speaker are needed for the context of one that is missing.
        needed = {speaker: by_speaker[speaker] if speaker else paths for speaker, paths in claimed.items() if paths}
        settings = predictor.metadata.features
        outcomes = load_all([path for paths in needed.values() for path in paths], settings, workers=workers)
        for speaker, paths in needed.items():
            batches: Iterable[list[Outcome]] = in_batches(islice(outcomes, len(paths)), size=_AT_ONCE)
            known = SpeakerRecordings(predictor.metadata.context)
            if speaker:
                again = partial(load_all, paths, settings, workers=workers)
                batches = _first_pass(predictor, batches, known) or in_batches(again(), size=_AT_ONCE)
            wanted = set(map(str, claimed[speaker]))
            for batch in batches:
                chosen = [(name, outcome) for name, outcome in batch if name in wanted]
                read = [outcome for _, outcome in chosen if not isinstance(outcome, str)]
                done = predictor.predict_batch(chosen, contexts=[known.context_of(one) for one in read])
                if file is not None:
                    file.add(done)
                yield from done


def read_speakers(path: Path, column: str) -> list[tuple[Path, str]]:
    """Return path and speaker of each row of a table; speakers that are not known are "".

    Parameters
    ----------
    path : a CSV or Parquet file with the column "file", relative to its folder.
    column : that names the speaker.

    Raises
    ------
    CorpusError : it is no such table, a file is missing in a row, or in two rows; it names the row.
    """
    name = column.strip().lower()
    table = open_table(path, columns=("file", name), required=("file", name))
    rows: dict[str, tuple[int, str]] = {}
    for row, cells in table.rows:
        if isinstance(cells, str):
            raise CorpusError(cells)
        file, speaker = cells
        if not file:
            raise CorpusError(f"{path}, row {row}, column file: it is empty; write the path of the recording.")
        if file in rows:
            raise CorpusError(
                f"{path}, row {row}, column file: {file!r} is in row {rows[file][0]} already; remove one."
            )
        rows[file] = row, speaker
    if not rows:
        raise CorpusError(f"{path} names columns but has no rows; add a row for each recording.")
    return [(path.parent / file, speaker) for file, (_, speaker) in rows.items()]


def _first_pass(
    predictor: Predictor, batches: Iterable[list[Outcome]], known: SpeakerRecordings
) -> list[list[Outcome]]:
    """Add what can be read to the recordings of a speaker, and return all with their features; [] if too many."""
    kept, n_bytes = list[list[Outcome]](), 0
    for batch in batches:
        read = [(name, outcome) for name, outcome in batch if not isinstance(outcome, str)]
        for (_, recording), result in zip(read, predictor.predict_batch(read), strict=True):
            assert isinstance(result, Prediction)  # each of them was read
            known.add(recording, result)
        n_bytes += sum(one.features.nbytes for _, recording in read for one in recording.utterances)
        kept = [*kept, batch] if n_bytes <= _KEPT_BYTES else []
    return kept


def _fingerprint(predictor: Predictor, by_speaker: dict[str, list[Path]]) -> str:
    """Return what tells the model, and who has said what, from others; recordings are known by their paths."""
    named = {speaker: sorted(map(key_of, paths)) for speaker, paths in sorted(by_speaker.items())}
    return short_digest(json.dumps([predictor.fingerprint, named]).encode())
