"""SAVEE, English: `DC/a01.wav` or `DC_a01.wav` is speaker, emotion and number; `sa` and `su` stand for two letters."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {
    "sa": "sad",
    "su": "surprise",
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
}
_SPEAKERS = ("DC", "JE", "JK", "KL")
_PATTERN = re.compile(rf"(?:({'|'.join(_SPEAKERS)})_)?({'|'.join(_LABELS)})(\d\d)")


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    speaker = match and (match[1] or path.parent.name)
    if match is None or speaker not in _SPEAKERS:
        return None
    return Recording(
        path=path,
        id=f"{speaker}_{match[2]}{match[3]}",
        emotion=_LABELS[match[2]],
        speaker=speaker,
        gender="male",
        language="en",
        corpus="savee",
    )


READER = Reader(
    title="SAVEE",
    parse=_parse,
    example="DC_a01.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=480,
    n_speakers=4,
    notes=("Four men; neutral has twice as many recordings as any other emotion.",),
    licence="free of charge for research alone, by registration",
    citation="Haq and Jackson 2010, Machine Audition, chapter 17",
    source="http://kahlan.eps.surrey.ac.uk/savee/",
)
