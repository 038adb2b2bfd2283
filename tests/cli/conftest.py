"""Starting the project's commands as their users do, and one small run that many tests look at."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ser.inference.checkpoint import load_recogniser

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides that make any experiment end within seconds."""
    return (
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "model.network.lstm_hidden=8",
        "features.max_length=40",
    )


@pytest.fixture(scope="session")
def tiny_voices() -> tuple[str, ...]:
    """Overrides that choose a synthetic corpus of 90 recordings."""
    return (
        "data.corpus=synthetic",
        "data.channel=speech",
        "data.synthetic.n_actors=6",
        "data.synthetic.n_statements=1",
        "data.synthetic.n_repetitions=1",
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run and write to; shared, so that the corpus and the features are made once."""
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="session")
def command(folder: Path) -> Command:
    """Run a command of the project in `folder` and check its exit status; corpora that the machine has do not count."""

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        script = [str(ROOT / arguments[0])] if arguments[0].endswith(".py") else [arguments[0]]
        environment = {name: value for name, value in os.environ.items() if name != "RAVDESS_ROOT"}
        done = subprocess.run(
            [sys.executable, *script, *arguments[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def train(command: Command, folder: Path) -> Command:
    """Run train.py with all its output below `folder`."""

    def run(*overrides: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        below = (f"paths.output_dir={folder}", f"paths.data_dir={folder}/data")
        return command("train.py", *overrides, *below, status=status)

    return run


@pytest.fixture(scope="session")
def debug_run(train: Command, folder: Path) -> Path:
    """The folder of a run of `experiment=debug`."""
    run_dir = folder / "debug-run"
    train("experiment=debug", "reference_files=true", f"hydra.run.dir={run_dir}")
    return run_dir


@pytest.fixture(scope="session")
def voices(debug_run: Path) -> Path:
    """The folder of the synthetic corpus that `debug_run` was trained on."""
    return Path(load_recogniser(debug_run)[1].corpus_root)
