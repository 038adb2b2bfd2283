import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from app.reading import Upload
from app.table import counts_in_words, segments_table, summary_csv, table_data
from app.words import percent, sounds
from ser.corpora.ravdess import EMOTIONS
from ser.inference.formats import csv_cells, csv_header
from tests.predictions import prediction_of


def uncertain(reading):
    return replace(reading, prediction=replace(reading.prediction, rejection_threshold=1.0))


def upload(name):
    return Upload(key=f"key of {name}", name=name, content=b"")


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
    outcomes = [readings[0], "bad.wav is bad.", uncertain(readings[1])]
    data = table_data(list(zip(map(upload, names), outcomes, strict=True)), opened=2, continued=True)
    assert data["continued"]
    good, bad, named = data["rows"]
    assert [row["name"] for row in data["rows"]] == names
    assert [row["open"] for row in data["rows"]] == [False, False, True]
    prediction = readings[0].prediction
    assert (good["emotion"], good["percent"]) == (sounds(prediction.emotion), percent(prediction.confidence))
    assert good["length"] == "0:01"
    assert bad.keys() == {"key", "name", "note", "open"}
    assert named["emotion"] == f"perhaps {sounds(readings[1].prediction.emotion)}"
    assert good["key"] == "key of a,b.wav"


def test_a_recording_without_speech_says_so_in_the_place_of_the_emotion(readings):
    nothing = replace(readings[0], prediction=prediction_of())
    (row,) = table_data([(upload("a.wav"), nothing)], opened=-1, continued=False)["rows"]
    assert row["emotion"] == "no speech found"
    assert "percent" not in row


def test_what_recordings_sound_like_is_counted(readings):
    likely = np.eye(len(EMOTIONS), dtype=np.float32)
    made = [replace(readings[0], prediction=prediction_of(likely[place])) for place in (7, 3, 3)]
    made.append(replace(readings[0], prediction=prediction_of()))
    assert counts_in_words(made) == "**4 recordings:** 2 sad, 1 surprised, 1 no speech found"


def test_utterances_are_listed_with_their_times_in_percent(readings):
    prediction = readings[1].prediction
    table = segments_table(prediction)
    assert len(table) == len(prediction.segments) > 1
    for (_, row), segment in zip(table.iterrows(), prediction.segments, strict=True):
        assert (row["start"], row["end"]) == (segment.start, segment.end)
        assert row["emotion"] == EMOTIONS[segment.probabilities.argmax()]
        assert row["confidence"] == pytest.approx(100 * segment.probabilities.max())
        np.testing.assert_allclose(
            list(row[[f"p_{name}" for name in EMOTIONS]]), 100 * segment.probabilities.astype(float)
        )
