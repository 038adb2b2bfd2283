"""The grammar of a RAVDESS file name, `MM-VV-EE-II-SS-RR-AA`: modality, vocal channel, emotion, intensity,
statement, repetition, actor (Livingstone and Russo 2018, doi:10.1371/journal.pone.0196391)."""

import itertools
import re
from dataclasses import dataclass

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprise")
"""The class order of the whole project: RAVDESS codes 01 to 08."""

CHANNELS = ("speech", "song")
CHANNEL_FOLDERS = {"speech": "Audio_Speech_Actors_01-24", "song": "Audio_Song_Actors_01-24"}
"""The publisher's folders, each with `Actor_01` to `Actor_24` inside."""
INTENSITIES = ("normal", "strong")
N_ACTORS = 24
SONG_EMOTIONS = EMOTIONS[:6]  # disgust and surprise were spoken only
ACTORS_WITHOUT_SONG = (18,)

_AUDIO_ONLY = 3  # 1 and 2 are video
_PATTERN = re.compile(r"03-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1[0-9]|2[0-4])")


@dataclass(frozen=True, order=True)
class RecordingName:
    """The fields of the file name of an audio-only recording of RAVDESS.

    Attributes
    ----------
    channel : "speech" or "song".
    emotion : one of `EMOTIONS`.
    intensity : "normal" or "strong"; neutral has no strong.
    statement, repetition : 1 or 2.
    actor : 1 to 24; odd numbers are male, even ones female.
    """

    channel: str
    emotion: str
    intensity: str
    statement: int
    repetition: int
    actor: int

    @property
    def stem(self) -> str:
        """The file name without its suffix."""
        places = CHANNELS.index(self.channel), EMOTIONS.index(self.emotion), INTENSITIES.index(self.intensity)
        codes = (_AUDIO_ONLY, *(place + 1 for place in places), self.statement, self.repetition, self.actor)
        return "-".join(f"{code:02d}" for code in codes)

    @property
    def gender(self) -> str:
        return "male" if self.actor % 2 else "female"


def parse_stem(stem: str) -> RecordingName | None:
    """Return the fields of `stem`, or None where it is not the name of an audio-only RAVDESS recording.

    >>> parse_stem("03-01-06-02-01-02-11").emotion
    'fearful'
    >>> parse_stem("my_voice") is None
    True
    """
    match = _PATTERN.fullmatch(stem)
    if match is None:
        return None
    channel, emotion, intensity, *numbers = map(int, match.groups())
    return RecordingName(CHANNELS[channel - 1], EMOTIONS[emotion - 1], INTENSITIES[intensity - 1], *numbers)


def expected_names(channel: str) -> list[RecordingName]:
    """Return every recording that the complete corpus holds in `channel` (1,440 of speech, 1,012 of song), sorted."""
    emotions, without = (SONG_EMOTIONS, ACTORS_WITHOUT_SONG) if channel == "song" else (EMOTIONS, ())
    fields = itertools.product([channel], emotions, INTENSITIES, (1, 2), (1, 2), range(1, N_ACTORS + 1))
    names = (RecordingName(*of_one) for of_one in fields)
    return sorted(n for n in names if n.actor not in without and (n.emotion, n.intensity) != ("neutral", "strong"))
