"""The second opinion is fitted before training begins: a logistic regression over functionals, or over their kernel."""

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.features.extract import FeatureSettings
from ser.models.functionals import functionals
from ser.models.utterance_heads import N_LANDMARKS, FunctionalsHead, KernelHead, gaussian_kernel

_COPIES = 8
"""Times that every recording is heard from another voice, room and microphone, amid noise; and once as it is."""
_INVERSE_PENALTY = 0.1
"""Of the squared weights against the sum of the recordings' losses; chosen on validation actors."""
_INVERSE_PENALTY_OF_KERNEL = 3000.0
"""Of the squared norm of the function; chosen by cross-validation within the training part of the random split."""
_ROUND = 0.5
"""How far the covariance within groups is drawn towards the same in every direction; chosen in the same way."""
_SMALLEST = 1e-6
"""Directions of the kernel whose eigenvalue is less than this share of the largest are left out."""
_TOLERANCE = 1e-5
"""Of the gradient of the kernel's regression, which at scikit-learn's 1e-4 is far from its optimum."""
_NEVER_MET = -20.0
"""The logit of a class that training has no recordings of."""
_MAX_STEPS = 1000
_AT_ONCE = 64


def fit_utterance_head(
    head: FunctionalsHead | KernelHead,
    features: Tensor,
    lengths: Tensor,
    labels: Tensor,
    groups: Tensor,
    *,
    feature_settings: FeatureSettings,
    spectrogram: SpectrogramAugmentSettings,
    seed: int,
) -> None:
    """Fit either head from training recordings; the parameters are those of `fit_functionals` and `fit_kernel`."""
    if isinstance(head, KernelHead):
        fit_kernel(head, features, lengths, labels, groups, seed=seed)
    else:
        fit_functionals(
            head, features, lengths, labels, feature_settings=feature_settings, spectrogram=spectrogram, seed=seed
        )


def fit_functionals(
    head: FunctionalsHead,
    features: Tensor,
    lengths: Tensor,
    labels: Tensor,
    *,
    feature_settings: FeatureSettings,
    spectrogram: SpectrogramAugmentSettings,
    seed: int,
) -> None:
    """Set the buffers of `head` from training recordings, all classes counting alike. No random start: one optimum.

    Parameters
    ----------
    features : float32 [samples, bands + 2, frames], not normalised.
    lengths : int64 [samples], frames of each sample before the padding.
    labels : int64 [samples], of two classes or more.
    spectrogram : how the copies are changed.
    seed : of the changes.
    """
    generator = torch.Generator().manual_seed(seed)
    n_copies = _COPIES if spectrogram.changes_sound else 0
    parts = torch.arange(len(features)).split(_AT_ONCE)
    rows = [functionals(features[part], lengths[part], n_bands=head.n_bands) for part in parts]
    for _ in range(n_copies):
        for part in parts:
            changed, changed_lengths = change_sound(
                features[part],
                lengths[part],
                spectrogram,
                sample_rate=feature_settings.sample_rate,
                hop_seconds=feature_settings.hop_length / feature_settings.sample_rate,
                max_length=feature_settings.max_length,
                generator=generator,
                n_bands=head.n_bands,
            )
            rows.append(functionals(changed, changed_lengths, n_bands=head.n_bands))
    values = torch.cat(rows).double().numpy()
    scaler = StandardScaler().fit(values)
    regression = LogisticRegression(C=_INVERSE_PENALTY / (1 + n_copies), class_weight="balanced", max_iter=_MAX_STEPS)
    regression.fit(scaler.transform(values), labels.repeat(1 + n_copies).numpy())
    weight, bias = _of_each_class(regression, n_classes=len(head.bias))
    head.mean.copy_(torch.from_numpy(scaler.mean_))
    head.scale.copy_(torch.from_numpy(scaler.scale_))
    head.weight.copy_(weight)
    head.bias.copy_(bias)


def fit_kernel(
    head: KernelHead, features: Tensor, lengths: Tensor, labels: Tensor, groups: Tensor, *, seed: int
) -> None:
    """Set the buffers of `head` from training recordings as they are, all classes counting alike.

    Changed copies are not heard: other voices are what it should tell from those that it knows.

    Parameters
    ----------
    features : float32 [samples, bands + 2, frames], not normalised.
    lengths : int64 [samples], frames of each sample before the padding.
    labels : int64 [samples], of two classes or more.
    groups : int64 [samples], equal for takes that were meant to sound alike: an emotion, spoken or sung by one actor.
    seed : of the choice of landmarks, where there are more samples than landmarks.
    """
    parts = torch.arange(len(features)).split(_AT_ONCE)
    values = torch.cat([head.statistics(features[part], lengths[part]) for part in parts]).double()
    mean, whitening = values.mean(dim=0), _whitening(values, groups)
    rows = (values - mean) @ whitening
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:N_LANDMARKS]
    landmarks = rows[chosen]
    eigenvalues, directions = torch.linalg.eigh(gaussian_kernel(landmarks, landmarks))
    kept = eigenvalues > _SMALLEST * eigenvalues[-1]
    # In these coordinates the penalty is on the norm of the function, not on its weights (Nystroem).
    coordinates = directions[:, kept] / eigenvalues[kept].sqrt()  # [landmarks, kept]
    regression = LogisticRegression(
        C=_INVERSE_PENALTY_OF_KERNEL, class_weight="balanced", tol=_TOLERANCE, max_iter=_MAX_STEPS
    )
    regression.fit((gaussian_kernel(rows, landmarks) @ coordinates).numpy(), labels.numpy())
    head.mean.copy_(mean)
    head.whitening.copy_(whitening)
    head.landmarks[: len(chosen)] = landmarks
    weight, bias = _of_each_class(regression, n_classes=len(head.bias))
    head.weight[:, : len(chosen)] = weight @ coordinates.T
    head.bias.copy_(bias)


def _whitening(values: Tensor, groups: Tensor) -> Tensor:
    """Return a matrix, float64 [statistics, statistics]: what varies within groups varies little behind it.

    The mean square of what comes out is 1. Where no group has two members it standardises each statistic by itself.
    """
    scaler = StandardScaler().fit(values.numpy())
    standardised = torch.from_numpy(scaler.transform(values.numpy()))
    members = F.one_hot(groups.unique(return_inverse=True)[1]).double()  # [samples, groups]
    means = members.T @ standardised / members.sum(dim=0).unsqueeze(1)
    within = standardised - members @ means
    variances, directions = torch.linalg.eigh(within.T @ within / len(within))
    variances = torch.lerp(variances, variances.mean(), _ROUND) if within.any() else torch.ones_like(variances)
    rotation = directions / variances.sqrt() @ directions.T
    return rotation / torch.from_numpy(scaler.scale_).unsqueeze(1) / (standardised @ rotation).square().mean().sqrt()


def _of_each_class(regression: LogisticRegression, *, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return float64 [n_classes, columns] and [n_classes].

    Of two classes scikit-learn keeps the second one's numbers alone, and none of classes that it never met: song has no
    disgust and no surprise.
    """
    weight, bias = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
    if len(regression.classes_) == 2:
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    met = torch.from_numpy(regression.classes_)
    every_weight = weight.new_zeros(n_classes, weight.shape[1]).index_copy(0, met, weight)
    every_bias = bias.new_full((n_classes,), _NEVER_MET).index_copy(0, met, bias)
    return every_weight, every_bias
