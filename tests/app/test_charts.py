import json
import re
from dataclasses import replace

import altair
import jsonschema
import numpy as np
import pytest

from app.charts import COLOURS, clock, confidence_chart, timeline_chart
from app.picture_chart import picture_chart
from app.recording_section import in_words
from ser.corpora.ravdess import EMOTIONS
from tests.predictions import prediction_of


@pytest.fixture
def reading(readings):
    return readings[1]


def table_of(chart, layer):
    return chart["datasets"][chart["layer"][layer]["data"]["name"]]


def test_charts_are_valid_vega_lite(reading):
    by_schema = jsonschema.Draft7Validator(altair.vegalite.schema.core.load_schema())
    prediction = replace(reading.prediction, rejection_threshold=0.4)
    for chart in (confidence_chart(prediction), timeline_chart(prediction), picture_chart(reading.picture)):
        layers = chart.get("layer", [chart])
        for layer in layers:
            named = re.findall(r'"field": "(\w+)"', json.dumps(layer["encoding"]))
            assert set(named) <= set(chart["datasets"][layer["data"]["name"]].column_names)
        spec = {key: part for key, part in chart.items() if key != "datasets"}
        assert list(by_schema.iter_errors(spec)) == []
        layers[0]["encoding"]["x"]["scael"] = {}
        assert list(by_schema.iter_errors(spec)) != []


def test_bars_stand_in_the_order_of_the_model(reading):
    names = ("surprise", "calm", "angry")
    probabilities = np.array([0.2, 0.5, 0.3], dtype=np.float32)
    chart = confidence_chart(prediction_of(probabilities, class_names=names))
    assert table_of(chart, layer=0).to_pydict() == {"emotion": list(names), "confidence": probabilities.tolist()}
    for layer in chart["layer"]:
        assert layer["encoding"]["y"]["sort"] == list(names)
    bars, numbers = (layer["encoding"] for layer in chart["layer"])
    assert bars["x"]["scale"]["domain"] == [0, 1]
    assert bars["color"]["scale"] == {"domain": list(names), "range": [COLOURS[name] for name in names]}
    written = numbers["y"]["axis"]["labelExpr"].removesuffix("[datum.value]")
    assert json.loads(written) == {"surprise": "20.0%", "calm": "50.0%", "angry": "30.0%"}


def test_a_line_shows_the_rejection_threshold(reading):
    assert len(confidence_chart(reading.prediction)["layer"]) == 2
    chart = confidence_chart(replace(reading.prediction, rejection_threshold=0.4))
    assert table_of(chart, layer=2).to_pylist() == [{"confidence": 0.4}]


def test_the_timeline_has_a_band_for_each_utterance_in_the_lane_of_its_class(reading):
    prediction = reading.prediction
    chart = timeline_chart(prediction)
    table = chart["datasets"]["utterances"].to_pydict()
    assert len(table["start"]) == len(prediction.segments) > 1
    assert list(zip(table["start"], table["end"], strict=True)) == [(one.start, one.end) for one in prediction.segments]
    assert table["emotion"] == [EMOTIONS[one.probabilities.argmax()] for one in prediction.segments]
    assert table["strength"] == pytest.approx([one.probabilities.max() for one in prediction.segments])
    domains = [chart["encoding"][axis]["scale"]["domain"] for axis in "xy"]
    assert domains == [[0, prediction.duration], list(EMOTIONS)]


def test_neighbours_of_the_same_emotion_are_listed_together(reading):
    one = reading.prediction.segments[0]

    def timeline(*parts):
        eye = np.eye(len(EMOTIONS), dtype=np.float32)
        segments = (replace(one, probabilities=eye[EMOTIONS.index(e)], start=start, end=end) for e, start, end in parts)
        return replace(reading.prediction, segments=tuple(segments))

    some = timeline(("sad", 0, 2), ("sad", 3, 61.26), ("calm", 62, 63), ("sad", 70, 71))
    assert in_words(some) == "0:00.0 to 1:01.3 sad, 1:02.0 to 1:03.0 calm, 1:10.0 to 1:11.0 sad."
    many = timeline(*((EMOTIONS[n % 2], n, n + 1) for n in range(11)))
    assert in_words(many).endswith(f"0:07.0 to 0:08.0 {EMOTIONS[1]}, and 3 more.")


def test_a_clock_never_shows_sixty_seconds():
    assert [clock(seconds) for seconds in (0, 59.94, 59.96, 599.99)] == ["0:00.0", "0:59.9", "1:00.0", "10:00.0"]


def test_the_picture_holds_attention_waveform_and_decibels_on_one_axis(reading):
    picture = reading.picture
    chart = picture_chart(picture)
    cells, columns = table_of(chart, layer=0).to_pandas(), table_of(chart, layer=1)
    assert len(cells) == picture.decibels.size
    cell = cells[(cells["low"] == np.float32(picture.hertz[20])) & (cells["start"] == np.float32(picture.seconds[30]))]
    assert cell["decibels"].item() == picture.decibels[20, 30]
    assert cell["end"].item() >= picture.seconds[31]  # it reaches under its neighbour
    for name, values in (("low", picture.low), ("high", picture.high), ("attention", picture.attention)):
        np.testing.assert_array_equal(columns[name], values)
    for layer in chart["layer"]:
        assert layer["encoding"]["x"]["scale"]["domain"] == [0, picture.seconds[-1]]


def test_no_two_emotions_have_the_same_colour():
    assert set(COLOURS) == set(EMOTIONS)
    assert len(set(COLOURS.values())) == len(EMOTIONS)
