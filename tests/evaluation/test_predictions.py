from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser.corpora.ravdess import EMOTIONS, expected_names
from ser.errors import CorpusError
from ser.evaluation.predictions import format_predictions, prediction_table, probabilities_of, read_predictions

NAMES = [name.recording(Path(name.stem)) for name in expected_names("song")[:40]]
CALM = [name.recording(Path(name.stem)) for name in expected_names("song") if name.emotion == "calm"][:1]
UNIFORM = (1 / 3, 1 / 3, 1 / 3)


@pytest.fixture
def made():
    """Float32 probabilities of 40 recordings of song."""
    return np.random.default_rng(3).dirichlet([0.4] * 8, size=40).astype(np.float32)


def test_a_file_gives_float32_probabilities_back(made, tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(format_predictions(prediction_table(NAMES, made, EMOTIONS)))
    read = read_predictions(path, EMOTIONS)
    np.testing.assert_array_equal(probabilities_of(read).astype(np.float32), made)
    assert list(read["file"]) == [name.id for name in NAMES]
    assert list(read["true"]) == [name.emotion for name in NAMES]
    assert list(read["predicted"]) == [EMOTIONS[k] for k in made.argmax(axis=1)]
    pd.testing.assert_frame_equal(read, prediction_table(NAMES, made, EMOTIONS))


@pytest.mark.parametrize(
    ("names", "row", "complaint"),
    [
        ([], UNIFORM, "no recording"),
        (CALM * 2, UNIFORM, f"{CALM[0].id} is scored twice"),
        ([expected_names("speech")[-1].recording(Path())], UNIFORM, "is 'surprise', not one of neutral, calm, happy"),
        (CALM, (0.5, 0.5), r"1 recordings of 3 classes have probabilities \(1, 2\)"),
        (CALM, (float("nan"), 0.5, 0.5), f"{CALM[0].id} .* do not sum to 1"),
        (CALM, (3.0, -1.0, -1.0), f"{CALM[0].id} .* do not sum to 1"),
        (CALM, (0.3, 0.3, 0.3), f"{CALM[0].id} .* do not sum to 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(names, row, complaint):
    with pytest.raises(ValueError, match=complaint):
        prediction_table(names, [row] * len(names), EMOTIONS[:3])


HEAD = "file," + ",".join(f"p_{name}" for name in EMOTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEAD,
        "file,true\n03-01-01-01-01-01-01,calm\n",
        f"{HEAD}\nhello,1,0,0,0,0,0,0,0\n",
        f"{HEAD}\n,1,0,0,0,0,0,0,0\n",
        f"{HEAD}\n03-01-01-01-01-01-01,1,0,0,0,0,0,0,\n",
        f"{HEAD}\n03-01-01-01-01-01-01,1,0,0,0,0,0,0,none\n",
    ],
)
def test_a_foreign_file_is_refused_by_name(text, tmp_path):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(CorpusError, match=r"predictions\.csv is not the predictions"):
        read_predictions(tmp_path / "predictions.csv", EMOTIONS)
