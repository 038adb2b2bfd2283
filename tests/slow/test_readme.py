"""Every command of the README runs, made small: an example that no longer works is worse than none."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if line]
"""The command lines of the README's `sh` blocks, without their comments."""
EXPERIMENT_ALONE = re.compile(r"ser train experiment=(\w+)")
"""What tests/cli/test_train.py runs for every experiment that there is, and looks at what comes of it."""


def test_the_readme_shows_the_commands_that_matter():
    for command in ("make demo", "make test", "ser train", "ser evaluate", "ser predict", "ser compare"):
        assert any(line.startswith(command) for line in COMMANDS), command


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_targets_exist(line):
    dry = [str(shutil.which("make")), "--dry-run", *line.split()[1:]]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_experiments_that_need_nothing_else_are_there():
    named = [match[1] for line in COMMANDS if (match := EXPERIMENT_ALONE.fullmatch(line))]
    assert named
    assert set(named) <= {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}


@pytest.fixture(scope="module")
def outputs(debug_run, folder):
    """The folder of runs that the README names; two runs of one kind, so that they can be compared."""
    for name in ("run", "other"):
        shutil.copytree(debug_run, folder / "outputs" / "train" / name)
    return folder / "outputs"


@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if line.startswith("ser ") and not EXPERIMENT_ALONE.fullmatch(line)]
)
def test_a_command_runs(line, command, outputs, voices, tiny, tiny_voices, below, undrawn, monkeypatch):
    line = line.replace("<run>", "run").replace("<other run>", "other").replace("<RAVDESS-named files>", str(voices))
    line = line.replace("folds=subject_wise seeds=[42,43,44]", "folds=[0] seeds=[42] bootstrap_resamples=2000")
    line = re.sub(r"(=[\w.]+),[\w.,]+ ", r"\1 ", line)  # of the lists of a sweep the last one alone
    line = line.replace("hello.wav folder/", str(sorted(voices.rglob("*.wav"))[0])).replace("=gpu", "=cpu")
    _, name, *arguments = shlex.split(line)
    if [name, *arguments] == ["corpus", "--download"]:
        pytest.skip("430 MB; tests/corpora/test_download.py runs it against a local server")
    if name == "app":
        monkeypatch.setattr("streamlit.web.cli.main", lambda prog_name: None)  # which would serve for ever
    if name == "eda":
        arguments += [*tiny_voices, *below]
    if name in ("train", "cross-validate") and "ckpt_path=" not in line:
        small = (*tiny, *tiny_voices, *below)
        own = {text.split("=")[0] for text in arguments}
        arguments += [override for override in small if override.split("=")[0] not in own]  # what the line sets stays
    command("-m", "ser", name, *arguments)
