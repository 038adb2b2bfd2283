"""The one way from a file, bytes or an array to the inputs of a network. Light: worker processes import it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser.audio.io import Sound, Source, read_sound
from ser.audio.levels import without_offset
from ser.audio.trim import trim_and_level
from ser.audio.utterances import MIN_SPEECH, Utterance, cut_utterances, speech_seconds
from ser.audio.voice_activity import find_speech
from ser.errors import AudioError
from ser.features.extract import extract, fit_length
from ser.features.settings import FeatureSettings

QUIET_PEAK = 10 ** (-50 / 20)
"""Below it a recording is called very quiet; the quietest of RAVDESS peaks at -47 dBFS."""
_SILENT_END = 1.0
"""Seconds that a recording may last longer than the window where they hold no speech: training cut them off, too."""


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """One utterance, ready for a network.

    Attributes
    ----------
    start, end : seconds into the recording.
    speech : seconds of speech between them.
    features : float32 [features, length], not normalised, at most `max_length` frames.
    offset : seconds into the recording at which the first frame lies; `start` to a frame, or later where silence
        was trimmed.
    """

    start: float
    end: float
    speech: float
    features: NDArray[np.float32]
    offset: float

    @property
    def length(self) -> int:
        """Frames."""
        return int(self.features.shape[1])


@dataclass(frozen=True, kw_only=True)
class LoadedRecording:
    """A recording of any length, ready for a network.

    Attributes
    ----------
    utterances : in order; none where there is no speech, or too little of it.
    speech : seconds of speech in the whole recording.
    duration : seconds of the recording.
    warnings : what a person should know about the recording, in sentences; mostly empty.
    """

    utterances: tuple[ModelInput, ...]
    speech: float
    duration: float
    warnings: tuple[str, ...]


def load_features(source: Source, *, settings: FeatureSettings, name: str | None = None) -> LoadedRecording:
    """Decode a recording, find the speech in it, and preprocess and extract the features of each utterance.

    Raises
    ------
    AudioError : as `ser.audio.io.read_sound`.
    SettingsError : the settings need librosa, which is not installed.
    """
    return features_of_sound(read_sound(source, sample_rate=settings.sample_rate, name=name), settings)


def features_of_sound(sound: Sound, settings: FeatureSettings) -> LoadedRecording:
    """Return what `load_features` does, of a decoded recording at `settings.sample_rate`.

    A recording with speech that `max_length` frames hold, all but a silent end of a second, goes in whole, as the clips
    of a corpus do in training. Of a longer one, each utterance goes in, and is preprocessed, as a clip of its own.
    """
    rate = settings.sample_rate
    waveform = without_offset(sound.waveform)
    spans = find_speech(waveform, sample_rate=rate)
    seconds = len(waveform) / rate
    speech = speech_seconds(spans, duration=seconds)
    window = settings.duration
    utterances: list[Utterance] = []
    if seconds > window and (seconds > window + _SILENT_END or any(span.end > window for span in spans)):
        utterances = cut_utterances(waveform, spans, sample_rate=rate, window=window)
    elif speech >= MIN_SPEECH:
        utterances = [Utterance(start=0.0, end=seconds, speech=speech)]
    return LoadedRecording(
        utterances=tuple(input_of(one, waveform, settings) for one in utterances),
        speech=speech,
        duration=sound.duration,
        warnings=warnings_of_level(sound),
    )


def input_of(utterance: Utterance, waveform: NDArray[np.float32], settings: FeatureSettings) -> ModelInput:
    """Preprocess and extract the features of an utterance of float32 [samples] at `settings.sample_rate`."""
    # At the beginning of a frame: then a pause after a clip leaves its frames, and so its prediction, what they were.
    first = round(utterance.start * settings.sample_rate) // settings.hop_length * settings.hop_length
    last = round(utterance.end * settings.sample_rate)
    kept, start = preprocess(waveform[first:last], settings)
    return ModelInput(
        start=utterance.start,
        end=utterance.end,
        speech=utterance.speech,
        features=extract(kept, settings)[:, : settings.max_length],
        offset=(first + start) / settings.sample_rate,
    )


def preprocess(waveform: NDArray[np.float32], settings: FeatureSettings) -> tuple[NDArray[np.float32], int]:
    """Return `ser.audio.trim.trim_and_level`, by the settings, of float32 [samples] at `settings.sample_rate`."""
    sizes = {"sample_rate": settings.sample_rate, "block_length": settings.hop_length}
    return trim_and_level(waveform, trim=settings.trim, level_db=settings.level_db, **sizes)


def network_input(waveform: NDArray[np.float32], settings: FeatureSettings) -> tuple[NDArray[np.float32], int]:
    """Return float32 [features, max_length], not normalised, cut or padded; and the frames before the padding."""
    features = extract(waveform, settings)
    return fit_length(features, settings.max_length), min(features.shape[1], settings.max_length)


def try_load_features(task: tuple[str, Source], *, settings: FeatureSettings) -> tuple[str, LoadedRecording | str]:
    """Return the name of a named source, and what `load_features` does or the reason where it raises AudioError.

    An exception would end a whole map.
    """
    name, source = task
    try:
        return name, load_features(source, settings=settings, name=name)
    except AudioError as error:
        return name, str(error)


def warnings_of_level(sound: Sound) -> tuple[str, ...]:
    """Return what a person should know about a recording's level, in sentences; mostly none."""
    if sound.clipped:
        return ("The recording is clipped; record it at a lower level.",)
    if sound.beyond_full_scale:
        return (f"The recording's values go beyond full scale (peak {sound.peak:.3g}); export it as 16-bit samples.",)
    if sound.peak < QUIET_PEAK:
        return (f"The recording is very quiet (peak {20 * math.log10(sound.peak):.0f} dBFS); record it closer.",)
    return ()
