from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from ser.cli.hydra_command import _run_folder
from ser.errors import CheckpointError, SettingsError
from ser.training.configuration import plain, write_configuration
from ser.training.cross_validation.plan import plan, settle
from ser.training.sweep import SweepTable

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
    assert settings.seeds == (7, 8)
    names = [f"fold_subject_wise_{fold}_seed_{seed}" for seed in (7, 8) for fold in (0, 4)]
    assert [run.folder.name for run in runs] == names
    for run in runs:
        assert run.settings.run_dir.parent == tmp_path
        assert run.settings.model.lr == 0.01
        assert (run.settings.data.split, run.settings.data.fold) == ("speaker", run.fold)
        # What follows the seed in a training run follows it here.
        assert run.settings.seed == run.settings.data.augment_seed == run.seed
        assert run.parts == ("validation", "test")


def test_experiments_are_those_of_training_and_folds_go_before_theirs(tmp_path):
    runs = plan(composed(tmp_path, "experiment=speaker_independent", "folds=emobox", "seeds=[0]"))[1]
    assert [run.settings.data.fold for run in runs] == [f"emobox_{number}" for number in range(6)]
    assert {run.settings.data.channel for run in runs} == {"speech"}


@pytest.mark.parametrize(("val_size", "parts"), [(0.0, ("validation",)), (0.2, ("validation", "test"))])
def test_the_random_split_is_one_fold(val_size, parts, tmp_path):
    overrides = ("experiment=speaker_independent", "folds=random", "seeds=[1,2]", f"data.val_size={val_size}")
    runs = plan(composed(tmp_path, *overrides))[1]
    assert [run.folder.name for run in runs] == ["fold_random_seed_1", "fold_random_seed_2"]
    for run in runs:
        assert (run.settings.data.split, run.settings.data.fold, run.settings.data.split_seed) == ("random", None, 42)
        assert run.parts == parts


def test_a_run_is_finished_once_its_job_has_ended_with_these_settings(tmp_path):
    configurations = [composed(tmp_path, "folds=[0]", "seeds=[1]", f"score_test={scored}") for scored in (False, True)]
    (unscored,), (scored,) = (plan(configuration)[1] for configuration in configurations)
    hydra = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(scored.folder)}, "overrides": {"task": []}}})
    ended = SimpleNamespace(status=JobStatus.COMPLETED, hydra_cfg=hydra, return_value=0.5)
    assert not unscored.job.is_finished
    for run, finished in ((unscored, (True, False)), (scored, (True, True))):
        write_configuration(run.folder, run.configuration | {"ckpt_path": "as it resumes"})
        SweepTable().on_job_end(configurations[0], ended)
        assert (unscored.job.is_finished, scored.job.is_finished) == finished


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed=3", "^seed is set by seeds"),
        ("data.fold=2", "^data.fold is set by folds"),
        ("~data.test_speakers", "^data.test_speakers is set by folds"),
        ("folds=[9]", "^folds has 'subject_wise_9'"),
        ("features.max_length=0", "^features.max_length is 0"),
        ("optimized_metric=train/loss", "^optimized_metric is 'train/loss'"),
    ],
)
def test_wrong_settings_and_what_folds_and_seeds_decide_are_refused(override, sentence, tmp_path):
    with pytest.raises(SettingsError, match=sentence):
        plan(settled(tmp_path, override))


def test_a_folder_brings_its_settings_and_what_changes_no_network_may_be_given_beside_it(begun):
    assert [run.folder.name for run in plan(settled(begun, f"ckpt_path={begun}"))[1]] == ["fold_subject_wise_0_seed_1"]
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
    with pytest.raises(SettingsError, match=r"model\.lr is 0\.0001"):
        settled(begun, "folds=[0]", "trainer.max_epochs=100", *beside)


def test_a_run_of_other_settings_in_a_runs_folder_is_refused(tmp_path):
    configuration = composed(tmp_path, "folds=[0]", "seeds=[1]")
    (run,) = plan(configuration)[1]
    saved = dict(run.configuration) | {"ckpt_path": str(run.folder), "score_test": False}
    write_configuration(run.folder, saved)
    assert len(plan(configuration)[1]) == 1
    write_configuration(run.folder, saved | {"trainer": saved["trainer"] | {"max_epochs": 3}})
    with pytest.raises(SettingsError, match=r"trainer\.max_epochs is 100, but .*fold_subject_wise_0_seed_1 was begun"):
        plan(configuration)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="which is no run"):
        settled(tmp_path, f"ckpt_path={tmp_path}")
    (tmp_path / "config.yaml").write_text("model: {lr: 0.1}\n")
    with pytest.raises(CheckpointError, match="no folder of a cross-validation"):
        settled(tmp_path, f"ckpt_path={tmp_path}")
