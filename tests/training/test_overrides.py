"""The command of a run: kept, shown in its report, and as the columns of a table of runs."""

import pytest

from ser.training.overrides import overridden, overrides_of_run, read_overrides, remember_overrides

CONFIGURATION = {
    "run_name": "speaker_independent",
    "seed": 43,
    "data": {"fold": 2, "classes": ["calm", "sad"], "root": None},
    "model": {"lr": 3e-4, "network": {"_target_": "a.B"}},
    "trainer": {"accelerator": "cpu", "max_epochs": 3},
    "score_test": False,
}


@pytest.mark.parametrize(
    ("overrides", "columns"),
    [
        (["model.lr=3e-4", "seed=43"], {"model.lr": 3e-4, "seed": 43}),
        (["experiment=speaker_independent", "data.fold=2"], {"experiment": "speaker_independent", "data.fold": 2}),
        (["+model/network=a", "data.classes=[calm,sad]"], {"model/network": "a", "data.classes": "['calm', 'sad']"}),
        (["~logger.csv", "model=b"], {"logger.csv": "removed", "model": "b"}),
        (["score_test=false", "trainer.accelerator=cpu", "paths.output_dir=x"],
         {"experiment": "speaker_independent", "seed": 43, "data.fold": 2}),
        (None, {"experiment": "speaker_independent", "seed": 43, "data.fold": 2}),
    ],
)  # fmt: skip
def test_the_columns_are_what_the_command_gave(overrides, columns):
    assert overridden(CONFIGURATION, overrides) == columns


def test_a_resumed_run_keeps_the_overrides_that_began_it(tmp_path):
    assert read_overrides(tmp_path) is overrides_of_run(tmp_path, CONFIGURATION) is None
    remember_overrides(tmp_path, ["seed=1", "model.lr=1"])
    remember_overrides(tmp_path, [f"ckpt_path={tmp_path}", "trainer.max_epochs=9"])
    assert read_overrides(tmp_path) == overrides_of_run(tmp_path, CONFIGURATION) == ["seed=1", "model.lr=1"]


def test_a_run_of_a_cross_validation_has_its_overrides_and_its_own_fold_and_seed(tmp_path):
    remember_overrides(tmp_path, ["experiment=a", "folds=[2]", "seeds=[43]", "jobs=2", "bootstrap_seed=1"])
    configuration = CONFIGURATION | {"data": {"split": "speaker", "fold": "subject_wise_2"}}
    overrides = ["experiment=a", "data.split=speaker", "data.fold=subject_wise_2", "seed=43"]
    assert overrides_of_run(tmp_path / "run", configuration) == overrides
    configuration = CONFIGURATION | {"data": {"split": "random", "fold": None}}
    assert overrides_of_run(tmp_path / "run", configuration)[1:3] == ["data.split=random", "data.fold=null"]
