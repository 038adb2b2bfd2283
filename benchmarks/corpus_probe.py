"""How well a linear layer tells the corpus from a model's embedding, with and without codec changes.

    python benchmarks/corpus_probe.py MODEL ravdess=FOLDER cremad=FOLDER mine=labels.csv ...

A model that can tell which corpus a recording is of has learnt microphones and codecs that say nothing of emotion. The
probe is a logistic regression with balanced classes, fitted to the summaries of a model that takes speaker context;
five folds, speakers disjoint; up to 300 recordings of each corpus, drawn by a seed. It is printed for functionals and
embedding, for recordings unchanged, and for recordings that have all passed Opus at one rate of compression.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser import Predictor
from ser.audio.io import read_sound
from ser.audio.levels import without_offset
from ser.augment.waveform import code_by_opus
from ser.corpora.manifest import Recording
from ser.corpora.progress import track
from ser.corpora.selection import DataSettings
from ser.corpora.several import locate_corpora, read_corpora
from ser.errors import AudioError
from ser.features.pipeline import network_input, preprocess
from ser.models.functionals import N_FUNCTIONALS

_COMPRESSION = 0.8
_N_FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a name, a file or the folder of a run")
    parser.add_argument("corpora", nargs="+", help="name=folder or name=manifest")
    parser.add_argument("--each", type=int, default=300, help="recordings of a corpus, at most")
    given = parser.parse_args()
    predictor = Predictor.load(given.model)
    if not predictor.metadata.context:
        sys.exit(f"{given.model} takes no speaker context, so it has no summaries to probe; name another model.")
    places = dict(one.split("=", 1) for one in given.corpora)
    data = DataSettings(corpora=places, channel="speech", download=False)
    recordings = drawn(read_corpora(data, locate_corpora(data, data_dir=Path("data"))), each=given.each)
    corpora = np.array([one.corpus for one in recordings])
    speakers = np.array([one.speaker or one.id for one in recordings])
    print(
        f"{len(recordings)} recordings of {', '.join(places)}; UAR of telling the corpus, chance {1 / len(places):.3f}"
    )
    for name, coded in (("unchanged", False), (f"all coded by Opus, compression {_COMPRESSION}", True)):
        summaries = summaries_of(predictor, recordings, coded=coded)
        parts = {"functionals": summaries[:, :N_FUNCTIONALS], "embedding": summaries[:, N_FUNCTIONALS:]}
        scores = {part: probe(values, corpora, speakers) for part, values in parts.items()}
        print(f"{name}: " + ", ".join(f"{part} {score:.3f}" for part, score in scores.items()))


def drawn(recordings: Sequence[Recording], *, each: int) -> list[Recording]:
    """Return up to `each` recordings of every corpus, by a seed, in their order."""
    order, taken = np.random.default_rng(0).permutation(len(recordings)), dict[str, list[int]]()
    for place in order.tolist():
        taken.setdefault(recordings[place].corpus, []).append(place)
    return [recordings[place] for place in sorted(place for places in taken.values() for place in places[:each])]


def summaries_of(predictor: Predictor, recordings: Sequence[Recording], *, coded: bool) -> NDArray[np.float32]:
    """Return float32 [recordings, n_summary]."""
    settings, rows = predictor.metadata.features, []
    for recording in track(recordings, total=len(recordings), description="Summaries", unit="recordings"):
        try:
            waveform = without_offset(read_sound(recording.path, sample_rate=settings.sample_rate).waveform)
        except AudioError as error:
            sys.exit(str(error))
        if coded:
            waveform = code_by_opus(waveform, sample_rate=settings.sample_rate, compression=_COMPRESSION)
        features, length = network_input(preprocess(waveform, settings)[0], settings)
        rows.append(predictor.scorer(features[None], np.array([length])).summary[0])
    return np.stack(rows)


def probe(values: NDArray[np.float32], corpora: NDArray[np.str_], speakers: NDArray[np.str_]) -> float:
    """Return the mean recall of the corpora, of a logistic regression on speakers that it was not fitted to."""
    folds = StratifiedGroupKFold(n_splits=_N_FOLDS, shuffle=True, random_state=0)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    found = cross_val_predict(regression, values.astype(np.float64), corpora, groups=speakers, cv=folds)
    return float(balanced_accuracy_score(corpora, found))


if __name__ == "__main__":
    main()
