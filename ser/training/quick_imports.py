"""Importing Lightning in two thirds of its time: without what training never uses, and without garbage collection."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_utilities.core.imports import RequirementCache

_UNUSED = "transformers"
"""torchmetrics imports it for its metrics of text, which then are not there."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import quickly what is imported within the block; of modules that are there already nothing changes.

    What was made meanwhile is never searched for garbage: a million objects of libraries that live as long as this
    process.
    """
    check, collects = RequirementCache._check_available, gc.isenabled()

    def check_but_unused(self: RequirementCache) -> None:
        if (self.requirement or "").startswith(_UNUSED):
            self.available, self.message = False, f"{_UNUSED} is not used"
        else:
            check(self)

    RequirementCache._check_available = check_but_unused  # type: ignore[method-assign]
    gc.disable()
    try:
        yield
    finally:
        RequirementCache._check_available = check  # type: ignore[method-assign]
        if collects:
            gc.freeze()
            gc.enable()
