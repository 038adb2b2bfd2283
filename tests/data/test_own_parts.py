"""The cache with feature groups and augmentations of one's own, from a module outside the package."""

import functools
import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser.audio.io import read_sound
from ser.augment.waveform import recording_rng
from ser.data.cache import prepare
from ser.data.fingerprint import fingerprint
from ser.data.recipe import Sample
from ser.errors import SettingsError
from ser.features.extract import extract, fit_length
from ser.features.groups import FeatureGroup
from tests.command_line import ROOT
from tests.prepared import RECIPE, entry_keys, prepare_here

SOURCE = """
import numpy as np
from ser.features.groups import FeatureGroup

def peak(analysis):
    return np.abs(analysis.power).max(axis=1)

GROUP = FeatureGroup("power", fast=peak)

def halve(waveform, *, sample_rate, rng):
    return waveform / 2

class Louder:
    def __init__(self, gain):
        self.gain = gain

    def __call__(self, waveform, *, sample_rate, rng):
        return (waveform * self.gain).astype(np.float32)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module outside the package, with a feature group and augmentations of one's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_parts.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("own_parts")
    del sys.modules["own_parts"]


def change_source(module):
    with Path(module.__file__).open("a") as file:
        file.write("# changed\n")


def with_group(group):
    return replace(RECIPE, features=replace(RECIPE.features, groups=("zcr", "own"), own_groups={"own": group}))


@pytest.mark.parametrize("workers", [1, 2])
def test_groups_and_augmentations_of_ones_own_fill_the_cache(recordings, own, tmp_path, workers):
    recipe = replace(with_group(own.GROUP), augment=own.Louder(0.5))
    asked = [Sample(recording=one, copy=copy) for copy in (0, 1) for one in recordings[:9]]
    prepared = prepare(asked, recipe, cache_dir=tmp_path / "cache", workers=workers)
    assert prepared.features.shape == (18, 2, 60)
    np.testing.assert_allclose(prepared.features[9:, 1], prepared.features[:9, 1] / 4, rtol=1e-3)  # a power
    waveform = read_sound(recordings[0].path, sample_rate=22050).waveform
    expected = fit_length(extract(waveform, recipe.features), 60)
    np.testing.assert_allclose(prepared.features[0], expected, rtol=1e-5, atol=1e-5)


def test_an_augmentation_of_ones_own_gets_the_seeded_generator_of_each_copy(recordings, tmp_path):
    asked = [Sample(recording=recordings[0], copy=copy) for copy in (0, 1, 2)]
    prepared = prepare_here(asked, tmp_path, replace(RECIPE, augment=scale_by_chance))
    plain, *copies = prepared.features[:, 1]  # the root mean square
    for copy, values in enumerate(copies, start=1):
        drawn = recording_rng(seed=7, name=recordings[0].id, copy=copy).uniform()
        np.testing.assert_allclose(values, drawn * plain, rtol=1e-3, atol=1e-6)


def scale_by_chance(waveform, *, sample_rate, rng):
    assert sample_rate == 22050
    return (waveform * rng.uniform()).astype(np.float32)


def test_the_source_of_a_group_of_ones_own_is_in_the_key(samples, own, cache_dir, made):
    chosen, recipe = [samples[0], samples[12]], with_group(own.GROUP)
    for _ in range(2):
        prepare_here(chosen, cache_dir, recipe)
        assert made == chosen
    change_source(own)
    for _ in range(2):
        prepare_here(chosen, cache_dir, recipe)
        assert made == chosen * 2


def test_the_source_of_an_augmentation_of_ones_own_is_in_the_key_of_copies(samples, own, cache_dir, made):
    chosen, copy = [samples[0], samples[12]], samples[12]
    for recipe in (own.halve, own.Louder(0.5), own.Louder(0.25)):  # its values too
        prepare_here(chosen, cache_dir, replace(RECIPE, augment=recipe))
    assert made == [copy] * 3
    prepare_here(chosen, cache_dir, replace(RECIPE, augment=own.Louder(0.25)))
    assert made == [copy] * 3
    change_source(own)
    prepare_here(chosen, cache_dir, replace(RECIPE, augment=own.Louder(0.25)))
    assert made == [copy] * 4


def test_the_source_of_what_lies_beside_is_in_the_key(samples, own, monkeypatch):
    beside = Path(own.__file__).with_name("own_helpers.py")
    beside.write_text("GAIN = 1\n")
    monkeypatch.setitem(sys.modules, "own_helpers", importlib.import_module("own_helpers"))

    def key():
        return entry_keys(samples[:1], with_group(own.GROUP))[0]

    before = key()
    assert key() == before
    beside.write_text("GAIN = 2\n")
    assert key() != before


def test_other_settings_of_the_same_name_have_other_keys(samples, own):
    """Two groups of the same name, from one module."""
    recipes = [with_group(own.GROUP), with_group(replace(own.GROUP, fast=own.halve))]
    assert len({entry_keys(samples[:1], recipe)[0] for recipe in recipes}) == 2


@pytest.mark.parametrize("kind", ["lambda", "local"])
def test_what_workers_cannot_be_given_is_refused(samples, tmp_path, kind):
    def local(waveform, *, sample_rate, rng):
        return waveform

    change = local if kind == "local" else lambda waveform, sample_rate, rng: waveform
    recipes = {
        "augment": replace(RECIPE, augment=change),
        r"features\.own_groups\.own": with_group(FeatureGroup("1", fast=change)),
    }
    for key, recipe in recipes.items():
        with pytest.raises(
            SettingsError, match=rf"^{key} cannot be sent to worker processes .*; make it of functions"
        ) as caught:
            prepare_here(samples[:1], tmp_path, recipe)
        assert "0x" not in str(caught.value)


class Spoilt:
    """An augmentation that returns whatever it is made with."""

    def __init__(self, value):
        self.value = value

    def __call__(self, waveform, *, sample_rate, rng):
        return self.value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "None"),
        (np.zeros(0), r"an array of shape \[0\]"),
        (np.zeros((2, 400)), r"an array of shape \[2, 400\]"),
        (np.full(400, np.nan), r"an array of shape \[400\] with values that are not finite"),
        ("loud", "str"),
        (0.5, "float"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_augmentation_that_returns_no_waveform_is_named(value, found, recordings, tmp_path):
    copy = Sample(recording=recordings[0], copy=1)
    sentence = rf"^augment is tests\.data\.test_own_parts\.Spoilt, which returned {found}, but should return a waveform"
    with pytest.raises(SettingsError, match=sentence) as caught:
        prepare_here([copy], tmp_path, replace(RECIPE, augment=Spoilt(value)))
    assert isinstance(caught.value.__cause__, ValueError) == isinstance(value, str)


def nothing(waveform, gain, *, sample_rate, rng):
    return None


def test_a_function_with_its_settings_bound_is_named_too(recordings, tmp_path):
    copy = Sample(recording=recordings[0], copy=1)
    with pytest.raises(SettingsError, match=r"^augment is tests\.data\.test_own_parts\.nothing, which returned None,"):
        prepare_here([copy], tmp_path, replace(RECIPE, augment=functools.partial(nothing, gain=2)))


HASHED = """
import sys
sys.path.insert(0, sys.argv[1])
import own_parts
from ser.data.fingerprint import fingerprint
own = own_parts.Louder({"one", "two", "three", frozenset({"four", "five"})})
print(fingerprint(own, where="augment"), end="")
"""


def test_the_key_of_a_set_is_the_same_in_every_process(own):
    folder = str(Path(own.__file__).parent)
    digests = {
        subprocess.run(
            [sys.executable, "-c", HASHED, folder], env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(digests) == 1
    of_one, of_other = (
        fingerprint(own.Louder(members), where="augment") for members in ({"one", "two"}, {"one", "three"})
    )
    assert of_one != of_other
