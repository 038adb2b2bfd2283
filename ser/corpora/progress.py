"""Progress of long steps: a bar with rate and time left on a terminal, one log line at the end elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class ConsoleHandler(logging.StreamHandler):
    """A logging handler that writes to the `sys.stdout` of the moment, which a progress bar replaces by itself."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Ignore the stream of the moment, which logging's own handler would keep for good."""


def track(items: Iterable[Item], *, total: int, description: str, unit: str) -> Iterator[Item]:
    """Yield `items`, showing how many of `total` are done; quiet where standard error is not a terminal."""
    started = time.perf_counter()
    done = 0
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(description, total=total, rate="")
            for item in items:
                yield item
                done += 1
                bar.update(task, advance=1, rate=f"{done / (time.perf_counter() - started):.0f} {unit}/s")
    else:
        for item in items:
            yield item
            done += 1
    elapsed = time.perf_counter() - started
    log.info("%s: %d %s in %.1f s (%.0f/s)", description, done, unit, elapsed, done / max(elapsed, 1e-9))
