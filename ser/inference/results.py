"""What a recording gets: its prediction, or why there is none."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.inference.segments import Segment

SPEECH, NOT_ENOUGH_SPEECH, NO_SPEECH = "speech", "not enough speech", "no speech found"
"""The states of a prediction; in the latter two there is no emotion."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for one recording of any length.

    Attributes
    ----------
    source : the file, or the name of the sound.
    class_names : in the order of the probabilities.
    segments : the utterances of the recording in order, each with its prediction; the timeline. None of them where no
        speech was found, or too little.
    speech : seconds of speech in the recording.
    duration : seconds of the recording.
    warnings : doubts about the sound, in sentences; mostly empty.
    rejection_threshold : a prediction of less confidence is uncertain.
    context_size : how many other recordings of the speaker the model knew (`ser.inference.context`); None where it
        takes no speaker context.
    """

    source: str
    class_names: tuple[str, ...]
    segments: tuple[Segment, ...]
    speech: float
    duration: float
    warnings: tuple[str, ...] = ()
    rejection_threshold: float = 0.0
    context_size: int | None = None

    @cached_property
    def probabilities(self) -> NDArray[np.float32] | None:
        """The probabilities of the segments, weighted by their speech: float32 [classes], or None without a segment."""
        if not self.segments:
            return None
        if len(self.segments) == 1:  # to the bit
            return self.segments[0].probabilities
        stacked = np.stack([segment.probabilities for segment in self.segments])
        weights = [segment.speech for segment in self.segments]
        mean: NDArray[np.float64] = np.average(stacked.astype(np.float64), axis=0, weights=weights)
        return mean.astype(np.float32)

    @property
    def status(self) -> str:
        """Whether there is enough speech: one of `SPEECH`, `NOT_ENOUGH_SPEECH`, `NO_SPEECH`."""
        return SPEECH if self.segments else NOT_ENOUGH_SPEECH if self.speech else NO_SPEECH

    @property
    def is_uncertain(self) -> bool:
        """Whether there is an emotion whose confidence lies below the rejection threshold."""
        return self.confidence is not None and self.confidence < self.rejection_threshold

    @property
    def emotion(self) -> str | None:
        """The most probable class; None without speech."""
        return self.class_of(self.probabilities)

    @property
    def confidence(self) -> float | None:
        """The probability of that class; None without speech."""
        return None if self.probabilities is None else float(np.max(self.probabilities))

    def class_of(self, probabilities: NDArray[np.float32] | None) -> str | None:
        """Return the most probable class of this prediction's probabilities, or of a segment's."""
        return None if probabilities is None else self.class_names[int(np.argmax(probabilities))]

    def top(self, n: int = 3) -> list[tuple[str, float]]:
        """Return the `n` most probable classes (fewer where there are no more) and their probabilities, best first."""
        if self.probabilities is None:
            return []
        order = np.argsort(-self.probabilities, kind="stable")[: max(n, 0)]
        return [(self.class_names[place], float(self.probabilities[place])) for place in order]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them.

        They are file, status, emotion and confidence (null without speech), whether it is uncertain, probabilities by
        class (none without speech), speech and duration in seconds, context_size (only where the model takes speaker
        context), warnings, and the utterances, each with start and end in seconds, emotion, confidence and
        probabilities.
        """
        return {
            "file": self.source,
            "status": self.status,
            "emotion": self.emotion,
            "confidence": self.confidence,
            "uncertain": self.is_uncertain,
            "probabilities": self._by_class(self.probabilities),
            "speech": self.speech,
            "duration": self.duration,
            **({} if self.context_size is None else {"context_size": self.context_size}),
            "warnings": list(self.warnings),
            "utterances": [
                {
                    "start": segment.start,
                    "end": segment.end,
                    "emotion": self.class_of(segment.probabilities),
                    "confidence": float(np.max(segment.probabilities)),
                    "probabilities": self._by_class(segment.probabilities),
                }
                for segment in self.segments
            ],
        }

    def _by_class(self, probabilities: NDArray[np.float32] | None) -> dict[str, float]:
        return {} if probabilities is None else dict(zip(self.class_names, map(float, probabilities), strict=True))


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
