"""`ser corpus [folder] [--download]`: list what is there and what is missing of RAVDESS; download it."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from ser.corpora.inventory import take_inventory
from ser.corpora.manifest import corpus_root

DEFAULT = Path("data/ravdess")


def corpus(
    root: Annotated[
        str | None, typer.Argument(help=f"the corpus; RAVDESS_ROOT, else {DEFAULT}, where it is left out")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="fetch the archives that are absent (430 MB in all)")
    ] = False,
) -> int:
    """List what is there and what is missing of RAVDESS.

    The exit status is 1 where recordings are missing.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, _ = corpus_root(root, default=DEFAULT)
    if download:
        from ser.corpora.download import download_corpus

        download_corpus(folder)
    text, complete = take_inventory(folder)
    sys.stdout.write(text)
    return 0 if complete else 1
