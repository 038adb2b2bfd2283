"""A waveform as acoustic features, frame by frame: the values that direct librosa calls give, from one transform."""

import warnings
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ser.errors import SettingsError, missing_package
from ser.features._analysis import Analysis
from ser.features._filterbanks import DELTA_WIDTH
from ser.features._stft import count_frames
from ser.features.groups import LibrosaAnalysis
from ser.features.settings import FeatureSettings, rows_of

_LIBROSA_WARNINGS = r"n_fft=\d+ is too large for input signal|Trying to estimate tuning from empty frequency set"
"""Of a short or silent recording, whose values are sound: librosa itself pads, and takes a tuning of 0."""


def fit_length(features: NDArray[np.float32], max_length: int) -> NDArray[np.float32]:
    """Return float32 `[..., max_length]`: later frames cut off, or zeros added at the end."""
    fitted = np.zeros((*features.shape[:-1], max_length), dtype=np.float32)
    kept = min(features.shape[-1], max_length)
    fitted[..., :kept] = features[..., :kept]
    return fitted


def extract(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Return the features of a whole recording, one column a frame.

    Frames are centred, as librosa's are: the first one's middle is the first sample, and zeros lie beyond both ends.
    Each group equals the function of `librosa.feature` called with the same sizes and otherwise its defaults: `mfcc`,
    `delta` (of order 1 and 2, of the whole recording's MFCC), `chroma_stft`, `melspectrogram`, `zero_crossing_rate`,
    `spectral_contrast`, `rms` and those of the groups' own names; "tonnetz" is of the constant-Q chroma. "mel" is
    power; "logmel" is the same in decibels, no lower than 80 dB under its largest value (`librosa.power_to_db`).
    "pitch" is no librosa function: see `ser.features.pitch`. "waveform" is the samples, `hop_length` in each
    frame, the first of them the frame's middle for other groups; zeros follow the last one.

    Parameters
    ----------
    waveform : float32 `[samples]`, finite, at `settings.sample_rate`.

    Returns
    -------
    float32 `[settings.n_features, 1 + samples // settings.hop_length]`, finite; `feature_names` names the rows. At
    least nine frames: a shorter waveform is padded with zeros at the end.

    Raises
    ------
    ValueError : the waveform is not one-dimensional, or is empty.
    SettingsError : the settings need librosa, which is not installed; or a group of one's own gives another shape.
    """
    if waveform.ndim != 1 or not waveform.size:
        raise ValueError(f"A waveform of shape {waveform.shape} has no features; it should be [samples], one or more.")
    # A delta is a slope over nine frames: what is shorter is followed by silence.
    if len(waveform) < (DELTA_WIDTH - 1) * settings.hop_length:
        waveform = fit_length(waveform, (DELTA_WIDTH - 1) * settings.hop_length)
    n_frames = count_frames(len(waveform), hop_length=settings.hop_length)
    features = np.empty((settings.n_features, n_frames), dtype=np.float32)
    analysis = Analysis(waveform, settings)
    by_librosa = LibrosaAnalysis(_import_librosa(settings), waveform, settings) if settings.needs_librosa else None
    for name, rows in rows_of(settings).items():
        group = settings.known_groups[name]
        if group.fast and settings.backend == "fast":
            values = group.fast(analysis)
        else:
            assert group.librosa, name
            assert by_librosa, name
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", _LIBROSA_WARNINGS, UserWarning)
                values = group.librosa(by_librosa)
        # Numpy would repeat a single row or frame without a word.
        shape = np.shape(values)
        if shape != features[rows].shape and (group.rows or shape != (n_frames,)):
            given = "None" if values is None else f"values of shape {list(shape)}"
            right = list(features[rows].shape)
            raise SettingsError(f"The feature group {name!r} gave {given}, but should give values of shape {right}.")
        features[rows] = values
    return features


def _import_librosa(settings: FeatureSettings) -> ModuleType:
    try:
        import librosa  # seconds, and only some settings need it
    except ImportError as error:
        names = [name for name in settings.groups if settings.known_groups[name].fast is None]
        asked = f"groups has {names[0]!r}" if names else f"backend is {settings.backend!r}"
        raise SettingsError(f"{missing_package(error, f'features.{asked}, which')}; or choose others.") from error
    return librosa
