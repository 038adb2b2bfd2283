"""Headers, statistics over the frames, and the feature table, of recordings of which some cannot be read."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser.corpora.ravdess import RecordingName
from ser.corpora.reading import find_recordings
from ser.eda.observations import column_names, observe, read_headers, summarise_frames, write_feature_table
from ser.eda.tables import corpus_summary
from ser.errors import AudioError
from ser.features.extract import extract
from ser.features.settings import FeatureSettings, rows_of

SMALL = FeatureSettings(groups=("mfcc", "mel", "zcr"), n_mfcc=3, n_mels=8, max_length=20)


def recording(path, **changed):
    name = {"channel": "speech", "emotion": "happy", "intensity": "normal", "statement": 1, "repetition": 1, "actor": 1}
    return RecordingName(**(name | changed)).recording(path)


def test_headers_give_seconds_and_the_unreadable_are_listed(tmp_path):
    sound = np.full((11025, 2), 0.1)
    soundfile.write(tmp_path / "a.wav", sound, 22050)
    soundfile.write(tmp_path / "b.wav", sound[:, 0], 11025)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    takes = [recording(tmp_path / "a.wav"), recording(tmp_path / "b.wav", repetition=2)]
    damaged = recording(tmp_path / "c.wav", actor=2)
    table, failures = read_headers([*takes, damaged])
    assert list(table["seconds"]) == [0.5, 1.0]
    assert list(table["n_channels"]) == [2, 1]
    assert list(failures) == [damaged.path]
    summary = corpus_summary(table).set_index("statistic")["all"]
    expected = {"seconds_mean": 0.75, "seconds_std": 0.25, "stereo_recordings": 1, "sample_rate_min_hz": 11025}
    assert summary[list(expected)].to_dict() == expected
    with pytest.raises(AudioError, match=r"c\.wav"):
        read_headers([damaged])


def test_statistics_are_those_of_the_whole_recording_and_no_padding(tiny_corpus, tmp_path):
    chosen = find_recordings(tiny_corpus)[:3]
    _, statistics, _ = observe(chosen, SMALL, cache_dir=tmp_path, workers=1)
    mel = rows_of(SMALL)["mel"]
    for row, recording in enumerate(chosen):
        waveform, _ = soundfile.read(recording.path, dtype="float32")
        features = extract(waveform, SMALL)
        assert features.shape[1] > SMALL.max_length
        features[mel] = 10 * np.log10(features[mel])
        np.testing.assert_allclose(statistics["mean"].loc[row], features.mean(axis=1), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(statistics["deviation"].loc[row], features.std(axis=1), rtol=1e-4, atol=1e-3)


def test_a_recording_that_cannot_be_read_leaves_the_others_in_place(tiny_corpus, tmp_path, caplog):
    damaged, silent = tmp_path / "damaged.wav", tmp_path / "silent.wav"
    damaged.write_bytes(b"RIFF")
    soundfile.write(silent, np.zeros(22050), 22050)
    good = find_recordings(tiny_corpus)[:3]
    odd = [recording(damaged, actor=5), recording(silent, actor=6)]
    found, statistics, failures = observe([good[0], *odd, *good[1:]], SMALL, cache_dir=tmp_path / "cache", workers=1)
    assert list(found["file"]) == [r.id for r in good]
    _, alone, _ = observe(good, SMALL, cache_dir=tmp_path / "cache", workers=1)
    pd.testing.assert_frame_equal(statistics, alone)
    assert set(failures) == {damaged, silent}
    assert caplog.text.count("Left out") == 2


def test_silent_mel_bands_stand_at_the_floor():
    padded = np.zeros((1, SMALL.n_features, 4), dtype=np.float32)
    statistics = summarise_frames(padded, np.array([2]), SMALL)
    assert statistics["mean"]["mel"].to_numpy() == pytest.approx(-100)
    assert statistics["deviation"].to_numpy() == pytest.approx(0)


def test_the_default_table_has_the_columns_of_the_reference_implementation():
    names = column_names(FeatureSettings())
    assert len(names) == len(set(names)) == 187 * 216
    assert (names[0], names[1], names[-1]) == ("mfcc_0_0", "mfcc_0_1", "spectral_contrast_6_215")
    assert {"delta_mfcc_12_0", "delta_delta_mfcc_0_215", "chroma_11_3", "mel_127_0", "zcr_0"} <= set(names)


def test_the_parquet_file_gives_back_features_and_labels(tiny_corpus, tmp_path):
    settings = FeatureSettings(groups=("mfcc", "contrast"), n_mfcc=2, max_length=30)
    recordings = find_recordings(tiny_corpus)[:4]
    path = tmp_path / "new" / "features.parquet"
    write_feature_table(path, recordings, settings, cache_dir=tmp_path / "cache", workers=1)
    table = pd.read_parquet(path)
    assert list(table.index) == [recording.id for recording in recordings]
    assert list(table["label"]) == [recording.emotion for recording in recordings]
    features = table.drop(columns="label")
    assert set(features.dtypes) == {np.dtype("float32")}
    for found, recording in zip(features.to_numpy(), recordings, strict=True):
        waveform, _ = soundfile.read(recording.path, dtype="float32")
        np.testing.assert_array_equal(found.reshape(9, 30), extract(waveform, settings)[:, :30])
