"""Misspelt overrides and flags, and what a refused run leaves behind."""

import pytest
from hydra.errors import MissingConfigException

from ser.cli.hydra_errors import sentence_of
from tests.command_line import is_one_sentence, run_in_process


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("model.lrr=3", "model.lrr is not a setting; did you mean 'lr', or +model.lrr=3 to add it."),
        ("model.optimiser.lrr=3", "model.optimiser.lrr is not a setting; did you mean 'lr'"),
        ("experimen=debug", "experimen is not a setting; did you mean 'experiment'"),
        ("callbacks.mine.x=1", "known are checkpoint, early_stopping, learning_rate, progress_bar, or +call"),
        ("experiment=debg", "experiment is 'debg'; did you mean 'debug'."),
        ("data=nonsense", "data is 'nonsense'; known are aesdd, ased, cremad, "),
        ("model/network=tinny", "model/network is 'tinny'; did you mean 'tiny'."),
        ("model/netwrk=tiny", "model/netwrk is no group of settings; did you mean 'model/network'."),
        ("hydra/launcher=proceses", "hydra/launcher is 'proceses'; did you mean 'processes'."),
        ("+experiment=debug", "experiment is chosen already; write experiment=debug without +"),
        ("--experiment=debug", "--experiment is no option of this command; write experiment=debug."),
        ("--cfgg job", "--cfgg is no option of this command; did you mean '--cfg'."),
        ("-m model.lrr=1,2", "model.lrr is not a setting; did you mean 'lr'"),
        ("--config-name=mine", "Cannot find primary config 'mine'"),
        ("data.workers=-1", "data.workers is -1, but should be at least 0."),
        (
            "experiment=baseline_without_neutral model=residual_bilstm",
            "model.network.lstm_dropout is a setting of experiment=baseline_without_neutral, which the chosen part of "
            "the model does not have; give ~model.network.lstm_dropout too",
        ),
        (
            "experiment=baseline_without_neutral model=residual_bilstm +model.network.lstm_drop=1",
            "model.network.lstm_drop",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_the_nearest_right_name(words, sentence, tmp_path):
    done = run_in_process("train.py", *words.split(), folder=tmp_path)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr, sentence), done.stderr


def test_a_setting_of_the_experiment_can_be_left_out_for_another_network(tmp_path):
    words = ("experiment=baseline_without_neutral", "model=residual_bilstm", "~model.network.lstm_dropout")
    done = run_in_process("train.py", *words, "data.root=nowhere", folder=tmp_path)
    assert is_one_sentence(done.stderr, "nowhere is not a folder"), done.stderr


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.root=nowhere", "nowhere is not a folder"),
        ("features.max_length=0", "features.max_length is 0"),
        ("ckpt_path=no/such", "ckpt_path is no/such, which is no run"),
        ("trainer.accelerator=gpux", "trainer.accelerator is 'gpux'"),
    ],
)
def test_a_run_that_is_refused_before_it_has_data_leaves_nothing(override, sentence, tmp_path):
    done = run_in_process("train.py", override, "run_name=refused", folder=tmp_path)
    assert is_one_sentence(done.stderr, sentence), done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not list(tmp_path.glob("outputs/refused/*"))


@pytest.mark.parametrize("override", ["data.root=nowhere", "features.max_length=0"])
def test_what_was_in_the_folder_of_a_refused_run_stays(override, tmp_path):
    mine = tmp_path / "mine" / "thesis" / "chapter.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("all that I have")
    done = run_in_process("train.py", override, "hydra.run.dir=mine", folder=tmp_path)
    assert done.returncode == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_resumed_run_whose_corpus_is_gone_stays(tmp_path):
    # Killed while it read its corpus: it has a configuration, and no split yet.
    words = ("experiment=debug", "data.corpus=ravdess", "data.root=corpus", "paths.run_dir=begun", "--cfg", "job")
    run = tmp_path / "begun"
    run.mkdir()
    printed = run_in_process("train.py", *words, "--resolve", folder=tmp_path).stdout
    (run / "config.yaml").write_text(printed)
    done = run_in_process("train.py", "ckpt_path=begun", folder=tmp_path)
    assert is_one_sentence(done.stderr, "corpus is not a folder"), done.stderr
    assert (run / "config.yaml").is_file()


def test_the_configuration_of_another_run_stays(tmp_path):
    run = tmp_path / "old"
    run.mkdir()
    (run / "config.yaml").write_text("seed: 1\n")
    (run / "split.csv").write_text("file\n")
    done = run_in_process("train.py", "features.max_length=0", "hydra.run.dir=old", folder=tmp_path)
    assert done.returncode == 1
    assert {"config.yaml", "split.csv"} <= {path.name for path in run.iterdir()}


def test_a_launcher_whose_package_is_missing_names_what_to_install():
    error = MissingConfigException("", missing_cfg_file="hydra/launcher/submitit_slurm", options=["basic", "processes"])
    needs = "hydra/launcher=submitit_slurm needs hydra-submitit-launcher, which is not installed"
    assert sentence_of(error) == f'{needs}: pip install "ser[launchers]".'
