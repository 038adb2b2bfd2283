"""The findings of the report: sentences computed from the tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser.corpora.manifest import CHANNELS
from ser.corpora.ravdess import expected_names, parse_stem
from ser.eda.embedding import ANYONE, OTHERS


def corpus_findings(
    recordings: pd.DataFrame, labels: pd.DataFrame, equal: Sequence[tuple[Path, ...]], *, window: float
) -> list[str]:
    """Return sentences on counts, balance and durations (`read_headers`, `label_distribution`), and on equal files.

    `equal` are groups of files that are equal byte by byte; `window` is in seconds of the network's input.
    """
    channels, seconds = dict(list(recordings.groupby("channel", observed=True))), recordings["seconds"]
    counted = ", ".join(f"{len(part):,} of {channel}" for channel, part in channels.items())
    complete = sum(len(expected_names(channel)) for channel in CHANNELS)
    is_ravdess = recordings["file"].map(lambda file: parse_stem(file) is not None).all()
    whole = f"; all of RAVDESS has {complete:,}" if is_ravdess else ""
    absent = {c: labels.loc[labels[c] == 0, "emotion"] for c in channels} if len(channels) > 1 else {}
    by_channel = "; ".join(
        f"{channel}: mean {part.mean():.2f} s, standard deviation {part.std(ddof=0):.2f} s, "
        f"{part.min():.2f} to {part.max():.2f} s"
        for channel, part in recordings.groupby("channel", observed=True)["seconds"]
    )
    by_emotion = recordings.groupby("emotion", observed=True)["seconds"].mean()
    n_stereo, n_cut = int((recordings["n_channels"] > 1).sum()), int((seconds > window).sum())
    groups = "; ".join(" = ".join(path.name for path in group) for group in equal)
    return [
        f"{len(recordings):,} recordings ({counted}) by {recordings['speaker'].nunique()} speakers{whole}.",
        _balance(labels),
        *(
            f"There is no {channel} of {_listed(emotions)}, so the channel alone narrows the emotion."
            for channel, emotions in absent.items()
            if len(emotions)
        ),
        f"They last {seconds.sum() / 3600:.2f} hours together ({by_channel}).",
        f"On average {by_emotion.idxmin()} is shortest ({by_emotion.min():.2f} s) and {by_emotion.idxmax()} longest "
        f"({by_emotion.max():.2f} s).",
        f"{f'{n_cut:,}' if n_cut else 'None'} of {len(seconds):,} ({n_cut / len(seconds):.1%}) "
        f"{'lasts' if n_cut == 1 else 'last'} longer than the {window:.2f} s of the network's input.",
        f"The files have {_listed([f'{rate:,}' for rate in sorted(set(recordings['sample_rate']))])} Hz; "
        f"{n_stereo or 'none'} of them {'is' if n_stereo < 2 else 'are'} stereo.",
        f"Equal byte by byte under different names: {groups}." if equal else "No two files are equal byte by byte.",
    ]


def _balance(labels: pd.DataFrame) -> str:
    counts = labels.set_index("emotion")["all"]
    fewest, most = counts[counts == counts.min()], counts[counts == counts.max()]
    if counts.min() == counts.max():
        return f"Every emotion has the same number of recordings, {counts.min()}."
    return (
        f"The rarest emotion is {_listed(fewest.index)} ({counts.min()} recordings"
        f"{' each' if len(fewest) > 1 else ''}), the commonest {_listed(most.index)} "
        f"({counts.max()}{' each' if len(most) > 1 else ''}): {counts.max() / counts.min():.1f} to 1. "
        f"Always predicting {most.index[0]} would be correct in {counts.max() / counts.sum():.1%}."
    )


def feature_findings(effects: pd.DataFrame, matrix: pd.DataFrame) -> list[str]:
    """Return sentences on `effect_sizes` and on correlations [features, features], both axes (group, feature)."""
    sentences, best = [], effects.iloc[0]
    if "emotion" in effects:
        sentences.append(
            f"The {best['statistic']} of {best['name']} differs most between emotions: they explain "
            f"{best['emotion']:.0%} of its variance (η²)."
        )
    if {"emotion", "speaker"} <= set(effects):
        n_speaker = int((effects["speaker"] > effects["emotion"]).sum())
        sentences.append(
            f"{n_speaker} of {len(effects)} means and deviations vary more with the speaker than with the emotion "
            f"(median η² {effects['speaker'].median():.2f} against {effects['emotion'].median():.2f})."
        )
    groups, strength, listed = set(matrix.columns.unique("group")), matrix.abs(), []
    if "mel" in groups and len(of_mel := strength.loc[["mel"], ["mel"]].to_numpy()) > 1:
        neighbours, pairs = of_mel.diagonal(1), of_mel[np.triu_indices(len(of_mel), 1)]
        listed = [f"neighbouring mel bands {np.nanmean(neighbours):.2f}", f"any two {np.nanmean(pairs):.2f}"]
    for group, name in (("delta", "delta"), ("delta2", "double delta")):
        if {"mfcc", group} <= groups:
            pairs = strength.loc[["mfcc"], [group]].to_numpy().diagonal()
            listed.append(f"an MFCC and its {name} {np.nanmean(pairs):.2f}")
    return sentences + ([f"Mean |r| over the recordings' means: {', '.join(listed)}."] if listed else [])


def outlier_findings(outliers: pd.DataFrame) -> list[str]:
    """Return a sentence on the furthest recording of `ser.eda.outliers.outlier_table`."""
    furthest, n_far = outliers.iloc[0], int((outliers["distance"] > 2).sum())
    return [
        f"{furthest['file']} is the most unlike the others: it lies {furthest['distance']:.1f} times as far from its "
        "fifth nearest neighbour as the median recording.",
        f"{n_far or 'None'} of {len(outliers):,} {'lies' if n_far == 1 else 'lie'} more than twice as far.",
    ]


def neighbour_findings(table: pd.DataFrame, emotions: pd.DataFrame) -> list[str]:
    """Return sentences on why a random split is optimistic: `neighbour_table` and `neighbour_emotions`."""
    rows = {(row.neighbour, row.agreement): row for row in table.itertuples()}
    speaker, emotion = rows[ANYONE, "same speaker"], rows[ANYONE, "same emotion"]
    unseen = rows.get((OTHERS, "same emotion"))
    sentences = [
        f"A recording's nearest neighbour is of the same speaker in {speaker.fraction:.1%} "
        f"(chance {speaker.chance:.1%}) and of the same emotion in {emotion.fraction:.1%} "
        f"(chance {emotion.chance:.1%})."
    ]
    if unseen:
        sentences.append(
            f"Where the neighbour has to be another speaker's, it is of the same emotion in {unseen.fraction:.1%} "
            f"(chance {unseen.chance:.1%}). A random split, with each speaker in training and test, is the first case; "
            "an unseen speaker is the second."
        )
    if len(emotions) > 1:
        confusion = emotions.set_index("emotion")
        others = confusion.where(~np.eye(len(confusion), dtype=bool)).stack()
        one, other = others.idxmax()
        of_whom = "another speaker's nearest" if unseen else "the nearest"
        sentences.append(
            f"The largest confusion is {one} for {other}: of the recordings of {one}, {of_whom} is {other} in "
            f"{others.max():.1%}, and {one} in {confusion.at[one, one]:.1%}."
        )
    return sentences


def _listed(words: Sequence[str] | pd.Index) -> str:
    *most, last = list(words)
    return f"{', '.join(most)} and {last}" if most else last
