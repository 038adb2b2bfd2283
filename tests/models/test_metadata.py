"""What a stranger may write into the metadata of a model, and what comes of it: one short sentence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser.errors import CheckpointError
from ser.features.groups import FeatureGroup
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain
from ser.models.metadata import read_metadata

PATH = Path("stranger.json")


def lists_of_lists(depth):
    value = "word"
    for _ in range(depth):
        value = [value] * 10
    return value


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def cyclic():
    value = []
    value.append(value)
    return value


def refuse(values):
    with pytest.raises(CheckpointError, match=r"stranger\.json") as refused:
        read_metadata(values, PATH)
    assert len(str(refused.value)) < 400
    return str(refused.value)


@pytest.mark.parametrize("entry", ["protocol", "configuration", "class_names", "format", "temperature"])
@pytest.mark.parametrize(
    "value",
    [lists_of_lists(9), nested(100), cyclic(), list(range(200_000)), {"a": lists_of_lists(9)}],
    ids=["lists of lists", "deep", "cyclic", "long", "mapping"],
)
def test_many_values_and_deep_ones_are_refused_unread(tiny_metadata, entry, value):
    assert "too many values, or too deep ones" in refuse(as_plain(tiny_metadata) | {entry: value})


@pytest.mark.parametrize("entry", ["protocol", "temperature", "format", "corpus_root"])
@pytest.mark.parametrize(
    "value",
    [10**400, 2**63, -(2**63) - 1, "x" * 10_001, "\ud800", np.zeros(3), b"bytes", print],
    ids=["400 digits", "64 bits", "negative", "long text", "surrogate", "array", "bytes", "function"],
)
def test_values_that_are_too_large_or_not_plain_are_refused(tiny_metadata, entry, value):
    assert "too large, or no plain ones" in refuse(as_plain(tiny_metadata) | {entry: value})
    assert "too large, or no plain ones" in refuse(as_plain(tiny_metadata) | {"configuration": {"a": [value]}})


def test_keys_are_held_to_the_same(tiny_metadata):
    assert "too large, or no plain ones" in refuse(as_plain(tiny_metadata) | {"x" * 10_001: 1})


def test_a_long_message_is_cut(tiny_metadata):
    refuse(as_plain(tiny_metadata) | {"class_names": ["x" * 9_000]})


def test_what_a_description_may_hold_is_read(tiny_metadata):
    values = as_plain(tiny_metadata) | {
        "scored_recordings": [f"03-01-01-01-01-01-{k:04d}" for k in range(2_452)],
        "configuration": {"seed": 2**63 - 1, "lowest": -(2**63), "text": "x" * 10_000, "deep": nested(25)},
    }
    assert read_metadata(values, PATH).configuration == values["configuration"]


def test_groups_of_ones_own_are_handed_in_and_never_read(tiny_metadata):
    own = {"peak": FeatureGroup("full scale: 1", fast=lambda analysis: analysis.waveform[:1])}
    features = FeatureSettings(groups=("zcr", "peak"), own_groups=own)
    metadata = replace(tiny_metadata, features=features)
    values = as_plain(metadata)
    assert "own_groups" not in values["features"]
    assert read_metadata(values, PATH, own) == metadata
    assert "groups has 'peak'" in refuse(values)
    strangers = values | {"features": values["features"] | {"own_groups": {"peak": {"unit": "1"}}}}
    assert "own_groups.peak is {'unit': '1'} and no FeatureGroup" in refuse(strangers)
    assert read_metadata(strangers, PATH, own) == metadata  # what is handed in counts


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("utterance_head", "forest", "utterance_head is 'forest'; known are linear, kernel"),
        ("fusion_weight", 1.0, "fusion_weight is 1.0, but should be below 1"),
    ],
)
def test_a_bad_head_is_refused(tiny_metadata, entry, value, message):
    assert message in refuse(as_plain(tiny_metadata) | {entry: value})
