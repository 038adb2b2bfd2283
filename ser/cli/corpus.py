"""`python -m ser corpus [folder] [--download]`: list what is there and what is missing of RAVDESS; download it."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ser.cli.command import exit_status
from ser.corpora.inventory import take_inventory
from ser.corpora.manifest import corpus_root

DEFAULT = Path("data/ravdess")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the inventory of a corpus; return 0 where it is complete, else 1."""
    parser = argparse.ArgumentParser(prog="python -m ser corpus", description=__doc__)
    parser.add_argument("root", nargs="?", help=f"the corpus; RAVDESS_ROOT, else {DEFAULT}, where it is left out")
    parser.add_argument("--download", action="store_true", help="fetch the archives that are absent (430 MB in all)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    root, _ = corpus_root(options.root, default=DEFAULT)

    def run() -> int:
        if options.download:
            from ser.corpora.download import download_corpus

            download_corpus(root)
        text, complete = take_inventory(root)
        sys.stdout.write(text)
        return 0 if complete else 1

    return exit_status(run)
