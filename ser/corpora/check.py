"""`ser corpus check`: what a manifest or a corpus holds, and what is wrong with it, as text."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import soundfile

from ser.audio.io import read_sound
from ser.corpora.manifest import Recording, same_content
from ser.corpora.manifest_file import scan_manifest
from ser.corpora.reader import Reader
from ser.corpora.reading import find_reader
from ser.corpora.selection import class_order
from ser.errors import AudioError

_LISTED = 8
_ANY_RATE = 16_000
_FEW = 10
"""Recordings of a class below which neither training nor a score says much."""


def check_manifest(source: Path, *, reads_files: bool = True) -> tuple[str, bool]:
    """Return what is in a manifest and what is wrong with it as text, and whether nothing is wrong.

    Parameters
    ----------
    reads_files : also read the headers of the files, for durations, and compare their content.

    Raises
    ------
    CorpusError : the table as a whole cannot be read.
    """
    content = scan_manifest(source)
    errors = list(content.problems)
    if content.n_problems > len(errors):
        errors.append(f"... and {content.n_problems - len(errors)} more rows.")
    remarks = []
    if content.outside:
        remarks.append(
            f"{content.outside} files lie outside {source.parent.resolve()} and do not move with the manifest."
        )
    if content.other:
        remarks.append(f"Columns that are not used: {', '.join(content.other[:_LISTED])}.")
    remarks += _overlaps(content.recordings)
    lines = [f"{source}: {len(content.recordings):,} recordings", "", *_counts(content.recordings)]
    return _report(lines, content.recordings, errors, remarks, reads_files=reads_files)


def check_corpus(root: Path, corpus: str) -> tuple[str, bool]:
    """Return the same of a corpus by name in the folder `root`, and what its reader knows of it.

    Raises
    ------
    CorpusError : `root` is not a folder.
    SettingsError : there is no reader of that name.
    """
    reader = find_reader(corpus)
    found = reader.find(root)
    expected = f" of {reader.n_recordings:,}" if reader.n_recordings else ""
    lines = [f"{root}: {len(found.recordings):,}{expected} recordings of {reader.title}", ""]
    lines += [*_counts(found.recordings), "", *_facts(reader)]
    remarks = [f"Doubled by name, left out: {_listed(found.doubled)}."] if found.doubled else []
    if found.defective:
        reasons = sorted({f"{path.stem} ({reason})" for path, reason in found.defective.items()})
        remarks.append(f"Known to be wrong, left out: {_listed(reasons)}.")
    errors = []
    if found.foreign:
        remarks.append(f"Without a name of {reader.title}, left out: {_listed(found.foreign)}.")
    missing = (reader.n_recordings or 0) - len(found.recordings) - len(found.defective)
    if missing > 0:
        errors.append(f"{missing:,} recordings are missing; {reader.title} is to be had from {reader.source}.")
    return _report(lines, found.recordings, errors, remarks, reads_files=True)


def _report(
    lines: list[str], recordings: Sequence[Recording], errors: list[str], remarks: list[str], *, reads_files: bool
) -> tuple[str, bool]:
    remarks += [*_of_speakers(recordings), *_of_classes(recordings)]
    if reads_files and recordings:
        durations, unreadable = _durations(recordings)
        lines += ["", durations]
        errors += unreadable
        doubled, in_two_parts = _doubled_content(recordings)
        errors += in_two_parts
        remarks += doubled
    for label, sentences in (("Wrong", errors), ("To know", remarks)):
        if sentences:
            lines += ["", f"{label}:", *(f"- {sentence}" for sentence in sentences)]
    lines += ["", "Nothing is wrong." if not errors else "Mend what is wrong, then check again."]
    return "\n".join(lines) + "\n", not errors


def _counts(recordings: Sequence[Recording]) -> list[str]:
    facts: list[tuple[str, Callable[[Recording], str | None]]] = [
        ("corpus", lambda r: r.corpus or None),
        ("channel", lambda r: r.channel),
        ("gender", lambda r: r.gender),
        ("language", lambda r: r.language),
        ("split", lambda r: r.split),
    ]
    counts = Counter(recording.emotion for recording in recordings)
    lines = [f"emotion: {', '.join(f'{name} {counts[name]:,}' for name in class_order(counts))}"] if counts else []
    n_speakers = len({recording.speaker for recording in recordings} - {None})
    lines.append(f"speakers: {n_speakers:,}" if n_speakers else "speakers: not named")
    for name, fact in facts:
        found = Counter(map(fact, recordings))
        if set(found) != {None}:
            parts = (f"{value or 'not named'} {n:,}" for value, n in found.most_common(_LISTED))
            lines.append(f"{name}: {', '.join(parts)}")
    return lines


def _facts(reader: Reader) -> list[str]:
    speakers = f"; {reader.n_speakers} speakers" if reader.n_speakers else ""
    return [
        f"licence: {reader.licence}{speakers}",
        f"to cite: {reader.citation}",
        f"from: {reader.source}",
        *reader.notes,
    ]


def _of_speakers(recordings: Sequence[Recording]) -> list[str]:
    nameless = sum(recording.speaker is None for recording in recordings)
    if nameless == len(recordings):
        return [
            "No speakers are named: only a random split can be made, whose scores say nothing of unseen speakers. "
            "Fill the column speaker."
        ]
    remarks = []
    if nameless:
        remarks.append(f"{nameless:,} recordings have no speaker; a split by speakers needs all of them.")
    labels_of, speakers_of = defaultdict(set), defaultdict(set)
    for recording in recordings:
        if recording.speaker is not None:
            labels_of[recording.speaker].add(recording.emotion)
            speakers_of[recording.emotion].add(recording.speaker)
    if len(speakers_of) > 1 and all(len(labels) == 1 for labels in labels_of.values()):
        remarks.append("Each speaker has one class only: a model can learn the voices instead of the emotions.")
    for emotion, speakers in sorted(speakers_of.items()):
        if len(speakers) == 1:
            remarks.append(
                f"{emotion!r} is of one speaker only ({next(iter(speakers))}): it cannot be tested on another."
            )
    return remarks


def _of_classes(recordings: Sequence[Recording]) -> list[str]:
    counts = Counter(recording.emotion for recording in recordings)
    remarks = [f"{name!r} has {n} recordings; give it more, or leave it out by data.label_map." for name, n in
               sorted(counts.items()) if n < _FEW][:_LISTED]  # fmt: skip
    if len(counts) == 1:
        remarks.append("There is one class; a model needs two or more.")
    return remarks


def _duration(path: Path) -> float | str:
    """Return the seconds of a file by its header, or why it cannot be read."""
    try:
        return float(soundfile.info(path).duration)
    except (RuntimeError, OSError):
        try:  # a format that the library does not know, or a file that is none
            return read_sound(path, sample_rate=_ANY_RATE).duration
        except AudioError as error:
            return str(error)


def _durations(recordings: Sequence[Recording]) -> tuple[str, list[str]]:
    seconds, unreadable = list[float](), list[str]()
    headers: dict[Path, float | str] = {}
    for recording in recordings:
        if recording.path not in headers:
            headers[recording.path] = found = _duration(recording.path)
            if isinstance(found, str):
                unreadable.append(found)
        whole = headers[recording.path]
        if isinstance(whole, float):
            end = whole if recording.end is None else recording.end
            start = recording.start or 0.0
            if start >= whole or end > whole + 0.05:
                unreadable.append(
                    f"{recording.id} ends behind the end of its file ({whole:.2f} s); correct start and end."
                )
            else:
                seconds.append(end - start)
    shown = unreadable[:_LISTED]
    if len(unreadable) > _LISTED:
        shown.append(f"... and {len(unreadable) - _LISTED:,} more such recordings.")
    if not seconds:
        return "seconds: none could be read", shown
    seconds.sort()
    median = seconds[len(seconds) // 2]
    text = (
        f"seconds: {seconds[0]:.2f} to {seconds[-1]:.2f}, median {median:.2f}; {sum(seconds) / 3600:.2f} hours in all"
    )
    return text, shown


def _doubled_content(recordings: Sequence[Recording]) -> tuple[list[str], list[str]]:
    """Return remarks on files of the same content, and errors on those with two labels or in two parts."""
    of_path = defaultdict(list)
    for recording in recordings:
        if not recording.is_cut:
            of_path[recording.path].append(recording)
    remarks, errors = [], []
    groups = same_content(of_path)
    for group in groups:
        same = [recording for path in group for recording in of_path[path]]
        names = " = ".join(recording.id for recording in same[:3])
        if len({recording.split for recording in same} - {None}) > 1:
            errors.append(f"One recording is in two parts of the split: {names}; keep one of them.")
        elif len({recording.emotion for recording in same}) > 1:
            errors.append(f"One recording has two labels: {names}; keep one of them.")
    if groups:
        first = " = ".join(path.name for path in groups[0][:3])
        remarks.append(
            f"{len(groups)} recordings are there more than once, byte by byte, such as {first}: a random split may put "
            "one of each on either side."
        )
    return remarks, errors[:_LISTED]


def _overlaps(recordings: Iterable[Recording]) -> list[str]:
    parts = defaultdict(list)
    for recording in recordings:
        if recording.is_cut:
            end = float("inf") if recording.end is None else recording.end
            parts[recording.path].append((recording.start or 0.0, end, recording.id))
    pairs = []
    for of_file in parts.values():
        of_file.sort()
        pairs += [(a[2], b[2]) for a, b in pairwise(of_file) if b[0] < a[1]]
    if not pairs:
        return []
    return [f"{len(pairs)} parts overlap the next one of their file, such as {pairs[0][0]} and {pairs[0][1]}."]


def _listed(items: Sequence[object]) -> str:
    return f"{len(items)} ({', '.join(map(str, items[:3]))}{', ...' if len(items) > 3 else ''})"
