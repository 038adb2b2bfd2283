"""A waveform's frames: power spectrum, mel spectrogram, MFCC and deltas, each computed once for all groups."""

from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ser.features._filterbanks import DELTA_WIDTH, chroma_filters, contrast_bands, dct_basis, delta_weights, mel_blocks
from ser.features._stft import count_frames, power_spectrum
from ser.features._tuning import estimate_tuning
from ser.features.compiled import compiled_loops
from ser.features.pitch import track_pitch
from ser.features.validation import settings_dataclass

_Float = TypeVar("_Float", bound=np.floating[Any])

_DB_FLOOR = 1e-10
_DB_RANGE = 80.0
_SILENT = 1e-10

# The upper limits are beyond what anyone wants; a stranger's model could fill the memory otherwise.
_Rows = Annotated[int, Field(ge=1, le=1024)]


@settings_dataclass
class FrameSettings:
    """Frames and sizes of groups; the attributes are explained in `ser.features.settings.FeatureSettings`."""

    sample_rate: Annotated[int, Field(ge=1, le=192_000)] = 22050
    n_fft: Annotated[int, Field(ge=2, le=2**16, multiple_of=2)] = 2048
    hop_length: Annotated[int, Field(ge=1, le=2**16)] = 512
    n_mfcc: _Rows = 13
    n_mels: _Rows = 128
    n_chroma: _Rows = 12
    n_bands: Annotated[int, Field(ge=1, le=16)] = 6
    tuning: Annotated[float, Field(ge=-0.5, le=0.5)] | Literal["estimate"] = "estimate"


class Analysis:
    """A waveform, float32 [samples], of at least `DELTA_WIDTH - 1` hops, and what the groups are computed from."""

    def __init__(self, waveform: NDArray[np.float32], settings: FrameSettings) -> None:
        self.waveform = waveform
        self.settings = settings

    @property
    def samples(self) -> NDArray[np.float32]:
        """The samples from each hop to the next, float32 [hop_length, frames]; zeros follow the last one."""
        hop = self.settings.hop_length
        n_frames = count_frames(len(self.waveform), hop_length=hop)
        return np.pad(self.waveform, (0, n_frames * hop - len(self.waveform))).reshape(n_frames, hop).T

    @cached_property
    def power(self) -> NDArray[np.float32]:
        """Power spectrum, float32 [frames, 1 + n_fft // 2]."""
        return power_spectrum(self.waveform, n_fft=self.settings.n_fft, hop_length=self.settings.hop_length)

    @cached_property
    def mel(self) -> NDArray[np.float32]:
        """Mel spectrogram, power, float32 [frames, n_mels]."""
        sizes = self.settings
        mel = np.empty((len(self.power), sizes.n_mels), dtype=np.float32)
        for bands, bins, weights in mel_blocks(sample_rate=sizes.sample_rate, n_fft=sizes.n_fft, n_mels=sizes.n_mels):
            np.matmul(self.power[:, bins], weights, out=mel[:, bands])
        return mel

    @cached_property
    def logmel(self) -> NDArray[np.float32]:
        """Mel spectrogram in dB, float32 [n_mels, frames]."""
        return decibels(self.mel).T

    @cached_property
    def mfcc(self) -> NDArray[np.float64]:
        """MFCC, float64 [n_mfcc, frames]."""
        return dct_basis(n_rows=self.settings.n_mfcc, n_columns=self.settings.n_mels) @ self.logmel

    @cached_property
    def deltas(self) -> NDArray[np.float64]:
        """Deltas of order 1 and 2 of the MFCC, float64 [2, n_mfcc, frames].

        At both ends, where no window can be centred, the first or last value is repeated: there the polynomial fitted
        to the first or last window is differentiated at its own places, and a derivative of the polynomial's own
        degree is the same at all of them.
        """
        n_frames, margin = self.mfcc.shape[1], DELTA_WIDTH // 2
        deltas = np.zeros((2, *self.mfcc.shape))
        inner = deltas[:, :, margin : n_frames - margin]
        loops = compiled_loops()
        if loops:
            loops.weigh_windows(self.mfcc, delta_weights(), inner)
        else:
            for place, weights in enumerate(delta_weights()):
                inner += weights[:, None, None] * self.mfcc[:, place : n_frames - DELTA_WIDTH + 1 + place]
        deltas[:, :, :margin] = inner[:, :, :1]
        deltas[:, :, n_frames - margin :] = inner[:, :, -1:]
        return deltas

    def chroma(self) -> NDArray[np.float32]:
        """Return the chroma, float32 [n_chroma, frames], each frame's largest value 1 unless the frame is silent."""
        sizes = self.settings
        shape = {"sample_rate": sizes.sample_rate, "n_fft": sizes.n_fft, "n_chroma": sizes.n_chroma}
        tuning = estimate_tuning(self.power, **shape) if sizes.tuning == "estimate" else sizes.tuning
        chroma: NDArray[np.float32] = self.power @ chroma_filters(tuning=tuning, **shape).T
        largest = chroma.max(axis=1, keepdims=True)
        largest[largest < np.finfo(np.float32).tiny] = 1.0
        chroma /= largest
        return chroma.T

    def contrast(self) -> NDArray[np.float64]:
        """Return a band's mean peak magnitude over its mean valley's in dB, float64 [n_bands + 1, frames]."""
        sizes = self.settings
        bands = contrast_bands(sample_rate=sizes.sample_rate, n_fft=sizes.n_fft, n_bands=sizes.n_bands)
        peaks: NDArray[np.float64]
        valleys: NDArray[np.float64]
        loops, n_frames = compiled_loops(), len(self.power)
        if loops:
            sizes_of = np.array([(bins.start, bins.stop, n_extreme) for bins, n_extreme in bands], dtype=np.int64)
            peaks, valleys = np.empty((2, len(bands), n_frames + -n_frames % loops.LANES))
            loops.average_extremes(self.power, sizes_of, peaks, valleys)
        else:
            peaks, valleys = np.empty((2, len(bands), n_frames))
            for band, (bins, n_extreme) in enumerate(bands):
                ordered = np.sort(self.power[:, bins], axis=1)
                # The root of a square is exact, so only the extremes need one. The copies fix the order of sums.
                valleys[band] = np.sqrt(np.ascontiguousarray(ordered[:, :n_extreme].T)).mean(axis=0)
                peaks[band] = np.sqrt(np.ascontiguousarray(ordered[:, -n_extreme:].T)).mean(axis=0)
        return decibels(peaks[:, :n_frames]) - decibels(valleys[:, :n_frames])

    def pitch(self) -> NDArray[np.float32]:
        """Return log2 of the pitch in Hz and the voicing, float32 [2, frames]."""
        return track_pitch(self.power, sample_rate=self.settings.sample_rate, n_fft=self.settings.n_fft)

    def zero_crossing_rate(self) -> NDArray[np.float64]:
        """Return the fraction of samples whose sign differs from the one before, float64 [frames]."""
        first, loops = self._first_samples(), compiled_loops()
        # The first sample of a frame has none before it to differ from.
        edges = np.stack((first + 1, first + self.settings.n_fft))
        counts: NDArray[np.intp] = np.empty_like(edges)
        if loops:
            for each, found in zip(edges, counts, strict=True):
                loops.count_crossings(self.waveform, -np.float32(_SILENT), each, found)
        else:
            negative = self.waveform < -np.float32(_SILENT)
            counts[:] = np.searchsorted(np.flatnonzero(negative[1:] != negative[:-1]) + 1, edges)
        rate: NDArray[np.float64] = (counts[1] - counts[0]) / self.settings.n_fft
        return rate

    def rms(self) -> NDArray[np.float64]:
        """Return the root mean square, full scale 1, float64 [frames]."""
        energy = np.concatenate(([0.0], np.cumsum(np.square(self.waveform, dtype=np.float64))))
        first = self._first_samples()
        low, high = (np.clip(edge, 0, len(self.waveform)) for edge in (first, first + self.settings.n_fft))
        return np.sqrt((energy[high] - energy[low]) / self.settings.n_fft)

    def _first_samples(self) -> NDArray[np.intp]:
        """Return the place of each frame's first sample; it lies before the waveform in the first frames."""
        n_frames = count_frames(len(self.waveform), hop_length=self.settings.hop_length)
        return np.arange(n_frames) * self.settings.hop_length - self.settings.n_fft // 2


def decibels(power: NDArray[_Float]) -> NDArray[_Float]:
    """Return `10 log10(power)`, no lower than 80 dB under its largest value (`librosa.power_to_db`)."""
    values: NDArray[_Float] = 10.0 * np.log10(np.maximum(power, _DB_FLOOR))
    np.maximum(values, values.max() - _DB_RANGE, out=values)
    return values
