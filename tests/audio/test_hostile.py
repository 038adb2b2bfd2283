"""A few hostile sound files of every kind; `tests/slow/test_sounds.py` reads as many as one likes."""

import pytest

from tests.slow.hostile_sounds import hostile_sound
from tests.slow.test_sounds import outcome


@pytest.mark.parametrize("seed", range(3))
def test_hostile_files_are_sounds_or_refused(seed):
    outcomes = {outcome(hostile_sound(seed, place).content, f"number-{place}") for place in range(60)}
    assert "accepted" in outcomes
    assert len(outcomes) >= 5
