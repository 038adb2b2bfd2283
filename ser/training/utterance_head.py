"""Fit the utterance-level head, before the network is trained: a logistic regression over functionals or a kernel.

Where a trained model is fine-tuned, its logistic regression over functionals is adapted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.data.storage import StoredFeatures
from ser.features.settings import FeatureSettings
from ser.models.functionals import functionals
from ser.models.utterance_heads import N_LANDMARKS, FunctionalsHead, KernelHead, gaussian_kernel

_N_COPIES = 8  # augmented copies of each recording that `fit_functionals` adds to the recording itself
# scikit-learn's C: inverse penalty against the sum of losses.
_C_FUNCTIONALS = 0.1  # of the squared weights; chosen on validation speakers
_C_ADAPTATION = 0.03  # of the squared distance from the weights before; chosen on validation speakers
_C_KERNEL = 3000.0  # of the function's squared norm; chosen by cross-validation in the training part, random split
_SHRINKAGE = (
    0.5  # of the covariance within groups towards a multiple of the identity, in [0, 1]; chosen in the same way
)
_MIN_EIGENVALUE = 1e-6  # of the kernel matrix, as a fraction of the largest; eigenvectors of smaller ones are left out
_TOLERANCE = 1e-5  # of the gradient; at scikit-learn's 1e-4 the kernel's regression is far from its optimum
_ABSENT_LOGIT = -20.0  # of a class that training has no recordings of
_MAX_STEPS = 1000
_BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """What several corpora do to the samples; of one corpus, both are None.

    Attributes
    ----------
    draws : float64 [samples], how often each is drawn in an epoch.
    allowed : bool [samples, classes], the classes that the corpus of each has.
    """

    draws: Tensor | None = None
    allowed: Tensor | None = None

    def of(self, rows: NDArray[np.int64] | None) -> "Weighting":
        """Return the same for some of the samples; None: for all."""
        if rows is None:
            return self
        draws, allowed = self.draws, self.allowed
        return Weighting(
            draws=None if draws is None else draws[rows], allowed=None if allowed is None else allowed[rows]
        )

    def repeated(self, times: int) -> "Weighting":
        """Return the same for the samples and `times` - 1 copies of all of them."""
        draws, allowed = self.draws, self.allowed
        return Weighting(
            draws=None if draws is None else draws.repeat(times),
            allowed=None if allowed is None else allowed.repeat(times, 1),
        )


_ONE_CORPUS = Weighting()


def fit_functionals(
    head: FunctionalsHead,
    features: Tensor | StoredFeatures,
    lengths: Tensor,
    labels: Tensor,
    of_corpora: Weighting = _ONE_CORPUS,
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
    values, n_times = _functionals_of_copies(
        head, features, lengths, feature_settings=feature_settings, spectrogram=spectrogram, seed=seed
    )
    scaler = StandardScaler().fit(values)
    c = _C_FUNCTIONALS / n_times
    weight = _fit(head, scaler.transform(values), labels.repeat(n_times), of_corpora.repeated(n_times), c=c)
    head.weight.copy_(weight)
    head.mean.copy_(torch.from_numpy(scaler.mean_))
    head.scale.copy_(torch.from_numpy(scaler.scale_))


def adapt_functionals(
    head: FunctionalsHead,
    features: Tensor | StoredFeatures,
    lengths: Tensor,
    labels: Tensor,
    of_corpora: Weighting = _ONE_CORPUS,
    *,
    feature_settings: FeatureSettings,
    spectrogram: SpectrogramAugmentSettings,
    seed: int,
) -> None:
    """Move weight and bias of a fitted `head` towards recordings of a fine-tuning, as far as these speak for it.

    The logistic regression is that of `fit_functionals`, but its penalty is on the squared distance from the weight and
    bias that the head has: it is the mode of the posterior where these are the mean of a Gaussian prior (Chelba and
    Acero 2006, "Adaptation of maximum entropy capitalizer"). A few recordings move it a little, many as far as a new
    fit. Mean and scale of the functionals stay, and so do the rows of classes without recordings. Parameters are those
    of `fit_functionals`; the rows of new classes are 0 before.
    """
    values, n_times = _functionals_of_copies(
        head, features, lengths, feature_settings=feature_settings, spectrogram=spectrogram, seed=seed
    )
    rows = (torch.from_numpy(values) - head.mean) / head.scale
    prior = torch.cat([head.weight, head.bias[:, None]], dim=1).double()
    c = _C_ADAPTATION / n_times
    matrix = _regression(rows, labels.repeat(n_times), of_corpora.repeated(n_times), len(prior), c=c, prior=prior)
    head.weight.copy_(matrix[:, :-1])
    head.bias.copy_(matrix[:, -1])


def _functionals_of_copies(
    head: FunctionalsHead,
    features: Tensor | StoredFeatures,
    lengths: Tensor,
    *,
    feature_settings: FeatureSettings,
    spectrogram: SpectrogramAugmentSettings,
    seed: int,
) -> tuple[NDArray[np.float64], int]:
    """Return the functionals of all samples, then of augmented copies, and how often each sample is among them."""
    generator = torch.Generator().manual_seed(seed)
    rows = [functionals(*batch, n_bands=head.n_bands) for batch in _batches(features, lengths)]
    n_copies = _N_COPIES if spectrogram.changes_sound else 0
    for batch in chain.from_iterable(_batches(features, lengths) for _ in range(n_copies)):
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
    values: NDArray[np.float64] = torch.cat(rows).double().numpy()
    return values, 1 + n_copies


def fit_kernel(
    head: KernelHead,
    features: Tensor | StoredFeatures,
    lengths: Tensor,
    labels: Tensor,
    groups: Tensor,
    of_corpora: Weighting = _ONE_CORPUS,
    *,
    seed: int,
) -> None:
    """Set the buffers of `head` from training recordings without augmentation; classes are balanced.

    Augmented copies sound like other speakers, and this head is to learn what is particular to the seen ones.

    Parameters
    ----------
    features, lengths, labels : as of `fit_functionals`.
    groups : int64 [samples], equal for recordings of one speaker, emotion and vocal channel.
    seed : of the choice of landmarks, where there are more samples than landmarks.
    """
    values = torch.cat([head.statistics(*batch) for batch in _batches(features, lengths)]).double()
    mean, whitening = values.mean(dim=0), _whitening(values, groups)
    rows = (values - mean) @ whitening
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:N_LANDMARKS]
    landmarks = rows[chosen]
    eigenvalues, directions = torch.linalg.eigh(gaussian_kernel(landmarks, landmarks))
    kept = eigenvalues > _MIN_EIGENVALUE * eigenvalues[-1]
    # In these coordinates the penalty is on the norm of the function, not on its weights (Nystroem).
    coordinates = directions[:, kept] / eigenvalues[kept].sqrt()  # [landmarks, kept]
    values = gaussian_kernel(rows, landmarks) @ coordinates
    weight = _fit(head, values.numpy(), labels, of_corpora, c=_C_KERNEL, tol=_TOLERANCE)
    head.weight[:, : len(chosen)] = weight @ coordinates.T
    head.mean.copy_(mean)
    head.whitening.copy_(whitening)
    head.landmarks[: len(chosen)] = landmarks


def _batches(features: Tensor | StoredFeatures, lengths: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(lengths), _BATCH_SIZE):
        batch = slice(start, start + _BATCH_SIZE)
        yield torch.as_tensor(features[batch]), lengths[batch]


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
    head: FunctionalsHead | KernelHead,
    values: NDArray[np.float64],
    labels: Tensor,
    of_corpora: Weighting,
    *,
    c: float,
    tol: float = 1e-4,
) -> Tensor:
    """Fit a logistic regression to balanced classes: set the bias of `head`, return the weight [classes, columns].

    scikit-learn has one row for two classes, that of the second, and none for a class without recordings: song has no
    disgust and no surprise.
    """
    if of_corpora.allowed is not None or of_corpora.draws is not None:
        matrix = _regression(torch.from_numpy(values), labels, of_corpora, len(head.bias), c=c)
        present = labels.bincount(minlength=len(matrix)) > 0
        head.bias.copy_(matrix[:, -1].where(present, _ABSENT_LOGIT))
        return matrix[:, :-1].where(present[:, None], 0.0)
    regression = LogisticRegression(C=c, class_weight="balanced", tol=tol, max_iter=_MAX_STEPS)
    regression.fit(values, labels.numpy())
    rows = regression.classes_[-len(regression.coef_) :]
    weight = torch.zeros(len(head.bias), values.shape[1], dtype=torch.float64)
    weight[rows] = torch.from_numpy(regression.coef_)
    head.bias.fill_(_ABSENT_LOGIT)
    head.bias[regression.classes_] = 0
    head.bias[rows] = torch.from_numpy(regression.intercept_).float()
    return weight


def _regression(
    values: Tensor, labels: Tensor, of_corpora: Weighting, n_classes: int, *, c: float, prior: Tensor | None = None
) -> Tensor:
    """Return weight and, in the last column, bias of the same regression, float64 [classes, columns + 1].

    Samples weigh by their draws, and the classes that a corpus lacks are masked, as are those without samples: their
    rows stay 0, or those of `prior`. scikit-learn's regression has no mask and no prior. The loss is its own: the sum
    of the samples' losses, classes balanced, times `c`, and half the squared norm of the weight. Where corpora lack
    classes, none are balanced: that would favour those that few corpora have.

    Parameters
    ----------
    prior : float64 [classes, columns + 1]; in place of the norm stands that of the difference from it, bias included.
    """
    present = labels.bincount(minlength=n_classes) > 0
    draws = torch.ones(len(labels), dtype=torch.float64) if of_corpora.draws is None else of_corpora.draws
    hidden = ~present.expand(len(labels), -1)
    if of_corpora.allowed is not None:
        weights, hidden = draws, hidden | ~of_corpora.allowed
    else:
        sums = torch.zeros(n_classes, dtype=torch.float64).index_add_(0, labels, draws)
        weights = draws * (draws.sum() / (present.sum() * sums))[labels]
    rows = torch.cat([values, torch.ones(len(values), 1, dtype=torch.float64)], dim=1)  # [samples, columns + 1]
    truth = F.one_hot(labels, n_classes).double()
    start = torch.zeros(n_classes, rows.shape[1], dtype=torch.float64) if prior is None else prior

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        matrix = torch.from_numpy(flat).view(n_classes, -1)
        log_p = F.log_softmax((rows @ matrix.T).masked_fill(hidden, -torch.inf), dim=1)  # [samples, classes]
        penalised = matrix - start
        if prior is None:
            penalised[:, -1] = 0
        loss = -c * weights @ log_p.gather(1, labels[:, None]).squeeze(1) + penalised.square().sum() / 2
        gradient = c * ((log_p.exp() - truth) * weights[:, None]).T @ rows + penalised
        return float(loss), gradient.numpy().ravel()

    options = {"maxiter": _MAX_STEPS}
    found = minimize(loss_and_gradient, start.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).view(n_classes, -1)
