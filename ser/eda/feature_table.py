"""The feature table of the reference implementation: a row per recording, a column per feature and frame."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

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
) -> None:
    """Write the features of `recordings` as Parquet; log those that could not be read.

    The columns are `column_names` (float32, not standardised, cut or padded to `max_length` frames) and "label", the
    emotion's name. The file's name is the index, from which the actor can be read for a split by speaker.

    Raises
    ------
    AudioError : no recording could be read.
    OSError : the file cannot be written; it names it.
    """
    prepared = prepare_unaugmented(recordings, settings, cache_dir=cache_dir, workers=workers)
    names = [sample.recording.name for sample in prepared.samples]
    files = pd.Index([name.stem for name in names], name="file")
    values = prepared.features.reshape(len(names), -1)
    table = pd.DataFrame(values, columns=column_names(settings), index=files, copy=False)
    table = table.assign(label=[name.emotion for name in names])
    with replace_when_complete(path) as temporary:
        # Floating point values hardly ever repeat, so that a dictionary of them gains nothing.
        table.to_parquet(temporary, engine="pyarrow", compression="zstd", use_dictionary=["label"])
    for reason in prepared.failures.values():
        log.warning("Left out: %s", reason)
    log.info("Table: %d recordings, %d columns", *table.shape)
