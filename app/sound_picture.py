"""A recording as a picture: its waveform, mel spectrogram and attention, reduced to what a screen can show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser.features._filterbanks import mel_filters
from ser.features._stft import count_frames
from ser.features.extract import extract
from ser.features.settings import FeatureSettings
from ser.inference.results import Prediction
from ser.inference.segments import attention_over_time

MAX_COLUMNS = 200
"""Steps in time; more would be narrower than a phone's pixels, and slow in the browser."""
N_BANDS = 64
DB_RANGE = 60.0
"""Decibels below the loudest that are drawn; what is fainter looks like silence."""

_FLOOR = 1e-10
_PIECE_FRAMES = 1024  # ten minutes at once would take 100 MB


@dataclass(frozen=True, kw_only=True)
class SoundPicture:
    """A recording in columns, from the first moment to the last.

    Attributes
    ----------
    seconds : float64 [columns + 1], where columns begin, and where the last one ends.
    low, high : float32 [columns], the least and the largest value of the waveform; full scale is 1.
    hertz : float64 [bands + 1], where mel bands begin, and where the last one ends.
    decibels : float32 [bands, columns], the mean mel power, from -`DB_RANGE` to 0, the loudest.
    attention : float32 [columns], the weight of a moment; 1 where all moments weigh the same.
    """

    seconds: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    hertz: NDArray[np.float64]
    decibels: NDArray[np.float32]
    attention: NDArray[np.float32]


def draw(waveform: NDArray[np.float32], model: FeatureSettings, prediction: Prediction) -> SoundPicture:
    """Reduce a recording and the attention of the network to a picture.

    Parameters
    ----------
    waveform : float32 [samples] at the rate of `model`.
    model : the settings of the model that made the prediction.
    """
    settings = FeatureSettings(sample_rate=model.sample_rate, n_mels=N_BANDS, groups=("mel",))
    mel = _mel_power(waveform, settings)
    n_columns = min(MAX_COLUMNS, mel.shape[1])
    samples = _edges(len(waveform), n_columns)
    power = _mean_of_columns(mel, _edges(mel.shape[1], n_columns))
    decibels = 10 * np.log10(np.maximum(power, _FLOOR))
    seconds = samples / model.sample_rate
    return SoundPicture(
        seconds=seconds,
        low=np.minimum.reduceat(waveform, samples[:-1]),
        high=np.maximum.reduceat(waveform, samples[:-1]),
        hertz=band_edges(settings),
        decibels=np.maximum(decibels - decibels.max(), -DB_RANGE).astype(np.float32),
        attention=attention_of_columns(
            *attention_over_time(prediction.segments, settings=model, duration=prediction.duration), seconds
        ),
    )


def attention_of_columns(
    middles: NDArray[np.float64], weights: NDArray[np.float32], seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the mean attention in columns, as a multiple of what a moment would have if all weighed the same.

    Parameters
    ----------
    middles, weights : as `attention_over_time` returns them.
    seconds : float64 [columns + 1], the edges of the columns.
    """
    step = 2 * middles[0]  # the first step begins at zero
    steps = np.append(middles - step / 2, middles[-1] + step / 2)
    total = np.interp(seconds, steps, np.append(0, np.cumsum(weights, dtype=np.float64)))
    return (np.diff(total) / np.diff(seconds) * step * len(weights)).astype(np.float32)


def band_edges(settings: FeatureSettings) -> NDArray[np.float64]:
    """Return float64 [n_mels + 1] in Hz: halfway between the centres of neighbouring mel filters, from 0 to Nyquist."""
    filters = mel_filters(sample_rate=settings.sample_rate, n_fft=settings.n_fft, n_mels=settings.n_mels)
    bins = np.fft.rfftfreq(settings.n_fft, 1 / settings.sample_rate)
    centres = filters @ bins / filters.sum(axis=1)
    return np.concatenate(([0.0], (centres[:-1] + centres[1:]) / 2, [settings.sample_rate / 2]))


def _mel_power(waveform: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Return float32 [bands, frames], a piece of the waveform at a time; the ends of the pieces are hardly visible."""
    length = _PIECE_FRAMES * settings.hop_length
    pieces = [extract(waveform[start : start + length], settings) for start in range(0, len(waveform), length)]
    mel = np.concatenate([*(piece[:, :_PIECE_FRAMES] for piece in pieces[:-1]), pieces[-1]], axis=1)
    return mel[:, : count_frames(len(waveform), hop_length=settings.hop_length)]  # a short last piece was padded


def _edges(n: int, n_columns: int) -> NDArray[np.intp]:
    """Return where each of `n_columns` stretches of `n` values begins, and where the last one ends."""
    return np.linspace(0, n, n_columns + 1).round().astype(np.intp)


def _mean_of_columns(mel: NDArray[np.float32], edges: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.add.reduceat(mel, edges[:-1], axis=1, dtype=np.float64) / np.diff(edges)
