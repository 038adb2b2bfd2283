"""The scores of predictions in several contexts, with intervals over speakers, as a table and as text."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser.corpora.manifest import GENDERS, Recording
from ser.data.files import write_text_atomically
from ser.evaluation.calibration import log_loss
from ser.evaluation.context.draws import NONE, Context
from ser.evaluation.context.predictions import FILE, ContextPredictions, write_context_predictions
from ser.evaluation.intervals import accuracy, confusions_by_speaker, speaker_interval, unweighted_average_recall
from ser.evaluation.metrics import expected_calibration_error
from ser.evaluation.predictions import (
    class_names_of,
    class_numbers,
    classes_by_corpus,
    closed_set,
    closed_set_probabilities,
    probabilities_of,
    resampled_units,
)
from ser.evaluation.tables import percent, table

TABLE = "context.csv"
CLOSED_SET = "closed_set_"
RESAMPLES, SEED = 2000, 0
NOTE = (
    "Context: other recordings of the evaluated part, unlabelled, drawn for each recording, never itself. speaker: of "
    "the same person. other: wrongly of another speaker of the corpus. emotion: of the same person, of one emotion "
    "alone. Intervals are 95%, over speakers. Lost: points of UAR against no context; less than 0 is a gain. "
    "Half: accuracy of the half of the recordings with the highest confidence. Closed set: given that the emotion is "
    "one that the corpus has."
)

Tables = Mapping[Context, pd.DataFrame]
"""Predictions in each context, as of `ContextPredictions.tables`; the first context is none."""


def context_scores(
    by_seed: Sequence[Tables],
    classes: Mapping[str, Collection[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[dict[str, Any]]:
    """Return the scores in each context, of all recordings and, where there are several, of each corpus.

    Parameters
    ----------
    by_seed : the predictions of the models of each seed, of the same recordings; scores are means over them.
    classes : corpus -> the classes that it has, as in `ser.evaluation.predictions.classes_by_corpus`.
    resamples, seed : of the bootstrap over speakers.

    Returns
    -------
    A row for each: kind, k (0, a number or "all"), corpus ("" of all together), n_recordings, n_speakers, context_size
    (how many recordings the contexts have, on average), accuracy, uar, uar_low and uar_high (its 95% interval),
    uar_lost (against no context) with uar_lost_low and uar_lost_high, the same of closed_set_uar (None where each
    corpus has all classes), uar_female and uar_male (None where there are none), accuracy_at_half_coverage (of the half
    of the recordings with the highest confidence), ece (15 bins), both of the closed set too (None as above), and
    log_loss. Fractions, and nats.
    """
    first = next(iter(by_seed[0].values()))
    corpora = sorted(set(first["corpus"]))
    rows = []
    for corpus in (None, *corpora) if len(corpora) > 1 else (None,):
        chosen = [
            {context: frame if corpus is None else frame[frame["corpus"] == corpus] for context, frame in one.items()}
            for one in by_seed
        ]
        of_corpora = classes if corpus is None else {corpus: classes[corpus]}
        rows += _rows(chosen, of_corpora, corpus=corpus or "", resampling={"resamples": resamples, "seed": seed})
    return rows


def write_context_scores(
    folder: Path, found: ContextPredictions, predictions: pd.DataFrame, known: Iterable[Recording]
) -> str:
    """Write `context.csv` and `context_predictions.npz` into a folder; return the table as text.

    Parameters
    ----------
    predictions : the recordings' prediction table, without context.
    known : recordings that tell which classes a corpus has, those of the table among them.

    Raises
    ------
    OSError : a file cannot be written.
    """
    write_context_predictions(folder / FILE, found)
    tables = found.tables(predictions)
    if tables[found.contexts[0]].empty:
        return "No speaker is known, so no recording has a context."
    pairs = {(one.corpus, one.emotion) for one in known}
    corpora, labels = zip(*pairs, strict=True)
    rows = context_scores([tables], classes_by_corpus(corpora, labels, class_names_of(predictions)))
    write_text_atomically(folder / TABLE, format_csv(rows))
    return format_context(rows)


def format_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; what is undefined is empty."""
    return str(pd.DataFrame(rows).to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def format_context(rows: Sequence[Mapping[str, Any]], *, markdown: bool = False) -> str:
    """Return the rows of `context_scores` as a table for people, in percent, with a note below."""
    has_corpora, is_open = any(row["corpus"] for row in rows), any(row["closed_set_uar"] is not None for row in rows)
    head = ["context", "k", *(["corpus"] if has_corpora else []), "recordings", "size", "accuracy", "UAR", "interval"]
    head += ["lost", *(["closed-set UAR", "interval", "lost"] if is_open else [])]
    has_genders = any(row[f"uar_{gender}"] is not None for row in rows for gender in GENDERS)
    head += [*([f"UAR, {gender}" for gender in GENDERS] if has_genders else []), "half", "ECE"]
    head += [*(["closed-set half", "closed-set ECE"] if is_open else []), "log-loss"]
    lines = [head]
    for row in rows:
        line = [row["kind"], str(row["k"])]
        line += [row["corpus"] or "all"] if has_corpora else []
        line += [str(row["n_recordings"]), f"{row['context_size']:.1f}", percent(row["accuracy"])]
        line += _cells(row, "uar")
        line += _cells(row, "closed_set_uar") if is_open else []
        line += [percent(row[f"uar_{gender}"]) for gender in GENDERS] if has_genders else []
        for prefix in ("", CLOSED_SET) if is_open else ("",):
            line += [percent(row[f"{prefix}accuracy_at_half_coverage"]), percent(row[f"{prefix}ece"])]
        lines.append([*line, f"{row['log_loss']:.3f}"])
    return f"{table(lines, left=3 if has_corpora else 2, markdown=markdown)}\n\n{NOTE}"


def _cells(row: Mapping[str, Any], name: str) -> list[str]:
    if row[name] is None:
        return ["-", "-", "-"]
    ends = f"{100 * row[f'{name}_low']:.1f} to {100 * row[f'{name}_high']:.1f}"
    lost = "" if row["kind"] == NONE else f"{100 * row[f'{name}_lost']:+.2f}"
    return [percent(row[name]), ends, lost]


def _rows(
    by_seed: Sequence[Tables], classes: Mapping[str, Collection[str]], *, corpus: str, resampling: dict[str, int]
) -> list[dict[str, Any]]:
    frames = next(iter(by_seed[0].values()))
    n_classes = len(class_names_of(frames))
    is_open = any(len(classes[name]) < n_classes for name in set(frames["corpus"]))
    without: dict[str, NDArray[np.int64]] = {}
    rows = []
    for context in by_seed[0]:
        of_seed = [one[context] for one in by_seed]
        counts = {"uar": _confusions(of_seed, n_classes)}
        if is_open:
            counts["closed_set_uar"] = _confusions([closed_set(one, classes) for one in of_seed], n_classes)
        without = without or counts
        truth = [class_numbers(one) for one in of_seed]
        scored = list(zip(map(probabilities_of, of_seed), truth, strict=True))
        closed = None
        if is_open:
            closed = list(zip([closed_set_probabilities(one, classes) for one in of_seed], truth, strict=True))
        row: dict[str, Any] = {
            "kind": context.kind,
            "k": context.size,
            "corpus": corpus,
            "n_recordings": len(of_seed[0]),
            "n_speakers": len(of_seed[0].groupby(["corpus", "speaker"])),
            "context_size": float(np.mean([one["context_size"].mean() for one in of_seed])),
            "accuracy": float(accuracy(counts["uar"].sum(axis=1)).mean()),
        }
        for name in ("uar", "closed_set_uar"):
            row |= _with_intervals(name, counts.get(name), without.get(name), resampling)
        row |= {f"uar_{gender}": _uar_of_gender(of_seed, gender, n_classes) for gender in GENDERS}
        row |= _confidence_scores(scored, "") | _confidence_scores(closed, CLOSED_SET)
        row["log_loss"] = float(np.mean([log_loss(*one) for one in scored]))
        rows.append(row)
    return rows


def _uar_of_gender(of_seed: Sequence[pd.DataFrame], gender: str, n_classes: int) -> float | None:
    chosen = [one[one["gender"] == gender] for one in of_seed]
    if chosen[0].empty:
        return None
    return float(unweighted_average_recall(_confusions(chosen, n_classes).sum(axis=1)).mean())


def _confidence_scores(
    scored: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]] | None, prefix: str
) -> dict[str, float | None]:
    scores = {"accuracy_at_half_coverage": _accuracy_at_half_coverage, "ece": expected_calibration_error}
    return {
        prefix + name: None if scored is None else float(np.mean([score(*one) for one in scored]))
        for name, score in scores.items()
    }


def _accuracy_at_half_coverage(probabilities: NDArray[np.floating[Any]], truth: NDArray[np.int64]) -> float:
    """Return the accuracy of the half with the highest confidence, rounded up; of equals, the first ones."""
    kept = np.argsort(-probabilities.max(axis=1), kind="stable")[: -(-len(truth) // 2)]
    return float((probabilities[kept].argmax(axis=1) == truth[kept]).mean())


def _with_intervals(
    name: str, counts: NDArray[np.int64] | None, without: NDArray[np.int64] | None, resampling: dict[str, int]
) -> dict[str, float | None]:
    """Return a score, its interval, and what is lost against no context with its interval."""
    names = [name, *(f"{name}_{end}" for end in ("low", "high", "lost", "lost_low", "lost_high"))]
    if counts is None or without is None:
        return dict.fromkeys(names)
    statistic = unweighted_average_recall
    score, before = (float(statistic(one.sum(axis=1)).mean()) for one in (counts, without))
    ends = speaker_interval(counts, statistic, **resampling)
    gained = speaker_interval(counts, statistic, **resampling, reference=without)
    return dict(zip(names, (score, *ends, before - score, 0 - gained[1], 0 - gained[0]), strict=True))


def _confusions(of_seed: Sequence[pd.DataFrame], n_classes: int) -> NDArray[np.int64]:
    """Return the counts of each seed and speaker, [seeds, speakers, classes, classes]."""
    found = [
        confusions_by_speaker(
            class_numbers(one), class_numbers(one, "predicted"), one["corpus"] + "/" + resampled_units(one), n_classes
        )
        for one in of_seed
    ]
    return np.array([list(one.values()) for one in found])
