"""The constant matrices against librosa's and scipy's."""

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal

from ser.features._filterbanks import chroma_filters, contrast_bands, dct_basis, delta_weights, mel_blocks, mel_filters
from ser.features._stft import hann_window

SIZES = [(22050, 2048), (16000, 1024), (48000, 4096)]


@pytest.mark.parametrize(("sample_rate", "n_fft"), SIZES)
@pytest.mark.parametrize("n_mels", [128, 40, 50])
def test_mel_filters_are_librosas_to_the_bit_and_blocks_hold_every_weight_once(sample_rate, n_fft, n_mels):
    filters = mel_filters(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels)
    np.testing.assert_array_equal(filters, librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels))
    rebuilt = np.zeros_like(filters)
    for bands, bins, weights in mel_blocks(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels):
        rebuilt[bands, bins] += weights.T
    np.testing.assert_array_equal(rebuilt, filters)


@pytest.mark.parametrize(("sample_rate", "n_fft"), SIZES)
@pytest.mark.parametrize(("n_chroma", "tuning"), [(12, 0.0), (12, -0.37), (24, 0.49)])
def test_chroma_filters_are_librosas_to_the_bit(sample_rate, n_fft, n_chroma, tuning):
    ours = chroma_filters(sample_rate=sample_rate, n_fft=n_fft, n_chroma=n_chroma, tuning=tuning)
    theirs = librosa.filters.chroma(sr=sample_rate, n_fft=n_fft, n_chroma=n_chroma, tuning=tuning)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("n_rows", "n_columns"), [(13, 128), (20, 64), (40, 40)])
def test_dct_basis_is_scipys_dct(n_rows, n_columns):
    values = np.random.default_rng(0).normal(size=(n_columns, 5))
    theirs = scipy.fft.dct(values, axis=0, type=2, norm="ortho")[:n_rows]
    np.testing.assert_allclose(dct_basis(n_rows=n_rows, n_columns=n_columns) @ values, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", [1, 2])
def test_delta_weights_are_savitzky_and_golays(order):
    theirs = scipy.signal.savgol_coeffs(9, order, deriv=order, use="dot")
    np.testing.assert_allclose(delta_weights()[:, order - 1], theirs, rtol=0, atol=1e-15)


def test_contrast_bands_at_the_default_sizes():
    """Bins of 10.77 Hz: the edges at 200, 400, ... Hz, worked out by hand."""
    bands = contrast_bands(sample_rate=22050, n_fft=2048, n_bands=6)
    edges = [(0, 18), (18, 37), (37, 74), (74, 148), (148, 297), (297, 594), (594, 1025)]
    assert [(bins.start, bins.stop) for bins, _ in bands] == edges
    assert [n_extreme for _, n_extreme in bands] == [1, 1, 1, 2, 3, 6, 9]


def test_hann_window_is_scipys():
    np.testing.assert_array_equal(hann_window(2048), scipy.signal.get_window("hann", 2048))


def test_a_shared_matrix_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(sample_rate=22050, n_fft=2048, n_mels=128)[0, 0] = 1.0
