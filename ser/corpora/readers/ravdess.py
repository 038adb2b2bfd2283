"""RAVDESS, English: `03-01-06-01-02-01-12.wav`; the grammar is in `ser.corpora.ravdess`."""

from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import EMOTIONS, N_ACTORS, parse_stem
from ser.corpora.reader import Reader


def _parse(path: Path) -> Recording | None:
    name = parse_stem(path.stem)
    return None if name is None else name.recording(path)


READER = Reader(
    title="RAVDESS",
    parse=_parse,
    example="03-01-06-01-02-01-12.wav",
    classes=EMOTIONS,
    n_recordings=2452,
    n_speakers=N_ACTORS,
    notes=("One recording is there twice under two names: 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07.",),
    licence="CC BY-NC-SA 4.0",
    citation="Livingstone and Russo 2018, doi:10.1371/journal.pone.0196391",
    source="https://zenodo.org/records/1188976",
)
