"""A wheel, installed outside the repository, does it all from any folder: the package, conf/ and the app are in it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from benchmarks.app_server import free_port, serving
from tests.command_line import ROOT

PARTS = ("app", "conf", "hydra_plugins", "ser", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The path of `ser` in an environment of its own, which holds the wheel and sees the packages of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # the build writes into it
    source.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", f"--wheel-dir={folder}", str(source)], check=True)
    shutil.rmtree(source)
    venv.create(folder / "environment", with_pip=False)
    python = folder / "environment" / "bin" / "python"
    install = [*pip, f"--python={python}", "install", "--no-deps", *map(str, folder.glob("*.whl"))]
    subprocess.run(install, env=environment(), check=True)  # a PYTHONPATH would be taken for what is installed
    (site,) = (folder / "environment" / "lib").glob("python*/site-packages")
    # The folder alone: what lies in it as a .pth file, the editable installation, is not read.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return python.with_name("ser")


@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    """Run it in an empty folder."""
    folder = tmp_path_factory.mktemp("anywhere")

    def run_command(*arguments):
        done = subprocess.run(
            [str(command), *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run_command.folder = folder
    return run_command


def environment():
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAVDESS_ROOT")}


def test_all_of_it_comes_from_the_wheel(command, run):
    shown = run("train", "--info", "searchpath")
    assert "pkg://ser.conf" in shown
    assert str(ROOT) not in shown
    code = "import app, hydra_plugins.ser_processes, ser; print(app.__file__, hydra_plugins.ser_processes.__file__)"
    done = subprocess.run(
        [command.with_name("python"), "-c", code], cwd=run.folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert all(path.startswith(str(command.parents[1])) for path in done.stdout.split())


def test_predict_train_evaluate_compare_and_explore(run, voice_file, tiny_voices):
    (prediction,) = json.loads(run("predict", str(voice_file), "--json"))
    assert len(prediction["probabilities"]) == 8
    run("train", "experiment=debug", "-m", "hydra/launcher=processes", "hydra.sweep.dir=outputs/debug", "seed=1")
    assert (run.folder / "outputs" / "debug" / "sweep.csv").is_file()
    run("evaluate", "checkpoint=outputs/debug/0", "output_dir=evaluation")
    compared = json.loads(run("compare", "--json", "outputs/debug/0", "evaluation"))
    assert compared["n_recordings"] == 12
    assert len(compared["runs"]) == 2
    run("eda", *tiny_voices, "tsne=false", "output_dir=eda")
    assert (run.folder / "eda" / "report.html").is_file()


def test_the_app_starts_and_stops(command, run):
    port = free_port()
    app = [str(command), "app", f"--port={port}", "--model", "ser-ravdess"]
    url, log = f"http://127.0.0.1:{port}", run.folder / "server.log"
    with serving(app, url, log, folder=run.folder, environment=environment()):
        pass
    assert "Traceback" not in log.read_text()
