"""Names of features for people: a band by its edges in Hz, a pitch class by its note."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ser.features._filterbanks import CONTRAST_MIN_HZ, _hz_to_mel, _mel_to_hz
from ser.features.settings import FeatureSettings, feature_names, rows_of

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_CEPSTRAL = {"mfcc": "MFCC", "delta": "delta of MFCC", "delta2": "double delta of MFCC"}


def feature_labels(settings: FeatureSettings) -> dict[str, str]:
    """Return the label of each of `feature_names`; a feature without a better one keeps its name.

    >>> labels = feature_labels(FeatureSettings(sample_rate=16000, groups=("mfcc", "chroma", "mel", "contrast")))
    >>> labels["mfcc_3"], labels["chroma_1"], labels["mel_0"], labels["contrast_6"]
    ('MFCC 3', 'chroma C#', 'mel 0 to 47 Hz', 'contrast 6,400 to 8,000 Hz')
    """
    names = feature_names(settings)
    return {
        name: _label(group, row, settings) or name
        for group, rows in rows_of(settings).items()
        for row, name in enumerate(names[rows])
    }


def mel_centres(settings: FeatureSettings) -> NDArray[np.float64]:
    """Return the frequency in Hz at which each mel band has its peak, float64 [n_mels]."""
    return _mel_edges(settings)[1:-1]


def mel_band_labels(settings: FeatureSettings) -> list[str]:
    """Return the edges of each mel band: neighbouring bands overlap by half."""
    edges = _mel_edges(settings)
    return [f"{low:,.0f} to {high:,.0f} Hz" for low, high in zip(edges, edges[2:], strict=False)]


def _mel_edges(settings: FeatureSettings) -> NDArray[np.float64]:
    """Return where the bands of `ser.features._filterbanks.mel_filters` begin, peak and end, float64 [n_mels + 2]."""
    return _mel_to_hz(np.linspace(0.0, _hz_to_mel(settings.sample_rate / 2), settings.n_mels + 2))


def _contrast_bands(settings: FeatureSettings) -> list[str]:
    inner = CONTRAST_MIN_HZ * 2.0 ** np.arange(settings.n_bands)
    edges = [0.0, *inner, settings.sample_rate / 2]
    return [f"{low:,.0f} to {high:,.0f} Hz" for low, high in pairwise(edges)]


_BANDS: dict[str, Callable[[FeatureSettings], list[str]]] = {
    "mel": mel_band_labels,
    "logmel": mel_band_labels,
    "contrast": _contrast_bands,
}


def _label(group: str, row: int, settings: FeatureSettings) -> str | None:
    if group in _BANDS:
        return f"{group} {_BANDS[group](settings)[row]}"
    if group in _CEPSTRAL:
        return f"{_CEPSTRAL[group]} {row}"
    if group == "chroma" and settings.n_chroma == len(_NOTES):
        return f"chroma {_NOTES[row]}"
    return None
