"""The names of the recordings that a run kept from training, small enough to travel with the weights."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from ser.errors import SettingsError

MOST_NAMES = 5_000
"""Of more names than this, a model holds hashes: eight bytes each, in place of some thirty."""
_BYTES = 8
_TEXT = 900
"""Hashes of one line of text."""


class ScoredNames:
    """A set of names, of which it only tells whether a name is in it.

    Parameters
    ----------
    names : the names themselves.
    hashes : lines of `hashes_of`, where there are many names. A name that is not among a million is taken for one of
        them with a probability of 5e-14.

    Raises
    ------
    SettingsError : the hashes are no such lines.
    """

    def __init__(self, names: Iterable[str], hashes: Sequence[str] = ()) -> None:
        try:
            content = b"".join(base64.b64decode(line, validate=True) for line in hashes)
        except (binascii.Error, ValueError) as error:
            raise SettingsError(f"scored_hashes is no base64 text ({error}).") from error
        if len(content) % _BYTES:
            raise SettingsError(f"scored_hashes has {len(content)} bytes, but should have {_BYTES} for each recording.")
        self._names = frozenset(names)
        self._hashes = np.unique(np.frombuffer(content, dtype="<u8"))

    def __len__(self) -> int:
        return len(self._names) + len(self._hashes)

    def __contains__(self, name: str) -> bool:
        if name in self._names:
            return True
        value = np.frombuffer(_hash(name), dtype="<u8")[0]
        place = int(np.searchsorted(self._hashes, value))
        return place < len(self._hashes) and self._hashes[place] == value


def hashes_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the hashes of names as lines of text: the first eight bytes of their SHA-256, sorted, in base64."""
    hashes = np.sort(np.frombuffer(b"".join(map(_hash, names)), dtype="<u8"))
    parts = (hashes[start : start + _TEXT].tobytes() for start in range(0, len(hashes), _TEXT))
    return tuple(base64.b64encode(part).decode("ascii") for part in parts)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:_BYTES]
