import numpy as np
from sklearn.preprocessing import StandardScaler

from ser.data.normalisation import fit_per_band, fit_per_coefficient


def test_per_coefficient_it_is_scikit_learns_and_sharing_out_the_columns_changes_no_bit():
    rng = np.random.default_rng(0)
    features = rng.lognormal(sigma=3, size=(300, 100, 200)).astype(np.float32)
    features[:, 1, 1] = 0.1  # a column that never varies has scale 1
    columns = features.reshape(300, -1)
    scaler, in_blocks = fit_per_coefficient(features), StandardScaler()
    for start in (0, 256):
        in_blocks.partial_fit(columns[start : start + 256])
    assert vars(scaler).keys() == vars(in_blocks).keys()
    for name, value in vars(in_blocks).items():
        np.testing.assert_array_equal(getattr(scaler, name), value, err_msg=name)
    whole = StandardScaler().fit(columns.astype(np.float64))
    np.testing.assert_allclose(scaler.mean_, whole.mean_, rtol=1e-9)
    np.testing.assert_allclose(scaler.scale_, whole.scale_, rtol=1e-9)
    assert scaler.scale_[201] == 1.0


def test_padding_has_no_part_in_the_statistics_per_band():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 41, 300)  # more samples than a block
    features = np.full((300, 3, 40), 1e6, dtype=np.float32)  # by lengths, not by zeros
    for sample, length in zip(features, lengths, strict=True):
        sample[:, :length] = rng.normal([[-50], [0], [7]], [[2], [5], [0.1]], (3, length))
    real = np.concatenate([sample[:, :length] for sample, length in zip(features, lengths, strict=True)], axis=1)
    scaler = fit_per_band(features, lengths)
    np.testing.assert_allclose(scaler.mean_, real.mean(axis=1, dtype=np.float64), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaler.scale_, real.std(axis=1, dtype=np.float64), rtol=1e-5)
