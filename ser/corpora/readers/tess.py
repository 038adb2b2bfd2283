"""TESS, English: `OAF_back_angry.wav` is speaker, word and emotion; `ps` is pleasant surprise."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sad",
}
# One file has lost a letter of its speaker's name.
_PATTERN = re.compile(rf"(OAF?|YAF)_([a-z]+)_({'|'.join(_LABELS)})", re.IGNORECASE)


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None:
        return None
    speaker = "YAF" if match[1].upper() == "YAF" else "OAF"
    word, code = match[2].lower(), match[3].lower()
    return Recording(
        path=path,
        id=f"{speaker}_{word}_{code}",
        emotion=_LABELS[code],
        speaker=speaker,
        gender="female",
        language="en",
        text=f"Say the word {word}",
        corpus="tess",
    )


READER = Reader(
    title="TESS",
    parse=_parse,
    example="OAF_back_angry.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=2800,
    n_speakers=2,
    notes=(
        "Two women only: say with each figure whether the tested one was seen in training.",
        "Two files are AIFF by content and cannot be read; one is at 96 kHz, the others at 24,414 Hz.",
    ),
    licence="CC BY-NC-ND 4.0",
    citation="Pichora-Fuller and Dupuis 2020, doi:10.5683/SP2/E8H2MF",
    source="https://doi.org/10.5683/SP2/E8H2MF",
)
