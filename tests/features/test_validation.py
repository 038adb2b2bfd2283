from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from ser.errors import SettingsError
from ser.features.validation import as_plain, check_keys, read_settings, require, suggestion


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5

    def __post_init__(self):
        require(self.rate > 0, f"rate is {self.rate}, but should be above 0.")


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int
    name: str = "x"
    flag: bool = False
    mode: Literal["min", "max", 3] = "min"
    sizes: tuple[int, ...] = (1, 2)
    extra: dict[str, int] = field(default_factory=dict)
    anything: Any = None
    choice: int | str | None = None
    tuning: float | Literal["estimate"] = "estimate"
    inner: Inner = field(default_factory=Inner)


def read(**values):
    return read_settings(Outer, {"count": 1, **values}, where="outer")


def test_defaults_stand_where_nothing_is_said():
    assert read() == Outer(count=1)


def test_values_become_what_the_fields_say():
    settings = read(sizes=[3, 4], inner={"rate": 2}, extra={"a": 1}, choice="b", tuning=0, mode=3, anything=[{}])
    assert settings == Outer(
        count=1, sizes=(3, 4), inner=Inner(rate=2.0), extra={"a": 1}, choice="b", tuning=0.0, mode=3, anything=[{}]
    )
    assert type(settings.inner.rate) is float
    assert type(settings.tuning) is float


def test_plain_values_are_read_back_as_they_were():
    settings = read(sizes=[3], inner={"rate": 0.25}, extra={"a": 1})
    plain = as_plain(settings)
    assert plain["sizes"] == [3]
    assert plain["inner"] == {"rate": 0.25}
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
        ({"mode": 3.0}, "outer.mode is 3.0; known are min, max, 3."),
        ({"mode": []}, "outer.mode is []; known are min, max, 3."),
        ({"sizes": 3}, "outer.sizes is 3, but should be a list of a whole number values."),
        ({"sizes": [1, "2"]}, "outer.sizes[1] is '2', but should be a whole number."),
        ({"sizes": "12"}, "outer.sizes is '12', but should be a list of a whole number values."),
        ({"extra": [1]}, "outer.extra is [1], but should be a mapping."),
        ({"extra": {"a": "1"}}, "outer.extra.a is '1', but should be a whole number."),
        ({"choice": 1.5}, "outer.choice is 1.5, but should be a whole number or text or null."),
        ({"tuning": "guess"}, "outer.tuning is 'guess', but should be a number or one of estimate."),
        ({"inner": {"rate": float("nan")}}, "outer.inner.rate is nan, but should be a number."),
        ({"inner": {"rate": float("inf")}}, "outer.inner.rate is inf, but should be a number."),
        ({"inner": {"rate": 10**400}}, f"outer.inner.rate is {10**400}, but should be a number."),
        ({"inner": {"rate": -1}}, "outer.inner.rate is -1.0, but should be above 0."),
        ({"inner": {"rat": 1}}, "outer.inner.rat is not a setting; did you mean 'rate'."),
        ({"inner": 3}, "outer.inner is 3, but should be a group of settings."),
        ({"zzz": 1}, "outer.zzz is not a setting; known are"),
        ({4: 1}, "outer.4 is not a setting; known are"),
    ],
)
def test_a_bad_value_is_refused_with_its_key(values, message):
    with pytest.raises(SettingsError) as refused:
        read_settings(Outer, {"count": 1, **values}, where="outer")
    assert str(refused.value).startswith(message)


def test_a_missing_value_is_refused_with_its_key():
    with pytest.raises(SettingsError, match=r"outer\.count is missing"):
        read_settings(Outer, {"name": "y"}, where="outer")


def test_a_group_that_is_none_is_refused():
    for values in (None, [], "count"):
        with pytest.raises(SettingsError, match=r"outer is .*, but should be a group"):
            read_settings(Outer, values, where="outer")


def test_unknown_keys_and_suggestions():
    check_keys(["lr"], ["lr", "name"], where="model")
    with pytest.raises(SettingsError, match=r"model\.nmae is not a setting; did you mean 'name'"):
        check_keys(["lr", "nmae"], ["lr", "name"], where="model")
    assert suggestion("val/los", ["val/loss", "train/loss"]) == "did you mean 'val/loss'"
    assert suggestion("q", ["a", "b"]) == "known are a, b"
