"""Commands that are started in one second have a folder each; one that names its folder gets that."""

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import hydra.core.utils
import pytest
from hydra.core.hydra_config import HydraConfig

from ser.cli.hydra_command import hydra_command
from ser.inference.run_folder import CONFIGURATION
from ser.training.launcher import folder_lock
from tests.command_line import is_one_sentence, run_in_process

NOON = "2001-02-03_12-00-00"


def stop_the_clock(monkeypatch):
    noon = datetime.strptime(NOON, "%Y-%m-%d_%H-%M-%S")
    monkeypatch.setattr(hydra.core.utils, "datetime", SimpleNamespace(now=lambda: noon))


@pytest.fixture
def folders_of(monkeypatch, tmp_path):
    """Compose a command at noon and run a task of our own with it; return the folders that its jobs were given."""
    stop_the_clock(monkeypatch)

    def run(config_name, *arguments, status=0):
        seen = []

        def task(configuration):
            folder = HydraConfig.get().runtime.output_dir
            if "paths" in configuration:
                assert configuration.paths.run_dir == folder
            seen.append(Path(folder).relative_to(tmp_path).as_posix())

        done = run_in_process(
            *arguments, folder=tmp_path, main=lambda given: hydra_command(task, config_name, given)
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return seen

    return run


@pytest.mark.parametrize(
    ("config_name", "folder"),
    [
        ("train", f"outputs/train/{NOON}"),
        ("cross_validate", f"outputs/train-cross-validation/{NOON}"),
        ("evaluate", f"outputs/evaluate/{NOON}"),
    ],
)
def test_two_of_one_second_have_a_folder_each(config_name, folder, folders_of, tmp_path):
    assert folders_of(config_name) == [folder]
    assert folders_of(config_name) == [f"{folder}-2"]
    assert folders_of(config_name, "hydra.run.dir=mine") == ["mine"]
    assert folders_of(config_name, "hydra.run.dir=mine") == ["mine"]
    assert folders_of(config_name, "hydra.run.dir=of/${now:%H}") == ["of/12"]
    assert folders_of(config_name, "hydra.run.dir=of/${now:%H}") == ["of/12-2"]
    assert sorted(path.name for path in (tmp_path / folder).parent.iterdir()) == [NOON, f"{NOON}-2"]


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_two_sweeps_of_one_second_have_a_folder_each(command, folders_of):
    swept = {"train": ("outputs/train-sweep", "seed=1,2"), "evaluate": ("multirun", "workers=1,2")}
    folder, override = swept[command]
    place = () if command == "train" else ("hydra.sweep.dir=multirun/${now:%Y-%m-%d_%H-%M-%S}",)
    assert folders_of(command, "-m", override, *place) == [f"{folder}/{NOON}/0", f"{folder}/{NOON}/1"]
    assert folders_of(command, "-m", override, *place) == [f"{folder}/{NOON}-2/0", f"{folder}/{NOON}-2/1"]
    assert folders_of(command, "-m", override, "hydra.sweep.dir=a (b)") == ["a (b)/0", "a (b)/1"]


def test_a_resumed_run_goes_on_in_its_own(folders_of, tmp_path):
    (run,) = folders_of("train")
    (tmp_path / run / CONFIGURATION).touch()
    assert folders_of("train", f"ckpt_path={run}") == [run]
    assert folders_of("train", "ckpt_path=of/nothing") == [f"{run}-2"]  # which the command will refuse


def test_a_look_at_the_configuration_makes_no_folder(folders_of, tmp_path):
    for command in ("train", "evaluate", "eda"):
        assert folders_of(command, "--cfg", "all") == []
    assert list(tmp_path.iterdir()) == []


def test_two_analyses_of_one_second_have_a_folder_each(tiny_corpus, tmp_path, monkeypatch):
    stop_the_clock(monkeypatch)
    plot = ("-m", "ser", "eda", "plot_emotions", f"data.root={tiny_corpus}", "data.channel=speech")
    for _ in range(2):
        assert run_in_process(*plot, folder=tmp_path).returncode == 0
    assert run_in_process(*plot, "output_path=here.png", folder=tmp_path).returncode == 0
    assert run_in_process(*plot, "data.root=no", folder=tmp_path).returncode == 1
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    plots = {f"outputs/eda/{NOON}/emotion_bar_plot.png", f"outputs/eda/{NOON}-2/emotion_bar_plot.png"}
    assert made == {*plots, "here.png"}
    assert len(list((tmp_path / "outputs" / "eda").iterdir())) == 2


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_folder_in_use_is_one_sentence_and_stays(command, tmp_path):
    with folder_lock(tmp_path / "mine"):
        for override in ("seed=0", "seed=-1") if command == "train" else ("workers=1",):
            done = run_in_process("-m", "ser", command, override, "hydra.run.dir=mine", folder=tmp_path)
            assert done.returncode == 1
            assert is_one_sentence(done.stderr, "mine is in use by another command; wait for it to end, or end it.")
    assert (tmp_path / "mine").is_dir()
