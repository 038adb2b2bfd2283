"""The analysis as one HTML file that needs nothing beside it: findings, figures inside the file, tables."""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ser.data.files import write_text_atomically
from ser.evaluation.figures import save_figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
img { max-width: 100%; height: auto; } figure { margin: 1.5rem 0; } figcaption { color: #555; font-size: .9rem; }
.table { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
.text { text-align: left; } thead th { border-bottom: 2px solid #888; }
"""

CAPTIONS = {
    "emotion_bar_plot.png": "Recordings of each emotion, by channel.",
    "label_distribution.csv": "Recordings of each emotion.",
    "audio_duration.png": "Duration of the recordings.",
    "eda_summary.csv": "The corpus in numbers, durations in seconds.",
    "examples.png": "Waveform, MFCC and mel spectrogram of one recording of each emotion.",
    "mean_features.png": "How emotions, channels, intensities and genders differ, in standard deviations of the "
    "recordings' means.",
    "feature_distributions.png": "Distribution of the mean or deviation of each group that differs most between "
    "emotions.",
    "effect_sizes.png": "The features that differ most between emotions, and how much they differ between speakers and "
    "so on.",
    "effect_sizes.csv": "The first of {rows} means and deviations: the fraction (η²) of their variance that lies "
    "between emotions, speakers and so on.",
    "correlation_heatmap.png": "Correlation of the recordings' mean features.",
    "group_correlations.csv": "Mean |r| within and between groups of features.",
    "embedding_pca.png": "Principal components: the same points, coloured by emotion and by speaker.",
    "embedding_tsne.png": "t-SNE: the same points, coloured by emotion and by speaker.",
    "nearest_neighbours.csv": "Fraction of recordings whose nearest neighbour agrees with them, and chance.",
    "neighbour_emotions.csv": "Emotion of a recording (row) and of its nearest neighbour (column), another speaker's "
    "where there is more than one.",
    "unreadable.csv": "Files that could not be read; they are counted nowhere above.",
}
"""File -> its caption in the report."""


@dataclass(frozen=True)
class Table:
    """A table of the report, whose columns `percent` hold fractions in [0, 1] that it shows in percent.

    It shows the first `shown` rows, or all with None; the file has all.
    """

    content: pd.DataFrame
    percent: Sequence[str] = ()
    shown: int | None = None


Section = tuple[str, Sequence[str], Mapping[str, Figure | Table]]
"""A part of the report: title, findings in sentences, then figures and tables by file, with a caption in `CAPTIONS`."""


def write_table(path: Path, content: pd.DataFrame) -> None:
    """Write a table as CSV, numbers with six digits; raises OSError where it cannot be written."""
    write_text_atomically(path, content.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_report(path: Path, sections: Sequence[Section], *, title: str, made_from: str) -> None:
    """Write the figures and tables of `sections` beside `path`, then the report, HTML without scripts, to it.

    `made_from` is one sentence on the corpus, the settings and the versions.

    Raises
    ------
    OSError : a file cannot be written; it names it.
    """
    title, made_from = html.escape(title), html.escape(made_from)
    body = [f"<h1>{title}</h1>", f"<p>{made_from}</p>"]
    for heading, findings, parts in sections:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        items = "".join(f"<li>{html.escape(finding)}</li>\n" for finding in findings)
        body += [f"<ul>\n{items}</ul>"] if items else []
        for file, part in parts.items():
            place = path.with_name(file)
            body.append(_table(part, place) if isinstance(part, Table) else _picture(part, place))
    content = "\n".join(body)
    report = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{content}\n</body>\n</html>\n"
    )
    write_text_atomically(path, report)


def _picture(figure: Figure, path: Path) -> str:
    save_figure(figure, path)
    encoded, caption = base64.b64encode(path.read_bytes()).decode("ascii"), html.escape(CAPTIONS[path.name])
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{caption} ({path.name})</figcaption></figure>"
    )


def _table(table: Table, path: Path) -> str:
    write_table(path, table.content)
    shown = table.content[: table.shown]
    columns = [[name.replace("_", " "), *(_text(v, name in table.percent) for v in shown[name])] for name in shown]
    kinds = ["" if pd.api.types.is_numeric_dtype(kind) else ' class="text"' for kind in shown.dtypes]
    head, *rows = (
        "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        for tag, cells in zip(["th"] + ["td"] * len(shown), zip(*columns, strict=True), strict=True)
    )
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    caption = html.escape(CAPTIONS[path.name].format(rows=len(table.content)))
    return (
        f'<div class="table"><table><caption>{caption}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _text(value: str | float, percent: bool) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    return f"{value:.1%}" if percent else f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
