"""What a person would take instead, on the same recordings, one thread: openSMILE's features, a large speech encoder.

    python benchmarks/alternatives.py [--root FOLDER] [--count 40]

Every side gets the same sounds of 4 seconds, decoded, at 16 kHz, in turn, in this process. Ours is a whole prediction:
the search for speech, features and network in ONNX Runtime; "without search" leaves the search out, which the others do
not have. openSMILE only computes the functionals (a classifier of them is fast); it is measured where it is installed
(`pip install opensmile==2.6.0`, free for research alone). The encoder is of the size of wav2vec2-base, with a linear
layer over its mean state; its weights are random, which changes no times, so nothing is downloaded.
"""

import importlib.util
from collections.abc import Callable
from itertools import cycle
from statistics import median
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from recordings import SAMPLE_RATE, load_waveforms, parser_of, seconds_of
from threadpoolctl import threadpool_limits

from ser.features.extract import fit_length
from ser.features.pipeline import network_input, preprocess
from ser.inference.predictor import Predictor

RATE = 16_000
SECONDS = 4
SPARES = 5
"""Passes over a first sound before anything counts."""

Waveform = NDArray[np.float32]
Side = Callable[[Waveform], Any]


def our_side(name: str) -> Side:
    """Return the prediction of a pretrained model, from samples to emotion."""
    predictor = Predictor.load(name)
    return lambda waveform: predictor.predict((waveform, RATE), name="x").probabilities


def without_search(name: str) -> Side:
    """Return features and network alone, of a sound that is all speech."""
    predictor = Predictor.load(name)
    settings = predictor.metadata.features

    def predict(waveform: Waveform) -> Any:
        sound = waveform if settings.sample_rate == RATE else soxr.resample(waveform, RATE, settings.sample_rate)
        features, length = network_input(preprocess(sound, settings)[0], settings)
        return predictor.score(fit_length(features[:, :length], settings.max_length)[None], np.array([length]))

    return predict


def encoder_side() -> Side:
    """Return a classifier of the size of wav2vec2-base (Baevski et al. 2020, 95 M parameters), random weights."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder, classify = Wav2Vec2Model(Wav2Vec2Config()).eval(), torch.nn.Linear(768, 8)

    @torch.inference_mode()
    def predict(waveform: Waveform) -> Any:
        states = encoder(torch.from_numpy(waveform)[None]).last_hidden_state  # [1, 199, 768]
        return classify(states.mean(dim=1)).softmax(dim=1).numpy()

    return predict


def opensmile_side(set_name: str) -> Side:
    """Return the functionals of one of openSMILE's feature sets (Eyben et al. 2010), by its Python package."""
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet[set_name], feature_level=opensmile.FeatureLevel.Functionals, num_workers=1
    )
    return lambda waveform: smile.process_signal(waveform, RATE).to_numpy()


def sides() -> dict[str, Side]:
    """Return every side that can be measured here, ours first."""
    found = {
        "ser-ravdess": our_side("ser-ravdess"),
        "ser-ravdess, without search": without_search("ser-ravdess"),
        "ser-voices": our_side("ser-voices"),
        "ser-voices, without search": without_search("ser-voices"),
    }
    if importlib.util.find_spec("opensmile") is not None:
        for name, size in (("eGeMAPSv02", 88), ("ComParE_2016", 6373)):
            found[f"openSMILE {name}, {size} functionals"] = opensmile_side(name)
    if importlib.util.find_spec("transformers") is not None:
        found["encoder of the size of wav2vec2-base"] = encoder_side()
    return found


def measure(waveforms: list[Waveform]) -> list[dict[str, Any]]:
    """Return a row a side: median milliseconds, and the medians of how many times as long as `ser-voices` it takes."""
    work = sides()
    measured: dict[str, list[float]] = {name: [] for name in work}
    for predict in work.values():
        for _ in range(SPARES):
            predict(waveforms[0])
    for waveform in waveforms:
        for name, predict in work.items():
            seconds, result = seconds_of(lambda predict=predict, waveform=waveform: predict(waveform))
            assert np.isfinite(result).all(), f"{name} has no answer for a recording"
            measured[name].append(seconds)

    def times_as_long(seconds: list[float], ours: str) -> float:
        return median(theirs / mine for theirs, mine in zip(seconds, measured[ours], strict=True))

    return [
        {
            "side": name,
            "ms": 1000 * median(seconds),
            "ratio": times_as_long(seconds, "ser-voices, without search"),
            "ratio_with_search": times_as_long(seconds, "ser-voices"),
        }
        for name, seconds in measured.items()
    ]


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    options = parser_of(__doc__ or "", count=40).parse_args()
    sounds = [soxr.resample(one, SAMPLE_RATE, RATE) for one in load_waveforms(options.root, options.count)]
    waveforms = [np.fromiter(cycle(one), dtype=np.float32, count=SECONDS * RATE) for one in sounds]
    with threadpool_limits(1):
        rows = measure(waveforms)
    print(f"{len(waveforms)} sounds of {SECONDS} s, one thread\n")
    print("| side | ms (median) | times as long as ser-voices without search | with search |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['side']} | {row['ms']:.1f} | {row['ratio']:.1f} | {row['ratio_with_search']:.1f} |")
    return rows


if __name__ == "__main__":
    main()
