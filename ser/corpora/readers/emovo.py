"""EMOVO, Italian: `dis-f1-b1.wav` is emotion, speaker and sentence."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {
    "dis": "disgust",
    "gio": "happy",
    "neu": "neutral",
    "pau": "fearful",
    "rab": "angry",
    "sor": "surprise",
    "tri": "sad",
}
_PATTERN = re.compile(rf"({'|'.join(_LABELS)})-([fm][1-3])-([a-z]+\d?)")


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None:
        return None
    return Recording(
        path=path,
        id=path.stem,
        emotion=_LABELS[match[1]],
        speaker=match[2],
        gender="female" if match[2][0] == "f" else "male",
        language="it",
        text=match[3],
        corpus="emovo",
    )


READER = Reader(
    title="EMOVO",
    parse=_parse,
    example="dis-f1-b1.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=588,
    n_speakers=6,
    licence="none known to us: see the source",
    citation="Costantini et al. 2014, LREC, pages 3501 to 3504",
    source="http://voice.fub.it/activities/corpora/emovo/index.html",
)
