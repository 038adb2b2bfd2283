import json
from dataclasses import replace
from pathlib import Path

import pytest

import app
from app.facts import corpora_of, find_scores, is_trained_on_synthetic, was_in_training
from app.markdown import plain
from app.model_choice import ModelFile
from ser.models.metadata import RecipeScores

OVERALL = {"accuracy": 0.75, "uar": 0.7, "weighted_f1": 0.74, "macro_f1": 0.69}


@pytest.fixture
def run(tmp_path):
    content = {"protocol": "Random split.", "n_recordings": 491, "overall": OVERALL}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def scores_of(tiny_metadata):
    return lambda path, **given: find_scores(ModelFile(path=path, versions=((0, 0),)), replace(tiny_metadata, **given))


@pytest.mark.parametrize("name", ["checkpoints/best.ckpt", "model.onnx"])
def test_scores_are_those_beside_the_run(run, scores_of, name):
    (scores,) = scores_of(run / name)
    assert (scores.part, scores.protocol, scores.n_recordings) == ("Validation", "Random split.", 491)
    assert (scores.accuracy, scores.uar) == (0.75, 0.7)


def test_scores_of_the_test_part_come_first(run, scores_of):
    (run / "test").mkdir()
    content = {"protocol": "Actors 1 to 4.", "n_recordings": 240, "overall": OVERALL | {"uar": 0.5}}
    (run / "test/metrics.json").write_text(json.dumps(content))
    scores = [(one.part, one.uar) for one in scores_of(run / "model.onnx")]
    assert scores == [("Test", 0.5), ("Validation", 0.7)]


def test_scores_of_another_checkpoint_are_not_shown(run, scores_of):
    assert scores_of(run / "checkpoints/last.ckpt") == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"protocol": "x", "n_recordings": 1, "overall": {"uar": null}}'])
def test_a_foreign_file_holds_no_scores(run, scores_of, text):
    (run / "metrics.json").write_text(text)
    assert scores_of(run / "model.onnx") == []


def test_scores_that_the_model_bears_are_of_its_recipe(run, scores_of):
    recipe = RecipeScores(protocol="Unseen speakers.", n_recordings=1440, accuracy=0.6745, uar=0.6704)
    (scores,) = scores_of(run / "model.onnx", recipe_scores=recipe)
    assert (scores.part, scores.protocol) == ("Networks of the same recipe, not this file itself", "Unseen speakers.")
    assert (scores.n_recordings, scores.accuracy, scores.uar) == (1440, 0.6745, 0.6704)


def test_the_model_in_the_box_bears_the_scores_of_its_card():
    root = Path(app.__file__).parents[1]
    bears = json.loads((root / "ser" / "pretrained" / "ser-ravdess.json").read_text())["metadata"]["recipe_scores"]
    page = (root / "docs" / "model_cards" / "ser-ravdess.md").read_text()
    card = page.partition("## Accuracy on unseen speakers")[2].partition("\n### ")[0]
    assert bears["protocol"] in card
    assert f"Scored: {bears['n_recordings']:,} test recordings." in card
    for label, score in (("UAR", "uar"), ("accuracy", "accuracy")):
        row = next(line for line in card.splitlines() if line.startswith(f"| {label} "))
        assert row.split("|")[2].split()[0] == f"{bears[score]:.2%}"


def test_whether_a_recording_was_in_training_is_stated(tiny_metadata):
    metadata = replace(tiny_metadata, scored_recordings=("03-01-06-02-01-01-17",))
    assert "was not trained on this recording" in was_in_training("03-01-06-02-01-01-17.wav", metadata)
    assert "may have been trained on" in was_in_training("03-01-06-02-01-01-16.wav", metadata)
    to_be_used = replace(metadata, configuration={"data": {"split": "all", "corpus": "ravdess"}})
    assert "trained on every recording of RAVDESS" in was_in_training("03-01-06-02-01-01-16.wav", to_be_used)
    of_others = replace(metadata, configuration={"data": {"split": "all", "corpus": "cremad"}})
    assert "RAVDESS" not in was_in_training("03-01-06-02-01-01-16.wav", of_others)
    synthetic = replace(metadata, configuration={"data": {"corpus": "synthetic"}})
    assert "synthetic voices only" in was_in_training("03-01-06-02-01-01-17.wav", synthetic)
    assert is_trained_on_synthetic(synthetic)
    for configuration in ({}, {"data": None}, {"data": {"corpus": "ravdess"}}):
        assert not is_trained_on_synthetic(replace(metadata, configuration=configuration))


def test_corpora_are_those_that_the_metadata_name(tiny_metadata):
    assert corpora_of(tiny_metadata) == []
    one = replace(tiny_metadata, configuration={"data": {"corpus": "cremad"}})
    assert corpora_of(one) == ["CREMA-D"]
    several = replace(one, corpora={"ravdess": "", "mine": ""})
    assert corpora_of(several) == ["RAVDESS", "mine"]
    assert corpora_of(replace(one, configuration={"data": {"corpus": "synthetic"}})) == []


def test_scores_know_what_they_are_of(run, scores_of):
    (own,) = scores_of(run / "model.onnx")
    assert (own.is_of_recipe, own.voices) == (False, "")
    recipe = RecipeScores(protocol="Speaker-independent, speech.", n_recordings=1, accuracy=0.5, uar=0.5)
    (of_recipe,) = scores_of(run / "model.onnx", recipe_scores=recipe)
    assert (of_recipe.is_of_recipe, of_recipe.voices) == (True, "unseen speakers")


def test_markdown_of_visitors_is_shown_character_by_character():
    assert plain("a *b* [c](d) $e$\n:red[f]") == r"a \*b\* \[c\]\(d\) \$e\$ \:red\[f\]"
