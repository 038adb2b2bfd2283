"""The registry of feature groups: names, sizes, units, checks, and how each is computed.

A new group is one entry of `GROUPS`. librosa is imported only where a group or the backend asks for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.errors import SettingsError
from ser.features._analysis import Analysis, FrameSettings
from ser.features._filterbanks import CONTRAST_MIN_HZ
from ser.features.pitch import LOWEST_HZ, track_pitch

Values = NDArray[np.floating[Any]]
ByLibrosa = Callable[[ModuleType, NDArray[np.float32], FrameSettings], Values]

_CQT_BINS, _CQT_HIGHEST_HZ = 36, 4186.0
"""Bins an octave of librosa's constant-Q transform, and where its seven octaves from C1 end."""


@dataclass(frozen=True, kw_only=True)
class FeatureGroup:
    """Neighbouring rows of the features that are computed together.

    Attributes
    ----------
    unit : of the values, for axes.
    rows : how many rows it has; None: one, which bears the group's own name.
    fast : computes it from an analysis, float [rows, frames] or [frames]; None: librosa alone can.
    librosa : computes it from librosa, a waveform and sizes, in the same shape; None: librosa has no like.
    check : raises SettingsError for settings that the group cannot be computed with.
    """

    unit: str
    rows: Callable[[FrameSettings], int] | None = None
    fast: Callable[[Analysis], Values] | None = None
    librosa: ByLibrosa | None = None
    check: Callable[[FrameSettings], None] | None = None

    def n_rows(self, settings: FrameSettings) -> int:
        return self.rows(settings) if self.rows else 1

    def names(self, name: str, settings: FrameSettings) -> list[str]:
        """Return the names of the rows: the group's own, or it with a number from 0 on."""
        return [f"{name}_{row}" for row in range(self.rows(settings))] if self.rows else [name]


def _spectral(settings: FrameSettings) -> dict[str, int]:
    return {"sr": settings.sample_rate, "n_fft": settings.n_fft, "hop_length": settings.hop_length}


def _frames(settings: FrameSettings) -> dict[str, int]:
    return {"frame_length": settings.n_fft, "hop_length": settings.hop_length}


def _chroma_sizes(settings: FrameSettings) -> dict[str, Any]:
    return {
        "sr": settings.sample_rate,
        "hop_length": settings.hop_length,
        "n_chroma": settings.n_chroma,
        "tuning": None if settings.tuning == "estimate" else settings.tuning,
    }


def _mel(librosa: ModuleType, y: NDArray[np.float32], s: FrameSettings) -> Values:
    mel: Values = librosa.feature.melspectrogram(y=y, n_mels=s.n_mels, **_spectral(s))
    return mel


def _mfcc(librosa: ModuleType, y: NDArray[np.float32], s: FrameSettings) -> Values:
    mfcc: Values = librosa.feature.mfcc(y=y, n_mfcc=s.n_mfcc, n_mels=s.n_mels, **_spectral(s))
    return mfcc


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


GROUPS: dict[str, FeatureGroup] = {
    "mfcc": FeatureGroup(unit="dB", rows=lambda s: s.n_mfcc, fast=lambda a: a.mfcc, librosa=_mfcc, check=_check_mfcc),
    "delta": FeatureGroup(
        unit="dB a frame",
        rows=lambda s: s.n_mfcc,
        fast=lambda a: a.delta(1),
        librosa=lambda lib, y, s: lib.feature.delta(_mfcc(lib, y, s)),
        check=_check_mfcc,
    ),
    "delta2": FeatureGroup(
        unit="dB a frame²",
        rows=lambda s: s.n_mfcc,
        fast=lambda a: a.delta(2),
        librosa=lambda lib, y, s: lib.feature.delta(_mfcc(lib, y, s), order=2),
        check=_check_mfcc,
    ),
    "chroma": FeatureGroup(
        unit="fraction of the largest",
        rows=lambda s: s.n_chroma,
        fast=Analysis.chroma,
        librosa=lambda lib, y, s: lib.feature.chroma_stft(y=y, n_fft=s.n_fft, **_chroma_sizes(s)),
    ),
    "mel": FeatureGroup(unit="power", rows=lambda s: s.n_mels, fast=lambda a: a.mel.T, librosa=_mel),
    "zcr": FeatureGroup(
        unit="crossings a sample",
        fast=Analysis.zero_crossing_rate,
        librosa=lambda lib, y, s: lib.feature.zero_crossing_rate(y, **_frames(s)),
    ),
    "contrast": FeatureGroup(
        unit="dB",
        rows=lambda s: s.n_bands + 1,
        fast=Analysis.contrast,
        librosa=lambda lib, y, s: lib.feature.spectral_contrast(y=y, n_bands=s.n_bands, **_spectral(s)),
        check=_check_contrast,
    ),
    "rms": FeatureGroup(
        unit="full scale: 1", fast=Analysis.rms, librosa=lambda lib, y, s: lib.feature.rms(y=y, **_frames(s))
    ),
    "logmel": FeatureGroup(
        unit="dB",
        rows=lambda s: s.n_mels,
        fast=lambda a: a.logmel,
        librosa=lambda lib, y, s: lib.power_to_db(_mel(lib, y, s)),
    ),
    "pitch": FeatureGroup(
        unit="log2 Hz, voicing",
        rows=lambda s: 2,
        fast=lambda a: track_pitch(a.power, sample_rate=a.settings.sample_rate, n_fft=a.settings.n_fft),
        check=_check_pitch,
    ),
    "spectral_centroid": FeatureGroup(
        unit="Hz", librosa=lambda lib, y, s: lib.feature.spectral_centroid(y=y, **_spectral(s))
    ),
    "spectral_bandwidth": FeatureGroup(
        unit="Hz", librosa=lambda lib, y, s: lib.feature.spectral_bandwidth(y=y, **_spectral(s))
    ),
    "spectral_rolloff": FeatureGroup(
        unit="Hz", librosa=lambda lib, y, s: lib.feature.spectral_rolloff(y=y, **_spectral(s))
    ),
    "spectral_flatness": FeatureGroup(
        unit="fraction",
        librosa=lambda lib, y, s: lib.feature.spectral_flatness(y=y, n_fft=s.n_fft, hop_length=s.hop_length),
    ),
    "poly_features": FeatureGroup(
        unit="magnitude a Hz, magnitude",
        rows=lambda s: 2,
        librosa=lambda lib, y, s: lib.feature.poly_features(y=y, order=1, **_spectral(s)),
    ),
    "tonnetz": FeatureGroup(
        unit="fraction of the largest",
        rows=lambda s: 6,
        librosa=lambda lib, y, s: lib.feature.tonnetz(chroma=lib.feature.chroma_cqt(y=y, **_chroma_sizes(s))),
        check=_check_constant_q,
    ),
    "chroma_cqt": FeatureGroup(
        unit="fraction of the largest",
        rows=lambda s: s.n_chroma,
        librosa=lambda lib, y, s: lib.feature.chroma_cqt(y=y, **_chroma_sizes(s)),
        check=_check_constant_q,
    ),
    "chroma_cens": FeatureGroup(
        unit="fraction of the largest",
        rows=lambda s: s.n_chroma,
        librosa=lambda lib, y, s: lib.feature.chroma_cens(y=y, **_chroma_sizes(s)),
        check=_check_constant_q,
    ),
}
"""Name -> group. Names are looked up here alone, so that no setting of a stranger's names a function."""

BASELINE_GROUPS = ("mfcc", "delta", "delta2", "chroma", "mel", "zcr", "contrast")
"""The baseline recipe's groups, in the order of its rows."""
