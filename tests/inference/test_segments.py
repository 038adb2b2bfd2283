from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from ser.audio.io import Sound, read_sound
from ser.features.settings import FeatureSettings
from ser.inference.predictor import Predictor
from ser.inference.segments import Segment, attention_over_time, cut_segments

RATE = 22050
SETTINGS = FeatureSettings(max_length=64)
LENGTH = 64 * 512


@pytest.fixture(scope="module")
def speech(voice):
    """float32 [8 s]: the voice, the voice at twice the speed, digital silence of two segments, the voice."""
    return np.concatenate([voice, voice[::2], np.zeros(2 * LENGTH, dtype=np.float32), voice])


def as_sound(waveform):
    peak, duration = float(np.abs(waveform).max()), len(waveform) / RATE
    return Sound(waveform=waveform, sample_rate=RATE, duration=duration, peak=peak, clipped=False)


SAMPLES = [5000, LENGTH, LENGTH + 1, LENGTH + LENGTH // 2, LENGTH * 2 + 1, LENGTH * 7 + 999]


@pytest.mark.parametrize("samples", SAMPLES)
def test_segments_overlap_by_half_and_reach_both_ends(samples):
    waveform = np.arange(samples, dtype=np.float32)
    cuts = cut_segments(waveform, SETTINGS)
    starts = [start for start, _ in cuts]
    assert starts[0] == 0
    assert starts[-1] == max(0, samples - LENGTH)
    assert all(0 < step <= LENGTH // 2 + 1 for step in np.diff(starts))
    assert len(cuts) == 1 if samples <= LENGTH else 1 < len(cuts) <= 2 * samples / LENGTH + 1
    for start, segment in cuts:
        np.testing.assert_array_equal(segment, waveform[start : start + LENGTH])


def test_a_short_recording_is_predicted_as_by_predict(predictor, voice, tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, voice[:15_000], RATE)
    timeline = predictor.predict_long(read_sound(path, sample_rate=RATE), name="short")
    prediction = predictor.predict(path)
    np.testing.assert_array_equal(timeline.overall.probabilities, prediction.probabilities)
    np.testing.assert_array_equal(timeline.segments[0].attention, prediction.attention)
    assert timeline.overall.source == "short"
    assert timeline.overall.warnings == prediction.warnings == ()
    # Its attention covers the recording and no padding.
    step = SETTINGS.duration / 32
    assert timeline.attention_seconds[0] == pytest.approx(step / 2)
    assert 15_000 / RATE - step < timeline.attention_seconds[-1] < 15_000 / RATE + step
    inside = prediction.attention[: len(timeline.attention_seconds)]
    np.testing.assert_allclose(timeline.overall.attention, inside / inside.sum(), rtol=1e-5)


def test_each_segment_is_predicted_as_a_recording_of_its_own_and_silent_ones_are_not(predictor, speech, tmp_path):
    timeline = predictor.predict_long(as_sound(speech), name="speech")
    voiced = [segment for segment in timeline.segments if segment.probabilities is not None]
    assert len(voiced) >= 4
    for number, segment in enumerate(voiced):
        path = tmp_path / f"{number}.wav"
        first = round(segment.start * RATE)
        soundfile.write(path, speech[first : first + LENGTH], RATE, subtype="FLOAT")
        alone = predictor.predict(path)
        np.testing.assert_allclose(segment.probabilities, alone.probabilities, atol=1e-6)
        assert segment.end - segment.start == pytest.approx(LENGTH / RATE)
    expected = np.mean([segment.probabilities for segment in voiced], axis=0)
    np.testing.assert_allclose(timeline.overall.probabilities, expected, rtol=1e-6)
    assert timeline.overall.probabilities.sum() == pytest.approx(1, abs=1e-5)
    silent = [segment for segment in timeline.segments if segment.probabilities is None]
    assert silent
    for segment in silent:
        assert np.abs(speech[round(segment.start * RATE) : round(segment.end * RATE)]).max() == 0


def test_many_segments_are_predicted_in_bounded_batches(predictor, voice):
    sizes = []

    def scorer(features, lengths):
        sizes.append(len(features))
        return predictor.scorer(features, lengths)

    waveform = np.tile(voice, 60)  # 120 s: 160 segments
    timeline = Predictor(scorer, predictor.metadata).predict_long(as_sound(waveform), name="long")
    assert len(timeline.segments) > 150
    assert max(sizes) <= 16


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(0.0, [0.1, 0.2, 0.3, 0.4]), (2.0, [0.5, 0.2, 0.2, 0.1])], [0.1, 0.2, 0.4, 0.3, 0.2, 0.1]),
        ([(2.0, [0.4, 0.3, 0.2, 0.1])], [0, 0, 0.4, 0.3, 0.2, 0.1]),  # a silence was cut off before it
    ],
)
def test_attention_falls_where_the_segments_put_it(segments, expected):
    settings = SimpleNamespace(duration=4.0)  # four weights of a second each
    segments = [
        Segment(start=0.0, end=6.0, probabilities=np.ones(1), attention=np.array(attention), offset=offset)
        for offset, attention in segments
    ]
    seconds, attention = attention_over_time(segments, settings=settings, duration=6.0)
    np.testing.assert_allclose(seconds, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    np.testing.assert_allclose(attention, np.divide(expected, sum(expected)), rtol=1e-6)


def test_the_silence_before_a_voice_is_no_part_of_the_frames(voice, predictor):
    trimming = Predictor(predictor.scorer, replace(predictor.metadata, features=replace(SETTINGS, trim=True)))
    late = np.concatenate([np.zeros(RATE, dtype=np.float32), voice[:10_000]])
    segment = trimming.predict_long(as_sound(late), name="late").segments[0]
    begins = np.flatnonzero(np.abs(voice) > 0.01 * np.abs(voice[:10_000]).max())[0] / RATE
    assert 1 + begins - 0.2 < segment.offset <= 1 + begins
