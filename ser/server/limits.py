"""What the server takes and how much of it at once: memory and time are bounded, whoever calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi import HTTPException

from ser.data.workers import core_count

_RETRY_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of a server.

    Attributes
    ----------
    max_files : recordings of one request.
    max_file_bytes, max_request_bytes : of one recording, and of the whole body of a request.
    max_held_bytes : of the bodies of all requests that are held at one time.
    max_requests : requests that are at work or wait for it; one more is turned away.
    at_once : recordings decoded at one time, of all requests together.
    upload_seconds : in which a body has to arrive.
    request_seconds : in which the answer to it has to be there.
    max_streams : streams at one time.
    max_message_bytes : of one message of a stream.
    stream_seconds : of sound in one stream.
    idle_seconds : a stream that sends nothing for so long, or takes no answer, is ended.
    max_speakers : whose context is kept; it takes some 10 kB each.
    speaker_seconds : after which a speaker is forgotten who has said nothing since.
    """

    max_files: int = 32
    max_file_bytes: int = 20 * 2**20
    max_request_bytes: int = 64 * 2**20
    max_held_bytes: int = 256 * 2**20
    max_requests: int = 64
    at_once: int = field(default_factory=core_count)
    upload_seconds: float = 60.0
    request_seconds: float = 60.0
    max_streams: int = 16
    max_message_bytes: int = 2**20
    stream_seconds: float = 3600.0
    idle_seconds: float = 30.0
    max_speakers: int = 1000
    speaker_seconds: float = 3600.0


def busy(detail: str) -> HTTPException:
    """Return the error of a server that has no room now, and soon may have."""
    return HTTPException(503, detail, headers={"Retry-After": str(_RETRY_SECONDS)})


class Budget:
    """An amount of something, such as bytes or places, that all requests share.

    Parameters
    ----------
    total : of it.
    what : the sentence for whom there is nothing left.
    """

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self.taken = 0

    @contextmanager
    def share(self, amount: int = 0) -> Iterator["Share"]:
        """Take `amount`, and give it and what is added to it back at the end.

        Raises
        ------
        HTTPException : 503, there is not so much left.
        """
        share = Share(self)
        try:
            share.add(amount)
            yield share
        finally:
            self.taken -= share.amount

    def take(self, amount: int) -> None:
        """Take more; raises HTTPException as `share`."""
        if self.taken + amount > self._total:
            raise busy(self._what)
        self.taken += amount


class Share:
    """What one request has taken of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.amount = 0

    def add(self, amount: int) -> None:
        """Take more; raises HTTPException as `Budget.share`."""
        self._budget.take(amount)
        self.amount += amount
