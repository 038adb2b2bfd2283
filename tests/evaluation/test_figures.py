import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from ser.evaluation.figures import confusion_figure, learning_curve_figure, reliability_figure, save_figure
from ser.evaluation.metrics import reliability_bins


def _history(n_epochs):
    # The validation loss is lowest at epoch 3.
    return [
        {
            "epoch": epoch,
            "train/loss": 2.0 / (epoch + 1),
            "val/loss": 1.0 + (epoch - 3) ** 2,
            "train/accuracy": 0.5,
            "val/accuracy": 0.4,
            "train/uar": 0.45,
            "val/uar": 0.35,
            "lr": 1e-4,
        }
        for epoch in range(n_epochs)
    ]


def _lines(axes):
    return {line.get_label(): line for line in axes.lines}


def _assert_all_text_is_inside(figure):
    """Fail where the layout cut off a label at the edge of the canvas."""
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize("n_classes", [2, 7, 8])
def test_confusion_figure_shows_counts_shares_and_names(n_classes):
    names = [f"emotion {k}" for k in range(n_classes)][::-1]  # not in alphabetical order
    counts = np.ones((n_classes, n_classes), dtype=int)
    counts[0, 0] = 3 * (n_classes - 1)
    figure = confusion_figure(counts, names, title="A protocol of some length, written out. " * 4)
    axes = figure.axes[0]

    np.testing.assert_allclose(axes.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(cells) == n_classes**2
    assert cells[0, 0] == f"{3 * (n_classes - 1)}\n75%"
    assert cells[0, 1] == f"1\n{1 / n_classes:.0%}"
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [label.get_text().split(" (")[0] for label in axes.get_yticklabels()] == names
    assert axes.get_yticklabels()[1].get_text().endswith(f"({n_classes})")
    assert axes.get_xlabel() == "predicted"
    assert axes.get_ylabel().startswith("true")
    assert axes.get_title().startswith("A protocol")
    _assert_all_text_is_inside(figure)


def test_confusion_figure_leaves_a_class_without_recordings_blank():
    figure = confusion_figure([[2, 2], [0, 0]], ["calm", "sad"], title="")
    shares = figure.axes[0].images[0].get_array()
    assert shares.tolist() == [[0.5, 0.5], [0.0, 0.0]]


def test_learning_curves_tell_the_parts_apart_and_mark_the_best_epoch():
    figure = learning_curve_figure(_history(6))
    loss, shares, rate = figure.axes
    training, validation = _lines(loss)["training"], _lines(loss)["validation"]
    assert training.get_color() != validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()
    assert validation.get_ydata() == pytest.approx([10, 5, 2, 1, 2, 5])
    assert training.get_ydata()[0] == pytest.approx(2.0)
    for label, expected in {
        "training accuracy": 0.5,
        "validation accuracy": 0.4,
        "training UAR": 0.45,
        "validation UAR": 0.35,
    }.items():
        assert _lines(shares)[label].get_ydata() == pytest.approx([expected] * 6)
    assert rate.get_yscale() == "log"
    for axes in figure.axes:
        assert _lines(axes)["lowest validation loss (epoch 3)"].get_xdata() == [3, 3]
        assert axes.get_legend() is not None
    _assert_all_text_is_inside(figure)


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 100])
def test_epochs_are_whole_numbers(n_epochs):
    figure = learning_curve_figure(_history(n_epochs))
    for axes in figure.axes:
        ticks = axes.get_xticks()
        assert len(ticks) >= 1
        assert ticks == pytest.approx(np.round(ticks))


def test_a_single_epoch_can_be_seen():
    loss, _, _ = learning_curve_figure(_history(1)).axes
    assert _lines(loss)["validation"].get_marker() not in ("", "None")


def test_a_loss_that_is_not_a_number_is_never_the_best():
    history = _history(5)
    history[0]["val/loss"] = math.nan
    loss, _, _ = learning_curve_figure(history).axes
    assert "lowest validation loss (epoch 3)" in _lines(loss)


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="no epoch"):
        learning_curve_figure([])


def test_a_saved_figure_is_a_whole_png(tmp_path):
    path = tmp_path / "curves.png"
    save_figure(learning_curve_figure(_history(2)), path)
    pixels = imread(path)
    assert pixels.std() > 0
    assert pixels.shape[1] > pixels.shape[0] > 400
    assert list(tmp_path.iterdir()) == [path]


def test_figures_leave_pyplot_alone():
    code = (
        "import sys; from ser.evaluation.figures import confusion_figure;"
        "confusion_figure([[1]], ['calm'], title='').canvas.draw(); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reliability_figure_draws_the_bins_that_hold_predictions():
    probabilities = [[0.55, 0.45], [0.65, 0.35], [0.05, 0.95], [0.96, 0.04]]
    bins = reliability_bins(probabilities, [0, 1, 1, 1], bins=10)
    figure = reliability_figure({"raw": bins, "mended": bins[:]}, title="A protocol of some length, written out. " * 3)
    _assert_all_text_is_inside(figure)
    shares, counts = figure.axes
    line = _lines(shares)["raw"]
    np.testing.assert_allclose(line.get_xdata(), [0.55, 0.65, 0.955])
    np.testing.assert_allclose(line.get_ydata(), [1, 0, 0.5])
    assert set(_lines(shares)) == {"perfectly calibrated", "raw", "mended"}
    values, edges, _ = counts.patches[0].get_data()
    assert list(values) == [0, 0, 0, 0, 0, 1, 1, 0, 0, 2]
    np.testing.assert_allclose(edges, np.linspace(0, 1, 11))


def test_fewer_colours_make_a_smaller_file_of_the_same_picture(tmp_path):
    figure = confusion_figure(np.arange(64).reshape(8, 8), [str(k) for k in range(8)], title="Counts")
    save_figure(figure, tmp_path / "whole.png")
    save_figure(figure, tmp_path / "few.png", colours=128)
    whole, few = (imread(tmp_path / name)[..., :3] for name in ("whole.png", "few.png"))
    assert np.abs(whole - few).mean() < 0.01
    assert (tmp_path / "few.png").stat().st_size < 0.7 * (tmp_path / "whole.png").stat().st_size
