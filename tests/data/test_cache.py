import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.io import read_sound
from ser.augment.waveform import AugmentSettings, augment, recording_rng
from ser.data import cache as preparation
from ser.data.cache import prepare, read_entry, write_entry
from ser.data.files import waiting_lock
from ser.data.recipe import Sample
from ser.errors import AudioError
from ser.features.extract import extract
from ser.features.settings import FeatureSettings
from tests.prepared import RECIPE, entry_keys, prepare_here

VALUES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def entries(cache_dir):
    return sorted(cache_dir.rglob("??/*.features"))


def test_features_are_those_of_the_sound_and_of_its_seeded_copy(filled, samples):
    prepared = filled[1]
    assert prepared.samples == tuple(samples)
    assert prepared.failures == {}
    assert prepared.features.shape == (24, 15, 60)
    assert prepared.features.dtype == np.float32
    for row in (0, 5, 12, 23):
        recording, copy = samples[row].recording, samples[row].copy
        waveform = read_sound(recording.path, sample_rate=22050).waveform
        if copy:
            rng = recording_rng(seed=7, name=recording.id, copy=copy)
            waveform = augment(waveform, RECIPE.augment, sample_rate=22050, rng=rng)
        expected = np.zeros((15, 60), dtype=np.float32)
        whole = extract(waveform, RECIPE.features)[:, :60]
        expected[:, : whole.shape[1]] = whole
        np.testing.assert_allclose(prepared.features[row], expected, rtol=1e-5, atol=1e-5)
        assert prepared.lengths[row] == whole.shape[1]


@pytest.mark.parametrize("many", [2, 10_000])
def test_many_recordings_are_made_by_compiled_loops(samples, filled, tmp_path, monkeypatch, many):
    loaded = []
    monkeypatch.setattr(preparation, "load_compiled", lambda: loaded.append(True))
    monkeypatch.setattr(preparation, "MANY_RECORDINGS", many)
    prepared = prepare_here(samples, tmp_path)
    assert bool(loaded) == (many == 2)
    np.testing.assert_array_equal(prepared.features, filled[1].features)


def test_a_full_cache_makes_nothing_and_gives_the_same(filled, samples, cache_dir, made):
    again = prepare_here(samples, cache_dir)
    np.testing.assert_array_equal(again.features, filled[1].features)
    np.testing.assert_array_equal(again.lengths, filled[1].lengths)
    assert made == []


def test_what_another_job_makes_while_this_one_waits_is_not_made_again(samples, tmp_path, made, monkeypatch):
    of_this_one = []

    @contextmanager
    def after_the_other(path):
        monkeypatch.setattr(preparation, "waiting_lock", waiting_lock)
        prepare_here(samples, tmp_path)
        of_this_one.append(len(made))
        with waiting_lock(path):
            yield

    monkeypatch.setattr(preparation, "waiting_lock", after_the_other)
    prepared = prepare_here(samples, tmp_path)
    assert of_this_one == [len(made)]
    assert made
    assert len(prepared.samples) == len(samples)
    assert prepared.lengths.all()


def flip(path):
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(flipped)


def write_other_features(path):
    """Whole, and with the right checksum: by whom it was written there, nobody knows."""
    write_entry(path, read_entry(path)[:-1])


def leave_half(path):
    """As a run that was killed."""
    path.replace(path.with_name(f".{path.name}.0a0b0c0d.partial"))


@pytest.mark.parametrize("spoil", [flip, write_other_features, leave_half])
def test_spoilt_entries_are_made_again(filled, samples, cache_dir, made, spoil):
    for path in entries(cache_dir)[::2]:
        spoil(path)
    again = prepare_here(samples, cache_dir)
    np.testing.assert_array_equal(again.features, filled[1].features)
    assert len(made) == 12
    for path in entries(filled[0]):
        assert (cache_dir / path.relative_to(filled[0])).read_bytes() == path.read_bytes()


def test_other_lengths_share_the_entries(filled, samples, cache_dir, made):
    shorter = replace(RECIPE, features=replace(RECIPE.features, max_length=20))
    longer = replace(RECIPE, features=replace(RECIPE.features, max_length=500))
    narrow = prepare_here(samples, cache_dir, shorter)
    np.testing.assert_array_equal(narrow.features, filled[1].features[:, :, :20])
    wide = prepare_here(samples, cache_dir, longer)
    np.testing.assert_array_equal(wide.features[:, :, :60], filled[1].features)
    for row, length in enumerate(wide.lengths):
        assert wide.features[row, :, length - 1].any()
        assert not wide.features[row, :, length:].any()
    np.testing.assert_array_equal(filled[1].lengths, wide.lengths.clip(max=60))
    np.testing.assert_array_equal(narrow.lengths, wide.lengths.clip(max=20))
    assert made == []


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, augment_seed=8),
        replace(RECIPE, augment=AugmentSettings(noise_factor=0.5, min_steps=4, max_steps=4)),
    ],
)
def test_other_augmentation_changes_the_copies_alone(filled, samples, cache_dir, made, other):
    prepared = prepare_here(samples, cache_dir, other)
    np.testing.assert_array_equal(prepared.features[:12], filled[1].features[:12])
    assert {sample.copy for sample in made} == {1}
    assert (prepared.features[12:] != filled[1].features[12:]).any(axis=(1, 2)).all()


def test_copies_of_one_recording_differ(recordings, tmp_path):
    several = [Sample(recording=recordings[0], copy=copy) for copy in (1, 2, 3)]
    assert len(np.unique(prepare_here(several, tmp_path).features, axis=0)) == 3


def test_an_offset_of_the_microphone_changes_no_feature(recordings, tmp_path):
    """Prediction takes it off, so training does."""
    waveform, rate = soundfile.read(recordings[0].path, dtype="float32")
    shifted = replace(recordings[0], path=tmp_path / "shifted.wav")
    soundfile.write(shifted.path, waveform - waveform.mean() + 0.1, rate, subtype="FLOAT")
    recipe = replace(RECIPE, features=replace(RECIPE.features, groups=("zcr", "rms")))
    plain, other = (
        prepare_here([Sample(recording=one)], tmp_path, recipe).features for one in (recordings[0], shifted)
    )
    np.testing.assert_allclose(other[:, 1], plain[:, 1], atol=1e-4)
    np.testing.assert_allclose(other[:, 0].mean(), plain[:, 0].mean(), atol=0.01)


def test_other_features_and_other_sound_are_made_anew(samples, recordings, cache_dir, made, tmp_path):
    prepare_here(samples[:2], cache_dir, replace(RECIPE, features=replace(RECIPE.features, n_mels=64)))
    assert len(made) == 2
    louder = tmp_path / recordings[0].path.name
    sound, rate = soundfile.read(recordings[0].path)
    soundfile.write(louder, 0.5 * sound, rate)
    prepare_here([Sample(recording=replace(recordings[0], path=louder))], cache_dir)
    assert len(made) == 3


def test_a_recording_elsewhere_shares_its_entries(filled, samples, cache_dir, made, tmp_path):
    moved = Path(shutil.copy(samples[0].recording.path, tmp_path))
    asked = [replace(sample, recording=replace(sample.recording, path=moved)) for sample in (samples[0], samples[12])]
    prepared = prepare_here(asked, cache_dir)
    np.testing.assert_array_equal(prepared.features, filled[1].features[[0, 12]])
    assert made == []


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_recordings_are_left_out_whatever_the_workers(filled, recordings, tmp_path, workers):
    bad = tmp_path / f"{recordings[1].id}.wav"
    bad.write_text("words")
    mixed = [recordings[0], replace(recordings[1], path=bad), *recordings[2:10]]
    asked = [Sample(recording=r, copy=copy) for copy in (0, 1) for r in mixed]
    prepared = prepare(asked, RECIPE, cache_dir=tmp_path / "cache", workers=workers)
    assert [one.path for one in prepared.failures] == [bad]
    assert str(bad) in next(iter(prepared.failures.values()))
    assert prepared.samples == tuple(sample for sample in asked if sample.recording.path != bad)
    kept = [row + copy for copy in (0, 12) for row in range(10) if row != 1]
    np.testing.assert_array_equal(prepared.features, filled[1].features[kept])
    np.testing.assert_array_equal(prepared.lengths, filled[1].lengths[kept])


def test_the_shortest_recording_can_be_stretched_shorter_yet(recordings, tmp_path):
    short = tmp_path / f"{recordings[0].id}.wav"
    soundfile.write(short, np.random.default_rng(0).normal(0, 0.1, 4410), 22050)
    faster = AugmentSettings(stretch_low=2.0, stretch_high=2.0, min_steps=4, max_steps=4)
    recipe = replace(RECIPE, augment=faster, features=FeatureSettings(groups=("mfcc", "delta", "delta2")))
    asked = [Sample(recording=replace(recordings[0], path=short), copy=1)]
    prepared = prepare_here(asked, tmp_path / "cache", recipe)
    assert prepared.failures == {}
    assert np.isfinite(prepared.features).all()
    assert prepared.features.any()


@pytest.mark.parametrize("copies", [1, 2])
def test_nothing_readable_is_refused(recordings, tmp_path, copies):
    bad = [replace(recording, path=tmp_path / recording.path.name) for recording in recordings[:3]]
    for recording in bad:
        recording.path.write_text("words")
    asked = [Sample(recording=recording, copy=copy) for copy in range(copies) for recording in bad]
    with pytest.raises(AudioError, match="None of 3 recordings could be read") as refused:
        prepare_here(asked, tmp_path)
    assert str(bad[0].path) in str(refused.value)


def test_an_entry_that_cannot_be_read_back_is_an_error(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "write_entry", lambda path, features: None)
    with pytest.raises(AudioError, match=r"could not be read back from .*\.features; is the disk full"):
        prepare_here(samples[:1], tmp_path)


def test_a_recording_and_its_copies_are_decoded_once(samples, tmp_path, monkeypatch):
    decoded = []

    def remember(path, *, sample_rate):
        decoded.append(path)
        return read_sound(path, sample_rate=sample_rate)

    monkeypatch.setattr("ser.corpora.sound.read_sound", remember)
    prepare_here(samples, tmp_path)
    assert sorted(decoded) == sorted({sample.recording.path for sample in samples})


@pytest.mark.parametrize("library", [*preparation._LIBRARIES, "librosa"])
def test_the_version_of_a_library_matters_where_it_is_used(samples, monkeypatch, library):
    recipes = RECIPE, replace(RECIPE, features=replace(RECIPE.features, backend="librosa"))
    before = [entry_keys(samples[:1], recipe) for recipe in recipes]
    version = preparation.version
    monkeypatch.setattr(preparation, "version", lambda name: "0.0.1" if name == library else version(name))
    after = [entry_keys(samples[:1], recipe) for recipe in recipes]
    assert (before[0] == after[0], before[1] == after[1]) == (library == "librosa", False)


def test_entries_of_other_code_are_made_anew(samples, cache_dir, made, monkeypatch, tmp_path):
    sources = Path(preparation.__file__).parents[1]
    for name in preparation._CODE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_bytes((sources / f"{name}.py").read_bytes())
    monkeypatch.setattr(preparation, "__file__", str(tmp_path / "data" / "cache.py"))
    prepare_here(samples[:2], cache_dir)
    assert made == []  # the same code elsewhere
    for times, name in enumerate(preparation._CODE, start=1):
        with (tmp_path / f"{name}.py").open("a") as file:
            file.write("# changed\n")
        prepare_here(samples[:2], cache_dir)
        assert made == samples[:2] * times


def test_entries_depend_on_all_code_that_makes_them():
    code = """
import sys, numpy as np, ser.features.extract, ser.features.pipeline
from ser.augment.waveform import AugmentSettings, augment
from ser.features.compiled import load_compiled
every_change = AugmentSettings(min_steps=4, max_steps=4)
load_compiled()
augment(np.ones(4096, dtype=np.float32), every_change, sample_rate=22050, rng=np.random.default_rng(0))
print(*(name.removeprefix("ser.") for name in sys.modules if name.count(".") == 2 and name.startswith("ser.")))
"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    # Settings are checked, and speech is searched for, without a change to a feature of training.
    others = {"features.validation", "audio.voice_activity", "audio.utterances", "audio.silero"}
    assert {name.replace("/", ".") for name in preparation._CODE} == set(loaded) - others


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "ab" / "cd.features"
    write_entry(path, VALUES)
    return path


def test_an_entry_is_read_as_it_was_written(entry):
    np.testing.assert_array_equal(read_entry(entry), VALUES)
    write_entry(entry, VALUES[:, ::2].T)  # neither contiguous nor of the same shape
    np.testing.assert_array_equal(read_entry(entry), VALUES[:, ::2].T)


def test_what_is_no_whole_entry_is_none(entry):
    whole = entry.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :] for at in range(len(whole))]
    cut = [whole[:length] for length in range(len(whole))]
    for content in (*flipped, *cut, whole + b"\0", b"these are words and no features at all", bytes(1000)):
        entry.write_bytes(content)
        assert read_entry(entry) is None, content
    entry.unlink()
    assert read_entry(entry) is None
