"""The registry of feature groups: names, sizes, units, checks, and how each is computed; one entry of `GROUPS` each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ser.errors import SettingsError
from ser.features._analysis import Analysis, FrameSettings
from ser.features._filterbanks import CONTRAST_MIN_HZ
from ser.features.pitch import LOWEST_HZ

Values = NDArray[np.floating[Any]]

_CQT_BINS, _CQT_HIGHEST_HZ = 36, 4186.0
"""Bins an octave of librosa's constant-Q transform, and where its seven octaves from C1 end."""


class LibrosaAnalysis:
    """A waveform, float32 [samples], and what librosa's functions are called with and computed from."""

    def __init__(self, librosa: ModuleType, waveform: NDArray[np.float32], settings: FrameSettings) -> None:
        self.librosa, self.feature, self.settings = librosa, librosa.feature, settings
        hops = {"y": waveform, "hop_length": settings.hop_length}
        self.frames = hops | {"frame_length": settings.n_fft}
        self.stft = hops | {"n_fft": settings.n_fft}
        self.spectrum = self.stft | {"sr": settings.sample_rate}
        tuning = None if settings.tuning == "estimate" else settings.tuning
        self.chroma = hops | {"sr": settings.sample_rate, "n_chroma": settings.n_chroma, "tuning": tuning}

    @cached_property
    def mel(self) -> Values:
        """Mel spectrogram, power, float32 [n_mels, frames]."""
        return cast(Values, self.feature.melspectrogram(n_mels=self.settings.n_mels, **self.spectrum))

    @cached_property
    def mfcc(self) -> Values:
        """MFCC, float32 [n_mfcc, frames]."""
        sizes = {"n_mfcc": self.settings.n_mfcc, "n_mels": self.settings.n_mels}
        return cast(Values, self.feature.mfcc(**sizes, **self.spectrum))


@dataclass(frozen=True)
class FeatureGroup:
    """Neighbouring rows of the features that are computed together.

    Attributes
    ----------
    unit : of the values, for axes.
    rows : how many rows it has; None: one, which bears the group's own name.
    fast : computes it by numpy, float [rows, frames] or [frames]; None: librosa alone can.
    librosa : computes it by librosa, in the same shape; None: librosa has no like.
    check : raises SettingsError for settings that the group cannot be computed with.
    """

    unit: str
    rows: Callable[[FrameSettings], int] | None = None
    fast: Callable[[Analysis], Values] | None = None
    librosa: Callable[[LibrosaAnalysis], Values] | None = None
    check: Callable[[FrameSettings], None] | None = None

    def n_rows(self, settings: FrameSettings) -> int:
        return self.rows(settings) if self.rows else 1


def _check_mfcc(settings: FrameSettings) -> None:
    if settings.n_mfcc > settings.n_mels:
        raise SettingsError(f"n_mfcc is {settings.n_mfcc}, but should be at most n_mels, which is {settings.n_mels}.")


def _check_contrast(settings: FrameSettings) -> None:
    top = CONTRAST_MIN_HZ * 2.0 ** (settings.n_bands - 1)
    if top >= settings.sample_rate / 2:
        raise SettingsError(
            f"n_bands is {settings.n_bands}, but the last band would begin at {top:.0f} Hz, above half the sample rate "
            f"of {settings.sample_rate} Hz: give fewer bands."
        )
    if 2 * settings.sample_rate / settings.n_fft > CONTRAST_MIN_HZ:
        raise SettingsError(
            f"n_fft is {settings.n_fft}, but spectral contrast needs at least two bins below {CONTRAST_MIN_HZ:.0f} Hz: "
            f"give {2 * settings.sample_rate / CONTRAST_MIN_HZ:.0f} or more at {settings.sample_rate} Hz."
        )


def _check_pitch(settings: FrameSettings) -> None:
    least = math.ceil(2 * settings.sample_rate / LOWEST_HZ)
    if settings.n_fft < least:
        raise SettingsError(
            f"n_fft is {settings.n_fft}, but a pitch of {LOWEST_HZ:.0f} Hz needs two periods: give {least} or more at "
            f"{settings.sample_rate} Hz."
        )


def _check_constant_q(settings: FrameSettings) -> None:
    if _CQT_BINS % settings.n_chroma:
        raise SettingsError(f"n_chroma is {settings.n_chroma}, but a constant-Q chroma needs a divisor of {_CQT_BINS}.")
    if settings.sample_rate <= 2.2 * _CQT_HIGHEST_HZ:
        raise SettingsError(
            f"sample_rate is {settings.sample_rate}, but a constant-Q chroma needs above {2.2 * _CQT_HIGHEST_HZ:.0f}."
        )


def _n_mfcc(settings: FrameSettings) -> int:
    return settings.n_mfcc


def _n_chroma(settings: FrameSettings) -> int:
    return settings.n_chroma


_FRACTION = "fraction of the largest"
GROUPS: dict[str, FeatureGroup] = {
    "mfcc": FeatureGroup("dB", _n_mfcc, lambda a: a.mfcc, lambda a: a.mfcc, _check_mfcc),
    "delta": FeatureGroup("dB a frame", _n_mfcc, lambda a: a.deltas[0], lambda a: a.feature.delta(a.mfcc), _check_mfcc),
    "delta2": FeatureGroup(
        "dB a frame²", _n_mfcc, lambda a: a.deltas[1], lambda a: a.feature.delta(a.mfcc, order=2), _check_mfcc
    ),
    "chroma": FeatureGroup(
        _FRACTION, _n_chroma, Analysis.chroma, lambda a: a.feature.chroma_stft(n_fft=a.settings.n_fft, **a.chroma)
    ),
    "mel": FeatureGroup("power", lambda s: s.n_mels, lambda a: a.mel.T, lambda a: a.mel),
    "zcr": FeatureGroup(
        "crossings a sample", None, Analysis.zero_crossing_rate, lambda a: a.feature.zero_crossing_rate(**a.frames)
    ),
    "contrast": FeatureGroup(
        "dB",
        lambda s: s.n_bands + 1,
        Analysis.contrast,
        lambda a: a.feature.spectral_contrast(n_bands=a.settings.n_bands, **a.spectrum),
        _check_contrast,
    ),
    "rms": FeatureGroup("full scale: 1", None, Analysis.rms, lambda a: a.feature.rms(**a.frames)),
    "logmel": FeatureGroup("dB", lambda s: s.n_mels, lambda a: a.logmel, lambda a: a.librosa.power_to_db(a.mel)),
    "waveform": FeatureGroup("full scale: 1", lambda s: s.hop_length, fast=lambda a: a.samples),
    "pitch": FeatureGroup("log2 Hz, voicing", lambda s: 2, fast=Analysis.pitch, check=_check_pitch),
    "spectral_centroid": FeatureGroup("Hz", librosa=lambda a: a.feature.spectral_centroid(**a.spectrum)),
    "spectral_bandwidth": FeatureGroup("Hz", librosa=lambda a: a.feature.spectral_bandwidth(**a.spectrum)),
    "spectral_rolloff": FeatureGroup("Hz", librosa=lambda a: a.feature.spectral_rolloff(**a.spectrum)),
    "spectral_flatness": FeatureGroup("fraction", librosa=lambda a: a.feature.spectral_flatness(**a.stft)),
    "poly_features": FeatureGroup(
        "magnitude a Hz, magnitude", lambda s: 2, librosa=lambda a: a.feature.poly_features(order=1, **a.spectrum)
    ),
    "tonnetz": FeatureGroup(
        _FRACTION,
        lambda s: 6,
        librosa=lambda a: a.feature.tonnetz(chroma=a.feature.chroma_cqt(**a.chroma)),
        check=_check_constant_q,
    ),
    "chroma_cqt": FeatureGroup(
        _FRACTION, _n_chroma, None, lambda a: a.feature.chroma_cqt(**a.chroma), _check_constant_q
    ),
    "chroma_cens": FeatureGroup(
        _FRACTION, _n_chroma, None, lambda a: a.feature.chroma_cens(**a.chroma), _check_constant_q
    ),
}
"""Name -> group. Names are looked up here alone, so that no setting of a stranger's names a function."""
