"""URDU: `SM1_F10_A010.wav` is speaker, file and emotion; folders Angry, Happy, Neutral, Sad."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}
_PATTERN = re.compile(r"(S([MF])\d+)_F\d+_([AHNS])\d+")


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None:
        return None
    return Recording(
        path=path,
        id=path.stem,
        emotion=_LABELS[match[3]],
        speaker=match[1],
        gender="male" if match[2] == "M" else "female",
        language="ur",
        corpus="urdu",
    )


READER = Reader(
    title="URDU",
    parse=_parse,
    example="SM1_F10_A010.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=400,
    notes=("From talk shows; most speakers have one or two emotions only.",),
    licence="none known to us: see the source",
    citation="Latif et al. 2018, arXiv:1812.10411",
    source="https://github.com/siddiquelatif/URDU-Dataset",
)
