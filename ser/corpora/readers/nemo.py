"""nEMO, Polish: `SM0_anger_12.wav` is speaker, emotion and sentence."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
}
_GENDERS = {
    **dict.fromkeys(("EB0", "IC0", "KD0", "MK0"), "female"),
    **dict.fromkeys(("KS0", "MP0", "SM0", "TP0", "WR0"), "male"),
}
_PATTERN = re.compile(rf"([A-Z]{{2}}\d)_({'|'.join(_LABELS)})_(\d+)")


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None or match[1] not in _GENDERS:
        return None
    return Recording(
        path=path,
        id=path.stem,
        emotion=_LABELS[match[2]],
        speaker=match[1],
        gender=_GENDERS[match[1]],
        language="pl",
        text=match[3],
        corpus="nemo",
    )


READER = Reader(
    title="nEMO",
    parse=_parse,
    example="SM0_anger_12.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=4481,
    n_speakers=9,
    licence="CC BY-NC-SA 4.0",
    citation="Christop 2024, arXiv:2404.06292",
    source="https://github.com/amu-cai/nEMO",
)
