"""Utterances of sound that is still coming in: each is found soon after the pause that ends it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import soxr
from numpy.typing import NDArray

from ser.audio.io import MIN_SECONDS, SILENCE_PEAK, Sound
from ser.audio.levels import without_offset
from ser.audio.silero import FRAME, SAMPLE_RATE, speech_probabilities
from ser.audio.utterances import PAUSE, Utterance, cut_utterances, speech_seconds
from ser.audio.voice_activity import MARGIN_SECONDS, Span, find_speech
from ser.features.pipeline import LoadedRecording, ModelInput, features_of_sound, input_of
from ser.features.settings import FeatureSettings

STEP_SECONDS = 0.16
"""How often it is asked whether speech has ended. Five frames of the search, so that those of each search lie alike."""
_STEPS = 8
"""After so many the sound is searched in any case: a whisper or a noise can mislead the short look."""
_LOOK = 1.25
"""Seconds at the end of the sound that tell at a tenth of the cost of a search whether somebody still speaks."""
_LOOK_PEAK, _SPEAKS = 0.2, 0.35
"""What the peak is brought to for it, and the probability of speech above which a frame is speech."""
_WAIT = PAUSE + 2 * MARGIN_SECONDS
"""Seconds without speech that end an utterance; the margins are those of the speech before and after."""
_LONGEST = 15.0
"""Seconds of speech without such a pause; the beginning of what is longer is answered, cut as a recording's."""
_CONTEXT = 10.0
"""Seconds of sound that are kept, answered or not: they tell the search the level of the voice and of the noise."""
_COARSEST = 10.0
_BYTES = 2
_FULL_SCALE = 2.0**15


class SpeechStream:
    """Finds the utterances of one voice as it goes on. Its memory is bounded, however long that is.

    An utterance is cut as that of a recording (`ser.features.pipeline.features_of_sound`), by what is known by then: a
    later and louder voice, or a word that begins at the end of the pause, may cut the whole recording otherwise.
    The results do not depend on how the sound is cut into parts.

    Parameters
    ----------
    settings : of the model's features.
    sample_rate : of the sound that comes in, in Hz.
    """

    def __init__(self, settings: FeatureSettings, *, sample_rate: int) -> None:
        self._settings = settings
        self._rate = settings.sample_rate
        self._incoming_rate = sample_rate
        self._resampler = (
            None
            if sample_rate == self._rate
            else soxr.ResampleStream(sample_rate, self._rate, num_channels=1, dtype="float32", quality="HQ")
        )
        self._step = round(STEP_SECONDS * self._rate)
        self._grid = _grid(settings)
        self._odd = b""
        self._n_samples = 0
        self._arrived = np.empty(0, dtype=np.float32)  # not yet searched
        self._buffer = np.empty(0, dtype=np.float32)
        self._origin = 0  # samples before the buffer
        self._answered = -math.inf  # seconds into the stream; what was said before is done with
        self._n_found = 0
        self._since_search = 0  # steps
        self._may_be_open = True  # whether an utterance may have begun that has not ended
        self.speech = 0.0
        """Seconds of speech in what is done with."""

    @property
    def duration(self) -> float:
        """Seconds of sound that have come in."""
        return self._n_samples / self._incoming_rate

    def feed(self, pcm: bytes) -> list[ModelInput]:
        """Take the next 16-bit little-endian mono samples; return the utterances that have ended, in order."""
        pcm = self._odd + pcm
        whole = len(pcm) // _BYTES * _BYTES
        self._odd = pcm[whole:]
        samples = np.frombuffer(pcm[:whole], dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)
        self._n_samples += len(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        self._arrived = np.concatenate([self._arrived, samples])
        found: list[ModelInput] = []
        while len(self._arrived) >= self._step:
            self._take(self._step)
            if self._is_due():
                found += self._search(is_end=False)
        return found

    def finish(self) -> list[ModelInput]:
        """Return the utterances that the end of the sound ends. A short sound with none before goes in whole."""
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)
            self._arrived = np.concatenate([self._arrived, rest])
        self._take(len(self._arrived))
        if self._n_found or self._origin:
            return self._search(is_end=True)
        if self.duration < MIN_SECONDS or _peak(self._buffer) < SILENCE_PEAK:
            return []
        recording = features_of_sound(self._sound(), self._settings)
        self.speech = recording.speech
        return list(recording.utterances)

    def _take(self, n_samples: int) -> None:
        self._buffer = np.concatenate([self._buffer, self._arrived[:n_samples]])
        self._arrived = self._arrived[n_samples:]

    def _sound(self) -> Sound:
        return Sound(
            waveform=self._buffer,
            sample_rate=self._rate,
            duration=len(self._buffer) / self._rate,
            peak=_peak(self._buffer),
            clipped=False,
        )

    def _is_due(self) -> bool:
        """Return whether a search may find an end: one looks through ten seconds and more."""
        self._since_search += 1
        if self._since_search == _STEPS:
            return True
        if self._speaks():
            self._may_be_open = True
            return False
        return self._may_be_open

    def _speaks(self) -> bool:
        """Return whether somebody has spoken within the pause that would end an utterance, at a quick look."""
        peak = _peak(self._buffer)
        if peak < SILENCE_PEAK:
            return False
        look = self._buffer[-round(_LOOK * self._rate) :] * np.float32(_LOOK_PEAK / peak)
        sound = soxr.resample(look, self._rate, SAMPLE_RATE, quality="HQ")
        last = round(_WAIT * SAMPLE_RATE / FRAME)
        return bool(speech_probabilities(sound)[-last:].max() > _SPEAKS)

    def _search(self, *, is_end: bool) -> list[ModelInput]:
        sound = self._sound()
        self._since_search, self._may_be_open = 0, False
        if sound.peak < SILENCE_PEAK:
            self._forget(keep_from=sound.duration)
            return []
        waveform = without_offset(sound.waveform)
        answered = self._answered - self._origin / self._rate
        spans = [
            Span(max(span.start, answered), span.end)
            for span in find_speech(waveform, sample_rate=self._rate)
            if span.end > answered
        ]
        ended, open_ = _split(spans, now=math.inf if is_end else sound.duration)
        self._may_be_open = bool(open_)
        found: list[ModelInput] = []
        if ended:
            until = (ended[-1].end + open_[0].start) / 2 if open_ else sound.duration
            found = self._cut(waveform, ended, answered=answered, until=until)
            answered = ended[-1].end
        if open_ and open_[-1].end - open_[0].start > _LONGEST:
            parts = self._cut(waveform, open_, answered=answered, until=sound.duration)
            found += parts[:-1]
            answered = parts[-1].start if parts else open_[-1].end
        done_with = [Span(span.start, min(span.end, answered)) for span in spans if span.start < answered]
        self.speech += speech_seconds(done_with, duration=sound.duration)
        self._n_found += len(found)
        origin = self._origin / self._rate
        self._answered = answered + origin
        self._forget(keep_from=open_[0].start if open_ else sound.duration)
        return [
            replace(one, start=one.start + origin, end=one.end + origin, offset=one.offset + origin) for one in found
        ]

    def _cut(
        self, waveform: NDArray[np.float32], spans: Sequence[Span], *, answered: float, until: float
    ) -> list[ModelInput]:
        """Return the utterances of spans, which begin after `answered`; all in seconds into the waveform."""
        first = max(round((answered + spans[0].start) / 2 * self._rate), 0) if math.isfinite(answered) else 0
        start = first / self._rate
        part = waveform[first : round(until * self._rate)]
        own = [Span(span.start - start, span.end - start) for span in spans]
        found = cut_utterances(part, own, sample_rate=self._rate, window=self._settings.duration)
        return [
            input_of(
                Utterance(start=one.start + start, end=one.end + start, speech=one.speech), waveform, self._settings
            )
            for one in found
        ]

    def _forget(self, *, keep_from: float) -> None:
        """Drop what lies before the context and before what is not answered, seconds into the buffer."""
        duration = len(self._buffer) / self._rate
        least = min(duration - _CONTEXT, keep_from - 2 * PAUSE)
        n_samples = math.floor(least * self._rate) // self._grid * self._grid
        if n_samples > 0:
            self._buffer = self._buffer[n_samples:].copy()
            self._origin += n_samples


def _peak(samples: NDArray[np.float32]) -> float:
    return float(max(samples.max(), -samples.min())) if len(samples) else 0.0


def _grid(settings: FeatureSettings) -> int:
    """Return the samples that the buffer is shortened by: whole frames of the features, and mostly of the search."""
    grid = math.lcm(settings.hop_length, round(STEP_SECONDS * settings.sample_rate))
    return grid if grid <= _COARSEST * settings.sample_rate else settings.hop_length


def _split(spans: Sequence[Span], *, now: float) -> tuple[list[Span], list[Span]]:
    """Return the spans that a pause has ended by `now`, and the others, which may go on."""
    if not spans or now - spans[-1].end >= _WAIT:
        return list(spans), []
    place = len(spans) - 1
    while place and spans[place].start - spans[place - 1].end <= PAUSE:
        place -= 1
    return list(spans[:place]), list(spans[place:])


def recording_of(utterances: Sequence[ModelInput], *, stream: SpeechStream) -> LoadedRecording:
    """Return utterances of a stream as a recording for the network."""
    return LoadedRecording(utterances=tuple(utterances), speech=stream.speech, duration=stream.duration, warnings=())
