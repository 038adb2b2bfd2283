"""Importing quickly changes nothing that outlives it but what is left out."""

import gc

import pytest
from lightning_utilities.core.imports import RequirementCache

from ser.training.quick_imports import quick_imports


def test_metrics_of_text_are_left_out_within_the_block_alone() -> None:
    check = RequirementCache._check_available
    with quick_imports():
        assert not RequirementCache("transformers>=4.4.0")
        assert RequirementCache("numpy>=1")
        assert not RequirementCache("numpy>=1000")
        assert RequirementCache(module="json")
    assert RequirementCache._check_available is check


@pytest.mark.parametrize("collects", [True, False])
def test_an_error_leaves_garbage_collection_as_it_was(collects: bool) -> None:
    check, before = RequirementCache._check_available, gc.isenabled()
    try:
        gc.enable() if collects else gc.disable()
        with pytest.raises(ImportError, match="with collection False"), quick_imports():
            raise ImportError(f"with collection {gc.isenabled()}")
        assert gc.isenabled() is collects
    finally:
        gc.enable() if before else gc.disable()
        gc.unfreeze()
    assert RequirementCache._check_available is check
