"""The data of the analysis: for each recording its name, its header, and its features, of each frame or averaged."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from ser.augment.waveform import AugmentSettings
from ser.corpora.manifest import CHANNELS, GENDERS, Recording
from ser.corpora.ravdess import INTENSITIES, parse_stem
from ser.corpora.selection import class_order
from ser.data.cache import Prepared, prepare
from ser.data.files import replace_when_complete
from ser.data.recipe import Recipe, Sample
from ser.errors import AudioError
from ser.features._filterbanks import DELTA_WIDTH
from ser.features.settings import FeatureSettings, feature_names, rows_of

log = logging.getLogger(__name__)

LEVELS = {"channel": CHANNELS, "intensity": INTENSITIES, "gender": GENDERS}
"""Factors beside the emotion and their levels, in the order of every table and figure."""
FACTORS = ("emotion", *LEVELS)

_REFERENCE_NAMES = {"delta": "delta_mfcc", "delta2": "delta_delta_mfcc", "contrast": "spectral_contrast"}
_POWER_FLOOR = 1e-10
_LONGEST = 20.0
"""Seconds that are analysed, three times the longest of RAVDESS: one misnamed lecture would fill the memory."""


def name_table(recordings: Iterable[Recording]) -> pd.DataFrame:
    """Return what is known of the recordings beside their sound, a row each.

    The columns are file (the id), path, emotion (categories in `class_order`), channel, intensity, gender (categories
    in the order of `LEVELS`, those that do not occur left out), statement, repetition and speaker. Intensity and
    repetition are known of RAVDESS alone.
    """
    table = pd.DataFrame(map(_facts, recordings))
    levels_of = {"emotion": class_order(table["emotion"]), **LEVELS}
    for factor, levels in levels_of.items():
        table[factor] = pd.Categorical(table[factor], levels, ordered=True).remove_unused_categories()
    return table


def _facts(recording: Recording) -> dict[str, Any]:
    name = parse_stem(recording.id) if recording.corpus == "ravdess" else None
    return {
        "file": recording.id,
        "path": recording.path,
        "emotion": recording.emotion,
        "channel": recording.channel,
        "intensity": name and name.intensity,
        "gender": recording.gender,
        "statement": name.statement if name else recording.text or "",
        "repetition": name.repetition if name else 1,
        "speaker": recording.speaker or "",
    }


def read_headers(recordings: Sequence[Recording]) -> tuple[pd.DataFrame, dict[Path, str]]:
    """Return `name_table` with seconds, sample_rate (Hz) and n_channels of the headers, and path -> why there is none.

    Raises
    ------
    AudioError : no recording has a readable header.
    """
    headers, failures = {}, {}
    for recording in recordings:
        try:
            headers[recording] = soundfile.info(recording.path)
        except (RuntimeError, OSError) as error:  # libsndfile's own error is a RuntimeError
            reason = str(getattr(error, "error_string", error)).rstrip(". ")
            failures[recording.path] = f"{recording.path} cannot be read as sound ({reason})."
    if not headers:
        raise AudioError(f"None of {len(failures)} recordings could be read: {next(iter(failures.values()))}")
    table = name_table(headers)
    table[["sample_rate", "n_channels"]] = [(header.samplerate, header.channels) for header in headers.values()]
    table["seconds"] = [header.frames / header.samplerate for header in headers.values()]
    return table, failures


def observe(
    recordings: Sequence[Recording], features: FeatureSettings, *, cache_dir: Path, workers: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[Path, str]]:
    """Return the recordings (`read_headers`), their statistics row by row (`summarise_frames`), and path -> reason.

    Recordings that cannot be read are left out and logged; they have the reason. `workers` 0 takes all cores.

    Raises
    ------
    AudioError : no recording could be read.
    """
    table, failures = read_headers(recordings)
    # Not cut to the network's length; cached entries are of any length, so this costs no second extraction.
    samples = min(table["seconds"].max(), _LONGEST) * features.sample_rate
    whole = replace(features, max_length=max(DELTA_WIDTH, 1 + math.ceil(samples / features.hop_length)))
    readable = [recording for recording in recordings if recording.path not in failures]
    prepared = _prepare(readable, whole, cache_dir=cache_dir, workers=workers)
    if prepared.failures:
        table, _ = read_headers([sample.recording for sample in prepared.samples])
        failures |= {one.path: reason for one, reason in prepared.failures.items()}
    for reason in failures.values():
        log.warning("Left out: %s", reason)
    return table, summarise_frames(np.asarray(prepared.features), prepared.lengths, features), failures


def _prepare(recordings: Iterable[Recording], features: FeatureSettings, *, cache_dir: Path, workers: int) -> Prepared:
    """Return the features of recordings, without augmentation."""
    recipe = Recipe(features=features, augment=AugmentSettings(), augment_seed=0)
    return prepare([Sample(recording=r) for r in recordings], recipe, cache_dir=cache_dir, workers=workers)


def summarise_frames(
    padded: NDArray[np.float32], lengths: NDArray[np.int64], features: FeatureSettings
) -> pd.DataFrame:
    """Return mean and standard deviation over the frames of each recording, float64; see `statistic_columns`.

    The padding behind a recording's own frames is no part of it. Mel bands are taken in decibels
    (`10 log10(power)`, from -100): as power, a few loud frames would decide every mean. `padded` is float32
    [recordings, features, frames], `lengths` int64 [recordings], the frames that are the recording's own.
    """
    mel = rows_of(features).get("mel", slice(0, 0))
    means, deviations = np.empty((2, *padded.shape[:2]))
    for row, (entry, length) in enumerate(zip(padded, lengths, strict=True)):
        frames = entry[:, :length].astype(np.float64)
        frames[mel] = 10.0 * np.log10(np.maximum(frames[mel], _POWER_FLOOR))
        means[row], deviations[row] = frames.mean(axis=1), frames.std(axis=1)
    return pd.DataFrame(np.hstack([means, deviations]), columns=statistic_columns(features))


def statistic_columns(features: FeatureSettings) -> pd.MultiIndex:
    """Return the columns (statistic, group, feature): "mean" of all the features, then "deviation" of all."""
    names = [(group, name) for group, rows in rows_of(features).items() for name in feature_names(features)[rows]]
    columns = [(statistic, *name) for statistic in ("mean", "deviation") for name in names]
    return pd.MultiIndex.from_tuples(columns, names=["statistic", "group", "feature"])


def column_names(settings: FeatureSettings) -> list[str]:
    """Return the names of the reference implementation, by feature, then by frame: "mfcc_0_0", "mfcc_0_1", ...

    >>> column_names(FeatureSettings(groups=("delta", "zcr"), n_mfcc=1, max_length=2))
    ['delta_mfcc_0_0', 'delta_mfcc_0_1', 'zcr_0', 'zcr_1']
    """
    names = feature_names(settings)
    return [
        f"{_REFERENCE_NAMES.get(group, group)}{name.removeprefix(group)}_{frame}"
        for group, rows in rows_of(settings).items()
        for name in names[rows]
        for frame in range(settings.max_length)
    ]


def write_feature_table(
    path: Path, recordings: Sequence[Recording], settings: FeatureSettings, *, cache_dir: Path, workers: int
) -> None:
    """Write the feature table of the reference implementation as Parquet; log those that could not be read.

    The columns are `column_names` (float32, not standardised, cut or padded to `max_length` frames) and "label", the
    emotion's name. The file's name is the index, from which the speaker can be read for a split by speaker.

    Raises
    ------
    AudioError : no recording could be read.
    OSError : the file cannot be written; it names it.
    """
    prepared = _prepare(recordings, settings, cache_dir=cache_dir, workers=workers)
    found = [sample.recording for sample in prepared.samples]
    files = pd.Index([one.id for one in found], name="file")
    values = np.asarray(prepared.features).reshape(len(found), -1)
    table = pd.DataFrame(values, columns=column_names(settings), index=files, copy=False)
    table = table.assign(label=[one.emotion for one in found])
    with replace_when_complete(path) as temporary:
        # Floating point values hardly ever repeat, so that a dictionary of them gains nothing.
        table.to_parquet(temporary, engine="pyarrow", compression="zstd", use_dictionary=["label"])
    for reason in prepared.failures.values():
        log.warning("Left out: %s", reason)
    log.info("Table: %d recordings, %d columns", *table.shape)
