"""The second opinion is fitted before training begins: a multinomial logistic regression over functionals."""

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ser.batches import count_real_frames
from ser.features import FeatureSettings
from ser.nets.functionals import FunctionalsHead, functionals
from ser.spectrogram_augment import SpectrogramAugmentSettings, change_sound

_COPIES = 8
"""Times that every recording is heard from another voice, room and microphone, amid noise; and once as it is."""
_INVERSE_PENALTY = 0.1
"""Of the squared weights against the sum of the recordings' losses; chosen on validation actors."""
_MAX_STEPS = 1000
_AT_ONCE = 64


def fit_functionals(
    head: FunctionalsHead,
    features: Tensor,
    labels: Tensor,
    *,
    feature_settings: FeatureSettings,
    spectrogram: SpectrogramAugmentSettings,
    seed: int,
) -> None:
    """Set the buffers of `head` from training recordings, all classes counting alike. No random start: one optimum.

    Parameters
    ----------
    features : float32 [samples, bands + 2, frames], padded with zeros; not standardised.
    labels : int64 [samples], each class once or more.
    spectrogram : how the copies are changed.
    seed : of the changes.
    """
    generator = torch.Generator().manual_seed(seed)
    n_copies = _COPIES if spectrogram.changes_sound else 0
    parts = torch.arange(len(features)).split(_AT_ONCE)
    lengths = count_real_frames(features)
    rows = [_functionals_of(features[part], lengths[part], head) for part in parts]
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
            rows.append(_functionals_of(changed, changed_lengths, head))
    values = torch.cat(rows).double().numpy()
    scaler = StandardScaler().fit(values)
    regression = LogisticRegression(C=_INVERSE_PENALTY / (1 + n_copies), class_weight="balanced", max_iter=_MAX_STEPS)
    regression.fit(scaler.transform(values), labels.repeat(1 + n_copies).numpy())
    for name, value in (
        ("mean", scaler.mean_),
        ("scale", scaler.scale_),
        ("weight", regression.coef_),
        ("bias", regression.intercept_),
    ):
        getattr(head, name).copy_(torch.from_numpy(value))


def _functionals_of(features: Tensor, lengths: Tensor, head: FunctionalsHead) -> Tensor:
    mask = torch.arange(features.shape[2]) < lengths.unsqueeze(1)
    return functionals(features, mask, n_bands=head.n_bands)
