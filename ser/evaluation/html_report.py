"""`report.html`: a run or an evaluation as one page that needs nothing beside it and no network."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.corpora.splits import Split
from ser.data.files import write_text_atomically
from ser.evaluation.figures import CURVES, confusion_figure, learning_curve_figure, reliability_figure
from ser.evaluation.metrics import HEADLINES, group_metrics, reliability_bins
from ser.evaluation.page import Entry, chart, render, sound_uri
from ser.evaluation.predictions import class_numbers, probabilities_of
from ser.evaluation.report import CLOSED_SET_NOTE, Evaluation, summary_rows
from ser.evaluation.svg import TILE
from ser.evaluation.tables import UNNAMED, class_rows, confusion_rows, corpus_rows, percent
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
    settings = dict(_flat(metadata.configuration))
    parts = [_part(prefix, evaluation, sounds) for prefix, evaluation in evaluations.items()]
    data = [] if split is None else _data_rows(split)
    curves = [
        chart(
            learning_curve_figure(history, [panel], panel_width=TILE),
            name=f"curve-{place}",
            caption=f"{panel} by epoch.",
        )
        for place, panel in enumerate(CURVES if history else ())
    ]
    page = render(
        _TEMPLATE,
        title=title,
        lead=next(iter(evaluations.values())).results["protocol"],
        contents=_contents(parts, has_data=bool(data), has_curves=bool(curves)),
        values={
            "parts": parts,
            "data": data,
            "curves": curves,
            "settings": [(key, _text(value)) for key, value in sorted(settings.items())],
            "differing": None if defaults is None or not settings else _differing(settings, dict(_flat(defaults))),
            "command": command,
            "corpus": metadata.corpus_root,
            "versions": metadata.versions,
        },
    )
    write_text_atomically(path, page)


def _contents(parts: Sequence[Mapping[str, Any]], *, has_data: bool, has_curves: bool) -> list[Entry]:
    """Return the contents list: the ids of the template, and their titles."""
    entries = [
        Entry(
            part["prefix"],
            part["name"],
            [
                *(Entry(f"{part['prefix']}-{one['id']}", one["title"]) for one in part["tables"]),
                Entry(f"{part['prefix']}-errors", "The worst errors"),
            ],
        )
        for part in parts
    ]
    entries += [Entry("data", "Data")] if has_data else []
    entries += [Entry("curves", "Learning curves")] if has_curves else []
    return [*entries, Entry("settings", "Settings"), Entry("repeat", "Repeat it")]


def _part(prefix: str, evaluation: Evaluation, sounds: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the template shows of one evaluation."""
    table, results = evaluation.predictions, evaluation.results
    name, classes = _NAMES[prefix], results["class_names"]
    bins = reliability_bins(probabilities_of(table), class_numbers(table))
    # As wide as a tile, up to eight classes: the cells of more would be too narrow for their text.
    cell = max(0.325, min(0.5, 2.6 / len(classes)))
    matrix = confusion_figure(results["confusion_matrix"], classes, title="", cell=cell)
    calibration = reliability_figure({name.lower(): bins}, title="", width=TILE)
    wrong = table[class_numbers(table) != class_numbers(table, "predicted")]
    worst = wrong.sort_values(["confidence", "file"], ascending=[False, True]).head(_N_ERRORS)
    return {
        "prefix": prefix,
        "name": name,
        "protocol": results["protocol"],
        "scores": summary_rows(results),
        "note": CLOSED_SET_NOTE if results["closed_set"] else "",
        "charts": [
            chart(
                matrix,
                name=f"{prefix}-confusion",
                caption=f"{name}: confusion matrix, in percent of the true class.",
            ),
            chart(
                calibration,
                name=f"{prefix}-reliability",
                caption=f"{name}: accuracy over confidence, and the number of predictions.",
            ),
        ],
        "confusion": confusion_rows(results["confusion_matrix"], classes),
        "tables": _tables(evaluation),
        "n_errors": len(wrong),
        "errors": [
            {
                "title": f"{row['true']}, predicted {row['predicted']} ({percent(row['confidence'])})",
                "lines": [
                    f"{row['true']} had {percent(row['p_' + row['true']])}; speaker {row['speaker'] or 'unknown'}, "
                    f"{row['channel']}; {row['file']}"
                ],
                "sound": sound_uri(sounds.get(row["file"])),
            }
            for row in worst.to_dict("records")
        ],
    }


def _tables(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the tables of scores by class, and by corpus, channel and speaker where there are several."""
    table, results = evaluation.predictions, evaluation.results
    n_recordings = Counter(table["speaker"])
    del n_recordings[""]
    speakers = sorted(name for name, _ in n_recordings.most_common(_N_SPEAKERS))
    note = f"{len(speakers)} of {len(n_recordings)} speakers, those with the most recordings."
    found: list[dict[str, Any]] = [
        {"id": "classes", "title": "By class", "rows": class_rows(results["per_class"]), "note": ""}
    ]
    if len(results["by_corpus"]) > 1:
        found.append({"id": "corpora", "title": "By corpus", "rows": corpus_rows(results["by_corpus"]), "note": ""})
    if len(results["by_channel"]) > 1:
        rows = _group_rows("channel", results["by_channel"])
        found.append({"id": "channels", "title": "By channel", "rows": rows, "note": ""})
    if speakers:
        rows = _group_rows("speaker", group_metrics(table, table["speaker"], speakers))
        note = note if len(n_recordings) > len(speakers) else ""
        found.append({"id": "speakers", "title": "By speaker", "rows": rows, "note": note})
    return found


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
