from collections import Counter
from contextlib import contextmanager
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from ser.augment.waveform import AugmentSettings
from ser.corpora.ravdess import EMOTIONS
from ser.corpora.reading import find_recordings
from ser.corpora.selection import DataSettings
from ser.data.datamodule import EmotionData
from ser.data.samplers import EpochBatchSampler
from ser.errors import AudioError, SettingsError
from ser.features.settings import FeatureSettings

FEATURES = FeatureSettings(groups=("zcr", "rms"), max_length=40)


@pytest.fixture(scope="module")
def build(tiny_corpus, tmp_path_factory):
    """Return a function from keys of the group data to an EmotionData of the tiny corpus; all share a cache."""
    folder = tmp_path_factory.mktemp("data")

    def build(*, root=tiny_corpus, seed=0, augment=None, **data):
        return EmotionData(
            DataSettings(root=None if root is None else str(root), workers=1, **data),
            features=FEATURES,
            augment=augment or AugmentSettings(),
            data_dir=folder / "data",
            cache_dir=folder / "cache",
            seed=seed,
        )

    return build


RANDOM = {"test_size": 0.4}
SPEAKER = {"split": "speaker", "validation_speakers": (2,), "test_speakers": (3,)}


@pytest.mark.parametrize("split", [RANDOM, SPEAKER, {"test_size": 0.4, "val_size": 0.4}])
def test_augmented_copies_stay_on_the_side_of_their_recording(build, split):
    data = build(**split, augment_count=2, oversample={"neutral": 1})
    data.setup()
    stems = {part: {s.recording.id for s in prepared.samples} for part, prepared in data.prepared.items()}
    assert sum(map(len, stems.values())) == len(set().union(*stems.values())) == 45
    for part, prepared in data.prepared.items():
        copies = Counter(sample.recording.emotion for sample in prepared.samples if sample.copy)
        originals = Counter(sample.recording.emotion for sample in prepared.samples if not sample.copy)
        extra = {emotion: 3 if emotion == "neutral" else 2 for emotion in EMOTIONS} if part == "train" else {}
        assert copies == Counter({emotion: n * extra.get(emotion, 0) for emotion, n in originals.items()})


@pytest.mark.parametrize(
    ("overlapping", "wrong"), [(None, {"neutral": set(), "sad": set()}), ({"neutral": ["calm"]}, None)]
)
def test_what_a_corpus_lacks_is_a_wrong_answer_as_the_settings_say(build, tiny_corpus, tmp_path, overlapping, wrong):
    known = [r for r in find_recordings(tiny_corpus) if r.emotion in ("neutral", "sad")]
    table = tmp_path / "mine.csv"
    table.write_text("file,emotion\n" + "".join(f"{r.path},{r.emotion}\n" for r in known))
    corpora = {"ravdess": str(tiny_corpus), "mine": str(table)}
    data = build(root=None, corpora=corpora, split="all", augment_count=0, overlapping_classes=overlapping)
    data.setup()
    absent = {*data.class_names} - {"neutral", "sad"}
    wrong = wrong or {"neutral": absent - {"calm"}, "sad": absent}
    for sample, allowed in zip(data.prepared["train"].samples, data.allowed("train").tolist(), strict=True):
        of_mine = sample.recording.corpus == "mine"
        expected = {"neutral", "sad"} | wrong[sample.recording.emotion] if of_mine else {*data.class_names}
        assert {name for name, is_allowed in zip(data.class_names, allowed, strict=True) if is_allowed} == expected


def test_test_actors_are_not_trained_on(build):
    data = build(**SPEAKER)
    data.setup()
    actors = {p: {s.recording.speaker for s in prepared.samples} for p, prepared in data.prepared.items()}
    assert actors == {"train": {"01"}, "validation": {"02"}, "test": {"03"}}


def test_the_scaler_sees_the_training_part_alone_with_its_copies(build):
    data = build(**RANDOM)
    data.setup()
    train = data.prepared["train"].features
    assert len(train) == 2 * len(data.split.train)
    expected = StandardScaler().fit(train.reshape(len(train), -1).astype(np.float64))
    np.testing.assert_allclose(data.scaler.mean_, expected.mean_, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(data.scaler.scale_, expected.scale_, rtol=1e-6)


def test_labels_number_the_chosen_classes_in_ravdess_order(build):
    data = build(**RANDOM, classes=("surprise", "angry", "calm"))
    data.setup()
    *_, labels = data.tensors("train")
    names = [sample.recording.emotion for sample in data.prepared["train"].samples]
    assert [("calm", "angry", "surprise")[label] for label in labels] == names
    assert labels.dtype == torch.int64


def test_groups_have_one_actor_emotion_and_channel(build):
    data = build(**RANDOM)
    data.setup()
    found = [sample.recording for sample in data.prepared["train"].samples]
    expected = [(one.speaker, one.emotion, one.channel) for one in found]
    groups = data.groups("train").tolist()
    assert len(set(expected)) == len(set(groups)) == len(set(zip(expected, groups, strict=True))) < len(groups)


def test_batches_of_an_epoch_hold_the_training_part(build):
    data = build(**RANDOM, batch_size=7)
    data.setup()
    features, lengths, labels = map(torch.cat, zip(*data.train_dataloader(), strict=True))
    order = list(chain.from_iterable(EpochBatchSampler(lengths, batch_size=7, seed=0)))
    for found, expected in zip((features, lengths, labels), data.tensors("train"), strict=True):
        assert torch.equal(found, expected[order])
    other = build(**RANDOM, batch_size=7, seed=1)
    other.setup()
    assert not torch.equal(torch.cat([label for *_, label in other.train_dataloader()]), labels)
    validation = torch.cat([feature for feature, *_ in data.val_dataloader()])
    assert torch.equal(validation, data.tensors("validation")[0])


def test_per_band_statistics_leave_out_the_padding_and_batches_end_with_it(build):
    data = build(**RANDOM, batch_size=7)
    data.per_band = True
    data.setup()
    train = data.prepared["train"]
    real = np.concatenate([one[:, :n] for one, n in zip(train.features, train.lengths, strict=True)], axis=1)
    np.testing.assert_allclose(data.scaler.mean_, real.mean(axis=1, dtype=np.float64), rtol=1e-5)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert all(features.shape[2] == lengths.max() for features, lengths, _ in loader)


@pytest.mark.parametrize("first", ["setup", "prepare_data"])
def test_a_second_setup_changes_nothing(build, first):
    data = build(**RANDOM)
    getattr(data, first)()
    prepared = data.prepared
    data.setup("fit")
    assert data.prepared is prepared


@pytest.mark.parametrize(("split", "part"), [(SPEAKER, "test"), (RANDOM, "validation")])
def test_without_a_test_part_the_validation_part_is_scored(build, split, part):
    data = build(**split)
    data.setup()
    for loader in (data.test_dataloader(), data.predict_dataloader()):
        for found, expected in zip(map(torch.cat, zip(*loader, strict=True)), data.tensors(part), strict=True):
            assert torch.equal(found, expected)


def trainer_of(*, rank=0, world_size=1, overfit_batches=0.0):
    """What the data ask a trainer for."""
    return SimpleNamespace(
        global_rank=rank,
        world_size=world_size,
        overfit_batches=overfit_batches,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )


def batches_of_epochs(data, part="train"):
    """Return the batches of two epochs; a sample is known by the sum of its features."""
    loader, epochs = getattr(data, f"{part}_dataloader")(), []
    for epoch in range(2):
        loader.batch_sampler.set_epoch(epoch)
        epochs.append([features.sum(dim=(1, 2)).tolist() for features, *_ in loader])
    return epochs


def test_processes_share_the_samples_of_every_part(build):
    data = build(**RANDOM, batch_size=7)
    data.setup()
    for part in ("train", "val"):
        data.trainer = None
        (whole, _), shares = batches_of_epochs(data, part), []
        for rank in range(2):
            data.trainer = trainer_of(rank=rank, world_size=2)
            shares.append(batches_of_epochs(data, part)[0])
        assert [len(batch) for batch in whole] == [len(a) + len(b) for a, b in zip(*shares, strict=True)]
        assert sorted(chain(*whole)) == sorted(chain(*chain(*shares)))
    data.trainer = trainer_of(world_size=20)  # the validation part has 18 samples
    with pytest.raises(SettingsError, match=r"^trainer\.devices is 20, but the validation part has 18 samples"):
        data.val_dataloader()


@pytest.mark.parametrize("overfit_batches", [0.0, 2])
def test_a_run_that_overfits_sees_the_same_batches_in_each_epoch(build, overfit_batches):
    data = build(**RANDOM, batch_size=7)
    data.setup()
    data.trainer = trainer_of(overfit_batches=overfit_batches)
    first, second = batches_of_epochs(data)
    assert (first == second) == bool(overfit_batches)


def test_processes_of_one_machine_fill_the_cache_one_after_another(build, monkeypatch):
    locked = []

    @contextmanager
    def lock(path):
        locked.append(path)
        yield

    monkeypatch.setattr("ser.data.datamodule.waiting_lock", lock)
    build(**RANDOM).setup()
    assert locked == []  # one process alone waits for nobody
    monkeypatch.setenv("LOCAL_RANK", "1")
    data = build(**RANDOM)
    data.setup()
    assert [path.parent for path in locked] == [data.cache_dir]


def read_two_emotions(root):
    """Read a corpus of one's own."""
    return (one for one in find_recordings(root) if one.emotion in ("calm", "sad"))


def test_a_corpus_of_ones_own_is_read_by_its_reader(build):
    data = build(**RANDOM, reader=read_two_emotions)
    data.setup()
    emotions = {one.emotion for part in (data.split.train, data.split.validation) for one in part}
    assert emotions == {"calm", "sad"}


def halve(waveform, *, sample_rate, rng):
    return waveform / 2


def test_an_augmentation_of_ones_own_makes_the_copies(build):
    data = build(**RANDOM, augment=halve)
    data.setup()
    features, n = data.prepared["train"].features, len(data.split.train)
    np.testing.assert_allclose(features[n:, 1], features[:n, 1] / 2, rtol=1e-5)  # the root mean square


def test_recordings_that_cannot_be_read_are_listed(build, tiny_corpus, tmp_path):
    files = sorted(tiny_corpus.rglob("*.wav"))
    root = tmp_path / "corpus"
    root.mkdir()
    for path in files:
        (root / path.name).symlink_to(path)
    spoilt = root / files[4].name
    spoilt.unlink()
    spoilt.write_text("words")
    data = build(root=root, **SPEAKER)
    data.setup()
    assert list(data.failures) == [spoilt]
    for path in root.iterdir():
        path.unlink()
        path.write_text("words")
    with pytest.raises(AudioError, match="recordings could be read"):
        build(root=root, **SPEAKER).setup()
