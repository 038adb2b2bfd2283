"""`ser card`, on the cross-validation of random networks: what it says is what the JSON says."""

import json
import re
import shutil
from dataclasses import replace
from urllib.parse import unquote

import pytest
from PIL import Image

from ser.cli.main import main
from ser.evaluation.model_card.card import _model_calibration
from ser.evaluation.robustness.report import robustness_table
from ser.evaluation.tables import interval, percent, spread
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import load_pretrained, write_pretrained
from tests.command_line import is_one_sentence

INCOMPLETE = "lacks values that this release writes; write it again"


@pytest.fixture(scope="module")
def model(moved_cross_validation, tmp_path_factory):
    """A model of the recipe, published with a temperature and a threshold."""
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    recogniser, metadata = load_recogniser(moved_cross_validation / "fold_subject_wise_0_seed_0")
    calibrated = replace(metadata, temperature=1.25, rejection_threshold=0.4)
    run = {"configuration": {"seed": 7, "trainer": {"max_epochs": 3}}, "versions": {"torch": "2.13", "ser": "0.1"}}
    write_pretrained(path, recogniser, replace(calibrated, **run))
    return path


@pytest.fixture(scope="module")
def write(model, moved_cross_validation, tmp_path_factory):
    """The command, with settings beside, or instead of, those of a card without anything optional."""

    def run(*, status=0, **settings):
        output = tmp_path_factory.mktemp("card") / "MODEL_CARD.md"
        settings = {"model": model, "cross_validation": moved_cross_validation, "output": output} | settings
        options = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items() if value]
        assert main(["card", *options]) == status
        assert output.exists() == (status == 0)
        return output

    return run


@pytest.fixture(scope="module")
def bare(write):
    """The card without anything optional."""
    return write().read_text()


@pytest.fixture
def copy(moved_cross_validation, tmp_path):
    return shutil.copytree(moved_cross_validation, tmp_path / "copy")


@pytest.fixture
def results(moved_cross_validation):
    return json.loads((moved_cross_validation / "results.json").read_text())


def tables(text):
    """Return the rows of cells of each table, its head left out."""
    blocks = [block.splitlines()[2:] for block in text.split("\n\n") if block.startswith("|")]
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in block] for block in blocks]


def row(name, given, scores, count):
    return [name, *(percent(given[key]) for key in scores), str(given[count])]


def test_the_tables_are_those_of_the_json(bare, results):
    summary = results["summary"]["test"]
    mean, pooled, ensemble = (summary[key] for key in ("mean_over_folds", "pooled", "ensemble_pooled"))
    summed, by_seed, by_class, by_group, _ = tables(bare)
    for (key, label), cells in zip({"uar": "UAR", "accuracy": "accuracy"}.items(), summed, strict=True):
        ends, ensemble_ends = (interval(one["interval_95"][key]) for one in (pooled, ensemble))
        of_ensemble = percent(ensemble[key]["mean"])
        assert cells == [label, spread(mean[key]), spread(pooled[key]), ends, of_ensemble, ensemble_ends]
    means = summary["mean_over_folds_by_seed"]
    assert by_seed == [[seed, percent(means[seed]["uar"]), percent(means[seed]["accuracy"])] for seed in ("0", "1")]
    per_class, groups = pooled["all_seeds"]["per_class"], pooled["by_group"]["channel"] | pooled["by_group"]["gender"]
    assert (list(per_class), list(groups)) == (results["class_names"], ["speech", "female", "male"])
    keys = ("recall", "precision", "f1")
    assert by_class == [row(name, one, keys, "support") for name, one in per_class.items()]
    assert by_group == [row(name, one, ("uar", "accuracy"), "n_recordings") for name, one in groups.items()]
    assert results["protocol"] in bare


def test_calibration_threshold_and_the_models_own_are_given(bare, results):
    summary = results["summary"]["test"]
    mean, pooled = summary["mean_over_folds"], summary["pooled"]
    in_percent = {key: percent(one["mean"]) for key, one in mean.items()}
    temperatures = [run["temperature"] for run in results["runs"] if run["seed"] != "ensemble"]
    given = " ".join(bare.split())
    for sentence in (
        f"pooled it is {percent(pooled['calibration_error']['mean'])} without temperature, and "
        f"{percent(pooled['calibrated_calibration_error']['mean'])} with the temperature",
        "by chance, {calibration_error} and {calibrated_calibration_error}.".format(**in_percent),
        "from which on 80% of its validation predictions are correct",
        "The coverage is {coverage}, the selective accuracy {selective_accuracy} (means".format(**in_percent),
        f"are {min(temperatures):.3f} to {max(temperatures):.3f}.",
        "divides its logits by 1.250; its rejection threshold is a confidence of 40.00%.",
    ):
        assert sentence in given


def test_the_model_is_described(bare, model):
    recogniser, metadata = load_pretrained(model)
    n_parameters = sum(p.numel() for p in recogniser.parameters())
    given = " ".join(bare.split())
    for sentence in (
        f"It is a network of {n_parameters:,} parameters (`cnn_bilstm_luong`) on 33 features",
        metadata.protocol,
        "`train.py` with `seed=7`, `trainer.max_epochs=3`; its metadata holds all",
        "Versions: ser 0.1, torch 2.13. Published by `ser publish <run> --name tiny --cross-",
    ):
        assert sentence in given
    assert bare.startswith("# Model card: tiny\n")
    paths = model, model.with_suffix(".json")
    files = tables(bare)[-1]
    assert [row[:2] for row in files] == [[f"`{path.name}`", f"{path.stat().st_size:,}"] for path in paths]
    assert json.loads(paths[1].read_text())["sha256"] in files[0][2]


def test_sections_without_results_are_left_out_and_every_score_has_its_command(bare):
    for absent in ("When the sound changes", "The same under other", "Song", "EmoBox", "{", "section:", "None"):
        assert absent not in bare
    assert not re.search(r"\n{3,}", bare)
    for section in re.split(r"\n###? ", bare)[1:]:
        if re.search(r"\d\.\d\d%", section):
            assert re.search(r"`ser cross-validate ", section), section.splitlines()[0]


def test_a_card_of_a_run_with_robustness_and_another_protocol(write, copy, tmp_path):
    text = (copy / "results.json").read_text().replace('"protocol": "Speaker-independent', '"protocol": "Sung, made up')
    (tmp_path / "results.json").write_text(text)
    assert main(["robustness", str(copy), "--part=test", "--count=4", "--workers=1"]) == 0
    card = write(model=copy / "fold_subject_wise_0_seed_0", cross_validation=copy, song=tmp_path).read_text()
    assert robustness_table(json.loads((copy / "test" / "robustness.json").read_text())) in card
    assert "Scored: 8 of 60 test recordings" in card
    assert "--part test --count <n>`" in card
    assert tables(card)[5:7] == tables(card)[:2]
    assert "is sung\n\nSung, made up" in card
    assert "--song <folder>" in card
    assert str(tmp_path) not in card
    assert "This model has no temperature and rejects no prediction." in card
    assert not re.search("Trained by|Published by", card)
    assert "The six folds of EmoBox" not in card


@pytest.mark.parametrize("keeps_last", [False, True])
def test_one_part_of_one_seed_has_no_means_and_is_optimistic_where_it_chose_the_checkpoint(
    keeps_last, write, results, tmp_path
):
    results |= {"folds": ["random"], "seeds": [0], "keeps_last": keeps_last}
    del results["summary"]["test"]
    results["summary"]["validation"]["ensemble_pooled"] = None
    (tmp_path / "results.json").write_text(json.dumps(results))
    card = write(random_split_whole=tmp_path).read_text()
    given = card.split("### Random split, trained on the whole of its training part")[1].split("\n## ")[0]
    assert "| validation part |" in re.sub(" +", " ", given)
    assert "over folds" not in given
    assert given.count("\n| UAR ") == 1
    assert "| seed |" not in given
    assert ("These recordings chose the checkpoint, so the scores are optimistic." in given) is not keeps_last


def test_the_same_again_to_the_byte_with_small_pictures(write, bare):
    outputs = [write(), write()]
    assert [output.read_text() for output in outputs] == [bare, bare]
    for name in ("confusion_matrix.png", "reliability.png"):
        first, second = (output.with_name("MODEL_CARD_files") / name for output in outputs)
        assert first.read_bytes() == second.read_bytes()
        assert f"(MODEL_CARD_files/{name})" in bare
        with Image.open(first) as image:
            assert image.mode == "P"
        assert first.stat().st_size < 60_000


def test_without_another_name_it_has_that_of_the_model(model, moved_cross_validation, bare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["card", f"--model={model}", f"--cross-validation={moved_cross_validation}"]) == 0
    assert (tmp_path / "tiny.md").read_text() == bare.replace("MODEL_CARD_files", "tiny_files")
    pictures = sorted(path.name for path in (tmp_path / "tiny_files").iterdir())
    assert pictures == ["confusion_matrix.png", "reliability.png"]


def test_links_to_pictures_hold_whatever_the_name(model, moved_cross_validation, tmp_path):
    output = tmp_path / "my (first) card"
    assert main(["card", f"--model={model}", f"--cross-validation={moved_cross_validation}", f"--output={output}"]) == 0
    links = re.findall(r"!\[[^]]*\]\(([^\s()]+)\)", output.read_text())
    assert [(tmp_path / unquote(link)).is_file() for link in links] == [True, True]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda values: values.pop("command"), INCOMPLETE),
        (lambda values: values["summary"]["test"]["pooled"].pop("reliability"), INCOMPLETE),
        (lambda values: values.update(folds=["random"]), "of a random split; give it as --random-split instead."),
    ],
)
def test_incomplete_results_are_refused(spoil, sentence, write, results, tmp_path, capsys):
    spoil(results)
    (tmp_path / "results.json").write_text(json.dumps(results))
    write(cross_validation=tmp_path, status=1)
    assert sentence in capsys.readouterr().err


def test_the_model_must_be_of_the_recipe_and_of_ravdess(write, tiny_checkpoint, model, tmp_path, capsys):
    write(model=tiny_checkpoint, status=1)
    assert "differ in features: its scores are of another recipe." in capsys.readouterr().err
    recogniser, metadata = load_pretrained(model)
    path = tmp_path / "fused.safetensors"
    write_pretrained(path, recogniser, replace(metadata, fusion_weight=0.5))
    write(model=path, status=1)
    assert "differ in fusion_weight: its scores are of another recipe." in capsys.readouterr().err
    path = tmp_path / "synthetic.safetensors"
    write_pretrained(path, recogniser, replace(metadata, configuration={"data": {"corpus": "synthetic"}}))
    write(model=path, status=1)
    assert "is of synthetic voices; a model card reports RAVDESS." in capsys.readouterr().err


def test_robustness_of_other_predictions_is_refused(write, copy, results, capsys):
    uar = results["summary"]["validation"]["pooled"]["uar"]["mean"]
    counts = {"part": "validation", "n_recordings": 60, "of_recordings": 60}
    values = counts | {"changes": {"unchanged": {"uar": uar + 0.01}}}
    for text, sentence in ((json.dumps(values), "is not of its results.json; measure again"), ("{", "it is not JSON.")):
        (copy / "robustness.json").write_text(text)
        write(cross_validation=copy, status=1)
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "sentence", "status"),
    [
        ({"model": ""}, "Missing option '--model'", 2),
        ({"cross_validation": "nowhere"}, "nowhere holds no results.json", 1),
        ({"model": "nobody"}, "no pretrained model of that name", 1),
        ({"cross_validaton": "x"}, "No such option: --cross-validaton (Possible options: --cross-validation", 2),
    ],
)
def test_wrong_settings_are_one_sentence(settings, sentence, status, write, capsys):
    write(status=status, **settings)
    assert is_one_sentence(capsys.readouterr().err, sentence)


def test_the_threshold_of_a_training_run_is_in_the_card(tiny_metadata):
    runs = {"runs": [{"seed": 0, "temperature": 1.5}]}
    of_run, of_recipe = (replace(tiny_metadata, rejection_threshold=0.4, temperature=t) for t in (1.0, 1.25))
    assert "has no temperature; its rejection threshold is a confidence of 40.00%." in _model_calibration(of_run, runs)
    assert "divides its logits by 1.250; its rejection threshold" in _model_calibration(of_recipe, runs)
