"""Speaker context as a vector: number, mean and variance of summaries."""

import numpy as np
import torch

from ser.models.context import context_of, no_context, split_context


def test_a_context_is_number_mean_and_population_variance():
    draws = np.random.default_rng(0)
    summaries = draws.normal(size=(7, 5)).astype(np.float32)
    members = draws.random((3, 7)) < 0.6
    members[1] = False
    context = context_of(torch.from_numpy(summaries), torch.from_numpy(members)).numpy()
    for row, chosen in zip(context, members, strict=True):
        expected = summaries[chosen]
        values = (expected.mean(axis=0), expected.var(axis=0)) if chosen.any() else (np.zeros(5), np.zeros(5))
        np.testing.assert_allclose(row, np.concatenate([[chosen.sum()], *values]), rtol=0, atol=1e-6)


def test_a_context_of_no_recording_is_zeros_and_comes_apart_again():
    nothing = no_context(2, 3)
    assert nothing.shape == (2, 7)
    assert not nothing.any()
    number, mean, variance = split_context(torch.arange(7.0)[None])
    assert (number.tolist(), mean.tolist(), variance.tolist()) == ([[0.0]], [[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]])
