"""Where somebody speaks, on voices and sounds made up, and on a few dozen recordings of RAVDESS."""

import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import soxr

from ser.audio import silero
from ser.audio.silero import FRAME, SAMPLE_RATE, speech_probabilities
from ser.audio.voice_activity import Span, _is_breath, find_speech
from ser.corpora.ravdess import RecordingName, parse_stem
from ser.corpora.synthetic import SAMPLE_RATE as SYNTHETIC_RATE
from ser.corpora.synthetic import synthesize
from tests.non_speech import KINDS, make_non_speech

ENOUGH = 0.3


def seconds_of(spans):
    return sum(span.end - span.start for span in spans)


def room(seconds, *, db=-60.0, pink=False, rate=SAMPLE_RATE, seed=0):
    noise = np.random.default_rng(seed).normal(size=round(seconds * rate))
    if pink:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(len(noise), 1 / rate), 20))
        noise = np.fft.irfft(spectrum, len(noise))
    return (10 ** (db / 20) * noise / np.std(noise)).astype(np.float32)


@pytest.fixture(scope="module")
def speech():
    """float32 [2 to 3 s at 16 kHz] of one voice of the synthetic corpus, peak 0.5."""
    name = parse_stem("03-01-05-02-01-01-02")
    sound = soxr.resample(synthesize(name), SYNTHETIC_RATE, SAMPLE_RATE).astype(np.float32)
    return 0.5 * sound / np.abs(sound).max()


@pytest.fixture(scope="module")
def alone(speech):
    """Its only span, from the beginning of `speech`."""
    (span,) = find_speech(speech, sample_rate=SAMPLE_RATE)
    return span


@pytest.mark.parametrize("kind", KINDS)
def test_no_speech_is_found_in_sounds_without(kind):
    sound, rate = make_non_speech(kind, seed=1)
    assert seconds_of(find_speech(sound, sample_rate=rate)) < ENOUGH


@pytest.mark.parametrize("kind", ["siren", "sweep", "modem", "hum of 60 Hz", "telephone ring"])
def test_no_speech_is_found_in_such_a_sound_after_a_pause(kind):
    sound, rate = make_non_speech(kind, seed=1)
    quiet = room(1.5, db=-75, rate=rate)
    assert seconds_of(find_speech(np.concatenate([quiet, sound, quiet]), sample_rate=rate)) < ENOUGH


def test_the_same_seed_makes_the_same_sound():
    for kind in ("melody with vibrato", "knocks"):
        (first, rate), (second, _), (other, _) = (make_non_speech(kind, seed) for seed in (5, 5, 6))
        np.testing.assert_array_equal(first, second)
        assert len(other) != len(first)
        assert 1 <= len(first) / rate <= 20


@pytest.mark.parametrize("emotion", range(1, 9))
def test_the_synthetic_voices_speak(emotion):
    for actor in (1, 2):
        name = parse_stem(f"03-01-{emotion:02}-01-01-01-{actor:02}")
        spans = find_speech(synthesize(name), sample_rate=SYNTHETIC_RATE)
        assert seconds_of(spans) > 0.6


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize(("before", "after"), [(5, 0), (0, 5), (20, 20)])
def test_a_pause_in_a_quiet_room_is_left_out(speech, alone, before, after, pink):
    sound = room(before + len(speech) / SAMPLE_RATE + after, pink=pink)
    sound[before * SAMPLE_RATE :][: len(speech)] += speech
    (span,) = find_speech(sound, sample_rate=SAMPLE_RATE)
    assert span.start - before == pytest.approx(alone.start, abs=0.2)
    assert span.end - before == pytest.approx(alone.end, abs=0.2)


def test_spans_are_sorted_and_short_pauses_are_bridged(speech, alone):
    word = speech[round(alone.start * SAMPLE_RATE) : round(alone.end * SAMPLE_RATE)]
    pauses = [room(seconds) for seconds in (1.0, 0.05, 2.0, 1.0)]
    sound = np.concatenate([pauses[0], word, pauses[1], word, pauses[2], word, pauses[3]])
    first, second = find_speech(sound, sample_rate=SAMPLE_RATE)
    length = len(word) / SAMPLE_RATE
    assert [first.start, first.end] == pytest.approx([1.0, 1.05 + 2 * length], abs=0.2)
    assert [second.start, second.end] == pytest.approx([3.05 + 2 * length, 3.05 + 3 * length], abs=0.2)


@pytest.mark.parametrize("gain", [2e-4, 1e-2, 2.0, 1e4])
def test_gain_changes_nothing(speech, alone, gain):
    assert find_speech(speech * np.float32(gain), sample_rate=SAMPLE_RATE) == [alone]


@pytest.mark.parametrize("offset", [0.05, -0.5])
def test_a_constant_offset_changes_nothing(speech, alone, offset):
    assert find_speech(speech + np.float32(offset), sample_rate=SAMPLE_RATE) == [alone]


def test_a_loud_click_hides_no_quiet_voice(speech, alone):
    sound = np.concatenate([room(1, db=-90), 0.005 * speech])
    sound[SAMPLE_RATE // 2] = 1.0
    (span,) = find_speech(sound, sample_rate=SAMPLE_RATE)
    assert [span.start - 1, span.end - 1] == pytest.approx([alone.start, alone.end], abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_the_rate_matters_little(speech, alone, rate):
    (span,) = find_speech(soxr.resample(speech, SAMPLE_RATE, rate), sample_rate=rate)
    assert [span.start, span.end] == pytest.approx([alone.start, alone.end], abs=0.3)


def test_a_voice_in_a_fiftieth_of_four_minutes_is_found(speech, alone):
    sound = room(240, db=-55)
    sound[120 * SAMPLE_RATE :][: len(speech)] += speech
    (span,) = find_speech(sound, sample_rate=SAMPLE_RATE)
    assert [span.start - 120, span.end - 120] == pytest.approx([alone.start, alone.end], abs=0.2)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 1000, 4800])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_there_is_none_in_a_constant_of_any_length(samples, value):
    assert find_speech(np.full(samples, value, dtype=np.float32), sample_rate=SAMPLE_RATE) == []


def test_a_recording_that_begins_and_ends_within_speech_is_all_speech(speech, alone):
    word = speech[round((alone.start + 0.3) * SAMPLE_RATE) : round((alone.end - 0.3) * SAMPLE_RATE)]
    (span,) = find_speech(word, sample_rate=SAMPLE_RATE)
    assert span.start < 0.1
    assert span.end > len(word) / SAMPLE_RATE - 0.15
    assert span.end <= len(word) / SAMPLE_RATE


def test_the_network_gives_each_frame_the_same_in_parts_as_in_one_call(speech, monkeypatch):
    sound = np.tile(speech, 3)
    whole = speech_probabilities(sound)
    assert len(whole) == -(-len(sound) // FRAME)
    monkeypatch.setattr("ser.audio.silero._FRAMES_PER_CALL", 7)
    np.testing.assert_allclose(speech_probabilities(sound), whole, atol=1e-5)


def test_a_worker_process_finds_the_same(speech, alone):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(find_speech, speech, sample_rate=SAMPLE_RATE).result() == [Span(alone.start, alone.end)]


def test_a_breath_before_a_voice_takes_nothing_of_it(monkeypatch):
    """What is searched as a whisper reaches half a second into the voice beside it, and may be found there alone."""
    sound = room(10)
    sound[100 * FRAME : 250 * FRAME] *= 1000
    voice, breath = np.zeros(313, dtype=np.float32), np.zeros(30 + 2 * 16, dtype=np.float32)
    voice[130:250] = 1.0
    breath[-15:] = 1.0  # frames 131 to 145 of the recording
    answers = iter([voice, breath])
    monkeypatch.setattr("ser.audio.voice_activity.speech_probabilities", lambda _: next(answers))
    monkeypatch.setattr("ser.audio.voice_activity._is_breath", lambda _: True)
    (span,) = find_speech(sound, sample_rate=SAMPLE_RATE)
    assert not list(answers)
    assert [span.start, span.end] == pytest.approx([130 * FRAME / SAMPLE_RATE - 0.1, 250 * FRAME / SAMPLE_RATE + 0.1])


def test_whether_hiss_is_breath_is_told_in_bounded_memory():
    hiss = np.random.default_rng(0).normal(size=120 * SAMPLE_RATE).astype(np.float32)
    tracemalloc.start()
    try:
        _is_breath(hiss)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * hiss.nbytes


@pytest.mark.ravdess
def test_real_voices_are_found(ravdess_root):
    paths = sorted(ravdess_root.glob("Audio_Speech_Actors_01-24/*/*.*"))[5::60]
    for path in paths:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        spans = find_speech(sound.mean(axis=1), sample_rate=rate)
        assert seconds_of(spans) > 0.8, path.name
        assert spans[-1].end - spans[0].start < len(sound) / rate - 0.3, path.name
        assert len(spans) <= 3


@pytest.mark.ravdess
@pytest.mark.parametrize("stem", ["03-01-06-02-01-01-06", "03-01-05-02-02-01-18", "03-01-05-02-02-01-14"])
def test_whispers_are_found(ravdess_root, stem):
    (path,) = ravdess_root.glob(f"Audio_Speech_Actors_01-24/*/{stem}.*")
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert seconds_of(find_speech(sound.mean(axis=1), sample_rate=rate)) > 1


@pytest.mark.parametrize("seconds", [0.4, 3.0, 40.0])
def test_the_network_gives_what_the_original_one_gives(seconds, monkeypatch):
    name = RecordingName("speech", "angry", "strong", 1, 1, 1)
    voice = np.tile(soxr.resample(synthesize(name, seed=1), SYNTHETIC_RATE, SAMPLE_RATE), 40)
    sound = (voice[: round(seconds * SAMPLE_RATE)] + room(seconds)[: len(voice)]).astype(np.float32)
    given = speech_probabilities(sound)
    original = onnxruntime.InferenceSession(
        Path(__file__).with_name("silero_vad_16k_sequence.onnx"), providers=["CPUExecutionProvider"]
    )
    monkeypatch.setattr(silero, "_session", lambda: original)
    expected = speech_probabilities(sound)
    assert expected.max() > 0.5
    np.testing.assert_allclose(given, expected, rtol=0, atol=2e-5)
