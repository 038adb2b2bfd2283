"""Fit the utterance-level head, before the network is trained: a logistic regression over functionals or a kernel."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.features.settings import FeatureSettings
from ser.models.functionals import functionals
from ser.models.utterance_heads import N_LANDMARKS, FunctionalsHead, KernelHead, gaussian_kernel

_N_COPIES = 8  # augmented copies of each recording that `fit_functionals` adds to the recording itself
# scikit-learn's C: inverse penalty against the sum of losses.
_C_FUNCTIONALS = 0.1  # of the squared weights; chosen on validation speakers
_C_KERNEL = 3000.0  # of the function's squared norm; chosen by cross-validation in the training part, random split
_SHRINKAGE = (
    0.5  # of the covariance within groups towards a multiple of the identity, in [0, 1]; chosen in the same way
)
_MIN_EIGENVALUE = 1e-6  # of the kernel matrix, as a fraction of the largest; eigenvectors of smaller ones are left out
_TOLERANCE = 1e-5  # of the gradient; at scikit-learn's 1e-4 the kernel's regression is far from its optimum
_ABSENT_LOGIT = -20.0  # of a class that training has no recordings of
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
    batches = list(zip(torch.split(features, _BATCH_SIZE), torch.split(lengths, _BATCH_SIZE), strict=True))
    rows = [functionals(*batch, n_bands=head.n_bands) for batch in batches]
    n_copies = _N_COPIES if spectrogram.changes_sound else 0
    for batch in batches * n_copies:
        changed = change_sound(
            *batch,
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
    c = _C_FUNCTIONALS / (1 + n_copies)
    head.weight.copy_(_fit(head, scaler.transform(values), labels.repeat(1 + n_copies), c=c))
    head.mean.copy_(torch.from_numpy(scaler.mean_))
    head.scale.copy_(torch.from_numpy(scaler.scale_))


def fit_kernel(
    head: KernelHead, features: Tensor, lengths: Tensor, labels: Tensor, groups: Tensor, *, seed: int
) -> None:
    """Set the buffers of `head` from training recordings without augmentation; classes are balanced.

    Augmented copies sound like other speakers, and this head is to learn what is particular to the seen ones.

    Parameters
    ----------
    features, lengths, labels : as of `fit_functionals`.
    groups : int64 [samples], equal for recordings of one speaker, emotion and vocal channel.
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
    values = gaussian_kernel(rows, landmarks) @ coordinates
    weight = _fit(head, values.numpy(), labels, c=_C_KERNEL, tol=_TOLERANCE)
    head.weight[:, : len(chosen)] = weight @ coordinates.T
    head.mean.copy_(mean)
    head.whitening.copy_(whitening)
    head.landmarks[: len(chosen)] = landmarks


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


def _fit(
    head: FunctionalsHead | KernelHead, values: NDArray[np.float64], labels: Tensor, *, c: float, tol: float = 1e-4
) -> Tensor:
    """Fit a logistic regression to balanced classes: set the bias of `head`, return the weight [classes, columns].

    scikit-learn has one row for two classes, that of the second, and none for a class without recordings: song has no
    disgust and no surprise.
    """
    regression = LogisticRegression(C=c, class_weight="balanced", tol=tol, max_iter=_MAX_STEPS)
    regression.fit(values, labels.numpy())
    rows = regression.classes_[-len(regression.coef_) :]
    weight = torch.zeros(len(head.bias), values.shape[1], dtype=torch.float64)
    weight[rows] = torch.from_numpy(regression.coef_)
    head.bias.fill_(_ABSENT_LOGIT)
    head.bias[regression.classes_] = 0
    head.bias[rows] = torch.from_numpy(regression.intercept_).float()
    return weight
