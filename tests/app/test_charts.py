import json
import re
from dataclasses import replace

import altair
import jsonschema
import numpy as np
import pytest

from app.charts import COLOURS, SILENT, clock, confidence_chart, stretches_of, timeline_chart
from app.picture_chart import picture_chart
from app.recording_section import in_words
from ser.corpora.ravdess import EMOTIONS


@pytest.fixture
def reading(readings):
    return readings[1]


def table_of(chart, layer):
    return chart["datasets"][chart["layer"][layer]["data"]["name"]]


def test_charts_are_valid_vega_lite(reading):
    by_schema = jsonschema.Draft7Validator(altair.vegalite.schema.core.load_schema())
    overall = replace(reading.timeline.overall, rejection_threshold=0.4)
    over_time = timeline_chart(stretches_of(reading.timeline), EMOTIONS)
    for chart in (confidence_chart(overall), over_time, picture_chart(reading.picture)):
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
    chart = confidence_chart(replace(reading.timeline.overall, class_names=names, probabilities=probabilities))
    assert table_of(chart, layer=0).to_pydict() == {"emotion": list(names), "confidence": probabilities.tolist()}
    for layer in chart["layer"]:
        assert layer["encoding"]["y"]["sort"] == list(names)
    bars, numbers = (layer["encoding"] for layer in chart["layer"])
    assert bars["x"]["scale"]["domain"] == [0, 1]
    assert bars["color"]["scale"] == {"domain": list(names), "range": [COLOURS[name] for name in names]}
    written = numbers["y"]["axis"]["labelExpr"].removesuffix("[datum.value]")
    assert json.loads(written) == {"surprise": "20.0%", "calm": "50.0%", "angry": "30.0%"}


def test_a_line_shows_the_rejection_threshold(reading):
    assert len(confidence_chart(reading.timeline.overall)["layer"]) == 2
    chart = confidence_chart(replace(reading.timeline.overall, rejection_threshold=0.4))
    assert table_of(chart, layer=2).to_pylist() == [{"confidence": 0.4}]


def test_every_moment_belongs_to_the_segment_whose_middle_is_nearest(reading):
    stretches, segments = stretches_of(reading.timeline), reading.timeline.segments
    assert (stretches[0].start, stretches[-1].end) == (0, reading.timeline.overall.duration)
    assert [one.end for one in stretches[:-1]] == [other.start for other in stretches[1:]]
    for moment in np.linspace(0.013, 7.97, 61):
        nearest = int(np.argmin([abs((segment.start + segment.end) / 2 - moment) for segment in segments]))
        assert stretches[nearest].start <= moment <= stretches[nearest].end
    for stretch, segment in zip(stretches, segments, strict=True):
        p = segment.probabilities
        expected = (SILENT, None) if p is None else (EMOTIONS[p.argmax()], p.max())
        assert (stretch.emotion, stretch.confidence) == expected


def test_the_timeline_has_a_lane_for_each_class_and_one_for_silence(reading):
    stretches = stretches_of(reading.timeline)
    chart = timeline_chart(stretches, EMOTIONS)
    table = chart["datasets"]["stretches"].to_pandas()
    for name in ("start", "end", "emotion"):
        assert list(table[name]) == [getattr(stretch, name) for stretch in stretches]
    silent = table[table["emotion"] == SILENT]
    assert (set(silent["strength"]), set(silent["percent"])) == ({1}, {"-"})
    domains = [chart["encoding"][axis]["scale"]["domain"] for axis in "xy"]
    assert domains == [[0, reading.timeline.overall.duration], [*EMOTIONS, SILENT]]


def test_neighbours_of_the_same_emotion_are_listed_together(reading):
    one = stretches_of(reading.timeline)[0]
    parts = [("sad", 0, 2), ("sad", 2, 61.26), (SILENT, 61.26, 70), ("sad", 70, 71)]
    stretches = [replace(one, emotion=emotion, start=start, end=end) for emotion, start, end in parts]
    assert in_words(stretches) == "0:00.0 to 1:01.3 sad, 1:01.3 to 1:10.0 silent, 1:10.0 to 1:11.0 sad."
    many = [replace(one, emotion=EMOTIONS[n % 2], start=n, end=n + 1) for n in range(11)]
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
