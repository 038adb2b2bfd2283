import numpy as np
import pytest

from app.examples import EXAMPLES, FOLDER, LABEL, encode, synthesise
from ser.audio.io import read_sound
from ser.inference.predictor import Predictor
from tests.app.test_deployment import ROOT

IDS = [example.file for example in EXAMPLES]


def test_there_are_three_to_eight_small_files_and_no_others():
    assert 3 <= len(EXAMPLES) <= 8
    assert {path.name for path in FOLDER.iterdir()} == set(IDS)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000
    assert len({example.upload().key for example in EXAMPLES}) == len(EXAMPLES)


def test_the_files_are_what_the_program_makes_and_no_recordings_of_people():
    for example in EXAMPLES:
        made, shipped = (
            read_sound(content, sample_rate=22_050, name=example.file).waveform
            for content in (encode(synthesise(example)), (FOLDER / example.file).read_bytes())
        )
        assert np.corrcoef(made[: len(shipped)], shipped[: len(made)])[0, 1] > 0.99, example.file


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_each_says_what_made_it(example):
    assert "made by a program, not" in LABEL.lower()
    assert "made by a program, not" in example.note
    assert "synthetic" in example.upload().name


def test_the_folder_is_in_the_wheel():
    assert '"voices/*"' in (ROOT / "pyproject.toml").read_text()


def test_the_model_in_the_box_takes_them_for_what_they_are_meant_to_be():
    predictor = Predictor.load(ROOT / "ser/pretrained/ser-voices.onnx")
    alone = [example for example in EXAMPLES if len(example.sentences) == 1]
    found = [predictor.predict((FOLDER / example.file).read_bytes(), name=example.label) for example in alone]
    assert [prediction.emotion for prediction in found] == [example.label.lower() for example in alone]
    assert not found[0].is_uncertain  # the first answer that a visitor gets
