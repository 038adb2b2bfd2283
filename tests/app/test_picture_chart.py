import json
import re

import altair
import jsonschema
import numpy as np
import pytest

from app.picture_chart import picture_chart


@pytest.fixture
def picture(readings):
    return readings[1].picture


def table_of(chart, layer):
    return chart["datasets"][chart["layer"][layer]["data"]["name"]]


def test_the_chart_is_valid_vega_lite(picture):
    by_schema = jsonschema.Draft7Validator(altair.vegalite.schema.core.load_schema())
    chart = picture_chart(picture)
    for layer in chart["layer"]:
        named = re.findall(r'"field": "(\w+)"', json.dumps(layer["encoding"]))
        assert set(named) <= set(chart["datasets"][layer["data"]["name"]].column_names)
    spec = {key: part for key, part in chart.items() if key != "datasets"}
    assert list(by_schema.iter_errors(spec)) == []
    chart["layer"][0]["encoding"]["x"]["scael"] = {}
    assert list(by_schema.iter_errors(spec)) != []


def test_the_picture_holds_attention_waveform_and_decibels_on_one_axis(picture):
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
