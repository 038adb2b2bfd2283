"""Fitting the utterance-level head: it separates classes, balances them, and is the same each time."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.features.settings import FeatureSettings
from ser.models.functionals import functionals
from ser.models.utterance_heads import FunctionalsHead, KernelHead
from ser.training.utterance_head import _C_ADAPTATION, Weighting, adapt_functionals, fit_functionals, fit_kernel

N_BANDS = 16
SETTINGS = FeatureSettings(n_fft=1024, hop_length=441, n_mels=N_BANDS, max_length=48, groups=("logmel", "pitch"))
NONE = SpectrogramAugmentSettings()
NOISY = SpectrogramAugmentSettings(vtlp=0.05, speed=0.1, eq=0.5, noise=0.5)


def voices(counts, *, seed=0):
    """Recordings brighter, and a third of an octave higher, from class to class; [samples, bands + 2, 48], labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    real = torch.arange(48) < torch.randint(30, 49, (len(labels), 1), generator=draw)
    features = torch.randn(len(labels), N_BANDS + 2, 48, generator=draw)
    tilt = 6 * labels.view(-1, 1, 1) * torch.linspace(-1, 1, N_BANDS).unsqueeze(1)
    features[:, :N_BANDS] = -40 + tilt + 5 * features[:, :N_BANDS]
    features[:, N_BANDS] = 7 + labels.unsqueeze(1) / 3 + 0.02 * features[:, N_BANDS]
    features[:, N_BANDS + 1] = features[:, N_BANDS + 1].sigmoid()
    return features * real.unsqueeze(1), labels


def lengths_of(features):
    return (features != 0).any(dim=1).sum(dim=1)


def fitted(features, labels, *, spectrogram=NONE, n_classes=3):
    head = FunctionalsHead(n_bands=N_BANDS, n_classes=n_classes)
    lengths = lengths_of(features)
    fit_functionals(head, features, lengths, labels, feature_settings=SETTINGS, spectrogram=spectrogram, seed=1)
    return head


fitted_with_copies = functools.partial(fitted, spectrogram=NOISY)


def fitted_kernel(features, labels, groups=None, *, n_classes=3, seed=1):
    head = KernelHead(n_bands=N_BANDS, n_classes=n_classes)
    fit_kernel(head, features, lengths_of(features), labels, labels if groups is None else groups, seed=seed)
    return head


def predicted(head, features):
    return head(features, lengths_of(features)).argmax(dim=1)


@pytest.mark.parametrize(
    ("n_training", "n_unseen"), [([40, 40, 40], [10, 10, 10]), ([40, 40], [10, 10]), ([40, 0, 40], [10, 0, 10])]
)
def test_classes_are_separated_with_copies_too_and_one_without_recordings_is_never_predicted(n_training, n_unseen):
    unseen, labels = voices(n_unseen, seed=1)
    absent = [label for label, count in enumerate(n_training) if not count]
    for fit in (fitted, fitted_with_copies, fitted_kernel):
        head = fit(*voices(n_training), n_classes=len(n_training))
        assert (predicted(head, unseen) == labels).float().mean() > 0.9
        assert (head(unseen, lengths_of(unseen)).softmax(dim=1)[:, absent] < 1e-6).all()


def test_it_is_the_same_each_time_and_differs_with_copies():
    heads = [fitted(*voices([12, 12, 12]), spectrogram=some) for some in (NOISY, NOISY, NONE)]
    torch.testing.assert_close(heads[0].weight, heads[1].weight, rtol=0, atol=0)
    assert not torch.allclose(heads[0].weight, heads[2].weight)


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    features, labels = voices([60, 6])
    features = features[:1].expand(len(labels), -1, -1)  # the same features for both classes
    head = fitted(features, labels, n_classes=2)
    probabilities = head(features, lengths_of(features)).softmax(dim=1).mean(dim=0)
    assert abs(probabilities[0] - 0.5) < 0.2  # by counts it would be 0.91


def test_its_standardisation_is_that_of_the_training_part():
    head = fitted(*voices([40, 40, 40]))
    features, _ = voices([40, 40, 40])
    values = functionals(features, lengths_of(features), n_bands=N_BANDS)
    standardised = (values - head.mean) / head.scale
    torch.testing.assert_close(standardised.mean(dim=0), torch.zeros(len(head.mean)), rtol=0, atol=1e-2)


def speakers(n_each, *, seed):
    """Recordings of four speakers, whose classes differ in another way for each; as `voices`, and groups."""
    features, labels = voices([4 * n_each] * 2, seed=seed)
    speaker, real = torch.arange(len(labels)) % 4, features[:, N_BANDS:-1] != 0
    shapes = 8 * torch.randn(4, N_BANDS, 1, generator=torch.Generator().manual_seed(0))
    direction = torch.where((labels + speaker) % 2 == 1, 10, -10).view(-1, 1, 1)
    tilt = direction * torch.linspace(-1, 1, N_BANDS).unsqueeze(1)
    noise = torch.randn(len(labels), N_BANDS, 48, generator=torch.Generator().manual_seed(seed))
    features[:, :N_BANDS] = real * (shapes[speaker] + tilt + noise - 40)
    features[:, N_BANDS:-1] = 7.0 * real
    return features, labels, 10 * labels + speaker


def test_the_kernel_learns_speaker_by_speaker_what_a_linear_layer_cannot():
    features, labels, groups = speakers(20, seed=1)
    unseen, truth, _ = speakers(10, seed=2)
    heads = fitted(features, labels, n_classes=2), fitted_kernel(features, labels, groups, n_classes=2)
    linear, kernel = ((predicted(head, unseen) == truth).float().mean() for head in heads)
    assert kernel > 0.9
    assert linear < 0.75


def test_the_kernels_probabilities_are_those_of_a_regression_in_the_space_of_the_kernel():
    """The dual form, solved by itself: all samples are landmarks, so Nystroem is exact."""
    features, labels = voices([15, 15, 15])
    head = fitted_kernel(features, labels)
    rows = ((head.statistics(features, lengths_of(features)) - head.mean) @ head.whitening).double()
    kernel = torch.exp(-(torch.cdist(rows, rows) ** 2) / rows.shape[1])
    dual, bias = torch.zeros(45, 3, dtype=torch.double, requires_grad=True), torch.zeros(3, dtype=torch.double)
    bias.requires_grad_()
    steps = torch.optim.LBFGS([dual, bias], max_iter=2000, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss():
        steps.zero_grad()
        norm = (dual * (kernel @ dual)).sum()
        total = torch.nn.functional.cross_entropy(kernel @ dual + bias, labels, reduction="sum") + norm / 6000
        total.backward()
        return total

    steps.step(loss)
    expected = (kernel @ dual + bias).detach().softmax(dim=1).float()
    torch.testing.assert_close(head(features, lengths_of(features)).softmax(dim=1), expected, rtol=0, atol=2e-3)


def test_variation_within_groups_is_whitened():
    """Against numpy: the shrunk covariance within groups becomes a multiple of the identity."""
    features, labels = voices([30, 30, 30])
    groups = torch.arange(90) // 5
    head = fitted_kernel(features, labels, groups)
    values = head.statistics(features, lengths_of(features)).double().numpy()
    scale = values.std(axis=0) + (np.ptp(values, axis=0) == 0)  # every frame of these is loud
    standardised = (values - values.mean(axis=0)) / scale
    within = standardised - standardised.reshape(18, 5, -1).mean(axis=1).repeat(5, axis=0)
    covariance = within.T @ within / 90
    shrunk = 0.5 * covariance + 0.5 * np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    whitening = head.whitening.double().numpy() * scale[:, np.newaxis]
    changed = whitening.T @ shrunk @ whitening
    np.testing.assert_allclose(changed, np.eye(len(changed)) * changed[0, 0], atol=1e-3 * changed[0, 0])
    assert np.mean((standardised @ whitening) ** 2) == pytest.approx(1, rel=1e-3)


def test_with_one_member_a_group_each_statistic_is_scaled_by_itself():
    features, labels = voices([12, 12, 12])
    whitening = fitted_kernel(features, labels, torch.arange(36)).whitening
    values = KernelHead(n_bands=N_BANDS, n_classes=3).statistics(features, lengths_of(features))
    varied = values.std(dim=0) > 0
    torch.testing.assert_close(whitening, whitening.diagonal().diag())
    deviation = (values * whitening.diagonal()).std(dim=0, correction=0)[varied]
    torch.testing.assert_close(deviation, deviation[0].expand_as(deviation), rtol=1e-2, atol=0)


def test_with_more_samples_than_landmarks_some_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr("ser.training.utterance_head.N_LANDMARKS", 20)
    heads = [fitted_kernel(*voices([40, 40, 40]), seed=seed) for seed in (1, 1, 2)]
    assert [int((head.weight != 0).any(dim=0).sum()) for head in heads] == [20, 20, 20]
    torch.testing.assert_close(heads[0].landmarks, heads[1].landmarks, rtol=0, atol=0)
    assert not torch.equal(heads[0].landmarks, heads[2].landmarks)
    unseen, labels = voices([10, 10, 10], seed=1)
    assert (predicted(heads[0], unseen) == labels).float().mean() > 0.9


def test_several_corpora_that_lack_nothing_give_scikit_learns_regression():
    features, labels = voices([20, 9, 14])
    draws = torch.ones(len(labels), dtype=torch.float64)
    plain, masked = FunctionalsHead(n_bands=N_BANDS, n_classes=4), FunctionalsHead(n_bands=N_BANDS, n_classes=4)
    for head, of_corpora in ((plain, Weighting()), (masked, Weighting(draws=draws))):
        settings = {"feature_settings": SETTINGS, "spectrogram": NONE, "seed": 0}
        fit_functionals(head, features, lengths_of(features), labels, of_corpora, **settings)
    torch.testing.assert_close(masked.weight, plain.weight, atol=2e-3, rtol=0)
    assert masked.bias[3] == plain.bias[3] == -20
    centred = [bias[:3] - bias[:3].mean() for bias in (masked.bias, plain.bias)]
    torch.testing.assert_close(*centred, atol=5e-3, rtol=0)


@pytest.mark.parametrize("kind", [fit_functionals, fit_kernel])
def test_a_corpus_without_a_class_says_nothing_against_it(kind):
    """Recordings of class 0 and 1 of a second corpus sound like class 2 of the first, which the second lacks."""
    features, labels = voices([20, 20, 20])
    others, _ = voices([0, 0, 20], seed=1)
    of_others = torch.arange(20) % 2
    both = torch.cat([features, others]), torch.cat([labels, of_others])
    complete, lacks = [True, True, True], [True, True, False]

    def recall(allowed):
        if kind is fit_kernel:
            head = KernelHead(n_bands=N_BANDS, n_classes=3)
            groups = torch.arange(len(both[1]))
            fit_kernel(head, both[0], lengths_of(both[0]), both[1], groups, Weighting(allowed=allowed), seed=0)
        else:
            head = FunctionalsHead(n_bands=N_BANDS, n_classes=3)
            settings = {"feature_settings": SETTINGS, "spectrogram": NONE, "seed": 0}
            fit_functionals(head, both[0], lengths_of(both[0]), both[1], Weighting(allowed=allowed), **settings)
        fresh, _ = voices([0, 0, 40], seed=2)
        return float(torch.softmax(head(fresh, lengths_of(fresh)), dim=1)[:, 2].mean())

    masked = recall(torch.tensor([complete] * 60 + [lacks] * 20))
    assert masked > 0.85 > recall(torch.tensor([complete] * 80)) + 0.1


def adapted(head, features, labels, *, spectrogram=NONE):
    ours = copy.deepcopy(head)
    lengths = lengths_of(features)
    adapt_functionals(ours, features, lengths, labels, feature_settings=SETTINGS, spectrogram=spectrogram, seed=1)
    return ours


def rows_of_head(head):
    return torch.cat([head.weight, head.bias.unsqueeze(1)], dim=1).double()


def test_an_adapted_head_is_the_optimum_of_balanced_losses_and_the_distance_from_before():
    """At the optimum the gradient is zero: the weights moved by what the errors of each class add up to."""
    head = fitted(*voices([12, 12, 12]))
    features, labels = voices([9, 3, 6], seed=5)
    ours = adapted(head, features, labels)
    values = functionals(features, lengths_of(features), n_bands=N_BANDS)
    values = ((values - head.mean) / head.scale).double()
    errors = values.new_zeros(18, 3)
    errors[torch.arange(18), labels] = 1
    errors -= (values @ ours.weight.double().T + ours.bias.double()).softmax(dim=1)
    weights = _C_ADAPTATION * 18 / 3 / torch.tensor([9.0, 3.0, 6.0])[labels]
    moved = (errors * weights.unsqueeze(1)).T @ torch.cat([values, values.new_ones(18, 1)], dim=1)
    torch.testing.assert_close(rows_of_head(ours) - rows_of_head(head), moved, rtol=1e-3, atol=1e-4)
    assert torch.equal(ours.mean, head.mean)
    assert torch.equal(ours.scale, head.scale)


def test_a_head_adapts_to_new_speakers_and_to_new_classes_and_keeps_what_nothing_speaks_against():
    head = fitted(*voices([40, 40, 40]))
    features, labels = voices([6, 6, 6], seed=7)
    features[:, N_BANDS] += 1  # an octave higher than those before
    others, of_others = voices([20, 20, 20], seed=8)
    others[:, N_BANDS] += 1
    ours = adapted(head, features, labels)
    losses = [F.cross_entropy(one(others, lengths_of(others)), of_others) for one in (head, ours)]
    assert losses[1] < losses[0]
    head.weight[2], head.bias[2] = 0, 0  # a class that it did not have
    before = head(others, lengths_of(others)).softmax(dim=1)[of_others == 2, 2].mean()
    ours = adapted(head, features, labels)
    assert ours(others, lengths_of(others)).softmax(dim=1)[of_others == 2, 2].mean() > before + 0.05
    few = labels < 2  # and one that there are no recordings of
    assert torch.isfinite(rows_of_head(adapted(head, features[few], labels[few]))).all()


def test_an_adapted_head_is_the_same_each_time_and_differs_with_copies():
    head = fitted(*voices([12, 12, 12]))
    heads = [adapted(head, *voices([4, 4, 4], seed=3), spectrogram=some) for some in (NOISY, NOISY, NONE)]
    torch.testing.assert_close(heads[0].weight, heads[1].weight, rtol=0, atol=0)
    assert not torch.allclose(heads[0].weight, heads[2].weight)
