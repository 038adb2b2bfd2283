from itertools import pairwise

import numpy as np
import pytest

from ser.audio.utterances import MIN_SPEECH, SURROUNDINGS, Utterance, cut_utterances
from ser.audio.voice_activity import MARGIN_SECONDS, Span

RATE = 1000
WINDOW = 5.0
SPEECH_SECONDS = WINDOW - 2 * SURROUNDINGS


def cut(spans, *, seconds, waveform=None, window=WINDOW):
    """Return what `cut_utterances` does of spans, given as pairs, in a recording of so many seconds."""
    waveform = np.ones(round(seconds * RATE), dtype=np.float32) if waveform is None else waveform
    return cut_utterances(waveform, [Span(*span) for span in spans], sample_rate=RATE, window=window)


def test_an_utterance_keeps_half_a_second_around_it_where_there_is_so_much():
    assert cut([(3, 5)], seconds=20) == [Utterance(start=2.5, end=5.5, speech=2)]
    assert cut([(0.2, 5)], seconds=5.3, window=6) == [Utterance(start=0, end=5.3, speech=4.8)]


def test_pauses_of_half_a_second_part_utterances_and_each_keeps_its_half_of_them():
    assert cut([(1, 2), (2.5, 3.5)], seconds=9) == [Utterance(start=0.5, end=4.0, speech=2)]
    first, second = cut([(1, 2), (2.6, 3.5)], seconds=9)
    assert first == Utterance(start=0.5, end=pytest.approx(2.3), speech=1)
    assert second == Utterance(start=pytest.approx(2.3), end=4.0, speech=pytest.approx(0.9))


def test_a_long_utterance_is_cut_at_its_longest_pause():
    # All pauses are short; that of 0.45 s is the longest, that of 0.48 s would leave a single word.
    spans = [(1.0, 1.5), (1.98, 3.0), (3.45, 5.0), (5.3, 6.5)]
    first, second = cut(spans, seconds=9)
    assert (first.start, first.end) == (0.5, pytest.approx(3.225))
    assert (second.start, second.end) == (pytest.approx(3.225), 7.0)
    assert first.speech + second.speech == pytest.approx(sum(end - start for start, end in spans))


def test_speech_without_a_pause_is_cut_where_it_is_quiet():
    waveform = np.ones(round(12 * RATE), dtype=np.float32)
    quiet = [4.2, 7.9]  # within a quarter of a second of the thirds
    for moment in quiet:
        waveform[round(moment * RATE) : round((moment + 0.04) * RATE)] = 0
    parts = cut([(1, 11)], seconds=12, waveform=waveform)
    assert [part.end for part in parts[:-1]] == pytest.approx([moment + 0.02 for moment in quiet], abs=0.02)
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert sum(part.speech for part in parts) == pytest.approx(10)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("window", [0.5, 1.5, 5.12, 30.0])
def test_every_utterance_fits_the_window_and_no_speech_is_lost(seed, window):
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.exponential(0.8, 60) + 0.1)
    spans = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    seconds = edges[-1] + rng.exponential(1)
    noise = rng.normal(size=round(seconds * RATE)).astype(np.float32)
    parts = cut(spans, seconds=seconds, waveform=noise, window=window)
    assert max(part.end - part.start for part in parts) <= window + 1 / RATE
    assert parts[0].start >= 0
    assert parts[-1].end <= len(noise) / RATE
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(parts))
    for start, end in spans:
        covered = sum(max(0.0, min(end, part.end) - max(start, part.start)) for part in parts)
        assert covered == pytest.approx(end - start) or end - start < MIN_SPEECH + 0.2
    assert sum(part.speech for part in parts) > 0.8 * sum(end - start for start, end in spans)


@pytest.mark.parametrize("window", [0.1, 0.3, 0.9, 1.2, 1.6, 5.12])
def test_parts_of_speech_without_a_pause_count_no_speech_twice(window):
    for seed in range(20):
        seconds = window * (0.85 + 0.1 * seed)
        noise = np.random.default_rng(seed).normal(size=round((seconds + 1) * RATE)).astype(np.float32)
        parts = cut([(0.5, 0.5 + seconds)], seconds=seconds + 1, waveform=noise, window=window)
        expected = seconds if seconds >= MIN_SPEECH + 2 * MARGIN_SECONDS else 0
        assert sum(part.speech for part in parts) == pytest.approx(expected)
        assert all(part.end - part.start <= window + 1 / RATE for part in parts)


def test_ten_minutes_of_even_pauses_are_cut_at_them():
    spans = [(1.125 * number, 1.125 * number + 1) for number in range(533)]  # pauses of one length to the bit
    parts = cut(spans, seconds=600)
    assert max(part.end - part.start for part in parts) <= WINDOW
    assert sum(part.speech for part in parts) == pytest.approx(533)


@pytest.mark.parametrize("spans", [[], [(1, 1.4)], [(1, 1.3), (4, 4.3)]])
def test_too_little_speech_is_no_utterance(spans):
    """A tenth of a second on either side of a span is its margin."""
    assert cut(spans, seconds=9) == []


def test_words_apart_count_together_where_there_is_nothing_longer():
    assert len(cut([(1, 1.4), (4, 4.4)], seconds=9)) == 2
    assert len(cut([(1, 1.4), (4, 5)], seconds=9)) == 1
