"""`ser predict a.wav b.flac folder/ [--model <model>]`: the emotion of one's own recordings."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ser.audio.io import find_sound_files
from ser.errors import AudioError, SettingsError
from ser.inference.pretrained import NO_DEFAULT, default_model


def predict(
    paths: Annotated[list[Path], typer.Argument(help="sound files, and folders of them")],
    model: Annotated[
        str | None,
        typer.Option(help="a run's folder, a folder of runs, a model's file or name; ser-ravdess if left out"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON, one object per recording")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV, one line per recording")] = False,
    results: Annotated[
        Path | None,
        typer.Option(help="add each result to this file, one JSON object a line; what it already holds is left out"),
    ] = None,
    workers: Annotated[int, typer.Option(help="worker processes; 0 takes all cores")] = 0,
) -> int:
    """Predict the emotion of recordings; print a table, JSON or CSV.

    The exit status is 1 where a recording cannot be read.
    """
    if json and csv:
        raise typer.BadParameter("give one of --json and --csv, not both.")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    source = model or default_model()
    if source is None:
        raise SettingsError(f"--model is needed; train one with `ser train`. {NO_DEFAULT}")

    from ser.inference.formats import as_csv, as_json, as_table
    from ser.inference.predictor import Predictor  # onnxruntime or torch, only once it is needed

    predictor, files = Predictor.load(source), expand_folders(paths)
    predictions, failures = predictor.predict_files(files, workers=workers, results=results)
    write = as_json if json else as_csv if csv else as_table
    if results is not None:
        print(f"{len(predictions)} predictions added to {results}")
    elif predictions:
        sys.stdout.write(write(predictions))
    for reason in failures.values():
        print(f"error: {reason}", file=sys.stderr)
    return 1 if failures else 0


def expand_folders(paths: Iterable[Path]) -> list[Path]:
    """Return `paths` with every folder replaced by the sound files below it.

    Raises
    ------
    AudioError : a path that does not exist, or a folder without a sound file.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise AudioError(f"{path}: there is no such file or folder.")
        found = find_sound_files(path) if path.is_dir() else [path]
        if not found:
            raise AudioError(f"{path} holds no sound file (WAV, FLAC, OGG or MP3).")
        files += found
    return list(dict.fromkeys(files))
