import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from app.reading import Upload
from app.table import segments_table, summary_csv, summary_table
from ser.corpora.ravdess import EMOTIONS
from ser.inference.formats import csv_cells, csv_header
from tests.predictions import prediction_of


def uncertain(reading):
    return replace(reading, prediction=replace(reading.prediction, rejection_threshold=1.0))


def test_csv_is_that_of_the_command_line_and_the_true_class(readings):
    text = summary_csv([readings[0], uncertain(readings[1])])
    assert text.startswith("\ufefffile,")
    header, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert header == [*csv_header(EMOTIONS), "true"]
    assert len(set(header)) == len(header)
    named = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["file"], row["uncertain"], row["true"]) for row in named] == [
        ("a,b.wav", "no", ""),
        ("03-01-06-02-01-01-17.wav", "yes", "fearful"),
    ]
    assert rows[0][:-1] == csv_cells(readings[0].prediction)


def test_the_table_has_a_row_for_each_recording_and_failure(readings):
    names = ["a,b.wav", "bad.wav", "03-01-06-02-01-01-17.wav"]
    uploads = [Upload(key=name, name=name, content=b"") for name in names]
    table = summary_table(uploads, [readings[0], "bad.wav is bad.", uncertain(readings[1])], EMOTIONS)
    columns = ["file", "emotion", "confidence", "uncertain", "duration", "true"]
    assert list(table.columns) == [*columns, *(f"p_{name}" for name in EMOTIONS), "note"]
    assert list(table["file"]) == names
    good, bad, named = (table.iloc[row] for row in range(3))
    prediction = readings[0].prediction
    assert (good["emotion"], good["uncertain"], good["note"]) == (prediction.emotion, "no", "")
    assert good["confidence"] == prediction.confidence
    assert [good[f"p_{name}"] for name in EMOTIONS] == list(prediction.probabilities)
    assert bad["note"] == "bad.wav is bad."
    assert bad.drop(["file", "note"]).isna().all()
    assert (named["true"], named["uncertain"], named["duration"]) == ("fearful", "yes", pytest.approx(8))
    assert "true" not in summary_table(uploads[:1], readings[:1], EMOTIONS).columns  # where none is known


def test_a_recording_without_speech_says_so_in_the_place_of_the_emotion(readings):
    nothing = replace(readings[0], prediction=prediction_of())
    table = summary_table([Upload(key="a", name="a.wav", content=b"")], [nothing], EMOTIONS)
    row = table.iloc[0]
    assert (row["emotion"], row["uncertain"]) == ("no speech found", "no")
    assert row[["confidence", *(f"p_{name}" for name in EMOTIONS)]].isna().all()


def test_utterances_are_listed_with_their_times(readings):
    prediction = readings[1].prediction
    table = segments_table(prediction)
    assert len(table) == len(prediction.segments) > 1
    for (_, row), segment in zip(table.iterrows(), prediction.segments, strict=True):
        assert (row["start"], row["end"]) == (segment.start, segment.end)
        assert row["emotion"] == EMOTIONS[segment.probabilities.argmax()]
        assert row["confidence"] == segment.probabilities.max()
        np.testing.assert_array_equal(row[[f"p_{name}" for name in EMOTIONS]], segment.probabilities)
