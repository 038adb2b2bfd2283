"""A synthetic corpus in RAVDESS's names and folders, so that everything can be tried without the real one.

Each recording comes from a source-filter model (Fant 1960): a train of glottal pulses and some breath, shaped by
formant resonators, one set a syllable. Pitch, loudness, tempo and brightness follow the emotion; speakers and
takes differ, and neighbouring emotions overlap, so that a classifier learns from it but does not become perfect.
"""

import hashlib
import io
import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import soundfile
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from pydantic import Field
from scipy.signal import lfilter, sosfilt

from ser.corpora.manifest import CHANNELS
from ser.corpora.progress import track
from ser.corpora.ravdess import CHANNEL_FOLDERS, N_ACTORS, RecordingName, expected_names
from ser.errors import CorpusError
from ser.features.validation import ListOf, Natural, as_plain, settings_dataclass

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SAMPLE_RATE = 22_050
MARKER = "synthetic.json"

_OneOrTwo = Annotated[int, Field(ge=1, le=2)]
_VERSION = 1  # raise it when the sound changes: a corpus of another version is not reused


@settings_dataclass
class SyntheticSettings:
    """Which recordings a synthetic corpus holds; all emotions and intensities of RAVDESS are always there.

    Attributes
    ----------
    n_actors : 1 to 24; actors 1 to `n_actors`, so men and women alternate. Actor 18 sings nothing.
    channels : "speech", "song" or both.
    n_statements, n_repetitions : 1 or 2.
    seed : 0 or more; the voices and takes follow from it.
    """

    n_actors: Annotated[int, Field(ge=1, le=N_ACTORS)] = 6
    channels: Annotated[ListOf[Literal["speech", "song"]], Field(min_length=1)] = ("speech",)
    n_statements: _OneOrTwo = 2
    n_repetitions: _OneOrTwo = 2
    seed: Natural = 0

    def names(self) -> list[RecordingName]:
        """Return the names of the recordings of these settings."""
        names = [name for channel in CHANNELS if channel in self.channels for name in expected_names(channel)]
        names = [name for name in names if name.actor <= self.n_actors and name.statement <= self.n_statements]
        return [name for name in names if name.repetition <= self.n_repetitions]


def write_synthetic_corpus(root: Path, settings: SyntheticSettings) -> Path:
    """Write a synthetic corpus (mono 16-bit WAV, 22,050 Hz, 1 to 4 s each) to the new folder `root`, and return `root`.

    The default settings give 360 recordings, 32 MB. A folder that already holds a corpus of the same settings is
    kept. The folder appears only when it is complete.

    Raises
    ------
    CorpusError : `root` exists, and is not a synthetic corpus of these settings.
    """
    marker = json.dumps({"version": _VERSION, **as_plain(settings)}, indent=2) + "\n"
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as temporary:
            unfinished = Path(temporary) / root.name
            _write(unfinished, settings)
            (unfinished / MARKER).write_text(marker, encoding="utf-8")
            try:
                unfinished.rename(root)
            except OSError:
                if not root.exists():  # else another job of the same sweep was faster
                    raise
    path = root / MARKER
    if not path.is_file():
        raise CorpusError(f"{root} exists and is not a synthetic corpus (no {MARKER} in it): choose a new folder.")
    if path.read_text(encoding="utf-8") != marker:
        raise CorpusError(f"{root} is a synthetic corpus of other settings (see {path}): choose a new folder.")
    return root


def _write(folder: Path, settings: SyntheticSettings) -> None:
    names = settings.names()
    for name in track(names, total=len(names), description="Synthetic corpus", unit="recordings"):
        path = folder / CHANNEL_FOLDERS[name.channel] / f"Actor_{name.actor:02d}" / f"{name.stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # soundfile, writing to a full disk itself, fails an assertion
        soundfile.write(content, synthesize(name, seed=settings.seed), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        path.write_bytes(content.getvalue())


class _Delivery(NamedTuple):
    """How a sentence departs from the speaker's neutral voice."""

    pitch: float  # semitones
    melody: float  # semitones of rise and fall over the sentence
    glide: float  # semitones that the last syllable rises
    level: float  # dB
    tempo: float  # octaves: 1 is twice as fast
    brightness: float  # octaves that the source's corner frequency moves
    breath: float  # amplitude of the noise in the source, relative to the pulses
    tremor: float  # semitones of slow and fast irregularity


_NEUTRAL = _Delivery(pitch=0, melody=2, glide=-1, level=0, tempo=0, brightness=0, breath=0.1, tremor=0.15)
# What each emotion adds to neutral at full strength: the directions follow the reviews of Scherer (2003) and of
# Juslin and Laukka (2003), the sizes are chosen. In the order of the fields above.
_EMOTIONS = {
    "neutral": _Delivery(0, 0, 0, 0, 0, 0, 0, 0),
    "calm": _Delivery(-1.0, -0.8, 0, -4, -0.12, -0.5, 0.10, 0),
    "happy": _Delivery(4.0, 3.0, 1.0, 4, 0.12, 0.6, 0, 0),
    "sad": _Delivery(-1.0, -1.2, -1.0, -6, -0.32, -0.8, 0.15, 0.25),
    "angry": _Delivery(3.0, 2.0, -1.5, 9, 0.10, 1.2, -0.05, 0.10),
    "fearful": _Delivery(6.0, 0.0, 0.5, 1, 0.25, 0.3, 0.15, 0.50),
    "disgust": _Delivery(-1.5, 1.0, -2.0, 1, -0.25, 0.3, 0, 0.30),
    "surprise": _Delivery(5.0, 4.0, 6.0, 3, 0, 0.4, 0.05, 0),
}
_DEVIATION = _Delivery(0.8, 0.6, 0.8, 1.3, 0.06, 0.25, 0.03, 0.05)  # of speakers, and of takes
_STRENGTHS = {"normal": 0.7, "strong": 1.15}


def _random(seed: int, what: str) -> Generator:
    """Return the generator that belongs to `what`; Python's own hash changes from run to run, so SHA-256."""
    return default_rng(list(hashlib.sha256(f"{seed}/{what}".encode()).digest()))


def _voice(name: RecordingName, *, speaker: Generator, take: Generator) -> tuple[float, float, _Delivery]:
    """Return the speaker's pitch in Hz, factor on the formants (a shorter tract raises them), and delivery."""
    pitch, tract = (115.0, 1.0) if name.gender == "male" else (205.0, 1.16)
    pitch *= 2 ** speaker.normal(0, 0.12)
    tract *= speaker.uniform(0.94, 1.06)
    strength = _STRENGTHS[name.intensity] * speaker.uniform(0.75, 1.2)  # some speakers express more than others
    of_speaker, of_take = (random.normal(size=len(_DEVIATION)) * _DEVIATION for random in (speaker, take))
    delivery = _Delivery(*(np.array(_NEUTRAL) + strength * np.array(_EMOTIONS[name.emotion]) + of_speaker + of_take))
    return pitch, tract, delivery._replace(breath=max(delivery.breath, 0.02), tremor=max(delivery.tremor, 0.02))


# The first three formants in Hz of a man's vowels, by ARPABET name (Peterson and Barney 1952, table II).
_VOWELS = {
    "IH": (390, 1990, 2550),
    "EH": (530, 1840, 2480),
    "AA": (730, 1090, 2440),
    "AO": (570, 840, 2410),
    "ER": (490, 1350, 1690),
}
_SENTENCES = (
    ("IH", "ER", "AO", "IH", "AA", "EH", "AO"),  # Kids are talking by the door
    ("AO", "ER", "IH", "IH", "AA", "EH", "AO"),  # Dogs are sitting by the door
)
_STRESSES = np.array([1.2, 0.8, 1.1, 0.8, 1.0, 0.6, 1.5])
_HIGHER_FORMANTS = (3_500, 4_500, 5_500, 6_500, 7_500)  # Hz; those of a tube of 17.5 cm, the same in all vowels
_BANDWIDTHS = np.array([80.0, 100.0, 140.0, 220.0, 300.0, 300.0, 300.0, 300.0])  # Hz
_TUNE = np.array([0, 2, 4, 2, 5, 4, 0])  # semitones: what both sentences are sung to
_SYLLABLE = 0.19  # seconds
_LEVEL = 0.03  # root mean square of a neutral voice; full scale is 1
_ROOM_NOISE = 2e-4


def synthesize(name: RecordingName, *, seed: int = 0) -> NDArray[np.float32]:
    """Return one recording, float32 [samples] at `SAMPLE_RATE`, within -1 to 1; `name` and `seed` fix every sample."""
    random = _random(seed, name.stem)
    pitch, tract, delivery = _voice(name, speaker=_random(seed, f"actor {name.actor}"), take=random)
    sung = name.channel == "song"

    seconds = _SYLLABLE * _STRESSES * 2**-delivery.tempo * random.lognormal(0, 0.08, len(_STRESSES))
    if sung:
        seconds *= 1.3
    pauses = np.full(len(seconds), 0.01)
    pauses[3] = random.uniform(0.02, 0.12) * 2 ** (-3 * delivery.tempo)  # before "by the door"
    lengths = (seconds * SAMPLE_RATE).astype(int)
    starts = np.cumsum(np.concatenate([[0], lengths[:-1] + (pauses[:-1] * SAMPLE_RATE).astype(int)]))

    semitones = _contour(starts, lengths, delivery, sung=sung, random=random)
    source = _source(pitch * 2 ** (semitones / 12), delivery, random)
    speech = np.zeros_like(source)
    for vowel, start, length in zip(_SENTENCES[name.statement - 1], starts, lengths, strict=True):
        part = slice(start, start + length)
        speech[part] = _syllable(source[part], vowel, tract=tract, random=random)
    speech = np.diff(speech, prepend=0.0)  # the lips radiate the derivative of the flow
    speech *= _LEVEL * 10 ** (delivery.level / 20) / np.sqrt(np.mean(speech**2))

    before, after = (random.uniform(0.15, 0.35, 2) * SAMPLE_RATE).astype(int)
    sound = np.pad(speech, (before, after))
    sound += random.normal(0, _ROOM_NOISE, len(sound))
    return (sound / max(1.0, float(np.abs(sound).max()) / 0.95)).astype(np.float32)


def _contour(starts: Integers, lengths: Integers, delivery: _Delivery, *, sung: bool, random: Generator) -> Floats:
    """Return the pitch in semitones above the speaker's own, float64 [samples]."""
    places = np.arange(starts[-1] + lengths[-1])
    accents = random.normal(0, 0.25 * abs(delivery.melody), len(starts)) + delivery.melody * (_STRESSES - 1)
    semitones = np.interp(places, starts + lengths / 2, accents)
    semitones += delivery.melody * (0.5 - places / len(places))  # declination
    semitones += delivery.glide * np.clip((places - starts[-1]) / lengths[-1], 0, 1)  # over the last syllable
    seconds = places / SAMPLE_RATE
    semitones += delivery.tremor * np.sin(2 * np.pi * (6.5 * seconds + random.uniform()))
    if sung:
        semitones = 0.3 * semitones + 0.4 * np.sin(2 * np.pi * 5.5 * seconds)
        semitones += _TUNE[np.searchsorted(starts, places, side="right") - 1]
    knots = np.arange(0, len(places) + 220, 220)  # a new irregularity each 10 ms
    semitones += np.interp(places, knots, random.normal(0, delivery.tremor, len(knots)))
    return semitones + delivery.pitch


def _source(frequency: Floats, delivery: _Delivery, random: Generator) -> Floats:
    """Return glottal flow, float64 [samples], from its fundamental frequency in Hz [samples]."""
    phase = np.cumsum(frequency) / SAMPLE_RATE
    (ends,) = np.nonzero(np.diff(np.floor(phase)))
    # A pulse falls between two samples and is divided between them, or the pitch would be rounded to whole samples.
    late = (phase[ends + 1] % 1) * SAMPLE_RATE / frequency[ends + 1]
    pulses = np.zeros(len(phase))
    pulses[ends + 1] += 1 - late
    pulses[ends] += late
    noise = random.normal(size=len(phase)) * delivery.breath * np.sqrt(np.mean(pulses**2))
    flow: Floats = pulses + noise
    for corner in (150.0, 700.0 * 2**delivery.brightness):
        pole = np.exp(-2 * np.pi * corner / SAMPLE_RATE)
        flow = lfilter([1 - pole], [1, -pole], flow)
    return flow


def _syllable(source: Floats, vowel: str, *, tract: float, random: Generator) -> Floats:
    """Return the source [samples] as one syllable [samples]: a short consonant of noise, then the vowel."""
    seconds = np.arange(len(source)) / SAMPLE_RATE
    rise, fall = np.minimum(1.0, seconds / 0.03), np.minimum(1.0, seconds[::-1] / 0.04)
    consonant = random.normal(size=len(source)) * 0.3 * np.std(source) * (1 - rise)
    frequencies = np.array([*_VOWELS[vowel], *_HIGHER_FORMANTS]) * tract * random.lognormal(0, 0.03)
    vowel_sound: Floats = sosfilt(_resonators(frequencies, _BANDWIDTHS), source * rise + consonant)
    return vowel_sound * fall


def _resonators(frequencies: Floats, bandwidths: Floats) -> Floats:
    """Return two-pole resonators in cascade, gain 1 at 0 Hz, as second-order sections [formants, 6] (Klatt 1980)."""
    radius = np.exp(-np.pi * bandwidths / SAMPLE_RATE)
    a1 = -2 * radius * np.cos(2 * np.pi * frequencies / SAMPLE_RATE)
    a2 = radius**2
    one, nil = np.ones_like(a1), np.zeros_like(a1)
    return np.stack([one + a1 + a2, nil, nil, one, a1, a2], axis=1)
