"""The phase vocoder against a textbook rendering with angles in double precision, and against librosa."""

import librosa
import numpy as np
import pytest
import soxr

from ser.audio.folder import find_sound_files
from ser.audio.io import read_sound
from ser.augment import _phase_vocoder_kernels as kernels
from ser.augment.phase_vocoder import pitch_shift, time_stretch
from ser.features._fft_kernels import twiddles

RATE = 22050
N_FFT, HOP = 2048, 512


def textbook_stretch(y, rate):
    """Phase vocoder with explicit angles, frame by frame, in float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    padded = np.pad(y.astype(np.float64), N_FFT // 2)
    frames = [padded[start : start + N_FFT] * window for start in range(0, len(y) + 1, HOP)]
    spectrum = np.array([np.fft.rfft(frame) for frame in frames] + [np.zeros(N_FFT // 2 + 1)] * 2)
    magnitude, angle = np.abs(spectrum), np.angle(spectrum)
    centre = 2 * np.pi * HOP * np.arange(N_FFT // 2 + 1) / N_FFT
    phase = angle[0]
    steps = np.arange(0, len(frames), rate)
    sound = np.zeros(N_FFT + HOP * (len(steps) - 1))
    envelope = np.zeros_like(sound)
    for place, step in enumerate(steps):
        i, weight = int(step), step % 1.0
        size = (1 - weight) * magnitude[i] + weight * magnitude[i + 1]
        here = slice(place * HOP, place * HOP + N_FFT)
        sound[here] += np.fft.irfft(size * np.exp(1j * phase)) * window
        envelope[here] += window**2
        deviation = angle[i + 1] - angle[i] - centre
        phase = phase + centre + deviation - 2 * np.pi * np.round(deviation / (2 * np.pi))
    length = round(len(y) / rate)
    sound = sound / np.where(envelope > 1e-30, envelope, 1.0)
    return np.pad(sound[N_FFT // 2 :], (0, length))[:length]


def snr(ours, reference):
    """Signal to noise ratio in dB."""
    return 10 * np.log10(np.sum(np.square(reference)) / np.sum(np.square(ours - reference)))


def voice(seconds=2.0, seed=3):
    """Gliding harmonics over noise that never falls silent, so that every bin of every frame has a phase."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 0.9 * time)) / RATE
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 15)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    return (0.1 * harmonics + 0.003 * np.random.default_rng(seed).normal(size=len(time))).astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize(
    ("n_samples", "rate", "least_snr"),
    [(2 * RATE, rate, 110) for rate in (0.3, 0.8, 0.93, 1.0, 1.07, 1.2, 2.5)]
    + [(n_samples, rate, 90) for n_samples in (2, 300, 512, 1500, 4410, 10 * RATE) for rate in (0.8, 1.2)],
)
def test_time_stretch_equals_the_textbook(n_samples, rate, least_snr):
    y = voice(n_samples / RATE)
    stretched = time_stretch(y, rate=rate)
    assert stretched.dtype == np.float32
    assert len(stretched) == round(n_samples / rate) == len(librosa.effects.time_stretch(y, rate=rate))
    assert snr(stretched, textbook_stretch(y, rate)) > least_snr


@pytest.mark.parametrize("semitones", [-1.0, -0.4, 0.0, 0.7, 1.0])
def test_pitch_shift_equals_the_textbook(semitones):
    y = voice()
    rate = 2 ** (-semitones / 12)
    reference = soxr.resample(textbook_stretch(y, rate), RATE / rate, RATE, quality="HQ")
    reference = np.pad(reference, (0, len(y)))[: len(y)]
    shifted = pitch_shift(y, semitones=semitones, sample_rate=RATE)
    assert shifted.dtype == np.float32
    assert shifted.shape == y.shape
    assert snr(shifted, reference) > 105


def test_pitch_shift_moves_a_tone_by_semitones():
    y = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    shifted = pitch_shift(y, semitones=1.0, sample_rate=RATE)[RATE // 4 : -RATE // 4]
    spectrum = np.abs(np.fft.rfft(shifted * np.hanning(len(shifted)), n=1 << 18))
    assert np.argmax(spectrum) * RATE / (1 << 18) == pytest.approx(440 * 2 ** (1 / 12), abs=0.2)


@pytest.mark.parametrize("rate", [0.8, 1.2])
def test_silence_and_sound_after_silence(rate):
    silence = np.zeros(RATE, dtype=np.float32)
    assert not time_stretch(silence, rate=rate).any()
    y = np.concatenate((silence, voice(1.0), silence))
    stretched = time_stretch(y, rate=rate)
    assert np.isfinite(stretched).all()
    assert snr(stretched, textbook_stretch(y, rate)) > 90


def test_the_waveform_is_not_changed():
    y = voice(0.5)
    before = y.copy()
    pitch_shift(y, semitones=0.5, sample_rate=RATE)
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_rates_that_mean_nothing(rate):
    with pytest.raises(ValueError, match="should be above 0"):
        time_stretch(voice(0.5), rate=rate)


def test_a_silent_bin_plays_the_next_frame_at_phase_zero():
    spectrum = np.array([[0], [0], [2j], [2j]], dtype=np.complex64)
    gathered, played = np.ones(1, dtype=np.complex64), np.empty((2, 1), dtype=np.complex64)
    now, expected = np.array([0, 1]), np.array([0, 0])
    kernels.play(spectrum, now, expected, np.array([0.5, 0.25], dtype=np.float32), gathered, played)
    np.testing.assert_allclose(played[:, 0], [0, 0.5], atol=1e-6)
    np.testing.assert_array_equal(gathered, 1)


@pytest.mark.parametrize("n_frames", [1, 8, 13])
def test_frames_are_transformed_back_and_added(n_frames):
    rng = np.random.default_rng(1)
    spectra = (rng.normal(size=(n_frames, N_FFT + 2))).astype(np.float32)
    window = rng.uniform(size=N_FFT).astype(np.float32)
    expected = np.ones((n_frames - 1) * HOP + N_FFT + 5)
    sound = expected.astype(np.float32)
    for frame, values in enumerate(spectra.astype(np.float64).view(np.complex128)):
        expected[frame * HOP : frame * HOP + N_FFT] += np.fft.irfft(values) * N_FFT * window
    kernels.overlap_add(spectra.reshape(-1), window, twiddles(N_FFT).astype(np.float32), HOP, sound)
    np.testing.assert_allclose(sound, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.ravdess
def test_recordings_equal_librosa_in_double_precision(ravdess_root):
    """librosa's own single precision differs from its double precision by about 50 dB."""
    paths = find_sound_files(ravdess_root)
    for path in paths[:: max(len(paths) // 6, 1)][:6]:
        y = read_sound(path, sample_rate=RATE).waveform
        wide = y.astype(np.float64)
        assert snr(time_stretch(y, rate=0.87), librosa.effects.time_stretch(wide, rate=0.87)) > 100
        theirs = librosa.effects.pitch_shift(wide, sr=RATE, n_steps=-0.6)
        assert snr(pitch_shift(y, semitones=-0.6, sample_rate=RATE), theirs) > 100
        assert snr(time_stretch(y, rate=0.87), librosa.effects.time_stretch(y, rate=0.87)) > 30
