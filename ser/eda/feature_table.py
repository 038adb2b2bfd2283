"""The feature table of the reference implementation: a row per recording, a column per feature and frame."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser.corpora.manifest import Recording
from ser.data.files import replace_when_complete
from ser.eda.observations import prepare_unaugmented
from ser.features.settings import FeatureSettings, feature_names, rows_of

log = logging.getLogger(__name__)

_REFERENCE_NAMES = {"delta": "delta_mfcc", "delta2": "delta_delta_mfcc", "contrast": "spectral_contrast"}


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
) -> dict[Path, str]:
    """Write the features of `recordings` as Parquet, and return path -> why it could not be read.

    The columns are `column_names` (float32, not standardised, cut or padded to `max_length` frames) and "label", the
    emotion's name. The file's name is the index, from which the actor can be read for a split by speaker.

    Raises
    ------
    AudioError : no recording could be read.
    OSError : the file cannot be written; it names it.
    """
    prepared = prepare_unaugmented(recordings, settings, cache_dir=cache_dir, workers=workers)
    names = [sample.recording.name for sample in prepared.samples]
    table = feature_frame(prepared.features, settings, [name.emotion for name in names], [name.stem for name in names])
    with replace_when_complete(path) as temporary:
        # Floating point values hardly ever repeat, so that a dictionary of them gains nothing.
        table.to_parquet(temporary, engine="pyarrow", compression="zstd", use_dictionary=["label"])
    for reason in prepared.failures.values():
        log.warning("Left out: %s", reason)
    log.info("Table: %d recordings, %d columns", *table.shape)
    return dict(prepared.failures)


def feature_frame(
    features: NDArray[np.float32], settings: FeatureSettings, labels: Sequence[str], files: Sequence[str]
) -> pd.DataFrame:
    """Return float32 [recordings, features, frames] as the table that `write_feature_table` writes."""
    table = pd.DataFrame(
        features.reshape(len(features), -1),
        columns=column_names(settings),
        index=pd.Index(files, name="file"),
        copy=False,
    )
    return table.assign(label=list(labels))
