"""The feature table: the columns of the reference implementation."""

import numpy as np
import pandas as pd

from ser.corpora.manifest import find_recordings
from ser.eda.feature_table import column_names, write_feature_table
from ser.eda.observations import prepare_unaugmented
from ser.features.settings import FeatureSettings


def test_the_default_table_has_the_columns_of_the_reference_implementation():
    names = column_names(FeatureSettings())
    assert len(names) == len(set(names)) == 187 * 216
    assert names[:2] == ["mfcc_0_0", "mfcc_0_1"]
    assert names[-1] == "spectral_contrast_6_215"
    for name in ("delta_mfcc_12_0", "delta_delta_mfcc_0_215", "chroma_11_3", "mel_127_0", "zcr_0"):
        assert name in names


def test_the_parquet_file_gives_back_features_and_labels(tiny_corpus, tmp_path):
    settings = FeatureSettings(groups=("mfcc", "contrast"), n_mfcc=2, max_length=30)
    recordings = find_recordings(tiny_corpus)[:4]
    path = tmp_path / "new" / "features.parquet"
    write_feature_table(path, recordings, settings, cache_dir=tmp_path / "cache", workers=1)
    table = pd.read_parquet(path)
    assert list(table.index) == [recording.stem for recording in recordings]
    assert list(table["label"]) == [recording.name.emotion for recording in recordings]
    expected = prepare_unaugmented(recordings, settings, cache_dir=tmp_path / "cache", workers=1).features
    features = table.drop(columns="label")
    assert set(features.dtypes) == {np.dtype("float32")}
    np.testing.assert_array_equal(features.to_numpy().reshape(expected.shape), expected)
    np.testing.assert_array_equal(features["spectral_contrast_6_3"], expected[:, 8, 3])
