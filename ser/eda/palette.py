"""The colours of the figures, distinct for colour-blind readers (Okabe and Ito 2008)."""

from ser.corpora.ravdess import EMOTIONS

OKABE_ITO = ("#000000", "#56B4E9", "#E69F00", "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#C9B500")
# The last is Okabe and Ito's yellow, darkened: theirs is hardly visible on white.

EMOTION_COLOURS = dict(zip(EMOTIONS, OKABE_ITO, strict=True))
EMOTION_MARKERS = dict(zip(EMOTIONS, "os^vDP*X", strict=True))
CHANNEL_COLOURS = {"speech": "#0072B2", "song": "#D55E00"}
