"""The grammar of a RAVDESS file name, `MM-VV-EE-II-SS-RR-AA`: modality, vocal channel, emotion, intensity,
statement, repetition, actor (Livingstone and Russo 2018, doi:10.1371/journal.pone.0196391)."""

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ser.corpora.manifest import CHANNELS, Recording

ROOT_VARIABLE = "RAVDESS_ROOT"
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprise")
"""RAVDESS codes 01 to 08: the order of these names wherever classes are listed."""

CHANNEL_FOLDERS = {"speech": "Audio_Speech_Actors_01-24", "song": "Audio_Song_Actors_01-24"}
"""The publisher's folders, each with `Actor_01` to `Actor_24` inside."""
INTENSITIES = ("normal", "strong")
N_ACTORS = 24
SONG_EMOTIONS = EMOTIONS[:6]  # disgust and surprise were spoken only
ACTORS_WITHOUT_SONG = (18,)
STATEMENTS = ("Kids are talking by the door", "Dogs are sitting by the door")

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

    def recording(self, path: Path) -> Recording:
        """Return the recording of this name in the file `path`."""
        return Recording(
            path=path,
            id=self.stem,
            emotion=self.emotion,
            speaker=speaker_of(self.actor),
            gender=self.gender,
            language="en",
            text=STATEMENTS[self.statement - 1],
            channel=self.channel,
            corpus="ravdess",
        )


def speaker_of(actor: int) -> str:
    """Return an actor's name as a speaker: two digits, so that text sorts as the numbers do."""
    return f"{actor:02d}"


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


def corpus_root(configured: str | None, *, default: Path) -> tuple[Path, bool]:
    """Return the folder of the corpus (`configured`, else RAVDESS_ROOT, else `default`), and whether it was named."""
    named = configured or os.environ.get(ROOT_VARIABLE)
    return (Path(named).expanduser(), True) if named else (default, False)
