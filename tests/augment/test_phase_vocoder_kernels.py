import importlib

import numba
import numpy as np
import pytest

from ser.augment import _phase_vocoder_kernels as vocoder_kernels


def test_frames_are_turned_and_interpolated_as_in_complex_arithmetic():
    rng = np.random.default_rng(0)
    spectrum = (rng.normal(size=(9, 65)) + 1j * rng.normal(size=(9, 65))).astype(np.complex64)
    now, expected = np.array([0, 1, 3, 4, 4, 7]), np.array([0, 1, 2, 4, 5, 5])
    weight = rng.uniform(size=6).astype(np.float32)
    gathered = np.exp(2j * np.pi * rng.uniform(size=65)).astype(np.complex64)
    turned, played = gathered.astype(complex), np.empty((6, 65), dtype=np.complex64)
    vocoder_kernels.play(spectrum, now, expected, weight, gathered, played)
    exact = spectrum.astype(complex)
    for step in range(6):
        if now[step] != expected[step]:
            turned *= np.exp(1j * (np.angle(exact[expected[step]]) - np.angle(exact[now[step]])))
        size = (1 - weight[step]) * abs(exact[now[step]]) + weight[step] * abs(exact[now[step] + 1])
        np.testing.assert_allclose(played[step], size * np.exp(1j * np.angle(exact[now[step]])) * turned, atol=5e-6)
    np.testing.assert_allclose(gathered, turned, atol=2e-6)


def test_a_silent_bin_plays_the_next_frame_at_phase_zero():
    spectrum = np.array([[0], [0], [2j], [2j]], dtype=np.complex64)
    gathered, played = np.ones(1, dtype=np.complex64), np.empty((2, 1), dtype=np.complex64)
    now, expected = np.array([0, 1]), np.array([0, 0])
    vocoder_kernels.play(spectrum, now, expected, np.array([0.5, 0.25], dtype=np.float32), gathered, played)
    np.testing.assert_allclose(played[:, 0], [0, 0.5], atol=1e-6)
    np.testing.assert_array_equal(gathered, 1)


def test_windowed_frames_overlap():
    rng = np.random.default_rng(1)
    frames, window = rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    sound = np.ones((6, 2), dtype=np.float32)
    vocoder_kernels.overlap_add(frames, window, sound)
    expected = np.ones(12)
    for frame in range(3):
        expected[2 * frame : 2 * frame + 8] += frames[frame] * window
    np.testing.assert_allclose(sound.reshape(-1), expected, rtol=1e-5)


def test_compiles_where_no_folder_may_be_written(monkeypatch):
    njit = numba.njit

    def no_folder(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    with monkeypatch.context() as patched:
        patched.setattr(numba, "njit", no_folder)
        kernels = importlib.reload(vocoder_kernels)
        sound = np.zeros((2, 1), dtype=np.float32)
        kernels.overlap_add(np.ones((1, 2), dtype=np.float32), np.ones(2, dtype=np.float32), sound)
    importlib.reload(vocoder_kernels)
    assert sound.sum() == pytest.approx(2)
