"""The settings of features: what is refused, and the names and places of the rows."""

from dataclasses import replace

import pytest

from ser.errors import SettingsError
from ser.features.groups import GROUPS, FeatureGroup
from ser.features.settings import FeatureSettings, feature_names, rows_of
from ser.features.validation import as_plain, read_settings


def refuse_all(settings):
    raise SettingsError(f"n_mels is {settings.n_mels}, but should be 7.")


OWN = {
    "bins": FeatureGroup("power", lambda settings: settings.n_mels // 2, fast=lambda analysis: analysis.power.T),
    "picky": FeatureGroup("1", check=refuse_all, fast=lambda analysis: analysis.power[:, 0]),
    "librosas": FeatureGroup("1", librosa=lambda analysis: analysis.mel[0]),
}


def test_default_rows():
    settings = FeatureSettings()
    assert settings.n_features == 187
    names = feature_names(settings)
    firsts = {"mfcc_0": 0, "delta_0": 13, "delta2_0": 26, "chroma_0": 39, "mel_0": 51, "zcr": 179, "contrast_0": 180}
    assert {name: names.index(name) for name in firsts} == firsts
    assert names[186] == "contrast_6"
    assert rows_of(settings)["mel"] == slice(51, 179)
    assert settings.duration == pytest.approx(5.0155, abs=1e-4)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_names_its_rows(group):
    settings = FeatureSettings(groups=("zcr", group) if group != "zcr" else ("zcr",))
    names = feature_names(settings)
    rows = rows_of(settings)[group]
    assert len(set(names)) == len(names) == settings.n_features == rows.stop
    assert all(name == group or name.startswith(f"{group}_") for name in names[rows])
    assert GROUPS[group].unit


def test_groups_of_ones_own_have_rows_and_names():
    settings = FeatureSettings(groups=("zcr", "bins", "rms"), n_mels=6, own_groups=OWN)
    assert feature_names(settings) == ("zcr", "bins_0", "bins_1", "bins_2", "rms")
    assert rows_of(settings)["rms"] == slice(4, 5)
    assert (settings.n_features, settings.needs_librosa) == (5, False)
    assert replace(settings, groups=("librosas",)).needs_librosa
    assert replace(settings, n_mels=8).n_features == 6  # a changed copy knows them too


def test_groups_of_ones_own_are_in_no_file():
    settings = FeatureSettings(groups=("zcr", "bins"), own_groups=OWN)
    plain = as_plain(settings)
    assert "own_groups" not in plain
    with pytest.raises(SettingsError, match=r"groups has 'bins'; .*feature_groups=\{'bins': <its FeatureGroup>\}"):
        read_settings(FeatureSettings, plain, where="features")
    assert read_settings(FeatureSettings, plain | {"own_groups": OWN}, where="features") == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 0}, "max_length is 0"),
        ({"n_fft": 2047}, "n_fft is 2047"),
        ({"n_mfcc": 129}, "n_mfcc is 129"),
        ({"groups": ()}, r"groups is \(\), but should be a list of at least 1"),
        ({"groups": ("mfcc", "croma")}, "groups has 'croma'; .*; did you mean 'chroma'"),
        ({"groups": ("mel", "mel")}, "groups names 'mel' more than once"),
        ({"groups": ("stft",)}, "groups has 'stft'; .*; known are mfcc, delta"),  # librosa's, but no group
        ({"tuning": 0.6}, "tuning is 0.6"),
        ({"level_db": 6.0}, "level_db is 6.0, but should be at most 0"),
        ({"backend": "numpy"}, "backend is 'numpy'; known are fast, librosa"),
        ({"backend": "librosa", "groups": ("mel", "pitch")}, "backend is 'librosa', which has no 'pitch'"),
        ({"n_chroma": 24, "groups": ("chroma_cens",)}, "n_chroma is 24, but a constant-Q chroma needs a divisor of 36"),
        ({"sample_rate": 8000, "groups": ("tonnetz",)}, "sample_rate is 8000, but a constant-Q chroma needs above"),
        ({"sample_rate": 8000}, "n_bands is 6.*6400 Hz"),
        ({"n_fft": 128}, "n_fft is 128"),
        (
            {"n_fft": 512, "groups": ("pitch",)},
            "n_fft is 512, but a pitch of 60 Hz needs two periods: give 735 or more",
        ),
        ({"own_groups": {"mel": OWN["bins"]}}, "own_groups.mel is the name of a group of this package; give another"),
        ({"own_groups": {"bins": print}}, "own_groups.bins is <built-in function print> and no FeatureGroup"),
        ({"own_groups": OWN, "groups": ("bin",)}, "groups has 'bin'; .*features.own_groups.bin; did you mean 'bins'"),
        ({"own_groups": OWN, "groups": ("picky",)}, "n_mels is 128, but should be 7"),
        ({"own_groups": OWN, "groups": ("bins",), "backend": "librosa"}, "backend is 'librosa', which has no 'bins'"),
        # A stranger's model could fill the memory with these, or not come to an end.
        ({"sample_rate": 192_001}, "sample_rate is 192001, but should be at most 192000"),
        ({"n_fft": 2**40}, "n_fft is 1099511627776, but should be at most 65536"),
        ({"hop_length": 2**40}, "hop_length is 1099511627776, but should be at most 65536"),
        ({"n_mfcc": 1025, "n_mels": 1025}, "n_mfcc is 1025, but should be at most 1024"),
        ({"n_mels": 1025}, "n_mels is 1025, but should be at most 1024"),
        ({"n_chroma": 1025}, "n_chroma is 1025, but should be at most 1024"),
        ({"n_bands": 10**9}, "n_bands is 1000000000, but should be at most 16"),
        ({"max_length": 30_001}, "max_length is 30001, but should be at most 30000"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(SettingsError, match=rf"^FeatureSettings\.{message}"):
        FeatureSettings(**changes)
