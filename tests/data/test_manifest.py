"""The data of a run from a manifest: labels of any words, parts of files, speakers that are not known."""

import numpy as np
import pytest
import soundfile

from ser.augment.waveform import AugmentSettings
from ser.corpora.selection import DataSettings
from ser.data.datamodule import EmotionData, format_split
from ser.data.recipe import Recipe, Sample
from ser.features.settings import FeatureSettings
from tests.prepared import entry_keys

FEATURES = FeatureSettings(groups=("zcr", "rms"), max_length=60)


@pytest.fixture
def data_of(tmp_path):
    """Return a function from the rows of a manifest to its data; noise.wav lasts 12 s and gets louder."""
    noise = np.random.default_rng(0).normal(size=12 * 16000) * np.linspace(0.01, 0.2, 12 * 16000)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)

    def build(head, rows, **data):
        (tmp_path / "labels.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
        made = EmotionData(
            DataSettings(corpus="manifest", manifest=str(tmp_path / "labels.csv"), channel="speech", workers=1, **data),
            features=FEATURES,
            augment=AugmentSettings(),
            data_dir=tmp_path,
            cache_dir=tmp_path / "cache",
            seed=0,
        )
        made.setup()
        return made

    return build


def rows_of_parts(n, *, speakers):
    labels = ("très bien", "sad", "amused")
    return [f"noise.wav,{labels[k % 3]},{speakers[k % len(speakers)]},{k},{k + 1}" for k in range(n)]


def test_parts_of_one_file_are_samples_of_their_own(data_of):
    data = data_of("file,emotion,speaker,start,end", rows_of_parts(12, speakers=["a", "b", "c", ""]), test_size=0.25)
    assert data.class_names == ("sad", "amused", "très bien")
    train = data.prepared["train"]
    originals = [(s.recording, f) for s, f in zip(train.samples, train.features, strict=True) if not s.copy]
    assert len(originals) == 9
    loudness = [(recording.start, float(features[1, :20].mean())) for recording, features in originals]
    assert sorted(loudness) == sorted(loudness, key=lambda pair: pair[1])  # each its own second
    *_, labels = data.tensors("train")
    assert [data.class_names[label] for label in labels] == [s.recording.emotion for s in train.samples]


def test_the_split_and_the_groups_do_without_speakers(data_of):
    data = data_of("file,emotion,speaker,start,end", rows_of_parts(12, speakers=[""]), test_size=0.25)
    first = format_split(data.split).splitlines()[1]
    assert first.startswith("noise.wav[")
    assert first.endswith(",speech,,,train")
    samples = data.prepared["train"].samples
    groups = data.groups("train").tolist()
    assert len(set(groups)) == len({sample.recording.id for sample in samples}) == 9
    assert groups[:9] == groups[9:]  # a copy is of the group of its recording


def test_the_key_of_a_part_is_its_own_and_that_of_a_whole_recording_does_not_say_so(data_of):
    data = data_of("file,emotion,speaker,start,end", rows_of_parts(12, speakers=["a"]), test_size=0.25)
    recipe = Recipe(features=FEATURES, augment=AugmentSettings(), augment_seed=0)
    parts = [Sample(recording=recording) for recording in data.split.train]
    assert len(set(entry_keys(parts, recipe))) == 9


def test_a_part_that_cannot_be_read_leaves_the_others(data_of):
    rows = [*rows_of_parts(12, speakers=["a"]), "noise.wav,sad,a,40,41"]
    data = data_of("file,emotion,speaker,start,end", rows, split="all")
    assert len(data.prepared["train"].failures) == 1
    assert sum(not sample.copy for sample in data.prepared["train"].samples) == 12
    assert [str(path).endswith("noise.wav") for path in data.failures] == [True]
