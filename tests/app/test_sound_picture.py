from dataclasses import replace

import numpy as np
import pytest

from app import sound_picture
from app.sound_picture import DB_RANGE, attention_of_columns, band_edges, draw
from ser.audio.io import Sound
from ser.features.extract import extract
from ser.features.settings import FeatureSettings


def timeline_of(predictor, waveform):
    peak = float(np.abs(waveform).max())
    sound = Sound(waveform=waveform, sample_rate=22050, duration=len(waveform) / 22050, peak=peak, clipped=False)
    return predictor.predict_long(sound, name="sound")


@pytest.mark.parametrize("hertz", [100, 440, 3000, 9000])
def test_a_tone_is_drawn_at_its_pitch_and_moment(predictor, hertz):
    seconds = np.arange(3 * 22050) / 22050
    tone = (0.5 * np.sin(2 * np.pi * hertz * seconds) * (seconds > 2)).astype(np.float32)
    picture = draw(tone, 22050, timeline_of(predictor, tone))
    loudest = picture.decibels[:, picture.seconds[:-1] > 2.2].mean(axis=1).argmax()
    assert picture.hertz[loudest] - 30 <= hertz <= picture.hertz[loudest + 1] + 30
    assert picture.decibels.max() == 0
    assert (picture.decibels[:, picture.seconds[1:] < 1.9] == -DB_RANGE).all()


def test_columns_span_the_recording_and_hold_its_extremes(predictor, voice):
    long = np.concatenate([voice] * 4)
    picture = draw(long, 22050, timeline_of(predictor, long))
    assert len(picture.low) == len(picture.high) == picture.decibels.shape[1] == sound_picture.MAX_COLUMNS
    assert picture.seconds[[0, -1]] == pytest.approx([0, 8])
    edges = np.round(picture.seconds * 22050).astype(int)
    for column in (0, 57, 199):
        stretch = long[edges[column] : edges[column + 1]]
        assert (picture.low[column], picture.high[column]) == (stretch.min(), stretch.max())


def test_a_spectrogram_in_pieces_is_that_of_the_whole(predictor, voice, monkeypatch):
    power = extract(voice, FeatureSettings(n_mels=sound_picture.N_BANDS, groups=("mel",)))
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    timeline = timeline_of(predictor, voice)
    whole = draw(voice, 22050, timeline).decibels
    np.testing.assert_allclose(whole, np.maximum(decibels - decibels.max(), -DB_RANGE), atol=1e-3)
    monkeypatch.setattr(sound_picture, "_PIECE_FRAMES", 40)
    pieces = draw(voice, 22050, timeline).decibels
    assert pieces.shape == whole.shape
    inner = [column for column in range(whole.shape[1]) if 3 <= column % 40 <= 36]
    np.testing.assert_allclose(pieces[:, inner], whole[:, inner], atol=1e-3)


def test_band_edges_rise_from_nothing_to_nyquist():
    edges = band_edges(FeatureSettings(sample_rate=16000, n_mels=64, groups=("mel",)))
    assert (edges[0], edges[-1], len(edges)) == (0, 8000, 65)
    assert (np.diff(edges) > 0).all()


def test_attention_is_a_multiple_of_the_average(predictor, voice):
    timeline = timeline_of(predictor, voice)
    step = timeline.attention_seconds[1] - timeline.attention_seconds[0]
    n_steps = len(timeline.attention_seconds)
    columns, one = np.linspace(0, n_steps * step, 8), np.eye(n_steps)[n_steps // 2]
    even, spiky = (
        replace(timeline, overall=replace(timeline.overall, attention=attention))
        for attention in (np.full(n_steps, 1 / n_steps), one)
    )
    np.testing.assert_allclose(attention_of_columns(even, columns), 1, rtol=1e-5)
    drawn = attention_of_columns(spiky, columns)
    assert drawn.mean() == pytest.approx(1, rel=1e-5)  # the columns are equally wide
    middle = timeline.attention_seconds[n_steps // 2]
    assert drawn.argmax() == np.searchsorted(columns, middle) - 1
    steps = np.arange(n_steps + 1) * step
    np.testing.assert_allclose(attention_of_columns(spiky, steps), n_steps * one, atol=1e-4)
