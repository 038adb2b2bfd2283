"""`ser predict a.wav b.flac folder/ [--model <model>]`: the emotion of one's own recordings."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ser.cli.command import Encoder, FeatureGroups, Networks, own_parts
from ser.corpora.progress import track
from ser.data.places import is_address, local_path
from ser.errors import SerError, SettingsError, printable
from ser.inference.context import NO_CONTEXT
from ser.inference.formats import as_csv, as_json, as_table
from ser.inference.output import check_output
from ser.inference.pretrained import NO_DEFAULT, default_model
from ser.inference.results import Failure, Prediction
from ser.inference.sources import find_recordings

if TYPE_CHECKING:
    from ser.data.tasks import TaskReport
    from ser.inference.own_parts import OwnParts
    from ser.inference.predictor import Predictor


def predict(
    paths: Annotated[
        list[str], typer.Argument(help="sound files, folders or addresses of them, or tables with the column file")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="a run's folder, a folder of runs, a model's file or name; ser-voices if left out"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON, one object per recording")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV, one line per recording")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            help="write each result to this .csv, .jsonl or .parquet file as it comes; or to parts in this folder",
            metavar="FILE",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with --output, leave out what it has; of a file, try failures again")
    ] = False,
    launcher: Annotated[
        Literal["processes", "ray"], typer.Option(help="what runs the workers that write a folder of parts")
    ] = "processes",
    address: Annotated[
        str | None, typer.Option(help="of a cluster of Ray; without one, Ray runs here", metavar="HOST:PORT")
    ] = None,
    part_size: Annotated[int, typer.Option(help="recordings of a part, which is the unit of work", min=1)] = 1000,
    same_speaker: Annotated[
        Path | None,
        typer.Option(help="other recordings of the person who speaks: their context, unlabelled", metavar="FOLDER"),
    ] = None,
    single_speaker: Annotated[
        bool,
        typer.Option(
            "--single-speaker",
            help="one person speaks throughout each recording: in a long one, what they said before is context",
        ),
    ] = False,
    speaker_column: Annotated[
        str | None,
        typer.Option(
            help="of a table with the column file: who speaks; each file has the person's others as context",
            metavar="NAME",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="worker processes; 0 takes all cores")] = 0,
    network: Networks = None,
    feature_group: FeatureGroups = None,
    encoder: Encoder = None,
) -> int:
    """Predict the emotion of recordings; print a table, JSON or CSV, or write a file.

    The exit status is 1 where a recording cannot be read.
    """
    if json and csv:
        raise typer.BadParameter("give one of --json and --csv, not both.")
    if output is not None and (json or csv):
        raise typer.BadParameter("the suffix of --output says the format: leave out --json and --csv.")
    if resume and output is None:
        raise typer.BadParameter("--resume goes on with a file: name it by --output.")
    if same_speaker is not None and speaker_column is not None:
        raise typer.BadParameter("give one of --same-speaker and --speaker-column, not both.")
    if single_speaker and speaker_column is not None:
        raise typer.BadParameter("give one of --single-speaker and --speaker-column, not both.")
    if speaker_column is not None and len(paths) != 1:
        raise typer.BadParameter("--speaker-column needs one table of files, CSV or Parquet, and nothing else.")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    folder = output if output is not None and _is_folder(output) else None
    if folder is None and (launcher == "ray" or address is not None or part_size != 1000):
        raise typer.BadParameter("--launcher, --address and --part-size need a folder: --output results/.")
    if address is not None and launcher != "ray":
        raise typer.BadParameter("--address is of a cluster of Ray: add --launcher ray.")
    if folder is not None and (same_speaker is not None or speaker_column is not None):
        raise typer.BadParameter("--same-speaker and --speaker-column need a file as --output, not a folder.")
    if output is not None and folder is None:
        check_output(local_path(output), resume=resume)  # before the model is read
    try:
        own = own_parts(network, feature_group)
        predictor = _load(model, encoder, own)
        if predictor.context is None and (same_speaker is not None or speaker_column is not None or single_speaker):
            raise SettingsError(NO_CONTEXT)
        if same_speaker is not None:
            predictor = predictor.with_context(map(Path, _files([str(same_speaker)])), workers=workers)
        speakers = None if speaker_column is None else _speakers(Path(paths[0]), speaker_column)
        if folder is not None:
            from ser.inference.parts import Scoring, predict_in_parts

            source = model or str(default_model())
            is_single = single_speaker and predictor.context is not None
            scoring = Scoring(
                model=source, fingerprint=predictor.fingerprint, encoder=encoder, own=own, single_speaker=is_single
            )
            items = _files(paths)
            reports = predict_in_parts(
                items, scoring, folder=folder, part_size=part_size, launcher=launcher, workers=workers,
                address=address, resume=resume,
            )  # fmt: skip
            n_parts = -(-len(items) // part_size)
            return _write_parts(track(reports, total=n_parts, description="Scoring", unit="parts"), folder, resume)
        files = [*map(Path, _files(paths, here=True))] if speakers is None else [path for path, _ in speakers]
    except SerError:
        if json:
            sys.stdout.write(as_json([]))  # what reads it is given JSON in any case
        raise
    file = None if output is None else local_path(output)
    many: Iterable[Prediction | Failure]
    if speakers is None:
        many = predictor.predict_many(files, workers=workers, output=file, resume=resume, single_speaker=single_speaker)
    else:
        from ser.inference.speakers import predict_by_speaker

        many = predict_by_speaker(predictor, speakers, workers=workers, output=file, resume=resume)
    results = track(many, total=len(files), description="Scoring", unit="recordings")
    if file is not None:
        return _write(results, file, total=len(files), resume=resume)
    found = list(results)
    if speakers is not None:  # they came speaker by speaker
        place = {str(path): number for number, path in enumerate(files)}
        found.sort(key=lambda result: place[result.source])
    predictions = [result for result in found if not isinstance(result, Failure)]
    if json:
        sys.stdout.write(as_json(predictions))
    else:
        sys.stdout.write(as_csv(predictions, predictor.class_names) if csv else as_table(predictions))
    failures = [result for result in found if isinstance(result, Failure)]
    for failure in failures:
        _say_failed(failure.reason)
    return 1 if failures else 0


def _is_folder(output: str) -> bool:
    return is_address(output) or output.endswith("/") or not Path(output).suffix or Path(output).is_dir()


def _files(names: list[str], *, here: bool = False) -> list[str]:
    """Return the files, and those of folders, tables and addresses (none of these where they should be `here`)."""
    files, remarks = find_recordings(names)
    for remark in remarks:
        print(printable(remark), file=sys.stderr)
    if here and (far := next(filter(is_address, files), None)) is not None:
        raise SettingsError(f"{printable(far)} is an address, which needs a folder for the results: --output results/.")
    return files


def _write_parts(reports: "Iterable[TaskReport]", folder: str, resume: bool) -> int:
    from ser.inference.parts import count_failures

    n_new = n_already = 0
    try:
        for report in reports:
            if report.seconds is None:
                n_already += report.n_items
            else:
                n_new += report.n_items
    except (KeyboardInterrupt, SystemExit):
        print(f"{n_new:,} new rows are in {folder}; --resume goes on", file=sys.stderr)
        raise
    already = f", {n_already:,} were there already" if resume else ""
    print(f"{n_new:,} rows written to {folder}{already}")
    if n_failed := count_failures(folder):
        _say_failed(f"{n_failed:,} of the recordings could not be read; the column error says why.")
    return 1 if n_failed else 0


def _load(model: str | None, encoder: str | None, own: "OwnParts") -> "Predictor":
    source = model or default_model()
    if source is None:
        raise SettingsError(f"--model is needed; train one with `ser train`. {NO_DEFAULT}")

    from ser.inference.predictor import Predictor  # onnxruntime or torch, only once it is needed

    return Predictor.load(source, encoder=encoder, **own)


def _speakers(table: Path, column: str) -> list[tuple[Path, str]]:
    from ser.inference.speakers import read_speakers

    return read_speakers(table, column)


def _say_failed(reason: str) -> None:
    print(f"error: {printable(reason)}", file=sys.stderr)


def _write(results: Iterable[Prediction | Failure], output: Path, *, total: int, resume: bool) -> int:
    n_done = n_failed = 0
    try:
        for result in results:
            if isinstance(result, Failure):
                n_failed += 1
                _say_failed(result.reason)
            else:
                n_done += 1
    except (KeyboardInterrupt, SystemExit):
        print(f"{n_done:,} new predictions are in {output}; --resume goes on", file=sys.stderr)
        raise
    already = f", {total - n_done - n_failed:,} were there already" if resume else ""
    print(f"{n_done:,} predictions written to {output}{already}")
    return 1 if n_failed else 0
