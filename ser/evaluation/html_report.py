"""`report.html`: a run or an evaluation as one page that needs nothing beside it and no network."""

import base64
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from ser.corpora.splits import Split
from ser.data.files import write_text_atomically
from ser.errors import AudioError
from ser.evaluation.clips import encode_clip, read_clip
from ser.evaluation.figures import CURVES, confusion_figure, learning_curve_figure, reliability_figure
from ser.evaluation.metrics import HEADLINES, group_metrics, reliability_bins
from ser.evaluation.predictions import class_numbers, probabilities_of
from ser.evaluation.report import CLOSED_SET_NOTE, Evaluation, summary_rows
from ser.evaluation.tables import UNNAMED, class_rows, corpus_rows, percent
from ser.models.metadata import ModelMetadata

REPORT = "report.html"
_N_ERRORS = 10
_N_SPEAKERS = 200
"""Speakers that have a row of their own: those with the most recordings."""
_NAMES = {"val": "Validation", "test": "Test"}
_NONE = "-"
_TEMPLATE = Path(__file__).with_suffix(".html")


def write_html_report(
    path: Path,
    evaluations: Mapping[str, Evaluation],
    metadata: ModelMetadata,
    *,
    title: str,
    command: str,
    sounds: Mapping[str, Path],
    history: Sequence[Mapping[str, float]] = (),
    defaults: Mapping[str, Any] | None = None,
    split: Split | None = None,
) -> None:
    """Write the page: scores, figures, tables and the worst errors of each evaluation, curves, settings, the command.

    Whatever names and settings hold is text on the page, never markup.

    Parameters
    ----------
    evaluations : the part of the data, "val" or "test" -> what was scored; at least one. The protocol of the first
        stands on top.
    title : such as the name of the run.
    command : that repeats it; empty where it is not known.
    sounds : name of a recording, without suffix -> its file; of a recording that is missing there, or that cannot be
        read, the page has no player.
    history : the learning curve, as in `ser.evaluation.figures.learning_curve_figure`; empty: no curves.
    defaults : the configuration without any override; what differs from it in that of the model comes first. None: it
        is not known.
    split : the recordings of the run, which the page counts by corpus and part; None: they are not known.

    Raises
    ------
    OSError : the file cannot be written; it names it.
    """
    loader = jinja2.FileSystemLoader(_TEMPLATE.parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    settings = dict(_flat(metadata.configuration))
    page = environment.get_template(_TEMPLATE.name).render(
        title=title,
        protocol=next(iter(evaluations.values())).results["protocol"],
        parts=[_part(prefix, evaluation, sounds) for prefix, evaluation in evaluations.items()],
        data=[] if split is None else _data_rows(split),
        curves=[_picture(learning_curve_figure(history, [panel]), f"{panel} by epoch.") for panel in CURVES]
        if history
        else [],
        settings=[(key, _text(value)) for key, value in sorted(settings.items())],
        differing=None if defaults is None or not settings else _differing(settings, dict(_flat(defaults))),
        command=command,
        corpus=metadata.corpus_root,
        versions=metadata.versions,
    )
    write_text_atomically(path, page)


def _part(prefix: str, evaluation: Evaluation, sounds: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the template shows of one evaluation."""
    table, results = evaluation.predictions, evaluation.results
    probabilities, name = probabilities_of(table), _NAMES[prefix]
    bins = reliability_bins(probabilities, class_numbers(table))
    matrix = confusion_figure(results["confusion_matrix"], results["class_names"], title="", cell=0.5)
    calibration = reliability_figure({name.lower(): bins}, title="")
    wrong = table[class_numbers(table) != class_numbers(table, "predicted")]
    worst = wrong.sort_values(["confidence", "file"], ascending=[False, True]).head(_N_ERRORS)
    n_recordings = Counter(table["speaker"])
    del n_recordings[""]
    speakers = sorted(name for name, _ in n_recordings.most_common(_N_SPEAKERS))
    return {
        "prefix": prefix,
        "name": name,
        "protocol": results["protocol"],
        "scores": summary_rows(results),
        "note": CLOSED_SET_NOTE if results["closed_set"] else "",
        "pictures": [
            _picture(matrix, f"{name}: confusion matrix, coloured by the fraction of the true class."),
            _picture(calibration, f"{name}: accuracy over confidence, and the number of predictions."),
        ],
        "classes": class_rows(results["per_class"]),
        "corpora": corpus_rows(results["by_corpus"]) if len(results["by_corpus"]) > 1 else [],
        "channels": _group_rows("channel", results["by_channel"]) if len(results["by_channel"]) > 1 else [],
        "n_speakers": len(n_recordings),
        "speakers": _group_rows("speaker", group_metrics(table, table["speaker"], speakers)),
        "n_errors": len(wrong),
        "errors": [
            {
                "file": row["file"],
                "speaker": row["speaker"] or "unknown",
                "channel": row["channel"],
                "true": row["true"],
                "predicted": row["predicted"],
                "confidence": percent(row["confidence"]),
                "of_truth": percent(row[f"p_{row['true']}"]),
                "sound": _sound(sounds.get(row["file"])),
            }
            for row in worst.to_dict("records")
        ],
    }


def _data_rows(split: Split) -> list[list[str]]:
    """Return a table of what is in each part: a row a corpus and part that has recordings, then the totals."""
    rows = [["corpus", "part", "recordings", "speakers", "classes"]]
    parts = {part: getattr(split, part) for part in ("train", "validation", "test")}
    corpora = sorted({recording.corpus for part in parts.values() for recording in part})
    for corpus in [*corpora, None] if len(corpora) > 1 else corpora:
        for part, recordings in parts.items():
            found = [one for one in recordings if corpus is None or one.corpus == corpus]
            if found:
                name = "all" if corpus is None else corpus or UNNAMED
                speakers = {one.speaker for one in found} - {None}
                counts = (len(found), len(speakers), len({one.emotion for one in found}))
                rows.append([name, part, *(f"{count:,}" for count in counts)])
    return rows


def _group_rows(what: str, groups: Mapping[Any, Mapping[str, Any]]) -> list[list[str]]:
    rows = [[what, *HEADLINES.values(), "recordings"]]
    for name, metrics in groups.items():
        rows.append([str(name), *(percent(metrics[key]) for key in HEADLINES), str(metrics["n_recordings"])])
    return rows


def _picture(figure: Figure, caption: str) -> dict[str, str]:
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return {"caption": caption, "data": _data_uri("image/svg+xml", content.getvalue())}


def _sound(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return _data_uri(*encode_clip(read_clip(path)))
    except AudioError:
        return None


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _differing(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return key, value and default of what differs; a dash for what is in one of them only."""
    keys = sorted(key for key in {*settings, *defaults} if settings.get(key, _NONE) != defaults.get(key, _NONE))
    return [(key, _text(settings.get(key, _NONE)), _text(defaults.get(key, _NONE))) for key in keys]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
