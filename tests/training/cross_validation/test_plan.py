from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.cli.hydra_command import _run_folder
from ser.errors import CheckpointError, SettingsError
from ser.training.configuration import plain
from ser.training.cross_validation.plan import plan, settle

CONF = Path(__file__).parents[3] / "conf"


def composed(folder, *overrides):
    """What `cross_validate.py` would be given, with `folder` as the folder of the run."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("cross_validate", [f"paths.run_dir={folder}", *overrides])


def settled(folder, *overrides):
    return settle(composed(folder, *overrides), overrides)


@pytest.fixture
def begun(tmp_path):
    """A folder with the settings of a cross-validation."""
    folder = tmp_path / "begun"
    folder.mkdir()
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(composed(folder, "folds=[0]", "seeds=[1]", "model.lr=0.01")))
    return folder


def test_there_is_a_run_for_each_fold_and_seed_with_the_settings_given(tmp_path):
    settings, runs = plan(composed(tmp_path, "folds=[0,4]", "seeds=[7,8]", "model.lr=0.01", "data.channel=speech"))
    assert [run.folder.name for run in runs] == [
        "fold_subject_wise_0_seed_7", "fold_subject_wise_4_seed_7",
        "fold_subject_wise_0_seed_8", "fold_subject_wise_4_seed_8",
    ]  # fmt: skip
    for run in runs:
        assert run.settings.run_dir.parent == tmp_path
        assert run.settings.model.lr == 0.01
        assert (run.settings.data.split, run.settings.data.fold) == ("speaker", run.run.fold)
        # What follows the seed in a training run follows it here.
        assert run.settings.seed == run.settings.data.augment_seed == run.run.seed
        assert run.parts == ("validation", "test")
    assert settings.seeds == (7, 8)


def test_experiments_are_those_of_training_and_folds_go_before_theirs(tmp_path):
    runs = plan(composed(tmp_path, "experiment=speaker_independent", "folds=emobox", "seeds=[0]"))[1]
    assert [run.settings.data.fold for run in runs] == [f"emobox_{number}" for number in range(6)]
    assert {run.settings.data.channel for run in runs} == {"speech"}


@pytest.mark.parametrize(("fraction", "parts"), [(0.0, ("validation",)), (0.2, ("validation", "test"))])
def test_the_random_split_is_one_fold(fraction, parts, tmp_path):
    overrides = (
        "experiment=speaker_independent",
        "folds=random",
        "seeds=[1,2]",
        f"data.val_size={fraction}",
    )
    runs = plan(composed(tmp_path, *overrides))[1]
    assert [run.folder.name for run in runs] == ["fold_random_seed_1", "fold_random_seed_2"]
    for run in runs:
        assert (run.settings.data.split, run.settings.data.fold, run.settings.data.split_seed) == ("random", None, 42)
        assert run.parts == parts


def test_the_test_part_can_stay_unscored(tmp_path):
    runs = plan(composed(tmp_path, "score_test=false", "seeds=[0]"))[1]
    assert {run.parts for run in runs} == {("validation",)}
    assert not any(run.settings.score_test for run in runs)


def test_a_run_is_finished_when_all_that_it_scores_is_there(fold_run):
    run = fold_run("subject_wise_0", 0)
    (run.folder / "test").mkdir(parents=True)
    for name in ("predictions.csv", "learning_curve.png", "test/predictions.csv"):
        assert not run.is_finished
        (run.folder / name).touch()
    assert run.is_finished
    (run.folder / "test" / "predictions.csv").unlink()
    assert fold_run("subject_wise_0", 0, score_test=False).is_finished


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["seed=3"], "seed is set by seeds"),
        (["data.fold=2"], "data.fold is set by folds"),
        (["~data.test_actors"], "data.test_actors is set by folds"),
    ],
)
def test_what_folds_and_seeds_decide_is_not_given(overrides, sentence, tmp_path):
    with pytest.raises(SettingsError, match=sentence):
        settle(composed(tmp_path), overrides)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("folds=[9]", "^folds has 'subject_wise_9'"),
        ("features.max_length=0", "^features.max_length is 0"),
        ("optimized_metric=train/loss", "^optimized_metric is 'train/loss'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(override, sentence, tmp_path):
    with pytest.raises(SettingsError, match=sentence):
        plan(composed(tmp_path, override))


def test_a_folder_alone_brings_its_settings(begun):
    configuration = settled(begun, f"ckpt_path={begun}")
    assert plain(configuration)["model"]["lr"] == 0.01
    assert [run.folder.name for run in plan(configuration)[1]] == ["fold_subject_wise_0_seed_1"]


def test_what_changes_no_network_may_be_given_beside_a_folder(begun):
    configuration = settled(begun, f"ckpt_path={begun}", "seeds=[1,2]", "jobs=1", "score_test=false")
    settings, runs = plan(configuration)
    assert (settings.seeds, settings.jobs, settings.folds) == ((1, 2), 1, (0,))
    assert {run.settings.model.lr for run in runs} == {0.01}
    assert {run.parts for run in runs} == {("validation",)}
    assert configuration.ckpt_path is None


@pytest.mark.parametrize("ckpt_path", [True, False])
def test_the_same_command_goes_on_and_another_is_refused(ckpt_path, begun):
    beside = (f"ckpt_path={begun}",) if ckpt_path else ()
    same = ("folds=[0]", "seeds=[1]", "model.lr=0.01", *beside)
    assert plain(settled(begun, *same))["model"]["lr"] == 0.01
    with pytest.raises(SettingsError, match=r"model\.lr is 0\.02, but .*begun was begun with 0\.01"):
        settled(begun, "folds=[0]", "seeds=[1]", "model.lr=0.02", *beside)


def test_without_ckpt_path_leaving_settings_out_is_another_command(begun):
    with pytest.raises(SettingsError, match=r"model\.lr is 0\.0001"):
        settled(begun)


def test_a_run_of_other_settings_in_a_runs_folder_is_refused(tmp_path):
    configuration = composed(tmp_path, "folds=[0]", "seeds=[1]")
    (run,) = plan(configuration)[1]
    run.folder.mkdir()
    saved = dict(run.configuration) | {"ckpt_path": str(run.folder), "score_test": False}
    (run.folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(saved)))
    assert len(plan(configuration)[1]) == 1
    saved["trainer"] = saved["trainer"] | {"max_epochs": 3}
    (run.folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(saved)))
    with pytest.raises(SettingsError, match=r"trainer\.max_epochs is 100, but .*fold_subject_wise_0_seed_1 was begun"):
        plan(configuration)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="which is no run"):
        settled(tmp_path, f"ckpt_path={tmp_path}")
    (tmp_path / "config.yaml").write_text("model: {lr: 0.1}\n")
    with pytest.raises(CheckpointError, match="no folder of a cross-validation"):
        settled(tmp_path, f"ckpt_path={tmp_path}")
