"""EMO-DB, German: `03a01Fa.wav` is speaker, text, emotion (the first letter of its German name) and version."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {
    "W": "angry",
    "L": "boredom",
    "E": "disgust",
    "A": "fearful",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
_MEN = ("03", "10", "11", "12", "15")
_PATTERN = re.compile(rf"(03|08|09|1[0-6])([ab]\d\d)([{''.join(_LABELS)}])[a-z]?")


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None:
        return None
    return Recording(
        path=path,
        id=path.stem,
        emotion=_LABELS[match[3]],
        speaker=match[1],
        gender="male" if match[1] in _MEN else "female",
        language="de",
        text=match[2],
        corpus="emodb",
    )


READER = Reader(
    title="EMO-DB",
    parse=_parse,
    example="03a01Fa.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=535,
    n_speakers=10,
    notes=("A resampled copy is about in which every file is cut to 2.000 s: fetch it from its source.",),
    licence="none known to us: see the source",
    citation="Burkhardt et al. 2005, doi:10.21437/Interspeech.2005-446",
    source="http://emodb.bilderbar.info/",
)
