"""Arguments against signatures: names of any target, values of ours, what the program gives."""

from typing import Annotated

import pytest
import torch
from pydantic import Field

from ser.errors import SettingsError
from ser.features.signatures import accepted, check_arguments, check_keys
from ser.features.validation import FractionBelowOne, ListOf, Positive


class Foreign:
    """Of another package: its annotations are not read."""

    def __init__(self, n_classes, size: "no type at all" = 3, *, ratio: float = 0.5):  # noqa: F722
        raise AssertionError("was built")


def of_any_names(n_classes, **others):
    raise AssertionError("was called")


class Ours:
    def __init__(
        self,
        n_classes: int,
        *,
        width: Positive,
        sizes: Annotated[ListOf[Positive], Field(min_length=2)] = (1, 2),
        dropout: FractionBelowOne = 0.5,
        anything=None,
    ) -> None:
        raise AssertionError("was built")


def ours(n_classes: int, *, width: Positive, sizes: ListOf[Positive] = (), dropout: FractionBelowOne = 0.5) -> None:
    raise AssertionError("was called")


for one in (Ours, ours):
    one.__module__ = "ser.models.networks.made_up"  # values are checked for our own targets alone

GIVEN = ("n_classes",)


def refuse(target, values, message, *, given=GIVEN):
    with pytest.raises(SettingsError, match=rf"^model\.part\.{message}") as refused:
        check_arguments(target, values, where="model.part", given=given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("target", [Foreign, Foreign.__init__, Ours, ours])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dropuot", "dropuot is not a setting; (did you mean|known are)"),
        ("ratios", "ratios is not a setting"),
        ("n_classes", "n_classes is not a setting"),
        (3, "3 is not a setting"),
    ],
)
def test_names_are_checked_of_any_target(target, name, message):
    refuse(target, {"width": 3, name: 1} if target in (Ours, ours) else {name: 1}, message)


def test_the_nearest_name_is_the_remedy():
    refuse(Ours, {"width": 3, "dropuot": 0.5}, "dropuot is not a setting; did you mean 'dropout'")
    refuse(Foreign, {"rtio": 0.5}, "rtio is not a setting; did you mean 'ratio'")
    refuse(Foreign, {"zzz": 0.5}, "zzz is not a setting; known are size, ratio.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "width is 0, but should be at least 1"),
        ({"width": "3"}, "width is '3', but should be a whole number"),
        ({"width": 3, "dropout": 1}, "dropout is 1, but should be below 1"),
        ({"width": 3, "sizes": [1, 0]}, r"sizes\[1\] is 0, but should be at least 1"),
        ({"width": 3, "sizes": 5}, "sizes is 5, but should be a list"),
        ({"width": 3, "dropout": float("nan")}, "dropout is nan"),
    ],
)
@pytest.mark.parametrize("target", [Ours, ours])
def test_values_are_checked_of_ours(target, values, message):
    refuse(target, values, message)


def test_values_of_others_are_theirs_to_check():
    values = {"size": "many", "ratio": None}
    assert check_arguments(Foreign, values, where="model.part", given=GIVEN) == values


def test_the_result_has_the_values_that_were_given_and_no_default():
    values = {"width": 3, "sizes": [4, 5], "anything": {"a": [1]}}
    assert check_arguments(Ours, values, where="model.part", given=GIVEN) == {
        "width": 3,
        "sizes": (4, 5),
        "anything": {"a": [1]},
    }


def test_required_arguments_are_asked_for_unless_the_program_gives_them():
    refuse(Ours, {}, "width is missing")
    refuse(Foreign, {}, "n_classes is missing", given=())
    assert check_arguments(Foreign, {"n_classes": 3}, where="model.part") == {"n_classes": 3}
    assert check_arguments(Foreign, {}, where="model.part", given=GIVEN) == {}


def test_a_target_that_takes_any_name_gets_any():
    assert check_arguments(of_any_names, {"a": 1}, where="model.part", given=GIVEN) == {"a": 1}
    refuse(of_any_names, {"a": 1}, "n_classes is missing", given=())


def test_classes_written_in_c_take_what_they_are_given():
    """Some of them tell no signature."""
    for target in (dict, torch.Generator):
        assert check_arguments(target, {"device": "cpu"}, where="model.part") == {"device": "cpu"}
    assert accepted(dict, {"n_classes": 3}) == {}


def test_what_the_program_gives_is_cut_to_what_is_accepted():
    assert accepted(Foreign, {"n_classes": 3, "class_counts": [1, 2]}) == {"n_classes": 3}
    assert accepted(Ours, {"n_features": 3}) == {}


def test_keys_are_checked_in_their_order():
    check_keys(["a", "b"], ["b", "a", "c"], where="group")
    check_keys([], [], where="group")
    with pytest.raises(SettingsError, match=r"^group\.maxepochs is not a setting; did you mean 'max_epochs'\.$"):
        check_keys(iter(["max_epochs", "maxepochs", "z"]), iter(["max_epochs"]), where="group")


def test_what_a_class_hands_on_is_accepted_by_the_class_before():
    class Base:
        def __init__(self, n_classes, class_counts=None):
            pass

    class Own(Base):
        def __init__(self, gamma=2.0, **others):
            super().__init__(**others)

    class Closed(Base):
        def __init__(self, gamma=2.0):
            super().__init__(3)

    values = {"gamma": 1.0, "class_counts": [1, 2], "num_classes": 2}
    assert accepted(Own, values) == {"gamma": 1.0, "class_counts": [1, 2]}
    assert accepted(Closed, values) == {"gamma": 1.0}
