"""`python -m ser predict a.wav b.flac folder/ [checkpoint=<model>]`: the emotion of one's own recordings.

The model is a run's folder, a .ckpt, .onnx or .safetensors file, or the name of a pretrained model. Where none is
given, it is the pretrained model ser-ravdess.
"""

import argparse
import csv
import io
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ser.audio.io import find_sound_files
from ser.cli.command import exit_status
from ser.errors import AudioError, SettingsError
from ser.inference.pretrained import NO_DEFAULT, default_model

if TYPE_CHECKING:
    from ser.inference.predictor import Prediction


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict recordings, print a table, JSON or CSV; return 0, or 1 where a recording or the checkpoint failed."""
    parser = argparse.ArgumentParser(prog="python -m ser predict", description=__doc__)
    paths_help = "sound files, folders of them, and checkpoint=<a run's folder, a model's file or name>"
    parser.add_argument("paths", nargs="+", help=paths_help)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON, one object per recording")
    shape.add_argument("--csv", action="store_true", help="print CSV, one line per recording")
    parser.add_argument("--workers", type=int, default=0, help="worker processes; 0 takes all cores")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    def run() -> int:
        checkpoint, paths = _sort_arguments(options.paths)

        from ser.inference.predictor import Predictor  # onnxruntime or torch, only once it is needed

        predictor = Predictor.load(checkpoint)
        predictions, failures = predictor.predict_files(expand_folders(paths), workers=options.workers)
        write = as_json if options.json else as_csv if options.csv else as_table
        if predictions:
            sys.stdout.write(write(predictions))
        for reason in failures.values():
            print(f"error: {reason}", file=sys.stderr)
        return 1 if failures else 0

    return exit_status(run)


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


def as_table(predictions: "Sequence[Prediction]") -> str:
    """Return an aligned table: file, emotion, the probability of every class in percent, warnings."""
    rows = [["file", "emotion", *predictions[0].class_names]]
    rows += [[p.source, p.emotion, *(f"{value:.1%}" for value in p.probabilities)] for p in predictions]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(r[:2], widths[:2], strict=True)), *map(str.rjust, r[2:], widths[2:])])
        for r in rows
    ]
    lines += [f"note: {p.source}: {warning}" for p in predictions for warning in p.warnings]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_json(predictions: "Sequence[Prediction]") -> str:
    """Return a JSON list of objects: file, emotion, confidence, probabilities by class, duration, warnings."""
    listed = [
        {
            "file": p.source,
            "emotion": p.emotion,
            "confidence": p.confidence,
            "probabilities": dict(zip(p.class_names, map(float, p.probabilities), strict=True)),
            "duration": p.duration,
            "warnings": list(p.warnings),
        }
        for p in predictions
    ]
    return json.dumps(listed, indent=2, ensure_ascii=False) + "\n"


def as_csv(predictions: "Sequence[Prediction]") -> str:
    """Return CSV: file, emotion, confidence, duration, `p_<class>` for every class, warnings joined by spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = predictions[0].class_names
    writer.writerow(["file", "emotion", "confidence", "duration", *(f"p_{name}" for name in names), "warnings"])
    for p in predictions:
        confidence, *probabilities = (f"{value:.9g}" for value in (p.confidence, *p.probabilities))
        writer.writerow([p.source, p.emotion, confidence, f"{p.duration:.3f}", *probabilities, " ".join(p.warnings)])
    return text.getvalue()


def _sort_arguments(arguments: Sequence[str]) -> tuple[Path | str, list[Path]]:
    checkpoints = [text.removeprefix("checkpoint=") for text in arguments if text.startswith("checkpoint=")]
    paths = [Path(text) for text in arguments if not text.startswith("checkpoint=")]
    default = None if checkpoints else default_model()
    if default is None and len(checkpoints) != 1:
        needed = "checkpoint=<run folder or file> is needed, once; train a model with `python train.py`."
        raise SettingsError(needed if checkpoints else f"{needed} {NO_DEFAULT}")
    if not paths:
        raise SettingsError("no recording was given; name sound files or folders of them.")
    return default or checkpoints[0], paths
