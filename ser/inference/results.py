"""What a recording gets: its prediction or why there is none; and the file of them by which a long run is resumed.

A results file has one JSON object a line, as `Prediction.to_dict` and `Failure.to_dict` return them.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.errors import SettingsError

_BEGINNING = b'{"file": '


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for one recording.

    Attributes
    ----------
    source : the file, or the name of the sound.
    class_names : in the order of `probabilities`.
    probabilities : float32 [classes], not negative, summing to 1.
    attention : float32 [weights], the attention weights, evenly over `max_length` frames, summing to 1.
    offset : seconds into the recording at which those frames begin.
    duration : seconds of the recording.
    warnings : doubts about the sound, in sentences; mostly empty.
    rejection_threshold : a prediction of less confidence is uncertain.
    """

    source: str
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    duration: float
    offset: float = 0.0
    warnings: tuple[str, ...] = ()
    rejection_threshold: float = 0.0

    @property
    def is_uncertain(self) -> bool:
        """Whether the confidence lies below the rejection threshold."""
        return self.confidence < self.rejection_threshold

    @property
    def emotion(self) -> str:
        """The most probable class."""
        return self.class_names[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        """The probability of that class."""
        return float(np.max(self.probabilities))

    def top(self, n: int = 3) -> list[tuple[str, float]]:
        """Return the `n` most probable classes (fewer where there are no more) and their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[: max(n, 0)]
        return [(self.class_names[place], float(self.probabilities[place])) for place in order]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them: file, emotion, confidence, whether it is uncertain, probabilities by
        class, duration in seconds, warnings.
        """
        return {
            "file": self.source,
            "emotion": self.emotion,
            "confidence": self.confidence,
            "uncertain": self.is_uncertain,
            "probabilities": dict(zip(self.class_names, map(float, self.probabilities), strict=True)),
            "duration": self.duration,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A recording that cannot be predicted.

    Attributes
    ----------
    source : the file, or the name of the sound.
    reason : why, in one sentence.
    """

    source: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values: file, error."""
        return {"file": self.source, "error": self.reason}


def read_finished(path: Path) -> set[str]:
    """Return the files that a results file has a prediction of; cut off the line that a kill left half-written.

    Raises
    ------
    SettingsError : it is no results file; nothing of it is changed.
    """
    content = path.read_bytes() if path.exists() else b""
    *lines, rest = content.split(b"\n")
    finished = set()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if "error" not in entry:
                finished.add(str(entry["file"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise SettingsError(f"{path} is no results file (see its line {number}); name another.") from error
    if not (rest.startswith(_BEGINNING) or _BEGINNING.startswith(rest)):
        raise SettingsError(f"{path} is no results file; name another.")
    if rest:
        os.truncate(path, len(content) - len(rest))
    return finished


def append_results(path: Path, results: Iterable[dict[str, Any]]) -> None:
    """Add a line for each result; OSError where that fails."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(result)}\n" for result in results)
