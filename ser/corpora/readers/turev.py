"""TurEV-DB, Turkish: `1157_kz_acik.wav` begins with the speaker; the emotion is the folder: Angry, Calm, Happy, Sad."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {"angry": "angry", "calm": "calm", "happy": "happy", "sad": "sad"}
_PATTERN = re.compile(r"(\d+)_[A-Za-z]+_(.+)")


def _parse(path: Path) -> Recording | None:
    match, folder = _PATTERN.fullmatch(path.stem), path.parent.name.lower()
    if match is None or folder not in _LABELS:
        return None
    return Recording(
        path=path,
        id=f"{folder}/{path.stem}",  # a speaker says a word in several emotions
        emotion=_LABELS[folder],
        speaker=match[1],
        language="tr",
        text=match[2],
        corpus="turev",
    )


READER = Reader(
    title="TurEV-DB",
    parse=_parse,
    example="Angry/1157_kz_acik.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=1735,
    notes=("Single words of under a second; its calm is what other corpora call neutral: data.label_map joins them.",),
    licence="none known to us: see the source",
    citation="Canpolat et al. 2020, LREC workshop SLTU-CCURL",
    source="https://github.com/Xeonen/TurEV-DB",
)
