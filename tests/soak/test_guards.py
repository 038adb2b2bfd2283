from collections import Counter

import pytest

from soak.figures import PROJECT
from soak.guards import Removal, read_removals, unnoticed

SOURCE = """
def half(number):
    if number < 0:
        raise ValueError("negative")
    if number > 100:
        raise ValueError("large")
    return number / 2
"""
TESTS = """
import pytest
from halves import half

def test_half():
    assert half(4) == 2

def test_negative_is_refused():
    with pytest.raises(ValueError, match="negative"):
        half(-1)
"""


def removal(guard, without="if False:"):
    return Removal(file="halves.py", guard=guard, without=without, tests=("test_halves.py",))


@pytest.fixture
def project(tmp_path):
    (tmp_path / "halves.py").write_text(SOURCE)
    (tmp_path / "test_halves.py").write_text(TESTS)
    return tmp_path


def test_every_guard_of_the_list_is_in_its_file_once_and_its_tests_are_there():
    removals = read_removals()
    for one in removals:
        assert one.apply((PROJECT / one.file).read_text()) != (PROJECT / one.file).read_text()
    assert {path for one in removals for path in one.tests if not (PROJECT / path).is_file()} == set()
    assert [one for one, times in Counter(removals).items() if times > 1] == []


def test_a_guard_without_a_test_is_found_and_the_project_stays_as_it_is(project):
    tested, untested = removal("if number < 0:"), removal("if number > 100:")
    assert unnoticed([tested, untested, tested], workers=2, project=project) == [untested]
    assert (project / "halves.py").read_text() == SOURCE


def test_tests_that_fail_anyway_tell_nothing(project):
    (project / "test_halves.py").write_text(TESTS + "\ndef test_more():\n    assert False\n")
    with pytest.raises(RuntimeError, match=r"test_halves.py fails with every guard in place"):
        unnoticed([removal("if number < 0:")], workers=1, project=project)


def test_what_the_copies_leave_out_lies_at_the_top_alone(project):
    for folder in ("data", "conf/data"):
        (project / folder).mkdir(parents=True)
        (project / folder / "some.yaml").touch()
    test = """
from pathlib import Path

def test_folders():
    assert not Path("data").exists()
    assert Path("conf/data/some.yaml").exists()
"""
    (project / "test_halves.py").write_text(TESTS + test)
    assert unnoticed([removal("if number < 0:")], workers=1, project=project) == []


def test_a_removal_that_breaks_the_code_counts_for_nothing(project):
    with pytest.raises(RuntimeError, match="did not run"):
        unnoticed([removal("if number < 0:", "if ")], workers=1, project=project)


def test_a_guard_that_is_not_there_once_is_told(project):
    with pytest.raises(ValueError, match=r"occurs 0 times; mend guards\.toml"):
        unnoticed([removal("if number is None:")], workers=1, project=project)
