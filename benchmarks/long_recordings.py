"""Recordings with pauses, offsets and several utterances, against the clips that they are made of.

    python benchmarks/long_recordings.py [--root FOLDER] [--model ser-ravdess] [--count 60]

It needs RAVDESS: --root, or RAVDESS_ROOT. The clips are spread over speakers and emotions. The model may have been
trained on them: what counts is that the pause changes nothing. Noise over a clip, too, is a matter of the network.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from recordings import parser_of, spread

from ser.audio.io import read_sound
from ser.corpora.manifest import Recording
from ser.corpora.reading import find_recordings
from ser.corpora.selection import of_channel
from ser.inference.predictor import Predictor

PAUSES = (0, 5, 10, 20)
ROOM_DB = -60.0
OFFSET, OFFSET_PEAK = 0.05, 0.5
N_JOINED = 20
_SEED = 0


def recognised(predictor: Predictor, recordings: Sequence[Recording], count: int) -> list[Recording]:
    """Return `count` recordings that are predicted rightly, spread over the corpus."""
    candidates = spread(recordings, 2 * count)
    right = [one for one in candidates if predictor.predict(one.path).emotion == one.emotion]
    return spread(right, count)


def noise(n_samples: int, rng: np.random.Generator, *, pink: bool) -> NDArray[np.float32]:
    """Return noise of an RMS of `ROOM_DB`; pink noise falls by 3 dB an octave."""
    white = np.fft.rfft(rng.standard_normal(n_samples))
    shape = 1 / np.sqrt(np.maximum(np.arange(len(white)), 1)) if pink else np.ones(len(white))
    sound = np.fft.irfft(white * shape, n_samples)
    return (sound * 10 ** (ROOM_DB / 20) / np.sqrt(np.square(sound).mean())).astype(np.float32)


def with_pause(
    waveform: NDArray[np.float32], rate: int, seconds: float, rng: np.random.Generator, *, pink: bool, everywhere: bool
) -> NDArray[np.float32]:
    """Return a recording with a pause of noise after it, or with the noise over both."""
    n_silent = round(seconds * rate)
    longer = np.pad(waveform, (0, n_silent))
    first = 0 if everywhere else len(waveform)
    if len(longer) > first:
        longer[first:] += noise(len(longer) - first, rng, pink=pink)
    return longer


def right_by_pause(predictor: Predictor, clips: Sequence[Recording], *, pink: bool, everywhere: bool) -> list[int]:
    """Return how many predictions are right after each of `PAUSES`."""
    rate = predictor.metadata.features.sample_rate
    counts = [0] * len(PAUSES)
    for place, clip in enumerate(clips):
        waveform = read_sound(clip.path, sample_rate=rate).waveform
        for column, seconds in enumerate(PAUSES):
            rng = np.random.default_rng((_SEED, place, seconds))
            changed = with_pause(waveform, rate, seconds, rng, pink=pink, everywhere=everywhere)
            counts[column] += predictor.predict((changed, rate)).emotion == clip.emotion
    return counts


def right_with_offset(predictor: Predictor, clips: Sequence[Recording]) -> int:
    """Return how many emotions stay what they are when an offset of `OFFSET` is added to a voice at `OFFSET_PEAK`."""
    rate, same = predictor.metadata.features.sample_rate, 0
    for clip in clips:
        sound = read_sound(clip.path, sample_rate=rate)
        waveform = sound.waveform * np.float32(OFFSET_PEAK / sound.peak)
        plain, offset = predictor.predict((waveform, rate)), predictor.predict((waveform + np.float32(OFFSET), rate))
        same += plain.emotion == offset.emotion
    return same


def joined_clips(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """Return up to `N_JOINED` lists of the clips of one speaker and one emotion, spread over both."""
    by_both: defaultdict[tuple[int, str], list[Recording]] = defaultdict(list)
    for one in recordings:
        by_both[one.speaker, one.emotion].append(one)
    return spread(list(by_both.values()), N_JOINED)


def measure_joined(predictor: Predictor, groups: Sequence[Sequence[Recording]]) -> dict[str, tuple[int, int]]:
    """Return right and all: of the clips alone, of the utterances of the joined ones, and of their overall answers."""
    rate = predictor.metadata.features.sample_rate
    alone, utterances, overall = [], [], []
    for group in groups:
        emotion = group[0].emotion
        waveforms = [read_sound(clip.path, sample_rate=rate).waveform for clip in group]
        alone += [predictor.predict((waveform, rate)).emotion == emotion for waveform in waveforms]
        joined = predictor.predict((np.concatenate(waveforms), rate))
        utterances += [joined.class_of(segment.probabilities) == emotion for segment in joined.segments]
        overall.append(joined.emotion == emotion)
    parts = {"clips alone": alone, "utterances of joined clips": utterances, "joined clips, overall": overall}
    return {name: (sum(answers), len(answers)) for name, answers in parts.items()}


def main() -> None:
    """Print the tables."""
    parser = parser_of(__doc__ or "", count=60)
    parser.add_argument("--model", default="ser-ravdess")
    options = parser.parse_args()
    if options.root is None:
        parser.error("it needs RAVDESS: give --root, or set RAVDESS_ROOT")
    predictor = Predictor.load(options.model)
    recordings = of_channel(find_recordings(options.root), "speech")
    clips = recognised(predictor, recordings, options.count)
    print(f"{len(clips)} clips of RAVDESS that are recognised; right after a pause of so many seconds:")
    print(
        "| noise of -60 dBFS | " + " | ".join(f"{seconds} s" for seconds in PAUSES) + " |\n|---|" + "---|" * len(PAUSES)
    )
    for everywhere, where in ((False, "in the pause"), (True, "over clip and pause")):
        for name, pink in (("white", False), ("pink", True)):
            counts = right_by_pause(predictor, clips, pink=pink, everywhere=everywhere)
            print(f"| {name}, {where} | " + " | ".join(map(str, counts)) + " |")
    print(f"same emotion with an offset of {OFFSET}: {right_with_offset(predictor, clips)} of {len(clips)}")
    for name, (right, n_all) in measure_joined(predictor, joined_clips(recordings)).items():
        print(f"{name}: {right} of {n_all} ({right / n_all:.1%})")


if __name__ == "__main__":
    main()
