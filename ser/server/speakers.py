"""What the server knows of speakers: their context, by an id of the client's making, in memory alone and for a time."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from fastapi import HTTPException, Request
from starlette.datastructures import QueryParams

from ser.inference.context import NO_CONTEXT, SpeakerContext
from ser.inference.results import Prediction
from ser.server.limits import Limits

PATTERN = "^[A-Za-z0-9_-]{1,128}$"
"""Of an id; an UUID is one. What it means is the client's own business: it should be no name."""
_ID, _SINGLE = "speaker", "single_speaker"


class Speakers:
    """The contexts of speakers, by id. The one that was used the longest ago is forgotten first.

    Parameters
    ----------
    n_summary : of the model; 0: it takes no speaker context.
    clock : returns seconds.
    """

    def __init__(self, n_summary: int, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_summary, self._limits, self._clock = n_summary, limits, clock
        self._known: OrderedDict[str, tuple[float, SpeakerContext]] = OrderedDict()

    def context_of(self, speaker: str) -> SpeakerContext:
        """Return what is known of a speaker."""
        self._forget_old()
        return self._known[speaker][1] if speaker in self._known else SpeakerContext.none(self._n_summary)

    def add(self, speaker: str, predictions: Iterable[Prediction]) -> None:
        """Add the recordings of predictions to what is known of their speaker."""
        context = self.context_of(speaker) + SpeakerContext.of_predictions(predictions)
        self._known[speaker] = self._clock(), context
        self._known.move_to_end(speaker)
        self._forget_old()

    def forget(self, speaker: str) -> None:
        """Forget a speaker, known or not."""
        self._known.pop(speaker, None)

    def _forget_old(self) -> None:
        oldest = self._clock() - self._limits.speaker_seconds
        while self._known:
            used, _ = next(iter(self._known.values()))
            if used >= oldest and len(self._known) <= self._limits.max_speakers:
                return
            self._known.popitem(last=False)

    def in_query(self, request: Request) -> str | None:
        """Return the id in the address of a request; None: it has none.

        Raises
        ------
        HTTPException : 422, it is no id, or the model takes no speaker context.
        """
        given = request.query_params.getlist(_ID)
        return self._checked(given[0] if len(given) == 1 else ", ".join(given)) if given else None

    def in_path(self, request: Request) -> str:
        """Return the id in the path of a request; raises HTTPException as `in_query`."""
        return self._checked(request.path_params[_ID])

    def is_single(self, query: QueryParams) -> bool:
        """Return whether the address of a stream says that one person speaks.

        Raises
        ------
        HTTPException : 422, it says neither, or the model takes no speaker context.
        """
        given = query.get(_SINGLE, "false")
        if given not in ("true", "false"):
            raise HTTPException(422, f"{_SINGLE} is {given[:20]!r}, but should be true or false.")
        if given == "true" and not self._n_summary:
            raise HTTPException(422, NO_CONTEXT)
        return given == "true"

    def _checked(self, given: str) -> str:
        if not self._n_summary:
            raise HTTPException(422, NO_CONTEXT)
        if not re.fullmatch(PATTERN, given):
            raise HTTPException(
                422,
                f"{_ID} is {given[:20]!r}, but should be an id of 1 to 128 letters, digits, - and _, such as a UUID.",
            )
        return given
