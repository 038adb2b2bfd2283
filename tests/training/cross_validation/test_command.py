from ser.training.cross_validation.command import begun_by
from ser.training.cross_validation.settings import CrossValidationSettings
from ser.training.overrides import remember_overrides


def test_the_command_is_told_without_what_is_of_the_machine(tmp_path):
    overrides = [
        "experiment=logmel_resbilstm", "folds=emobox", "seeds=[1]", "jobs=2", "score_test=false", "model.lr=3e-4",
        "data.root=/home/somebody/ravdess", "paths.output_dir=/home/somebody", "hydra.run.dir=/home/somebody/here",
        "+data.oversample={neutral: 2}", "trainer.accelerator=gpu",
    ]  # fmt: skip
    remember_overrides(tmp_path, overrides)
    settings = CrossValidationSettings(folds=(0, "subject_wise_4"), seeds=(1, 2))
    assert begun_by(tmp_path, settings) == (
        "ser cross-validate experiment=logmel_resbilstm model.lr=3e-4 '+data.oversample={neutral: 2}' "
        "folds=[0,subject_wise_4] seeds=[1,2]"
    )


def test_a_resumed_cross_validation_keeps_the_command_that_began_it(tmp_path):
    settings = CrossValidationSettings(seeds=(7,))
    remember_overrides(tmp_path, [f"ckpt_path={tmp_path}"])
    assert begun_by(tmp_path, settings) is None
    remember_overrides(tmp_path, ["experiment=baseline_rms"])
    remember_overrides(tmp_path, ["model.lr=1"])
    remember_overrides(tmp_path, [f"ckpt_path={tmp_path}", "jobs=1"])
    assert begun_by(tmp_path, settings) == "ser cross-validate experiment=baseline_rms folds=subject_wise seeds=[7]"
