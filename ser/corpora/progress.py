"""Progress of long steps: a bar on a terminal, one log line at the end in any case."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class ConsoleHandler(logging.Handler):
    """A logging handler that prints to the `sys.stdout` of the moment, which a progress bar replaces by itself."""

    def __init__(self, stream: object = None) -> None:  # Hydra's configuration names a stream, which would be kept
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; what goes wrong is handled as logging's own handlers do."""
        try:
            print(self.format(record), flush=True)
        except OSError:  # nobody reads it, or the disk is full: no reason to end a training
            return
        except Exception:
            self.handleError(record)


def track(items: Iterable[Item], *, total: int, description: str, unit: str) -> Iterator[Item]:
    """Yield `items`, showing how many of `total` are done and the time left where standard error is a terminal."""
    started, done = time.perf_counter(), 0
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as with_bar

        items = with_bar(items, description, total, console=Console(stderr=True), transient=True)
    for done, item in enumerate(items, start=1):  # noqa: B007 - the number of the last one is logged
        yield item
    elapsed = time.perf_counter() - started
    log.info("%s: %d %s in %.1f s (%.0f/s)", description, done, unit, elapsed, done / max(elapsed, 1e-9))
