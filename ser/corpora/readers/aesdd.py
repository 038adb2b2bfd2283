"""AESDD, Greek: `a03 (4).wav` is emotion, sentence and, in brackets, the speaker; folders by emotion."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {"a": "angry", "d": "disgust", "f": "fearful", "h": "happy", "s": "sad"}
# Some names lack the space, have a letter behind the bracket, or write the speaker as (01).
_PATTERN = re.compile(r"([adfhs])(\d\d) ?\(0?(\d)\)([a-z]?)", re.IGNORECASE)


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None:
        return None
    code, sentence, speaker, take = (part.lower() for part in match.groups())
    return Recording(
        path=path,
        id=f"{code}{sentence} ({speaker}){take}",
        emotion=_LABELS[code],
        speaker=speaker,
        language="el",
        text=sentence,
        corpus="aesdd",
    )


READER = Reader(
    title="AESDD",
    parse=_parse,
    example="a03 (4).wav",
    classes=tuple(_LABELS.values()),
    n_recordings=604,
    notes=("There is no neutral; one file is broken and cannot be read.",),
    licence="none known to us: see the source",
    citation="Vryzas et al. 2018, doi:10.17743/jaes.2018.0036",
    source="https://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
)
