import math

import numpy as np
import pytest
from matplotlib.image import imread

from ser.evaluation.figures import confusion_figure, learning_curve_figure, reliability_figure, save_figure
from ser.evaluation.metrics import reliability_bins

LONG_TITLE = "A protocol of some length, written out. " * 4
METRICS = {"train/accuracy": 0.5, "val/accuracy": 0.4, "train/uar": 0.45, "val/uar": 0.35, "lr": 1e-4}


def history_of(n_epochs):
    """Return a history whose validation loss is lowest at epoch 3."""
    losses = [{"epoch": k, "train/loss": 2.0 / (k + 1), "val/loss": 1.0 + (k - 3) ** 2} for k in range(n_epochs)]
    return [METRICS | epoch for epoch in losses]


def lines_of(axes):
    """Return the lines that the legend names."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def assert_all_text_is_inside(figure):
    """Fail where the layout cut off a label at the edge of the canvas."""
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert min(box.x0, box.y0) > -0.5  # pixels: the layout is not exact
        assert box.x1 < figure.bbox.x1 + 0.5
        assert box.y1 < figure.bbox.y1 + 0.5


@pytest.mark.parametrize("n_classes", [2, 7, 8])
def test_confusion_figure_shows_counts_fractions_and_names(n_classes):
    names = [f"emotion {k}" for k in range(n_classes)][::-1]  # not in alphabetical order
    counts = np.ones((n_classes, n_classes), dtype=int)
    counts[0, 0] = 3 * (n_classes - 1)
    figure = confusion_figure(counts, names, title=LONG_TITLE)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(cells) == n_classes**2
    assert cells[0, 0] == f"{3 * (n_classes - 1)}\n75%"
    assert cells[0, 1] == f"1\n{1 / n_classes:.0%}"
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    supports = [4 * (n_classes - 1), *[n_classes] * (n_classes - 1)]
    labels = [f"{name} ({n})" for name, n in zip(names, supports, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == labels
    assert axes.get_xlabel() == "predicted"
    assert axes.get_ylabel().startswith("true")
    assert axes.get_title().startswith("A protocol")
    assert_all_text_is_inside(figure)


def test_confusion_figure_leaves_a_class_without_recordings_blank():
    figure = confusion_figure([[2, 2], [0, 0]], ["calm", "sad"], title="")
    assert figure.axes[0].images[0].get_array().tolist() == [[0.5, 0.5], [0.0, 0.0]]


def test_learning_curves_tell_the_parts_apart_and_mark_the_best_epoch():
    figure = learning_curve_figure(history_of(6))
    loss, fractions, rate = figure.axes
    training, validation = lines_of(loss)["training"], lines_of(loss)["validation"]
    assert training.get_color() != validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()
    assert validation.get_ydata() == pytest.approx([10, 5, 2, 1, 2, 5])
    assert training.get_ydata()[0] == pytest.approx(2.0)
    labels = ("training accuracy", "validation accuracy", "training UAR", "validation UAR")
    for label, expected in zip(labels, METRICS.values(), strict=False):
        assert lines_of(fractions)[label].get_ydata() == pytest.approx([expected] * 6)
    assert rate.get_yscale() == "log"
    for axes in figure.axes:
        assert list(lines_of(axes)["lowest validation loss (epoch 3)"].get_xdata()) == [3, 3]
        assert axes.get_legend() is not None
    assert_all_text_is_inside(figure)


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 100])
def test_epochs_are_whole_numbers_and_a_single_one_can_be_seen(n_epochs):
    figure = learning_curve_figure(history_of(n_epochs))
    for axes in figure.axes:
        ticks = axes.get_xticks()
        assert len(ticks) >= 1
        assert ticks == pytest.approx(np.round(ticks))
    assert (lines_of(figure.axes[0])["validation"].get_marker() == "o") == (n_epochs == 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lr", [1e-4, 0.0, None])
def test_a_run_of_one_epoch_is_drawn_without_a_warning(lr):
    (epoch,) = history_of(1)
    epoch["lr"] = lr
    for history in ([epoch], [{"epoch": 0, "train/loss": 1.0}]):
        figure = learning_curve_figure(
            [{key: value for key, value in row.items() if value is not None} for row in history]
        )
        figure.canvas.draw()
        assert [axes.get_xlim() for axes in figure.axes] == [(-0.5, 0.5)] * 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("other", [1e-4, math.nextafter(1e-4, 1)])
def test_a_rate_that_is_constant_but_for_rounding_is_drawn_without_a_warning(other):
    figure = learning_curve_figure([{"epoch": 0, "lr": 1e-4}, {"epoch": 1, "lr": other}], ["Learning rate"])
    figure.canvas.draw()
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert low <= 2e-5
    assert high >= 5e-4
    assert [label.get_text() for label in axes.get_yticklabels()].count("1e-4") == 1


def test_the_curves_begin_with_the_first_epoch_and_end_with_the_last():
    for axes in learning_curve_figure(history_of(7)[1:]).axes:
        assert axes.get_xlim() == (1, 6)


def test_the_learning_rate_has_no_exponents_in_small_print():
    figure = learning_curve_figure([{"epoch": k, "lr": 10.0**-k} for k in range(6)], ["Learning rate"])
    figure.canvas.draw()
    texts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {"1e-3", "1e-5"} <= set(texts)
    assert not [text for text in texts if "$" in text]


@pytest.mark.parametrize(("undefined", "best"), [([0], 3), ([0, 3], 2), (range(5), 0)])
def test_a_loss_that_is_not_a_number_is_the_best_only_without_another(undefined, best):
    history = history_of(5)
    for epoch in undefined:
        history[epoch]["val/loss"] = math.nan
    assert f"lowest validation loss (epoch {best})" in lines_of(learning_curve_figure(history).axes[0])


def test_epochs_without_validation_leave_one_line_and_a_run_without_any_has_its_training_curves():
    history = history_of(5)
    for epoch in (0, 2, 4):
        del history[epoch]["val/loss"]
    line = lines_of(learning_curve_figure(history).axes[0])["validation"]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 3], [5, 1])
    for epoch in history:
        epoch.pop("val/loss", None)
    figure = learning_curve_figure(history, ["Loss"])
    assert [axes.get_title() for axes in figure.axes] == ["Loss"]
    assert set(lines_of(figure.axes[0])) == {"training"}


@pytest.mark.parametrize(("cell", "shown_px", "text"), [(0.5, 380, "888\n12%"), (0.36, 230, "12")])
def test_a_small_confusion_matrix_can_be_read_where_it_is_shown(cell, shown_px, text):
    figure = confusion_figure(np.full((8, 8), 888), [f"emotion {k}" for k in range(8)], title="Title", cell=cell)
    assert_all_text_is_inside(figure)
    (axes,) = figure.axes  # no colour bar
    assert {one.get_text() for one in axes.texts} == {text}
    assert max(one.get_window_extent().width for one in axes.texts) < axes.get_window_extent().width / 8
    points_to_px = shown_px / (72 * figure.get_figheight())
    assert min(one.get_fontsize() for one in axes.texts) * points_to_px > 6.5


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="no epoch"):
        learning_curve_figure([])


def test_reliability_figure_draws_the_bins_that_hold_predictions():
    probabilities = [[0.55, 0.45], [0.65, 0.35], [0.05, 0.95], [0.96, 0.04]]
    bins = reliability_bins(probabilities, [0, 1, 1, 1], bins=10)
    figure = reliability_figure({"raw": bins, "mended": bins}, title=LONG_TITLE)
    assert_all_text_is_inside(figure)
    accuracy, counts = figure.axes
    line = lines_of(accuracy)["raw"]
    np.testing.assert_allclose(line.get_xdata(), [0.55, 0.65, 0.955])
    np.testing.assert_allclose(line.get_ydata(), [1, 0, 0.5])
    assert set(lines_of(accuracy)) == {"perfectly calibrated", "raw", "mended"}
    values, edges, _ = counts.patches[0].get_data()
    assert list(values) == [0, 0, 0, 0, 0, 1, 1, 0, 0, 2]
    np.testing.assert_allclose(edges, np.linspace(0, 1, 11))


def test_a_figure_is_saved_as_a_whole_png_and_fewer_colours_make_it_smaller(tmp_path):
    figure = confusion_figure(np.arange(64).reshape(8, 8), [str(k) for k in range(8)], title="Counts")
    save_figure(figure, tmp_path / "whole.png")
    save_figure(figure, tmp_path / "few.png", colours=128)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.png", "few.png"}
    whole, few = (imread(tmp_path / name)[..., :3] for name in ("whole.png", "few.png"))
    assert whole.std() > 0
    assert min(whole.shape[:2]) > 400
    assert np.abs(whole - few).mean() < 0.01
    assert (tmp_path / "few.png").stat().st_size < 0.7 * (tmp_path / "whole.png").stat().st_size
