import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from ser.models.normalisation import Normalisation, frame_mask


def test_per_coefficient_it_is_scikit_learns_whatever_the_lengths():
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(40, 6, 5)) * rng.uniform(0.1, 50, (6, 5)) + rng.normal(size=(6, 5))).astype(np.float32)
    matrix[:, 2, 3] = 7.0  # a column that never varies
    scaler = StandardScaler().fit(matrix.reshape(40, -1))
    normalisation = Normalisation(6, max_length=5)
    normalisation.set_statistics(
        torch.from_numpy(scaler.mean_.reshape(6, 5)), torch.from_numpy(scaler.scale_.reshape(6, 5))
    )
    expected = scaler.transform(matrix.reshape(40, -1)).reshape(matrix.shape)
    normalised = normalisation(torch.from_numpy(matrix), torch.ones(40).long())
    np.testing.assert_allclose(normalised.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_per_band_padding_is_zero_afterwards():
    normalisation, features = Normalisation(2), torch.randn(3, 2, 7)
    mean, scale = torch.tensor([[-30.0], [5.0]]), torch.tensor([[4.0], [2.0]])
    normalisation.set_statistics(mean, scale)
    normalised = normalisation(features, torch.tensor([7, 4, 1]))
    for row, length in enumerate((7, 4, 1)):
        torch.testing.assert_close(normalised[row, :, :length], (features[row, :, :length] - mean) / scale)
        assert not normalised[row, :, length:].any()


def test_a_fresh_one_changes_nothing_and_has_nothing_to_learn():
    for normalisation in (Normalisation(2, max_length=3), Normalisation(2)):
        features = torch.randn(4, 2, 3)
        assert torch.equal(normalisation(features, torch.full((4,), 3)), features)
        assert not list(normalisation.parameters())
        assert set(normalisation.state_dict()) == {"mean", "scale"}


def test_the_mask_is_true_before_the_padding():
    assert frame_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]
