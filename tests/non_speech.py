"""Sounds without speech, made from a seed: what a detector of speech must not take for a voice.

Tests and benchmarks share them. Each kind draws its pitch, pace, level, length (1 to 20 s) and
sample rate from the seed.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATES = (8_000, 16_000, 22_050, 44_100, 48_000)
"""Hz; what telephones, computers and cameras record at."""
_MAX_SECONDS = 20.0
_DTMF_LOW, _DTMF_HIGH = (697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0)  # Hz, ITU-T Q.23
_MAJOR, _MINOR = (0, 4, 7, 12), (0, 3, 7, 12)  # semitones


def make_non_speech(kind: str, seed: int) -> tuple[NDArray[np.float32], int]:
    """Return a sound of one of `KINDS`, float32 [samples] within -1 to 1, and its sample rate in Hz.

    The kind and the seed fix every sample.
    """
    random = default_rng([seed, *kind.encode()])
    rate = int(random.choice(RATES))
    seconds = float(np.exp(random.uniform(0.0, np.log(_MAX_SECONDS))))
    moments = np.arange(round(seconds * rate)) / rate
    sound = KINDS[kind](random, moments)
    return np.clip(sound, -1, 1).astype(np.float32), rate


def _decibels(random: Generator, low: float, high: float) -> float:
    return float(10 ** (random.uniform(low, high) / 20))


def _at_peak(sound: Floats, random: Generator) -> Floats:
    """Return the sound at a peak of -40 to -1 dB of full scale, over the dither of a converter of 16 bits."""
    return sound / max(float(np.abs(sound).max()), 1e-12) * _decibels(random, -40, -1) + _dither(random, len(sound))


def _dither(random: Generator, samples: int) -> Floats:
    return np.round(random.uniform(-1, 1, samples) + random.uniform(-1, 1, samples)) / 2**15


def _noise(random: Generator, moments: Floats, *, slope: float) -> Floats:
    """Return noise of effective value 1 whose power falls with frequency to the power of `slope`."""
    samples = len(moments)
    spectrum = np.fft.rfft(random.normal(size=samples))
    frequencies = np.fft.rfftfreq(samples, moments[1])
    spectrum /= np.maximum(frequencies, 20.0) ** (slope / 2)
    sound = np.fft.irfft(spectrum, samples)
    return sound / np.sqrt(np.mean(sound**2))


def _band(sound: Floats, moments: Floats, low: float, high: float) -> Floats:
    """Return the sound between two frequencies in Hz."""
    spectrum = np.fft.rfft(sound)
    frequencies = np.fft.rfftfreq(len(sound), moments[1])
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return np.fft.irfft(spectrum, len(sound))


def _wander(random: Generator, moments: Floats, *, per_second: float) -> Floats:
    """Return a curve through random points of mean 0 and deviation 1, so many a second."""
    knots = np.arange(0, moments[-1] + 2 / per_second, 1 / per_second)
    return np.interp(moments, knots, random.normal(size=len(knots)))


def _harmonics(phase: Floats, highest: float, weights: Floats) -> Floats:
    """Return the sum of the partials that stay below Nyquist, of a phase in cycles and its highest frequency in Hz."""
    sound = np.zeros_like(phase)
    for partial, weight in enumerate(weights, start=1):
        if partial * highest < 1:
            sound += weight * np.sin(2 * np.pi * partial * phase)
    return sound


def _add_note(sound: Floats, moments: Floats, start: float, frequency: float, weights: Floats, decay: float) -> None:
    """Add a plucked note: an attack of 5 ms, then a decay with a time constant in seconds."""
    part = slice(*np.searchsorted(moments, (start, start + 5 * decay)))
    since = moments[part] - start
    envelope = np.minimum(since / 0.005, 1) * np.exp(-since / decay)
    sound[part] += envelope * _harmonics(frequency * since, 2 * frequency * moments[1], weights)


def _starts(random: Generator, moments: Floats, low: float, high: float) -> Floats:
    """Return times with gaps of `low` to `high` seconds."""
    gaps = random.uniform(low, high, int(moments[-1] / low) + 1)
    times = np.cumsum(gaps) - gaps[0] * random.uniform()
    return times[times < moments[-1]]


def _tone(random: Generator, moments: Floats) -> Floats:
    frequency = np.exp(random.uniform(np.log(60), np.log(3500)))
    return _at_peak(np.sin(2 * np.pi * frequency * moments), random)


def _voice_pitched_tone(random: Generator, moments: Floats) -> Floats:
    return _at_peak(np.sin(2 * np.pi * random.uniform(80, 400) * moments), random)


def _two_tones(random: Generator, moments: Floats) -> Floats:
    low, high = random.uniform(200, 900), random.uniform(300, 2500)
    return _at_peak(np.sin(2 * np.pi * low * moments) + np.sin(2 * np.pi * high * moments), random)


def _square_wave(random: Generator, moments: Floats) -> Floats:
    weights = np.array([1 / k if k % 2 else 0 for k in range(1, 40)])
    frequency = random.uniform(80, 800)
    return _at_peak(_harmonics(frequency * moments, 2 * frequency * moments[1], weights), random)


def _sawtooth(random: Generator, moments: Floats) -> Floats:
    frequency = random.uniform(80, 400)
    return _at_peak(_harmonics(frequency * moments, 2 * frequency * moments[1], 1 / np.arange(1.0, 40.0)), random)


def _hum(random: Generator, moments: Floats, mains: float) -> Floats:
    weights = random.uniform(0.1, 1, 12) / np.arange(1, 13) ** random.uniform(0.3, 1.5)
    return _harmonics(mains * moments + random.uniform(), 2 * mains * moments[1], weights)


def _hum_50(random: Generator, moments: Floats) -> Floats:
    return _at_peak(_hum(random, moments, 50.0), random)


def _hum_60(random: Generator, moments: Floats) -> Floats:
    return _at_peak(_hum(random, moments, 60.0), random)


def _pure_mains(random: Generator, moments: Floats) -> Floats:
    return _at_peak(np.sin(2 * np.pi * random.choice([50.0, 60.0, 100.0, 120.0]) * moments), random)


def _swelling_hum(random: Generator, moments: Floats) -> Floats:
    swell = 1 + 0.8 * np.sin(2 * np.pi * random.uniform(0.1, 1.0) * moments)
    return _at_peak(swell * _hum(random, moments, random.choice([50.0, 60.0])), random)


def _hum_in_noise(random: Generator, moments: Floats) -> Floats:
    hum = _hum(random, moments, random.choice([50.0, 60.0]))
    return _at_peak(hum + _decibels(random, -30, 0) * _noise(random, moments, slope=1.0), random)


def _one_click(random: Generator, moments: Floats) -> Floats:
    since = moments - random.uniform(0.1, 0.9) * moments[-1]
    click = np.where(since >= 0, np.exp(-np.abs(since) / 0.002), 0) * random.normal(size=len(moments))
    return _at_peak(click, random)


def _click_train(random: Generator, moments: Floats) -> Floats:
    sound = np.zeros_like(moments)
    step = max(1, round(1 / (random.uniform(1, 30) * moments[1])))
    sound[::step] = 1
    return _at_peak(sound, random)


def _irregular_clicks(random: Generator, moments: Floats) -> Floats:
    sound = np.zeros_like(moments)
    places = (_starts(random, moments, 0.05, 0.8) / moments[1]).astype(int)
    sound[places] = random.uniform(0.2, 1, len(places))
    return _at_peak(sound, random)


def _sweep(random: Generator, moments: Floats) -> Floats:
    low, high = np.log(random.uniform(50, 200)), np.log(random.uniform(1000, 3900))
    places = moments / moments[-1] if random.uniform() < 0.5 else 1 - moments / moments[-1]
    return _at_peak(np.sin(2 * np.pi * np.cumsum(np.exp(low + (high - low) * places)) * moments[1]), random)


def _siren(random: Generator, moments: Floats) -> Floats:
    frequency = random.uniform(400, 900) * 2 ** (0.5 * np.sin(2 * np.pi * random.uniform(0.15, 3) * moments))
    return _at_peak(np.sin(2 * np.pi * np.cumsum(frequency) * moments[1]), random)


def _white(random: Generator, moments: Floats) -> Floats:
    return _decibels(random, -70, -10) * _noise(random, moments, slope=0.0)


def _pink(random: Generator, moments: Floats) -> Floats:
    return _decibels(random, -70, -10) * _noise(random, moments, slope=1.0)


def _brown(random: Generator, moments: Floats) -> Floats:
    return _decibels(random, -70, -10) * _noise(random, moments, slope=2.0)


def _loud_noise_steps(random: Generator, moments: Floats) -> Floats:
    steps = 10 ** (3 * (random.uniform(-1, 0, 200)[(moments / 0.7).astype(int)]) / 2)
    return _at_peak(steps * _noise(random, moments, slope=random.uniform(0, 2)), random)


def _silence_with_dither(random: Generator, moments: Floats) -> Floats:
    return _dither(random, len(moments))


def _chords(random: Generator, moments: Floats) -> Floats:
    weights = 1 / np.arange(1.0, 9.0) ** random.uniform(0.8, 2)
    sound, root = np.zeros_like(moments), random.uniform(80, 260)
    for start in np.arange(0, moments[-1], random.uniform(0.6, 1.5)):
        place = root * 2 ** (random.choice([0, 5, 7, 9, -3]) / 12)
        for semitones in (_MAJOR, _MINOR)[random.integers(2)]:
            _add_note(sound, moments, start, place * 2 ** (semitones / 12), weights, random.uniform(0.2, 0.8))
    return _at_peak(sound, random)


def _held_chord(random: Generator, moments: Floats) -> Floats:
    root, weights = random.uniform(80, 260), 1 / np.arange(1.0, 16.0) ** random.uniform(0.8, 2)
    pitches = [root * 2 ** (semitones / 12) for semitones in (_MAJOR, _MINOR)[random.integers(2)]]
    swell = 1 + 0.3 * np.sin(2 * np.pi * random.uniform(0.2, 6) * moments)  # a tremolo, as of an organ
    sound = sum(_harmonics(pitch * moments + random.uniform(), 2 * pitch * moments[1], weights) for pitch in pitches)
    return _at_peak(swell * sound, random)


def _arpeggio(random: Generator, moments: Floats) -> Floats:
    weights = 1 / np.arange(1.0, 12.0) ** random.uniform(0.8, 2)
    sound, root, gap = np.zeros_like(moments), random.uniform(100, 350), random.uniform(0.12, 0.4)
    for place, start in enumerate(np.arange(0, moments[-1], gap)):
        _add_note(sound, moments, start, root * 2 ** (_MAJOR[place % 4] / 12), weights, random.uniform(0.1, 0.6))
    return _at_peak(sound, random)


def _drums(random: Generator, moments: Floats) -> Floats:
    sound, beat = np.zeros_like(moments), random.uniform(0.15, 0.4)
    for place, start in enumerate(np.arange(0, moments[-1], beat)):
        part = slice(*np.searchsorted(moments, (start, start + 0.6)))
        since = moments[part] - start
        if place % 2 == 0:  # a drum of falling pitch
            sound[part] += np.exp(-since / 0.08) * np.sin(2 * np.pi * (55 * since + 6 * (1 - np.exp(-since / 0.03))))
        else:  # a burst of noise
            sound[part] += 0.5 * np.exp(-since / 0.05) * random.normal(size=len(since))
    return _at_peak(sound, random)


def _melody(random: Generator, moments: Floats) -> Floats:
    gap, scale = random.uniform(0.25, 0.7), np.array([0, 2, 4, 5, 7, 9, 11, 12])
    places = (moments / gap).astype(int)
    semitones = random.choice(scale, places[-1] + 1)[places].astype(float)
    semitones += random.uniform(0.1, 0.5) * np.sin(2 * np.pi * random.uniform(4.5, 7) * moments)  # a vibrato
    frequency = random.uniform(180, 500) * 2 ** (semitones / 12)
    phase = np.cumsum(frequency) * moments[1]
    weights = 1 / np.arange(1.0, 16.0) ** random.uniform(0.8, 2)
    within = moments / gap - places
    return _at_peak(
        np.minimum(1, 20 * within) * (1 - 0.6 * within) * _harmonics(phase, 2 * frequency.max() * moments[1], weights),
        random,
    )


def _bells(random: Generator, moments: Floats) -> Floats:
    sound = np.zeros_like(moments)
    for start in _starts(random, moments, 0.3, 1.5):
        for ratio in (0.5, 1.0, 1.19, 1.5, 2.0, 2.74):
            frequency = ratio * random.uniform(300, 420)
            _add_note(sound, moments, start, frequency, np.ones(1) / ratio, random.uniform(0.3, 1.2))
    return _at_peak(sound, random)


def _keyboard(random: Generator, moments: Floats) -> Floats:
    sound = np.zeros_like(moments)
    for start in _starts(random, moments, 0.08, 0.5):
        for after, size in ((0.0, 1.0), (random.uniform(0.05, 0.1), 0.4)):  # a key goes down and comes up
            since = moments - start - after
            sound += size * random.uniform(0.4, 1) * np.where(since >= 0, np.exp(-np.abs(since) / 0.008), 0)
    low = random.uniform(300, 1500)
    return _at_peak(_band(sound * random.normal(size=len(moments)), moments, low, 4 * low), random)


def _knocks(random: Generator, moments: Floats) -> Floats:
    sound = np.zeros_like(moments)
    for start in _starts(random, moments, 0.15, 1.0):
        _add_note(sound, moments, start, random.uniform(90, 250), np.array([1.0, 0.5, 0.3]), 0.02)
    return _at_peak(sound + 0.01 * _noise(random, moments, slope=1.0), random)


def _wind(random: Generator, moments: Floats) -> Floats:
    gusts = np.exp(0.8 * _wander(random, moments, per_second=random.uniform(0.5, 2)))
    return _at_peak(gusts * _noise(random, moments, slope=random.uniform(1.5, 3)), random)


def _waves(random: Generator, moments: Floats) -> Floats:
    swell = 1 + 0.9 * np.sin(2 * np.pi * random.uniform(0.1, 0.4) * moments)
    return _at_peak(swell * _noise(random, moments, slope=random.uniform(0.5, 1.5)), random)


def _fan(random: Generator, moments: Floats) -> Floats:
    blades = random.uniform(60, 150)
    rumble = 0.5 * _hum(random, moments, blades) * (1 + 0.1 * _wander(random, moments, per_second=3))
    return _at_peak(_noise(random, moments, slope=random.uniform(0.7, 1.7)) + rumble, random)


def _engine(random: Generator, moments: Floats) -> Floats:
    frequency = random.uniform(25, 70) * (1 + 0.05 * _wander(random, moments, per_second=2))
    phase = np.cumsum(frequency) * moments[1]
    sound = _harmonics(phase, 2 * frequency.max() * moments[1], random.uniform(0.2, 1, 20))
    return _at_peak(sound + 0.5 * _noise(random, moments, slope=1.5), random)


def _telephone_ring(random: Generator, moments: Floats) -> Floats:
    warble = np.where(
        (moments * random.uniform(15, 25)) % 1 < 0.5, random.uniform(400, 900), random.uniform(1000, 1400)
    )
    on = (moments % random.uniform(3, 5)) < random.uniform(1, 2)
    return _at_peak(on * np.sin(2 * np.pi * np.cumsum(warble) * moments[1]), random)


def _dial_tone(random: Generator, moments: Floats) -> Floats:
    on = (moments % 1.0) < random.choice([0.5, 1.0])
    return _at_peak(on * (np.sin(2 * np.pi * 425 * moments) + np.sin(2 * np.pi * 350 * moments)), random)


def _beeps(random: Generator, moments: Floats) -> Floats:
    on = (moments % random.uniform(0.25, 1.5)) < random.uniform(0.05, 0.25)
    return _at_peak(on * np.sin(2 * np.pi * random.uniform(400, 3000) * moments), random)


def _key_tones(random: Generator, moments: Floats) -> Floats:
    places = (moments / 0.2).astype(int)
    low = random.choice(_DTMF_LOW, places[-1] + 1)[places]
    high = random.choice(_DTMF_HIGH, places[-1] + 1)[places]
    on = (moments % 0.2) < 0.1
    return _at_peak(on * (np.sin(2 * np.pi * low * moments) + np.sin(2 * np.pi * high * moments)), random)


def _crackle(random: Generator, moments: Floats) -> Floats:
    sparks = random.normal(size=len(moments)) * (random.uniform(size=len(moments)) < 20 * moments[1])
    return _at_peak(sparks + 0.02 * _noise(random, moments, slope=1.0), random)


def _rain(random: Generator, moments: Floats) -> Floats:
    drops = random.normal(size=len(moments)) * (random.uniform(size=len(moments)) < 400 * moments[1])
    return _at_peak(_band(drops, moments, 500, 6000) + 0.05 * _noise(random, moments, slope=0.5), random)


def _modem(random: Generator, moments: Floats) -> Floats:
    places = (moments / random.uniform(0.003, 0.02)).astype(int)
    frequency = random.choice([1200.0, 2200.0], places[-1] + 1)[places]
    return _at_peak(np.sin(2 * np.pi * np.cumsum(frequency) * moments[1]), random)


KINDS: dict[str, Callable[[Generator, Floats], Floats]] = {
    "tone": _tone,
    "tone at a voice's pitch": _voice_pitched_tone,
    "two tones": _two_tones,
    "square wave": _square_wave,
    "sawtooth": _sawtooth,
    "hum of 50 Hz": _hum_50,
    "hum of 60 Hz": _hum_60,
    "pure mains hum": _pure_mains,
    "swelling hum": _swelling_hum,
    "hum in noise": _hum_in_noise,
    "one click": _one_click,
    "click train": _click_train,
    "irregular clicks": _irregular_clicks,
    "sweep": _sweep,
    "siren": _siren,
    "white noise": _white,
    "pink noise": _pink,
    "brown noise": _brown,
    "noise in steps": _loud_noise_steps,
    "silence with dither": _silence_with_dither,
    "chords": _chords,
    "held chord": _held_chord,
    "arpeggio": _arpeggio,
    "drums": _drums,
    "melody with vibrato": _melody,
    "bells": _bells,
    "keyboard": _keyboard,
    "knocks": _knocks,
    "wind": _wind,
    "waves": _waves,
    "fan with rumble": _fan,
    "engine": _engine,
    "telephone ring": _telephone_ring,
    "dial tone": _dial_tone,
    "beeps": _beeps,
    "key tones": _key_tones,
    "crackle": _crackle,
    "rain": _rain,
    "modem": _modem,
}
