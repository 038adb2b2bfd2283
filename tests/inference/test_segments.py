from types import SimpleNamespace

import numpy as np
import pytest

from ser.inference.segments import Segment, attention_over_time

SETTINGS = SimpleNamespace(duration=4.0)  # four weights of a second each


def segment(attention, *, offset, speech=1.0):
    return Segment(
        start=0.0, end=6.0, speech=speech, probabilities=np.ones(1), attention=np.array(attention), offset=offset
    )


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([([0.1, 0.2, 0.3, 0.4], 0.0, 1), ([0.5, 0.2, 0.2, 0.1], 2.0, 1)], [0.1, 0.2, 0.8, 0.6, 0.2, 0.1]),
        ([([0.7, 0.3, 0, 0], 0.0, 1), ([0.6, 0.4, 0, 0], 3.0, 3)], [0.7, 0.3, 0, 1.8, 1.2, 0]),  # by their speech
        ([([0.4, 0.3, 0.2, 0.1], 2.0, 1)], [0, 0, 0.4, 0.3, 0.2, 0.1]),  # a silence was cut off before it
    ],
)
def test_attention_falls_where_the_segments_put_it(segments, expected):
    placed = [segment(attention, offset=offset, speech=speech) for attention, offset, speech in segments]
    seconds, attention = attention_over_time(placed, settings=SETTINGS, duration=6.0)
    np.testing.assert_allclose(seconds, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    np.testing.assert_allclose(attention, np.divide(expected, sum(expected)), rtol=1e-6)


def test_without_speech_there_is_no_attention():
    seconds, attention = attention_over_time([], settings=SETTINGS, duration=6.0)
    assert len(seconds) == len(attention) > 0
    assert not attention.any()
