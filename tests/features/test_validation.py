from dataclasses import field, replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ser.errors import SettingsError
from ser.features.validation import (
    ListOf,
    Positive,
    PositiveNumber,
    as_plain,
    check_order,
    read_settings,
    settings_dataclass,
    suggestion,
)


@settings_dataclass
class Inner:
    rate: PositiveNumber = 0.5
    most: float = 9.0

    def __post_init__(self):
        check_order(self, "rate", "most")


@settings_dataclass
class Outer:
    count: int
    name: str = "x"
    flag: bool = False
    mode: Literal["min", "max"] = "min"
    sizes: Annotated[ListOf[Positive], Field(min_length=1, max_length=3)] = (1, 2)
    extra: dict[str, int] = field(default_factory=dict)
    anything: Any = None
    choice: int | str | None = None
    folds: int | str | ListOf[int | str] = 0
    tuning: Annotated[float, Field(le=0.5)] | Literal["estimate"] = "estimate"
    inner: Inner = field(default_factory=Inner)


def read(**values):
    return read_settings(Outer, {"count": 1, **values}, where="outer")


def test_defaults_stand_where_nothing_is_said():
    assert read() == Outer(count=1)


def test_values_become_what_the_fields_say():
    given = {"extra": {"a": 1}, "choice": "b", "mode": "max", "anything": [{}]}
    settings = read(**given, sizes=[3, 4], inner={"rate": 2}, tuning=0, folds=[0, "a"])
    assert settings == Outer(count=1, **given, sizes=(3, 4), inner=Inner(rate=2.0), tuning=0.0, folds=(0, "a"))
    assert type(settings.inner.rate) is float
    assert type(settings.tuning) is float


def test_plain_values_are_read_back_as_they_were():
    settings = read(sizes=[3], inner={"rate": 0.25}, extra={"a": 1}, anything=[float("inf"), {"b": None}])
    plain = as_plain(settings)
    assert plain["sizes"] == [3]
    assert plain["inner"] == {"rate": 0.25, "most": 9}
    assert plain["anything"] == [float("inf"), {"b": None}]
    assert list(plain)[:3] == ["count", "name", "flag"]
    assert read_settings(Outer, plain, where="outer") == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": "1"}, "outer.count is '1', but should be a whole number."),
        ({"count": 1.0}, "outer.count is 1.0, but should be a whole number."),
        ({"count": True}, "outer.count is True, but should be a whole number."),
        ({"count": None}, "outer.count is None, but should be a whole number."),
        ({"name": 3}, "outer.name is 3, but should be text."),
        ({"flag": 1}, "outer.flag is 1, but should be true or false."),
        ({"flag": "false"}, "outer.flag is 'false', but should be true or false."),
        ({"mode": "mim"}, "outer.mode is 'mim'; did you mean 'min'."),
        ({"mode": 3.0}, "outer.mode is 3.0; known are min, max."),
        ({"mode": []}, "outer.mode is []; known are min, max."),
        ({"mode": 10**5000}, "outer.mode is a number of thousands of digits; known are min, max."),
        ({"sizes": 3}, "outer.sizes is 3, but should be a list."),
        ({"sizes": []}, "outer.sizes is [], but should be a list of at least 1."),
        ({"sizes": [1, 2, 3, 4]}, "outer.sizes is [1, 2, 3, 4], but should be a list of at most 3."),
        ({"sizes": [1, 0]}, "outer.sizes[1] is 0, but should be at least 1."),
        ({"sizes": [1, "2"]}, "outer.sizes[1] is '2', but should be a whole number."),
        ({"sizes": "12"}, "outer.sizes is '12', but should be a list."),
        ({"extra": [1]}, "outer.extra is [1], but should be a mapping."),
        ({"extra": {"a": "1"}}, "outer.extra.a is '1', but should be a whole number."),
        ({"extra": {4: 1}}, "outer.extra.4 is 4, but should be text."),
        ({"choice": 1.5}, "outer.choice is 1.5, but should be a whole number or text."),
        ({"folds": 1.5}, "outer.folds is 1.5, but should be a whole number or text or a list."),
        ({"folds": [1, 1.5]}, "outer.folds[1] is 1.5, but should be a whole number or text."),
        ({"tuning": "guess"}, "outer.tuning is 'guess', but should be a number or 'estimate'."),
        ({"tuning": 0.7}, "outer.tuning is 0.7, but should be at most 0.5 or 'estimate'."),
        ({"tuning": True}, "outer.tuning is True, but should be a number or 'estimate'."),
        ({"count": b"x" * 300}, f"outer.count is b'{'x' * 198}..., but should be a whole number."),
        ({"inner": {"rate": float("nan")}}, "outer.inner.rate is nan, but should be a number."),
        ({"inner": {"rate": float("inf")}}, "outer.inner.rate is inf, but should be a number."),
        ({"inner": {"rate": 10**400}}, f"outer.inner.rate is 1{'0' * 199}..., but should be a number."),
        ({"inner": {"rate": 10**5000}}, "outer.inner.rate is a number of thousands of digits, but should be a number."),
        ({"inner": {"rate": -1}}, "outer.inner.rate is -1, but should be above 0."),
        ({"inner": {"rate": 10}}, "outer.inner.rate is 10.0, but should be at most most, which is 9.0."),
        ({"inner": {"rat": 1}}, "outer.inner.rat is not a setting; did you mean 'rate'."),
        ({"inner": 3}, "outer.inner is 3, but should be a group of settings."),
        ({"zzz": 1}, "outer.zzz is not a setting; known are"),
        ({"zzz": 1, "count": "1"}, "outer.zzz is not a setting; known are"),
        ({4: 1}, "outer.4 is not a setting; known are"),
        ({10**5000: 1}, "outer.<unprintable int object> is not a setting; known are"),
    ],
)
def test_a_bad_value_is_refused_with_its_key(values, message):
    with pytest.raises(SettingsError) as refused:
        read_settings(Outer, {"count": 1, **values}, where="outer")
    assert str(refused.value).startswith(message)


def test_the_constructor_checks_alike():
    with pytest.raises(SettingsError, match=r"^Inner.rate is 0, but should be above 0\.$"):
        Inner(rate=0)
    with pytest.raises(SettingsError, match=r"^Inner.rat is not a setting; did you mean 'rate'\.$"):
        Inner(rat=0)
    with pytest.raises(SettingsError, match=r"^Outer.count is None, but should be a whole number\.$"):
        replace(Outer(count=1), count=None)
    assert replace(Outer(count=1), count=2) == Outer(count=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "y"}, r"outer\.count is missing"),
        *((given, "outer is .*, but should be a group") for given in (None, [], "x")),
    ],
)
def test_a_missing_value_and_what_is_no_group_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        read_settings(Outer, values, where="outer")


def test_suggestions():
    assert suggestion("val/los", ["val/loss", "train/loss"]) == "did you mean 'val/loss'"
    assert suggestion("q", ["a", "b"]) == "known are a, b"
