"""Random changes of a training waveform: noise, time stretch, circular time shift and pitch shift."""

import hashlib
import io
from typing import Annotated

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import Field

from ser.augment.phase_vocoder import pitch_shift, time_stretch
from ser.errors import SettingsError
from ser.features.validation import Fraction, NaturalNumber, PositiveNumber, check_order, settings_dataclass

_N_STEPS = 4
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_LEAST_COMPRESSION = 0.55
_Steps = Annotated[int, Field(ge=0, le=_N_STEPS)]


@settings_dataclass
class AugmentSettings:
    """How strongly `augment` changes a waveform; the defaults are the baseline recipe's.

    Attributes
    ----------
    noise_factor : standard deviation of the noise, as a fraction of the waveform's largest amplitude.
    noise_random_scale : scale the noise by a further random factor from 0 to 1.
    stretch_low, stretch_high : range of the rate of time stretch, above 0; over 1 is faster and shorter.
    shift_seconds : the circular shift in time is at most this long, either way.
    pitch_semitones : the shift in pitch is at most this large, either way.
    min_steps, max_steps : range of how many of the four changes are drawn, without repetition, 0 to 4.
    codec : probability that the recording is then coded and decoded by Opus, at a random rate of some 8 to 90 kbit/s.
    """

    noise_factor: NaturalNumber = 0.035
    noise_random_scale: bool = False
    stretch_low: PositiveNumber = 0.8
    stretch_high: PositiveNumber = 1.2
    shift_seconds: NaturalNumber = 2.0
    pitch_semitones: NaturalNumber = 1.0
    min_steps: _Steps = 1
    max_steps: _Steps = 3
    codec: Fraction = 0.0

    def __post_init__(self) -> None:
        check_order(self, "stretch_low", "stretch_high")
        check_order(self, "min_steps", "max_steps")


def recording_rng(*, seed: int, name: str, copy: int) -> np.random.Generator:
    """Return the generator for one augmented copy of one recording.

    It depends on these three alone, so that neither the order of recordings nor the number of workers changes a copy.

    Parameters
    ----------
    seed : the run's seed.
    name : unique to the recording, such as its file name without suffix.
    copy : 0, 1, 2, ... among the copies of this recording.
    """
    digest = hashlib.sha256(f"{seed}/{copy}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def augment(
    waveform: NDArray[np.float32], settings: AugmentSettings, *, sample_rate: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the waveform after a random choice of the four changes, in random order.

    How many is drawn evenly from `min_steps` to `max_steps`, then which and in what order; each change draws its own
    strength evenly from its range. The result is a new float32 `[samples']`; only time stretch changes the length.

    Parameters
    ----------
    waveform : float32 `[samples]`, one or more, at `sample_rate`; it is not changed.
    """
    n_steps = rng.integers(settings.min_steps, settings.max_steps, endpoint=True)
    changed: NDArray[np.float32] = waveform.astype(np.float32)
    for step in rng.permutation(_N_STEPS)[:n_steps]:
        if step == 0:
            scale = rng.uniform() if settings.noise_random_scale else 1.0
            changed = add_noise(changed, factor=settings.noise_factor * scale, rng=rng)
        elif step == 1:
            changed = time_stretch(changed, rate=rng.uniform(settings.stretch_low, settings.stretch_high))
        elif step == 2:
            seconds = rng.uniform(-settings.shift_seconds, settings.shift_seconds)
            changed = shift_time(changed, samples=round(seconds * sample_rate))
        else:
            semitones = rng.uniform(-settings.pitch_semitones, settings.pitch_semitones)
            changed = pitch_shift(changed, semitones=semitones, sample_rate=sample_rate)
    if settings.codec and rng.random() < settings.codec:
        changed = code_by_opus(changed, sample_rate=sample_rate, compression=rng.uniform(_LEAST_COMPRESSION, 1.0))
    return changed


def code_by_opus(waveform: NDArray[np.float32], *, sample_rate: int, compression: float) -> NDArray[np.float32]:
    """Return the waveform after coding by Opus (RFC 6716) and decoding: as many samples, limited to full scale.

    Parameters
    ----------
    compression : of libsndfile, 0 to 1: from the highest rate to the lowest; speech at 0.8 has some 30 kbit/s.

    Raises
    ------
    SettingsError : Opus does not know the sample rate.
    """
    if sample_rate not in _OPUS_RATES:
        rates = ", ".join(map(str, _OPUS_RATES))
        raise SettingsError(f"features.sample_rate is {sample_rate}, but augment.codec needs one of {rates}.")
    coded = io.BytesIO()
    sounding = np.clip(waveform, -1.0, 1.0)
    soundfile.write(coded, sounding, sample_rate, format="OGG", subtype="OPUS", compression_level=compression)
    coded.seek(0)
    decoded, rate = soundfile.read(coded, dtype="float32")
    assert rate == sample_rate
    return np.pad(decoded[: len(waveform)], (0, max(0, len(waveform) - len(decoded))))


def add_noise(waveform: NDArray[np.float32], *, factor: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the waveform with Gaussian noise whose standard deviation is `factor` times the largest amplitude."""
    deviation = np.float32(factor * np.abs(waveform).max())
    return waveform + deviation * rng.standard_normal(len(waveform), dtype=np.float32)


def shift_time(waveform: NDArray[np.float32], *, samples: int) -> NDArray[np.float32]:
    """Return the waveform `samples` later; what leaves at one end comes in at the other."""
    return np.roll(waveform, samples)
