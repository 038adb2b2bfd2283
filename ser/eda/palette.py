"""The colours of the figures, distinct for colour-blind readers (Okabe and Ito 2008)."""

from collections.abc import Sequence

from ser.corpora.ravdess import EMOTIONS

OKABE_ITO = ("#000000", "#56B4E9", "#E69F00", "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#C9B500")
# The last is Okabe and Ito's yellow, darkened: theirs is hardly visible on white.

EMOTION_COLOURS = dict(zip(EMOTIONS, OKABE_ITO, strict=True))
_MARKERS = "os^vDP*X"
CHANNEL_COLOURS = {"speech": "#0072B2", "song": "#D55E00"}


def emotion_style(emotion: str, emotions: Sequence[str]) -> tuple[str, str]:
    """Return the colour and the marker of one of `emotions`: RAVDESS's are always the same, others take turns."""
    others = [name for name in emotions if name not in EMOTIONS]
    place = EMOTIONS.index(emotion) if emotion in EMOTIONS else others.index(emotion)
    return OKABE_ITO[place % 8], _MARKERS[(place + (emotion not in EMOTIONS)) % 8]
