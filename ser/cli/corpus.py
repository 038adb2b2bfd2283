"""`ser corpus [folder] [--download]` and `ser corpus check <manifest or folder>`: what is there, and what is wrong."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from ser.corpora.ravdess import corpus_root
from ser.errors import SettingsError

DEFAULT = Path("data/ravdess")
CHECK = "check"


def corpus(
    place: Annotated[
        str | None,
        typer.Argument(help=f"the folder of RAVDESS; RAVDESS_ROOT, else {DEFAULT}, where it is left out. Or: {CHECK}"),
    ] = None,
    checked: Annotated[
        Path | None, typer.Argument(help=f"after `{CHECK}`: a manifest (CSV or Parquet), or the folder of a corpus")
    ] = None,
    name: Annotated[
        str, typer.Option("--corpus", help=f"with `{CHECK}`: which corpus the folder holds, such as cremad")
    ] = "ravdess",
    download: Annotated[
        bool, typer.Option("--download", help="fetch the archives of RAVDESS that are absent (430 MB in all)")
    ] = False,
) -> int:
    """List what is there and what is missing of RAVDESS, or check a manifest or another corpus.

    The exit status is 1 where recordings are missing or something is wrong.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if place == CHECK:
        return _check(checked, name)
    if checked is not None:
        raise SettingsError(f"{place!r} is no task of ser corpus; write `ser corpus {CHECK} {checked}`.")
    from ser.corpora.inventory import take_inventory

    folder, _ = corpus_root(place, default=DEFAULT)
    if download:
        from ser.corpora.download import download_corpus

        download_corpus(folder)
    text, complete = take_inventory(folder)
    sys.stdout.write(text)
    return 0 if complete else 1


def _check(checked: Path | None, name: str) -> int:
    from ser.corpora.check import check_corpus, check_manifest

    if checked is None:
        raise SettingsError(f"ser corpus {CHECK} needs a manifest, such as labels.csv, or the folder of a corpus.")
    text, right = check_corpus(checked, name) if checked.is_dir() else check_manifest(checked)
    sys.stdout.write(text)
    return 0 if right else 1
