"""What a person names on the command line, imported by its path."""

import pytest
from torch import nn

from ser.errors import SettingsError
from ser.features.groups import FeatureGroup
from ser.inference.own_parts import import_function, import_own_parts

SOURCE = """
from torch import nn
from ser.features.groups import FeatureGroup

class Net(nn.Module):
    pass

GROUP = FeatureGroup("1")

def group():
    return FeatureGroup("2")

def no_group():
    return 3

NUMBER = 4
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / "parts_to_name.py").write_text(SOURCE)
    (tmp_path / "parts_that_need.py").write_text("import no_such_package_of_mine\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_class_a_group_and_a_function_that_makes_one_are_found_by_their_paths():
    paths = {"a": "parts_to_name.GROUP", "b": "parts_to_name.group"}
    own = import_own_parts({"Net": "parts_to_name.Net"}, paths)
    assert [(name, cls.__name__, issubclass(cls, nn.Module)) for name, cls in own["networks"].items()] == [
        ("Net", "Net", True)
    ]
    assert own["feature_groups"] == {"a": FeatureGroup("1"), "b": FeatureGroup("2")}
    assert import_own_parts({}, {}) == {"networks": {}, "feature_groups": {}}


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("parts_to_name.Nett", "parts_to_name has no 'Nett'; did you mean 'Net'"),
        ("parts_to_nam.Net", "there is no module 'parts_to_nam': give the command in its folder"),
        ("parts_to_name.deeper.Net", "there is no module 'parts_to_name.deeper'"),
        ("Net", "should be a module and a name in it, as in my_package.MyNet"),
        ("parts_to_name:Net", "should be a module and a name in it"),
        (".Net", "should be a module and a name in it"),
        ("parts_to_name.group", "should be a subclass of torch.nn.Module"),
    ],
)
def test_a_path_that_names_no_network_is_one_sentence(path, sentence):
    with pytest.raises(SettingsError) as caught:
        import_own_parts({"Mine": path}, {})
    assert str(caught.value).startswith(f"network Mine is {path!r}, ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("path", ["parts_to_name.no_group", "parts_to_name.NUMBER"])
def test_a_path_that_names_no_feature_group_is_one_sentence(path):
    with pytest.raises(SettingsError, match=rf"^feature group mine is '{path}', but should be a ser\.features"):
        import_own_parts({}, {"mine": path})


def test_what_is_to_be_called_can_be_called():
    assert import_function("parts_to_name.no_group", where="reader")() == 3
    with pytest.raises(SettingsError, match=r"^reader is 'parts_to_name\.NUMBER', which is no function"):
        import_function("parts_to_name.NUMBER", where="reader")


def test_what_a_module_itself_lacks_is_for_its_author():
    with pytest.raises(ModuleNotFoundError, match="no_such_package_of_mine"):
        import_own_parts({"Mine": "parts_that_need.Net"}, {})
