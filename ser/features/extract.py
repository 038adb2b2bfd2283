"""A waveform as acoustic features, frame by frame: the numbers that direct librosa calls give, from one transform."""

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ser.errors import SettingsError
from ser.features._filterbanks import (
    CONTRAST_MIN_HZ,
    DELTA_WIDTH,
    chroma_filters,
    contrast_bands,
    dct_basis,
    delta_weights,
    mel_blocks,
)
from ser.features._stft import FRAMES_AT_ONCE, SpectrumReader, count_frames
from ser.features._tuning import estimate_tuning
from ser.features.pitch import LOWEST_HZ, track_pitch
from ser.features.validation import ListOf, settings_dataclass, suggestion

BASELINE_GROUPS = ("mfcc", "delta", "delta2", "chroma", "mel", "zcr", "contrast")
"""The original recipe's groups of features, in the order of its rows."""
GROUPS = (*BASELINE_GROUPS, "rms", "logmel", "pitch")
"""Every group of features."""

_DB_FLOOR = 1e-10
_DB_RANGE = 80.0
_SILENT = 1e-10
_CEPSTRAL = ("mfcc", "delta", "delta2")

# Their upper limits are beyond what anyone wants; a stranger's model would have us fill the memory otherwise.
_Samples = Annotated[int, Field(ge=1, le=2**16)]
_Rows = Annotated[int, Field(ge=1, le=1024)]


@settings_dataclass
class FeatureSettings:
    """What `extract` computes; the defaults are the original recipe, 187 rows.

    Attributes
    ----------
    sample_rate : samples a second of the waveforms.
    n_fft, hop_length : samples of a frame (even), and from one frame to the next.
    n_mfcc, n_mels, n_chroma : rows of these groups; the deltas have `n_mfcc` rows each, "mel" and "logmel" `n_mels`.
    n_bands : octave bands of the spectral contrast above the lowest, so that it has `n_bands + 1` rows.
    max_length : frames that the network is given: longer recordings are cut, shorter ones padded with zeros.
    groups : which of `GROUPS`, in the order of the rows.
    tuning : deviation from A440 in chroma steps, -0.5 to 0.5, or "estimate" to find it in each recording.
    trim, level_db : what `ser.audio.trim` does to a waveform beforehand: whether the silence around the voice is cut
        off, and the level that the voice is brought to, in dB below full scale; None leaves it as it is.
    """

    sample_rate: Annotated[int, Field(ge=1, le=192_000)] = 22050
    n_fft: Annotated[int, Field(ge=2, le=2**16, multiple_of=2)] = 2048
    hop_length: _Samples = 512
    n_mfcc: _Rows = 13
    n_mels: _Rows = 128
    n_chroma: _Rows = 12
    n_bands: Annotated[int, Field(ge=1, le=16)] = 6
    max_length: Annotated[int, Field(ge=1, le=30_000)] = 216  # at most ten minutes
    groups: Annotated[ListOf[str], Field(min_length=1)] = BASELINE_GROUPS
    tuning: Annotated[float, Field(ge=-0.5, le=0.5)] | Literal["estimate"] = "estimate"
    trim: bool = False
    level_db: Annotated[float, Field(ge=-60, le=0)] | None = None

    def __post_init__(self) -> None:
        if self.n_mfcc > self.n_mels:
            raise SettingsError(f"n_mfcc is {self.n_mfcc}, but should be at most n_mels, which is {self.n_mels}.")
        for group in self.groups:
            if group not in GROUPS:
                raise SettingsError(f"groups has {group!r}; {suggestion(group, GROUPS)}.")
            if self.groups.count(group) > 1:
                raise SettingsError(f"groups names {group!r} more than once.")
        if "contrast" in self.groups:
            self._check_bands()
        least = math.ceil(2 * self.sample_rate / LOWEST_HZ)
        if "pitch" in self.groups and self.n_fft < least:
            raise SettingsError(
                f"n_fft is {self.n_fft}, but a pitch of {LOWEST_HZ:.0f} Hz needs two periods: give {least} or more at "
                f"{self.sample_rate} Hz."
            )

    def _check_bands(self) -> None:
        top = CONTRAST_MIN_HZ * 2.0 ** (self.n_bands - 1)
        if top >= self.sample_rate / 2:
            raise SettingsError(
                f"n_bands is {self.n_bands}, but the last band would begin at {top:.0f} Hz, above half the sample rate "
                f"of {self.sample_rate} Hz: give fewer bands."
            )
        if 2 * self.sample_rate / self.n_fft > CONTRAST_MIN_HZ:
            raise SettingsError(
                f"n_fft is {self.n_fft}, but spectral contrast needs at least two bins below {CONTRAST_MIN_HZ:.0f} Hz: "
                f"give {2 * self.sample_rate / CONTRAST_MIN_HZ:.0f} or more at {self.sample_rate} Hz."
            )

    @property
    def n_features(self) -> int:
        """Rows of the features: 187 by default, 188 with "rms"."""
        return sum(_rows(group, self) for group in self.groups)

    @property
    def duration(self) -> float:
        """Seconds that `max_length` frames last: 5.02 by default."""
        return self.max_length * self.hop_length / self.sample_rate


def _rows(group: str, settings: FeatureSettings) -> int:
    if group in _CEPSTRAL:
        return settings.n_mfcc
    counts = {
        "mel": settings.n_mels,
        "logmel": settings.n_mels,
        "chroma": settings.n_chroma,
        "contrast": settings.n_bands + 1,
        "pitch": 2,
    }
    return counts.get(group, 1)


def rows_of(settings: FeatureSettings) -> dict[str, slice]:
    """Return where each group of `settings.groups` lies among the rows.

    >>> rows_of(FeatureSettings())["chroma"]
    slice(39, 51, None)
    """
    rows, start = {}, 0
    for group in settings.groups:
        stop = start + _rows(group, settings)
        rows[group] = slice(start, stop)
        start = stop
    return rows


def feature_names(settings: FeatureSettings) -> tuple[str, ...]:
    """Return a name for each row: "mfcc_0", ..., "chroma_0", ..., "zcr", ..., "contrast_6".

    >>> feature_names(FeatureSettings(groups=("zcr", "mfcc"), n_mfcc=2))
    ('zcr', 'mfcc_0', 'mfcc_1')
    """
    names: list[str] = []
    for group in settings.groups:
        single = group in ("zcr", "rms")
        names += [group] if single else [f"{group}_{row}" for row in range(_rows(group, settings))]
    return tuple(names)


def fit_length(features: NDArray[np.float32], max_length: int) -> NDArray[np.float32]:
    """Return float32 `[features, max_length]`: later frames cut off, or frames of zeros added at the end."""
    fitted = np.zeros((features.shape[0], max_length), dtype=np.float32)
    kept = min(features.shape[1], max_length)
    fitted[:, :kept] = features[:, :kept]
    return fitted


def extract(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Return the features of a whole recording, one column a frame.

    Frames are centred, as librosa's are: the first one's middle is the first sample, and zeros lie beyond both ends.
    Each group equals the function of `librosa.feature` called with the same sizes and otherwise its defaults:
    `mfcc`, `delta` (of order 1 and 2, of the whole recording's MFCC), `chroma_stft`, `melspectrogram`,
    `zero_crossing_rate`, `spectral_contrast`, `rms`. "mel" is power; "logmel" is the same in decibels, no lower than 80
    dB under its largest value (`librosa.power_to_db`). "pitch" is no librosa function: see `ser.features.pitch`.

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
    """
    if waveform.ndim != 1 or not waveform.size:
        raise ValueError(f"A waveform of shape {waveform.shape} has no features; it should be [samples], one or more.")
    # A delta is a slope over nine frames: what is shorter is followed by silence.
    waveform = np.pad(waveform, (0, max(0, (DELTA_WIDTH - 1) * settings.hop_length - len(waveform))))
    n_frames = count_frames(len(waveform), hop_length=settings.hop_length)
    rows = rows_of(settings)
    features = np.empty((settings.n_features, n_frames), dtype=np.float32)
    if rows.keys() - {"zcr", "rms"}:
        _fill_spectral(features, waveform, settings, rows)
    if "zcr" in rows:
        features[rows["zcr"]] = _zero_crossing_rate(waveform, settings)
    if "rms" in rows:
        features[rows["rms"]] = _rms(waveform, settings)
    return features


def _fill_spectral(
    features: NDArray[np.float32], waveform: NDArray[np.float32], settings: FeatureSettings, rows: dict[str, slice]
) -> None:
    """Fill the rows of every group that begins with the transform."""
    power = _power_spectrum(waveform, settings)
    if rows.keys() & {"mel", "logmel", *_CEPSTRAL}:
        mel = _mel(power, settings)
        if "mel" in rows:
            features[rows["mel"]] = mel.T
        if "logmel" in rows:
            features[rows["logmel"]] = _decibels(mel).T
        if rows.keys() & set(_CEPSTRAL):
            _fill_cepstral(features, mel, settings, rows)
    if "chroma" in rows:
        features[rows["chroma"]] = _chroma(power, settings).T
    if "pitch" in rows:
        features[rows["pitch"]] = track_pitch(power, sample_rate=settings.sample_rate, n_fft=settings.n_fft)
    if "contrast" in rows:
        features[rows["contrast"]] = _contrast(power, settings)


def _power_spectrum(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Return float32 `[frames, 1 + n_fft // 2]`."""
    reader = SpectrumReader(waveform, n_fft=settings.n_fft, hop_length=settings.hop_length)
    spectrum = np.empty((FRAMES_AT_ONCE, reader.n_bins), dtype=np.complex64)
    power = np.empty((reader.n_frames, reader.n_bins), dtype=np.float32)
    for start in range(0, reader.n_frames, FRAMES_AT_ONCE):
        part = power[start : start + FRAMES_AT_ONCE]
        reader.read(start, out=spectrum[: len(part)])
        np.abs(spectrum[: len(part)], out=part)
        np.square(part, out=part)
    return power


def _mel(power: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Return float32 `[frames, n_mels]`."""
    mel = np.empty((len(power), settings.n_mels), dtype=np.float32)
    for block in mel_blocks(sample_rate=settings.sample_rate, n_fft=settings.n_fft, n_mels=settings.n_mels):
        np.matmul(power[:, block.bins], block.weights, out=mel[:, block.bands])
    return mel


def _fill_cepstral(
    features: NDArray[np.float32], mel: NDArray[np.float32], settings: FeatureSettings, rows: dict[str, slice]
) -> None:
    """Fill the rows of "mfcc", "delta" and "delta2"."""
    mfcc = dct_basis(n_rows=settings.n_mfcc, n_columns=settings.n_mels) @ _decibels(mel).T
    if "mfcc" in rows:
        features[rows["mfcc"]] = mfcc
    if "delta" in rows or "delta2" in rows:
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(mfcc, DELTA_WIDTH, axis=1))
        deltas = windows @ delta_weights()  # [n_mfcc, frames - DELTA_WIDTH + 1, order]
        for order, group in enumerate(("delta", "delta2")):
            if group in rows:
                _fill_middle(features[rows[group]], deltas[:, :, order])


def _fill_middle(rows: NDArray[np.float32], middle: NDArray[np.float64]) -> None:
    """Fill `rows`, repeating the first and the last frame of `middle` towards the ends.

    Where no window can be centred, the polynomial fitted to the first or last window is differentiated at its own
    places; a derivative of the polynomial's own degree is the same at all of them.
    """
    margin = (rows.shape[1] - middle.shape[1]) // 2
    rows[:, :margin] = middle[:, :1]
    rows[:, margin:-margin] = middle
    rows[:, -margin:] = middle[:, -1:]


def _chroma(power: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Return float32 `[frames, n_chroma]`, each frame's largest value 1 unless the frame is silent."""
    sizes = {"sample_rate": settings.sample_rate, "n_fft": settings.n_fft, "n_chroma": settings.n_chroma}
    tuning = estimate_tuning(power, **sizes) if settings.tuning == "estimate" else settings.tuning
    chroma = power @ chroma_filters(tuning=tuning, **sizes).T
    largest = chroma.max(axis=1, keepdims=True)
    largest[largest < np.finfo(np.float32).tiny] = 1.0
    return chroma / largest


def _contrast(power: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float64]:
    """Return float64 `[n_bands + 1, frames]`: decibels of a band's mean peak magnitude over its mean valley's."""
    bands = contrast_bands(sample_rate=settings.sample_rate, n_fft=settings.n_fft, n_bands=settings.n_bands)
    peaks, valleys = np.empty((2, len(bands), len(power)))
    for band, (bins, n_extreme) in enumerate(bands):
        ordered = np.sort(power[:, bins], axis=1)
        # The square root of a square is exact, so only the extremes need one. The copies fix the order of summation.
        valleys[band] = np.sqrt(np.ascontiguousarray(ordered[:, :n_extreme].T)).mean(axis=0)
        peaks[band] = np.sqrt(np.ascontiguousarray(ordered[:, -n_extreme:].T)).mean(axis=0)
    return _decibels(peaks) - _decibels(valleys)


def _decibels(power: NDArray) -> NDArray:
    """Return `10 log10(power)`, no lower than 80 dB under its largest value (`librosa.power_to_db`)."""
    decibels = 10.0 * np.log10(np.maximum(power, _DB_FLOOR))
    return np.maximum(decibels, decibels.max() - _DB_RANGE)


def _zero_crossing_rate(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float64]:
    """Return the share of samples whose sign differs from the one before, float64 `[frames]`."""
    negative = waveform < -np.float32(_SILENT)
    crossings = np.flatnonzero(negative[1:] != negative[:-1]) + 1
    first = _first_samples(waveform, settings)
    # The first sample of a frame has none before it to differ from.
    low, high = np.searchsorted(crossings, first + 1), np.searchsorted(crossings, first + settings.n_fft)
    return (high - low) / settings.n_fft


def _rms(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float64]:
    """Return the root mean square of each frame, float64 `[frames]`."""
    energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    first = _first_samples(waveform, settings)
    low, high = (np.clip(edge, 0, len(waveform)) for edge in (first, first + settings.n_fft))
    return np.sqrt((energy[high] - energy[low]) / settings.n_fft)


def _first_samples(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.intp]:
    """Return the place of each frame's first sample; it lies before the waveform in the first frames."""
    n_frames = count_frames(len(waveform), hop_length=settings.hop_length)
    return np.arange(n_frames) * settings.hop_length - settings.n_fft // 2
