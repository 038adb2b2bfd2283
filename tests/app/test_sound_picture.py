import numpy as np
import pytest

from app import sound_picture
from app.sound_picture import DB_RANGE, attention_of_columns, band_edges, draw
from ser.features.extract import extract
from ser.features.settings import FeatureSettings
from tests.predictions import prediction_of

SETTINGS = FeatureSettings(max_length=64)


@pytest.mark.parametrize("hertz", [100, 440, 3000, 9000])
def test_a_tone_is_drawn_at_its_pitch_and_moment(hertz):
    seconds = np.arange(3 * 22050) / 22050
    tone = (0.5 * np.sin(2 * np.pi * hertz * seconds) * (seconds > 2)).astype(np.float32)
    picture = draw(tone, SETTINGS, prediction_of())
    loudest = picture.decibels[:, picture.seconds[:-1] > 2.2].mean(axis=1).argmax()
    assert picture.hertz[loudest] - 30 <= hertz <= picture.hertz[loudest + 1] + 30
    assert picture.decibels.max() == 0
    assert (picture.decibels[:, picture.seconds[1:] < 1.9] == -DB_RANGE).all()


def test_columns_span_the_recording_and_hold_its_extremes(voice):
    long = np.concatenate([voice] * 4)
    picture = draw(long, SETTINGS, prediction_of())
    assert len(picture.low) == len(picture.high) == picture.decibels.shape[1] == sound_picture.MAX_COLUMNS
    assert picture.seconds[[0, -1]] == pytest.approx([0, 8])
    edges = np.round(picture.seconds * 22050).astype(int)
    for column in (0, 57, 199):
        stretch = long[edges[column] : edges[column + 1]]
        assert (picture.low[column], picture.high[column]) == (stretch.min(), stretch.max())


def test_a_spectrogram_in_pieces_is_that_of_the_whole(voice, monkeypatch):
    power = extract(voice, FeatureSettings(n_mels=sound_picture.N_BANDS, groups=("mel",)))
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    whole = draw(voice, SETTINGS, prediction_of()).decibels
    np.testing.assert_allclose(whole, np.maximum(decibels - decibels.max(), -DB_RANGE), atol=1e-3)
    monkeypatch.setattr(sound_picture, "_PIECE_FRAMES", 40)
    pieces = draw(voice, SETTINGS, prediction_of()).decibels
    assert pieces.shape == whole.shape
    inner = [column for column in range(whole.shape[1]) if 3 <= column % 40 <= 36]
    np.testing.assert_allclose(pieces[:, inner], whole[:, inner], atol=1e-3)


def test_band_edges_rise_from_nothing_to_nyquist():
    edges = band_edges(FeatureSettings(sample_rate=16000, n_mels=64, groups=("mel",)))
    assert (edges[0], edges[-1], len(edges)) == (0, 8000, 65)
    assert (np.diff(edges) > 0).all()


def test_attention_is_a_multiple_of_the_average():
    n_steps, step = 64, 0.03
    middles = (np.arange(n_steps) + 0.5) * step
    columns, one = np.linspace(0, n_steps * step, 8), np.eye(n_steps, dtype=np.float32)[n_steps // 2]
    even = np.full(n_steps, 1 / n_steps, dtype=np.float32)
    np.testing.assert_allclose(attention_of_columns(middles, even, columns), 1, rtol=1e-5)
    drawn = attention_of_columns(middles, one, columns)
    assert drawn.mean() == pytest.approx(1, rel=1e-5)  # the columns are equally wide
    assert drawn.argmax() == np.searchsorted(columns, middles[n_steps // 2]) - 1
    steps = np.arange(n_steps + 1) * step
    np.testing.assert_allclose(attention_of_columns(middles, one, steps), n_steps * one, atol=1e-4)


def test_the_picture_has_the_attention_of_the_prediction():
    prediction = prediction_of(np.eye(8)[0], np.eye(8)[1])  # a second of speech from 1 s on, and from 3 s on
    silence = np.full(round(prediction.duration * 22050), 1e-3, dtype=np.float32)
    picture = draw(silence, SETTINGS, prediction)
    assert picture.attention[picture.seconds[1:] < 1].max() == 0
    assert picture.attention[(picture.seconds[:-1] > 1.1) & (picture.seconds[1:] < 1.9)].min() > 1
    assert not draw(silence, SETTINGS, prediction_of()).attention.any()
