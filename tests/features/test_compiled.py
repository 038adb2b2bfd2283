"""The compiled Fourier transform against numpy's, to the bit, and where it is used."""

from functools import cache

import numba
import numpy as np
import pytest

from ser.features import _fft_kernels as kernels
from ser.features import _stft, compiled


@pytest.fixture(autouse=True)
def not_loaded(monkeypatch):
    monkeypatch.setattr(compiled, "_LOADED", [])
    monkeypatch.setattr(compiled, "_equals_numpy", cache(compiled._equals_numpy.__wrapped__))


def noise_with_a_pause(n_samples):
    y = np.random.default_rng(0).normal(size=n_samples).astype(np.float32)
    y[n_samples // 3 : n_samples // 2] = 0
    return y


@pytest.mark.parametrize("n_fft", [128, 512, 2048, 8192])
@pytest.mark.parametrize("n_frames", [1, 7, 8, 9, 17])
def test_the_transform_is_numpys_to_the_bit(n_fft, n_frames):
    hop = n_fft // 4 + 3
    y = noise_with_a_pause((n_frames - 1) * hop + 1)
    window = _stft.hann_window(n_fft)
    expected = np.fft.rfft(_stft.centred_frames(y, n_fft=n_fft, hop_length=hop) * window, axis=1).astype(np.complex64)
    padded = _stft.padded_waveform(y, n_fft=n_fft, spare=(kernels.LANES - 1) * hop)
    values = np.full((n_frames, n_fft + 2), np.nan, dtype=np.float32)
    kernels.complex_spectra(padded, hop, window, kernels.twiddles(n_fft), values.reshape(-1))
    np.testing.assert_array_equal(values.view(np.complex64), expected)
    power = _stft.by_kernels(kernels, y, n_fft=n_fft, hop_length=hop)
    np.testing.assert_array_equal(power, np.square(np.abs(expected)))


@pytest.mark.parametrize(
    ("n_fft", "known"), [(2, False), (32, False), (128, True), (256, False), (600, False), (1024, False), (2048, True)]
)
def test_lengths_that_are_known(n_fft, known):
    assert kernels.fits(n_fft) is known
    compiled.load_compiled()
    assert (compiled.fft_kernels(n_fft) is kernels) is known


def test_twiddles_lie_on_the_circle():
    table = kernels.twiddles(512).view(np.complex128)
    np.testing.assert_allclose(table, np.exp(2j * np.pi * np.arange(257) / 512), rtol=0, atol=1e-15)


def test_nothing_is_compiled_unless_asked_for(monkeypatch):
    assert compiled.compiled_loops() is compiled.fft_kernels(2048) is None
    monkeypatch.setattr(compiled, "import_module", lambda name: pytest.fail("numba is imported"))
    _stft.power_spectrum(noise_with_a_pause(4096), n_fft=2048, hop_length=512)


def test_without_numba_numpy_computes(monkeypatch):
    def not_installed(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(compiled, "import_module", not_installed)
    compiled.load_compiled()
    assert compiled.compiled_loops() is compiled.fft_kernels(2048) is None


def test_a_transform_that_differs_on_this_machine_is_not_used(monkeypatch):
    """As where numpy was compiled with fused multiplications, or its C library rounds a sine otherwise."""
    compiled.load_compiled()
    for changed in (slice(None), 301, 1000, 1200):  # the last bit of all sines, or of one
        other = kernels.twiddles(2048).copy()
        other[changed] = np.nextafter(other[changed], 2.0)
        with monkeypatch.context() as patched:
            patched.setattr(kernels, "twiddles", lambda n, other=other: other)
            assert compiled.fft_kernels(2048) is None
            compiled._equals_numpy.cache_clear()
    monkeypatch.setattr(compiled, "_equals_numpy", lambda n_fft: False)
    y = noise_with_a_pause(30_000)
    expected = _stft.by_numpy(y, n_fft=2048, hop_length=512)
    np.testing.assert_array_equal(_stft.power_spectrum(y, n_fft=2048, hop_length=512), expected)


def test_compiles_where_no_folder_may_be_written(monkeypatch):
    njit = numba.njit

    def no_folder(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    monkeypatch.setattr(numba, "njit", no_folder)
    assert kernels.compiled(lambda number: number + 1)(2) == 3
