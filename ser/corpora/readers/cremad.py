"""CREMA-D, English: `1001_DFA_ANG_XX.wav` is actor, sentence, emotion and level."""

import re
from pathlib import Path

from ser.corpora.manifest import Recording
from ser.corpora.reader import Reader

_LABELS = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_PATTERN = re.compile(r"(10[0-8]\d|109[01])_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(?:LO|MD|HI|XX|X)")
_WOMEN = {
    *(1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1012, 1013, 1018, 1020, 1021, 1024, 1025, 1028, 1029, 1030, 1037),
    *(1043, 1046, 1047, 1049, 1052, 1053, 1054, 1055, 1056, 1058, 1060, 1061, 1063, 1072, 1073, 1074, 1075, 1076),
    *(1078, 1079, 1082, 1084, 1089, 1091),
}
_TWO_LABELS = "one sound bears two labels"


def _parse(path: Path) -> Recording | None:
    match = _PATTERN.fullmatch(path.stem)
    if match is None or match[1] == "1000":
        return None
    return Recording(
        path=path,
        id=path.stem,
        emotion=_LABELS[match[3]],
        speaker=match[1],
        gender="female" if int(match[1]) in _WOMEN else "male",
        language="en",
        text=match[2],
        corpus="cremad",
    )


READER = Reader(
    title="CREMA-D",
    parse=_parse,
    example="1001_DFA_ANG_XX.wav",
    classes=tuple(_LABELS.values()),
    n_recordings=7442,
    n_speakers=91,
    defects={
        **{f"1006_TIE_{code}_XX": _TWO_LABELS for code in ("HAP", "NEU")},
        **{f"1013_WSI_{code}_XX": _TWO_LABELS for code in ("DIS", "SAD")},
        **{f"1017_IWW_{code}_XX": _TWO_LABELS for code in ("ANG", "FEA")},
        "1076_MTI_SAD_XX": "it is silent",
    },
    notes=("The label is what the actor meant: by sound alone, listeners chose the same for two clips in five.",),
    licence="ODbL 1.0",
    citation="Cao et al. 2014, doi:10.1109/TAFFC.2014.2336244",
    source="https://github.com/CheyneyComputerScience/CREMA-D",
)
