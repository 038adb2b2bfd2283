"""Fit the utterance-level head, before the network is trained: a logistic regression over functionals or a kernel."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.features.settings import FeatureSettings
from ser.models.functionals import functionals
from ser.models.utterance_heads import N_LANDMARKS, FunctionalsHead, KernelHead, gaussian_kernel

_N_COPIES = 8
"""Augmented copies of each recording that `fit_functionals` adds to the recording itself."""
_C_FUNCTIONALS = 0.1
"""scikit-learn's C: inverse penalty of the squared weights against the sum of losses; chosen on validation actors."""
_C_KERNEL = 3000.0
"""The same of the function's squared norm; chosen by cross-validation in the training part of the random split."""
_SHRINKAGE = 0.5
"""Of the covariance within groups towards a multiple of the identity, in [0, 1]; chosen in the same way."""
_MIN_EIGENVALUE = 1e-6
"""Eigenvectors of the kernel matrix with a smaller fraction of the largest eigenvalue are left out."""
_TOLERANCE = 1e-5
"""Of the gradient of the kernel's regression, which at scikit-learn's 1e-4 is far from its optimum."""
_ABSENT_LOGIT = -20.0
"""The logit of a class that training has no recordings of."""
_MAX_STEPS = 1000
_BATCH_SIZE = 64


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
    """Set the buffers of `head` from training recordings and augmented copies of them; classes are balanced.

    The optimum is unique: the result does not depend on a random start.

    Parameters
    ----------
    features : float32 [samples, bands + 2, frames], not normalised.
    lengths : int64 [samples], frames of each sample before the padding.
    labels : int64 [samples], of two classes or more.
    spectrogram : how the copies are augmented.
    seed : of the augmentation.
    """
    generator = torch.Generator().manual_seed(seed)
    n_copies = _N_COPIES if spectrogram.changes_sound else 0
    parts = torch.split(torch.arange(len(features)), _BATCH_SIZE)
    rows = [functionals(features[part], lengths[part], n_bands=head.n_bands) for part in parts]
    for _ in range(n_copies):
        for part in parts:
            changed = change_sound(
                features[part],
                lengths[part],
                spectrogram,
                sample_rate=feature_settings.sample_rate,
                hop_seconds=feature_settings.hop_length / feature_settings.sample_rate,
                max_length=feature_settings.max_length,
                generator=generator,
                n_bands=head.n_bands,
            )
            rows.append(functionals(*changed, n_bands=head.n_bands))
    values = torch.cat(rows).double().numpy()
    scaler = StandardScaler().fit(values)
    regression = LogisticRegression(C=_C_FUNCTIONALS / (1 + n_copies), class_weight="balanced", max_iter=_MAX_STEPS)
    regression.fit(scaler.transform(values), labels.repeat(1 + n_copies).numpy())
    weight, bias = _per_class(regression, n_classes=len(head.bias))
    head.mean.copy_(torch.from_numpy(scaler.mean_))
    head.scale.copy_(torch.from_numpy(scaler.scale_))
    head.weight.copy_(weight)
    head.bias.copy_(bias)


def fit_kernel(
    head: KernelHead, features: Tensor, lengths: Tensor, labels: Tensor, groups: Tensor, *, seed: int
) -> None:
    """Set the buffers of `head` from training recordings without augmentation; classes are balanced.

    Augmented copies sound like other speakers, and this head is to learn what is particular to the seen ones.

    Parameters
    ----------
    features : float32 [samples, bands + 2, frames], not normalised.
    lengths : int64 [samples], frames of each sample before the padding.
    labels : int64 [samples], of two classes or more.
    groups : int64 [samples], equal for recordings of one actor, emotion and vocal channel.
    seed : of the choice of landmarks, where there are more samples than landmarks.
    """
    batches = zip(torch.split(features, _BATCH_SIZE), torch.split(lengths, _BATCH_SIZE), strict=True)
    values = torch.cat([head.statistics(*batch) for batch in batches]).double()
    mean, whitening = values.mean(dim=0), _whitening(values, groups)
    rows = (values - mean) @ whitening
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:N_LANDMARKS]
    landmarks = rows[chosen]
    eigenvalues, directions = torch.linalg.eigh(gaussian_kernel(landmarks, landmarks))
    kept = eigenvalues > _MIN_EIGENVALUE * eigenvalues[-1]
    # In these coordinates the penalty is on the norm of the function, not on its weights (Nystroem).
    coordinates = directions[:, kept] / eigenvalues[kept].sqrt()  # [landmarks, kept]
    regression = LogisticRegression(C=_C_KERNEL, class_weight="balanced", tol=_TOLERANCE, max_iter=_MAX_STEPS)
    regression.fit((gaussian_kernel(rows, landmarks) @ coordinates).numpy(), labels.numpy())
    head.mean.copy_(mean)
    head.whitening.copy_(whitening)
    head.landmarks[: len(chosen)] = landmarks
    weight, bias = _per_class(regression, n_classes=len(head.bias))
    head.weight[:, : len(chosen)] = weight @ coordinates.T
    head.bias.copy_(bias)


def _whitening(values: Tensor, groups: Tensor) -> Tensor:
    """Return the matrix of within-class covariance normalisation, float64 [statistics, statistics].

    Centred statistics times this matrix have a mean square of 1, and vary little within groups. Where no group has two
    members, it only scales each statistic to unit variance. Hatch, Kajarekar and Stolcke 2006 (Interspeech).
    """
    scaler = StandardScaler().fit(values.numpy())
    standardised = torch.from_numpy(scaler.transform(values.numpy()))
    numbers = np.unique(groups.numpy(), return_inverse=True)[1]
    members = F.one_hot(torch.from_numpy(numbers)).double()  # [samples, groups]
    means = members.T @ standardised / members.sum(dim=0).unsqueeze(1)
    within = standardised - members @ means
    variances, directions = torch.linalg.eigh(within.T @ within / len(within))
    variances = torch.lerp(variances, variances.mean(), _SHRINKAGE) if within.any() else torch.ones_like(variances)
    rotation = directions / variances.sqrt() @ directions.T
    scale = torch.from_numpy(scaler.scale_).unsqueeze(1)
    whitening: Tensor = rotation / scale / (standardised @ rotation).square().mean().sqrt()
    return whitening


def _per_class(regression: LogisticRegression, *, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return weight, float64 [n_classes, columns], and bias, float64 [n_classes].

    scikit-learn has one row for two classes, and none for a class without recordings: song has no disgust and no
    surprise.
    """
    weight, bias = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
    if len(regression.classes_) == 2:
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    present = torch.from_numpy(regression.classes_)
    every_weight = weight.new_zeros(n_classes, weight.shape[1]).index_copy(0, present, weight)
    every_bias = bias.new_full((n_classes,), _ABSENT_LOGIT).index_copy(0, present, bias)
    return every_weight, every_bias
