"""Bands by their edges in Hz, against another way of computing them."""

import librosa
import numpy as np
import pytest

from ser.eda.labels import feature_labels, mel_centres
from ser.features.groups import GROUPS
from ser.features.settings import FeatureSettings, feature_names


@pytest.mark.parametrize(("sample_rate", "n_mels"), [(22050, 128), (16000, 64)])
def test_mel_bands_are_named_by_the_edges_of_their_triangles(sample_rate, n_mels):
    settings = FeatureSettings(sample_rate=sample_rate, n_mels=n_mels, groups=("mel", "logmel"))
    edges = librosa.mel_frequencies(n_mels=n_mels + 2, fmin=0.0, fmax=sample_rate / 2)
    labels = feature_labels(settings)
    for row in (0, 1, n_mels - 1):
        for group in ("mel", "logmel"):
            assert labels[f"{group}_{row}"] == f"{group} {edges[row]:,.0f} to {edges[row + 2]:,.0f} Hz"
    np.testing.assert_allclose(mel_centres(settings), edges[1:-1])


def test_bands_of_the_contrast_are_octaves_above_200_hz_and_the_last_is_open():
    labels = feature_labels(FeatureSettings(groups=("contrast",)))
    assert [labels[f"contrast_{row}"] for row in (0, 1, 2, 6)] == [
        "contrast 0 to 200 Hz", "contrast 200 to 400 Hz", "contrast 400 to 800 Hz", "contrast 6,400 to 11,025 Hz",
    ]  # fmt: skip


def test_every_feature_has_a_label_of_its_own():
    settings = FeatureSettings(groups=tuple(GROUPS), n_chroma=12)
    labels = feature_labels(settings)
    assert list(labels) == list(feature_names(settings))
    assert len(set(labels.values())) == len(labels)
    assert labels["zcr"] == "zcr"
    assert feature_labels(FeatureSettings(groups=("chroma",), n_chroma=6))["chroma_1"] == "chroma_1"
