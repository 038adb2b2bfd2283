"""The charts of the report: they fit a phone, their text can be read, and their axes end where the data does."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from ser.corpora.reading import find_recordings
from ser.eda import embedding, feature_figures, figures, tables
from ser.eda.boxes import draw_box
from ser.eda.labels import feature_labels
from ser.eda.observations import observe
from ser.eda.outliers import outlier_table
from ser.eda.parts import of_features, of_neighbours, of_outliers, of_recordings
from ser.evaluation.figures import SMALL_TEXT
from ser.evaluation.svg import TILE, inline_svg
from ser.features.settings import FeatureSettings

FEATURES = FeatureSettings(n_mels=40)


@pytest.fixture(scope="module")
def observed(tiny_corpus, tmp_path_factory):
    """The recordings of the tiny corpus and their statistics."""
    cache_dir = tmp_path_factory.mktemp("cache")
    recordings, statistics, _ = observe(find_recordings(tiny_corpus), FEATURES, cache_dir=cache_dir, workers=1)
    return recordings, statistics


@pytest.fixture(scope="module")
def pictures(observed):
    """Every picture of the report, by name."""
    recordings, statistics = observed
    points = ((statistics - statistics.mean()) / statistics.std(ddof=0)).fillna(0).to_numpy()
    matrix, labels = statistics["mean"].corr(), feature_labels(FEATURES)
    effects, means = tables.effect_sizes(recordings, statistics, labels), tables.mean_features(recordings, statistics)
    nearest = embedding.nearest_neighbours(points, recordings["speaker"].to_numpy())
    parts = [
        *of_recordings(recordings, tables.label_distribution(recordings), FEATURES, sounds=False),
        of_outliers(outlier_table(recordings, statistics, points, labels), recordings, sounds=False),
        *of_features(recordings, statistics, means, effects, matrix, FEATURES),
        *of_neighbours(
            recordings, points, embedding.neighbour_table(nearest, recordings),
            embedding.neighbour_emotions(nearest, recordings), tsne_seed=None,
        ),
    ]  # fmt: skip
    return {picture.name: picture for part in parts for picture in part.pictures}


@pytest.fixture(scope="module")
def drawings(pictures):
    """Every picture as the elements of its SVG."""
    return {
        name: ElementTree.fromstring(inline_svg(one.figure, name=name, label=one.caption))  # noqa: S314 - our own
        for name, one in pictures.items()
    }


def texts_of(drawing):
    return [element.text for element in drawing.iter("text")]


def test_every_text_has_twelve_pixels_and_most_charts_fit_a_phone(pictures, drawings):
    wide = {name for name, one in pictures.items() if one.figure.get_figwidth() > TILE}
    assert wide == {"mean_features", "correlation_heatmap"}
    for name, drawing in drawings.items():
        sizes = [float(re.search(r"font-size: ([\d.]+)px", text.get("style"))[1]) for text in drawing.iter("text")]
        assert min(sizes) >= SMALL_TEXT, name
        drawn = float(drawing.get("style").removeprefix("--drawn: ").removesuffix("px"))
        assert drawn / float(drawing.get("viewBox").split()[2]) == pytest.approx(96 / 72, rel=0.01), name


def test_no_chart_speaks_of_the_number_of_a_band(pictures, drawings):
    for name, drawing in drawings.items():
        told = [title.text for title in drawing.iter("title")] + texts_of(drawing)
        told += [image.get("data-cells") or "" for image in drawing.iter("image")] + [pictures[name].caption]
        assert not re.search(r"\b(?:mel|contrast|chroma)_\d|\bband \d", " ".join(told)), name
    spectrogram = texts_of(drawings["example_1_neutral"])
    assert {"100", "1,000", "5,000", "mel bands in Hz"} <= set(spectrogram)


def test_every_chart_tells_values(drawings):
    for name, drawing in drawings.items():
        assert drawing.find(".//title") is not None or "data-cells" in "".join(
            key for image in drawing.iter("image") for key in image.attrib
        ), name
    assert "happy, speech: 6 recordings, 13.3% of all" in [t.text for t in drawings["emotion_bar_plot"].iter("title")]


def test_axes_end_where_the_data_does(observed, pictures):
    recordings, _ = observed
    (bars,) = pictures["emotion_bar_plot"].figure.axes
    assert bars.get_xlim() == (0, 6)
    (histogram,) = pictures["audio_duration"].figure.axes
    low, high = histogram.get_xlim()
    assert low <= recordings["seconds"].min() < low + 0.1
    assert high - 0.1 <= recordings["seconds"].max() <= high
    (effects,) = pictures["effect_sizes"].figure.axes
    largest = max(line.get_xdata().max() for line in effects.lines)
    assert largest <= effects.get_xlim()[1] <= largest + 0.05
    example = figures.example_recordings(recordings).iloc[0]
    waveform, cepstrum, spectrum = (pictures["example_1_neutral"].figure.axes[place] for place in (0, 2, 4))
    for axes in (waveform, cepstrum, spectrum):
        assert axes.get_xlim() == pytest.approx((0, example["seconds"]), abs=0.001)


def test_the_window_is_marked_where_it_cuts_recordings(observed):
    recordings, _ = observed
    longest = recordings["seconds"].max()
    for window, marked in ((longest - 0.2, True), (longest * 1.05, True), (2 * longest, False)):
        (axes,) = figures.duration_figure(recordings, window=window).axes
        assert bool([line for line in axes.lines if line.get_xdata()[0] == window]) == marked
        assert axes.get_xlim()[1] >= (window if marked else longest)


def test_a_box_tells_its_quartiles_and_names_its_outliers():
    from matplotlib.figure import Figure

    figure = Figure()
    values = pd.Series([1.0, 2, 3, 4, 5, 50, -40, 50], index=list("abcdefgh"))
    draw_box(figure.subplots(), values, 0, "#0072B2", height=0.5, label="sad", form=lambda value: f"{value:.0f} s")
    drawing = ElementTree.fromstring(inline_svg(figure, name="box", label=""))  # noqa: S314 - our own
    low, median, high = np.percentile(values, [25, 50, 75])
    assert sorted(title.text for title in drawing.iter("title")) == sorted(
        [
            f"sad: median {median:.0f} s, quartiles {low:.0f} s and {high:.0f} s, 8 recordings",
            "sad: -40 s, g",
            "sad: 50 s, f, h",
            "sad: 50 s, f, h",
        ]
    )


def test_a_map_of_too_many_points_is_one_picture(observed, monkeypatch):
    recordings, _ = observed
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(len(recordings), 2)), columns=["x", "y"])
    monkeypatch.setattr(feature_figures, "_MOST_POINTS", 10)
    figure = feature_figures.map_figure(points, recordings, factor="speaker", title="Map")
    drawing = ElementTree.fromstring(inline_svg(figure, name="map", label=""))  # noqa: S314 - our own
    assert not list(drawing.iter("title"))
    assert list(drawing.iter("image"))


def test_many_speakers_have_no_legend(observed, monkeypatch):
    recordings, _ = observed
    points = pd.DataFrame(np.zeros((len(recordings), 2)), columns=["x", "y"])
    monkeypatch.setattr(feature_figures, "_MOST_SPEAKERS", 2)
    assert not feature_figures.map_figure(points, recordings, factor="speaker", title="Map").legends


def test_names_of_narrow_groups_are_moved_apart():
    found = feature_figures._apart(np.array([5.0, 60.0, 61.0, 64.0]), 4.0)
    assert list(found) == [5.0, 56.0, 60.0, 64.0]
