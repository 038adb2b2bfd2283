"""`python -m ser card`, on the cross-validation of random networks: what it says is what the JSON says."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from ser.cli.card import OTHERS, main
from ser.cli.robustness import main as measure_robustness
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import load_pretrained, write_pretrained

PUBLISHED = {
    "temperature": 1.25,
    "rejection_threshold": 0.4,
    "configuration": {"seed": 7, "trainer": {"max_epochs": 3}},
    "versions": {"torch": "2.13", "ser": "0.1"},
}


@pytest.fixture(scope="module")
def results(moved_cross_validation):
    return json.loads((moved_cross_validation / "results.json").read_text())


@pytest.fixture(scope="module")
def model(moved_cross_validation, tmp_path_factory):
    """A model of the recipe, published with a temperature and a threshold."""
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    recogniser, metadata = load_recogniser(moved_cross_validation / "fold_subject_wise_0_seed_0")
    write_pretrained(path, recogniser, replace(metadata, **PUBLISHED))
    return path


def write(model, moved_cross_validation, output, *more, status=0):
    assert main([f"model={model}", f"cross_validation={moved_cross_validation}", f"output={output}", *more]) == status
    return output.read_text() if status == 0 else ""


@pytest.fixture(scope="module")
def bare(model, moved_cross_validation, tmp_path_factory):
    """The card without anything optional."""
    return write(model, moved_cross_validation, tmp_path_factory.mktemp("bare") / "MODEL_CARD.md")


def tables(text):
    """Return the tables below each heading: the heading -> [rows of cells], the head left out."""
    found, heading, rows = {}, "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.setdefault(heading, []).append(rows[2:])
            rows = []
    return found


def fraction(cell):
    return float(cell.rstrip("%")) / 100


RECIPE = "Accuracy on unseen speakers"


def test_the_scores_are_those_of_the_json(bare, results):
    summed, by_seed = tables(bare)[RECIPE]
    summary = results["summary"]["test"]
    for (label, over_folds, pooled, ends, ensemble, ensemble_ends), key in zip(
        summed, ("uar", "accuracy"), strict=True
    ):
        assert label.lower() == key
        for cell, spread in ((over_folds, summary["mean_over_folds"][key]), (pooled, summary["pooled"][key])):
            mean, sd = map(fraction, cell.split(" ± "))
            assert (mean, sd) == (pytest.approx(spread["mean"], abs=5e-5), pytest.approx(spread["sd"], abs=5e-5))
        for cell, which in ((ends, "pooled"), (ensemble_ends, "ensemble_pooled")):
            assert list(map(fraction, cell.split(" to "))) == pytest.approx(
                summary[which]["interval_95"][key], abs=5e-5
            )
        assert fraction(ensemble) == pytest.approx(summary["ensemble_pooled"][key]["mean"], abs=5e-5)
    assert [row[0] for row in by_seed] == ["0", "1"]
    for seed, uar, accuracy in by_seed:
        given = summary["mean_over_folds_by_seed"][seed]
        assert (fraction(uar), fraction(accuracy)) == pytest.approx((given["uar"], given["accuracy"]), abs=5e-5)
    assert results["protocol"] in bare


def test_classes_and_groups_are_those_of_the_json(bare, results):
    by_class, by_group = tables(bare)["By class, gender and channel"]
    pooled = results["summary"]["test"]["pooled"]
    assert [row[0] for row in by_class] == results["class_names"]
    for name, recall, _, _, support in by_class:
        given = pooled["all_seeds"]["per_class"][name]
        assert fraction(recall) == pytest.approx(given["recall"], abs=5e-5)
        assert int(support) == given["support"]
    groups = pooled["by_group"]["channel"] | pooled["by_group"]["gender"]
    assert [row[0] for row in by_group] == list(groups) == ["speech", "female", "male"]
    for name, uar, accuracy, count in by_group:
        given = groups[name]
        assert (fraction(uar), fraction(accuracy)) == pytest.approx((given["uar"], given["accuracy"]), abs=5e-5)
        assert int(count) == given["n_recordings"]


def test_calibration_threshold_and_the_models_own_are_told(bare, results):
    summary = results["summary"]["test"]
    mean, pooled = summary["mean_over_folds"], summary["pooled"]
    given = " ".join(bare.split())
    for one, sentence in (
        (pooled, "pooled it is {:.2%} without temperature, and {:.2%} with the temperature"),
        (mean, "by chance, {:.2%} and {:.2%}."),
    ):
        errors = [one[key]["mean"] for key in ("calibration_error", "calibrated_calibration_error")]
        assert sentence.format(*errors) in given
    assert "from which on 80% of its validation predictions are correct" in given
    selective = mean["selective_accuracy"]["mean"]
    accuracy = "-" if selective is None else f"{selective:.2%}"
    assert f"The coverage is {mean['coverage']['mean']:.2%}, the selective accuracy {accuracy} (means" in given
    temperatures = [run["temperature"] for run in results["runs"] if run["seed"] != "ensemble"]
    assert f"are {min(temperatures):.3f} to {max(temperatures):.3f}." in bare
    assert "divides its logits by 1.250; its rejection threshold is a confidence of 40.00%." in bare


def test_the_model_is_described(bare, model):
    recogniser, metadata = load_pretrained(model)
    assert bare.startswith("# Model card: tiny\n")
    assert f"{sum(p.numel() for p in recogniser.parameters()):,}\nparameters" in bare.replace(
        " parameters", "\nparameters"
    )
    assert metadata.protocol in bare
    assert "`train.py` with `seed=7`, `trainer.max_epochs=3`; its metadata holds all" in bare
    assert (
        "Versions: ser 0.1, torch 2.13. Published by `python -m ser publish checkpoint=<run> name=tiny cross_" in bare
    )
    files = tables(bare)["Size, speed, making"][0]
    assert [row[0] for row in files] == ["`tiny.safetensors`", "`tiny.json`"]
    assert [int(row[1].replace(",", "")) for row in files] == [
        path.stat().st_size for path in (model, model.with_suffix(".json"))
    ]
    assert json.loads(model.with_suffix(".json").read_text())["sha256"] in files[0][2]


def test_sections_without_results_are_left_out(bare):
    for heading in ("When the sound changes", "The same under other protocols", "Song", "EmoBox"):
        assert heading not in bare
    assert "$" not in bare
    assert "section:" not in bare
    assert "None" not in bare
    assert not re.search(r"\n{3,}", bare)


def test_every_section_of_scores_names_its_command(bare):
    for section in bare.split("\n## ")[1:]:
        for part in section.split("\n### "):
            if re.search(r"\d\.\d\d%", part):
                assert re.search(r"`python (cross_validate\.py|-m ser\.robustness) ", part), part.splitlines()[0]


def test_robustness_and_other_protocols_are_added(bare, model, moved_cross_validation, tmp_path):
    measured, song = tmp_path / "measured", tmp_path / "song"
    shutil.copytree(moved_cross_validation, measured)
    shutil.copytree(moved_cross_validation, song)
    text = (song / "results.json").read_text().replace('"protocol": "Speaker-independent', '"protocol": "Sung, made up')
    (song / "results.json").write_text(text)
    assert measure_robustness([f"cross_validation={measured}", "part=test", "count=4", "workers=1"]) == 0
    card = write(model, measured, tmp_path / "MODEL_CARD.md", f"song={song}")
    values = json.loads((measured / "test" / "robustness.json").read_text())
    rows = tables(card)["When the sound changes"][0]
    for one, row in zip(values["changes"].values(), rows, strict=True):
        assert row[:2] == [one["label"], f"{one['uar']:.2%}"]
    assert "Scored: 8 of 60 test recordings" in card
    assert tables(card)[OTHERS["song"]] == tables(card)[RECIPE]
    assert "\nSung, made up" in card
    assert "song=<folder>" in card
    assert str(tmp_path) not in card
    assert "The six folds of EmoBox" not in card


@pytest.mark.parametrize("keeps_last", [False, True])
def test_one_part_of_one_seed_has_no_means_and_is_optimistic_where_it_chose_the_checkpoint(
    keeps_last, model, moved_cross_validation, results, tmp_path
):
    values = json.loads(json.dumps(results)) | {"folds": ["random"], "seeds": [0], "keeps_last": keeps_last}
    del values["summary"]["test"]
    values["summary"]["validation"]["ensemble_pooled"] = None
    split = tmp_path / "split"
    split.mkdir()
    (split / "results.json").write_text(json.dumps(values))
    card = write(model, moved_cross_validation, tmp_path / "MODEL_CARD.md", f"random_split_whole={split}")
    given = card.split("### Random split, trained on the whole of its training part")[1].split("\n## ")[0]
    assert "| validation part |" in re.sub(" +", " ", given)
    assert "over folds" not in given
    assert given.count("\n| UAR ") == 1
    assert "| seed |" not in given
    assert ("These recordings chose the checkpoint, so the scores are optimistic." in given) is not keeps_last


def test_the_same_again_to_the_byte_with_small_pictures(model, moved_cross_validation, bare, tmp_path):
    outputs = [tmp_path / name / "MODEL_CARD.md" for name in ("a", "b")]
    assert [write(model, moved_cross_validation, output) for output in outputs] == [bare, bare]
    for name in ("confusion_matrix.png", "reliability.png"):
        first, second = (output.parent / "docs" / "model_card" / name for output in outputs)
        assert first.read_bytes() == second.read_bytes()
        assert f"(docs/model_card/{name})" in bare
        with Image.open(first) as image:
            assert image.mode == "P"
        assert first.stat().st_size < 60_000


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda values: values.pop("command"), "lacks values that this release writes; write it again"),
        (lambda values: values.pop("keeps_last"), "lacks values that this release writes; write it again"),
        (
            lambda values: values["summary"]["test"]["pooled"].pop("reliability"),
            "lacks values that this release writes",
        ),
        (lambda values: values.update(folds=["random"]), "of a random split; give it as random_split instead."),
    ],
)
def test_incomplete_results_are_refused(spoil, sentence, model, moved_cross_validation, results, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(moved_cross_validation, copy)
    values = json.loads(json.dumps(results))
    spoil(values)
    (copy / "results.json").write_text(json.dumps(values))
    write(model, copy, tmp_path / "CARD.md", status=1)
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "CARD.md").exists()


def test_the_model_must_be_of_the_recipe(tiny_checkpoint, moved_cross_validation, tmp_path, capsys):
    write(tiny_checkpoint, moved_cross_validation, tmp_path / "CARD.md", status=1)
    assert "differ in features: its scores are of another recipe." in capsys.readouterr().err


def test_synthetic_voices_have_no_card(moved_cross_validation, tmp_path, capsys):
    recogniser, metadata = load_recogniser(moved_cross_validation / "fold_subject_wise_0_seed_0")
    path = tmp_path / "synthetic.safetensors"
    write_pretrained(path, recogniser, replace(metadata, configuration={"data": {"corpus": "synthetic"}}))
    write(path, moved_cross_validation, tmp_path / "CARD.md", status=1)
    assert "is of synthetic voices; a model card reports RAVDESS." in capsys.readouterr().err


def test_robustness_of_other_predictions_is_refused(model, moved_cross_validation, results, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(moved_cross_validation, copy)
    uar = results["summary"]["validation"]["pooled"]["uar"]["mean"]
    values = {
        "part": "validation",
        "n_recordings": 60,
        "of_recordings": 60,
        "changes": {"unchanged": {"uar": uar + 0.01}},
    }
    (copy / "robustness.json").write_text(json.dumps(values))
    write(model, copy, tmp_path / "CARD.md", status=1)
    assert "is not of its results.json; measure again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cross_validation=nowhere"], "card.model is missing."),
        (["model={model}", "cross_validation=nowhere"], "nowhere holds no results.json"),
        (["model=nobody", "cross_validation=nowhere"], "no pretrained model of that name"),
        (["model={model}", "cross_validaton=x"], "did you mean 'cross_validation'"),
    ],
)
def test_wrong_settings_are_one_sentence(arguments, sentence, model, capsys):
    assert main([argument.format(model=model) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert error.count("\n") == 1
