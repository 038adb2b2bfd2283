"""Which other recordings are the context of each: drawn by a seed of the recording, so alike on every machine."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser.corpora.manifest import Recording
from ser.errors import SettingsError
from ser.inference.context import SpeakerContext

ALL: Literal["all"] = "all"
CURVE = "curve"
NONE, SPEAKER, OTHER, EMOTION = "none", "speaker", "other", "emotion"
"""The kinds of context: without any; of the same person; wrongly of another speaker of the same corpus; of the same
person, but of one emotion alone."""
Size = int | Literal["all"]
_SIZES: tuple[Size, ...] = (1, 5, 10, ALL)


class Context(NamedTuple):
    """A kind of context, and how many recordings it has at most; fewer where there are no more."""

    kind: str
    size: Size


def contexts_of(setting: int | str) -> tuple[Context, ...]:
    """Return none, and then those of each kind: of one size, a number or `ALL`, or for `CURVE` of 1, 5, 10 and all.

    Raises
    ------
    SettingsError : the setting is none of these.
    """
    if setting < 0 if isinstance(setting, int) else setting not in (ALL, CURVE):
        raise SettingsError(
            f"context is {setting!r}, but should be a number of recordings from 0 on, {ALL} or {CURVE}."
        )
    sizes: tuple[Size, ...] = _SIZES if setting == CURVE else (setting if isinstance(setting, int) else ALL,)
    kinds = (SPEAKER, OTHER, EMOTION)
    return (Context(NONE, 0), *(Context(kind, size) for kind in kinds for size in sizes if size != 0))


def draw_members(recordings: Sequence[Recording], kind: str) -> list[NDArray[np.int64]]:
    """Return for each recording the places of all that a context of this kind may have, in the order they are taken in.

    A larger context so holds the smaller one. A recording is never in its own context, and one whose speaker is not
    known is in none and has none. The other speaker, and the emotion, are drawn for each recording from those that
    there are.

    Parameters
    ----------
    recordings : of the evaluated part; speakers of one name in two corpora are two.
    """
    by_speaker = defaultdict[tuple[str, str], list[int]](list)
    speakers = defaultdict[str, list[str]](list)
    for place, one in enumerate(recordings):
        if one.speaker:
            if (one.corpus, one.speaker) not in by_speaker:
                speakers[one.corpus].append(one.speaker)
            by_speaker[one.corpus, one.speaker].append(place)
    members = []
    for place, one in enumerate(recordings):
        chosen = list[int]()
        if one.speaker and kind != NONE:
            rng = _generator(one)
            chosen = [other for other in by_speaker[one.corpus, one.speaker] if other != place]
            if kind == OTHER:
                others = sorted(set(speakers[one.corpus]) - {one.speaker})
                chosen = by_speaker[one.corpus, others[rng.integers(len(others))]] if others else []
            elif kind == EMOTION and chosen:
                emotions = sorted({recordings[other].emotion for other in chosen})
                emotion = emotions[rng.integers(len(emotions))]
                chosen = [other for other in chosen if recordings[other].emotion == emotion]
            chosen = sorted(chosen, key=lambda other: recordings[other].id)
            chosen = [chosen[at] for at in rng.permutation(len(chosen))]
        members.append(np.array(chosen, dtype=np.int64))
    return members


class Draws:
    """The contexts of recordings, made of their summaries.

    Parameters
    ----------
    recordings : of the evaluated part.
    summaries : float32 [utterances, n_summary] of each, or [n_summary] where each has one.
    """

    def __init__(self, recordings: Sequence[Recording], summaries: Sequence[NDArray[np.float32]]) -> None:
        self._recordings = recordings
        self._own = [SpeakerContext.of(one) for one in summaries]
        self._totals = np.array([one.total for one in self._own])
        self._squares = np.array([one.squares for one in self._own])
        self._counts = np.array([one.n_recordings for one in self._own])
        self._members: dict[str, list[NDArray[np.int64]]] = {}

    def context_of(self, place: int, context: Context) -> SpeakerContext:
        """Return the context of a recording."""
        if context.kind not in self._members:
            self._members[context.kind] = draw_members(self._recordings, context.kind)
        members = self._members[context.kind][place]
        members = members if context.size == ALL else members[: int(context.size)]
        total, squares = self._totals[members].sum(axis=0), self._squares[members].sum(axis=0)
        return SpeakerContext(int(self._counts[members].sum()), total, squares)


def _generator(recording: Recording) -> np.random.Generator:
    digest = hashlib.sha256(f"{recording.corpus}/{recording.id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
