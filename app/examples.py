"""Voices to try the app with: short files that are shipped, made by `ser.corpora.synthetic` and not by people.

`python -m app.examples` makes them anew.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.reading import Upload

FOLDER = Path(__file__).parent / "voices"
LABEL = "Made by a program, not by people. A model that learnt from people is often unsure of such voices, or wrong."
_RATE = 22_050
_PAUSE_SECONDS = 0.9


@dataclass(frozen=True, kw_only=True)
class Example:
    """A sound that is shipped.

    Attributes
    ----------
    label : what the visitor clicks.
    file : its name in `FOLDER`.
    sentences : emotion, actor and statement of each sentence, as `ser.corpora.synthetic` makes them.
    """

    label: str
    file: str
    sentences: tuple[tuple[str, int, int], ...]

    @property
    def note(self) -> str:
        """What must be said beside the answer."""
        if len(self.sentences) > 1:
            return "Two synthetic voices in turn: made by a program, not by people."
        return f"A synthetic voice: made by a program, not a person, and meant to sound {self.label.lower()}."

    def upload(self) -> Upload:
        """Return the sound as if the visitor had given it."""
        content = (FOLDER / self.file).read_bytes()
        return Upload(key=f"example-{self.file}", name=f"{self.label} (synthetic)", content=content, suffix=".mp3")


_CONVERSATION = (
    *(("neutral", 3, 1), ("neutral", 8, 2), ("calm", 3, 1), ("angry", 8, 2), ("neutral", 3, 1)),
    *(("angry", 8, 2), ("disgust", 3, 1), ("angry", 8, 2), ("neutral", 3, 1)),
)
# Of the program's voices these are among those that `ser-voices` takes for what they are meant to be.
EXAMPLES = (
    Example(label="Angry", file="angry.mp3", sentences=(("angry", 20, 1),)),
    Example(label="Happy", file="happy.mp3", sentences=(("happy", 18, 1),)),
    Example(label="Sad", file="sad.mp3", sentences=(("sad", 21, 2),)),
    Example(label="Fearful", file="fearful.mp3", sentences=(("fearful", 12, 2),)),
    Example(label="Neutral", file="neutral.mp3", sentences=(("neutral", 23, 1),)),
    Example(label="Two voices, 25 seconds", file="two_voices.mp3", sentences=_CONVERSATION),
)


def synthesise(example: Example) -> NDArray[np.float32]:
    """Return the sentences with pauses between them: float32 [samples] at 22,050 Hz."""
    from ser.corpora.ravdess import RecordingName
    from ser.corpora.synthetic import synthesize  # needs scipy, which the app does not

    pause = np.zeros(round(_PAUSE_SECONDS * _RATE), dtype=np.float32)
    pieces: list[NDArray[np.float32]] = []
    for emotion, actor, statement in example.sentences:
        intensity = "normal" if emotion == "neutral" else "strong"
        name = RecordingName("speech", emotion, intensity, statement, 1, actor)
        pieces += [synthesize(name), pause]
    return np.concatenate(pieces[:-1])


def encode(waveform: NDArray[np.float32]) -> bytes:
    """Return float32 [samples] as an MP3 file of about 5 kB a second, which every browser plays."""
    content = io.BytesIO()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": 0.5, "bitrate_mode": "VARIABLE"}
    soundfile.write(content, waveform, _RATE, **options)
    return content.getvalue()


if __name__ == "__main__":
    for one in EXAMPLES:
        (FOLDER / one.file).write_bytes(encode(synthesise(one)))
