"""ASED, Amharic: `n1-01-01-01-03.wav` begins with the emotion and ends with the speaker; folders by emotion."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {"n": "neutral", "f": "fearful", "h": "happy", "s": "sad", "a": "angry"}
_PATTERN = re.compile(r"([nfhsa])\d+-\d\d-\d\d-\d\d-(\d+)", re.IGNORECASE)


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None:
        return None
    return Recording(
        path=path,
        id=path.stem.lower(),
        emotion=_LABELS[match[1].lower()],
        speaker=f"{int(match[2]):02d}",
        language="am",
        corpus="ased",
    )


READER = Reader(
    title="ASED",
    parse=_parse,
    example="n1-01-01-01-03.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=2474,
    notes=(
        "Most sentences belong to one emotion, so that a model can learn the words.",
        "Some recordings are there twice, byte by byte, under two names.",
    ),
    licence="none known to us: see the source",
    citation="Retta et al. 2023, doi:10.1145/3529759",
    source="https://github.com/Ethio2021/ASED_V1",
)
