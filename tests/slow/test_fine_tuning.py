"""The commands of docs/guides/fine_tuning.md, one after another, on a table of made-up recordings."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ser.corpora.reading import find_recordings
from ser.inference.checkpoint import load_recogniser
from tests.command_line import ROOT, rows_of, run_in_process, users_environment

PAGE = (ROOT / "docs" / "guides" / "fine_tuning.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(ser .*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
FEW = ("data.workers=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")


@pytest.fixture(scope="module")
def home(tiny_corpus, tmp_path_factory):
    """A folder with labels.csv: three emotions of three speakers, eight recordings each, two of each by links."""
    home = tmp_path_factory.mktemp("own recordings")
    names = {"angry": "angry", "sad": "bored", "happy": "happy"}
    rows = ["file,emotion,speaker"]
    for recording in find_recordings(tiny_corpus):
        if recording.emotion in names:
            for number in range(4):
                file = home / recording.speaker / f"{number}-{recording.id}.wav"
                file.parent.mkdir(exist_ok=True)
                file.symlink_to(recording.path)
                rows.append(f"{file.relative_to(home)},{names[recording.emotion]},{recording.speaker}")
    (home / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return home


def test_the_page_has_seven_commands_and_takes_ten_minutes():
    assert len(COMMANDS) == 7
    assert len(PAGE.split()) < 1000


def test_the_commands_of_the_page_do_what_it_says(home):
    for command in COMMANDS:
        words = [*shlex.split(command), *FEW]
        if words[1] == "cross-validate":
            words += ["bootstrap_resamples=2000", "jobs=1"]
        done = run_in_process("-m", *words, folder=home)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    runs = sorted(path for path in (home / "outputs" / "fine_tune").iterdir() if path.is_dir())
    assert len(runs) == 6
    models = [load_recogniser(run)[1] for run in runs]
    assert {model.class_names for model in models} == {("happy", "angry", "bored")}
    assert [model.init_from.name.partition("/")[0] for model in models] == [
        "ser-ravdess", "ser-ravdess", "ser-ravdess", "fine_tune", "ser-voices", "ser-ravdess"
    ]  # fmt: skip
    assert "every test speaker is seen in training" in models[0].protocol
    assert models[1].protocol.startswith("Fine-tuned from ser-ravdess: Speaker-independent")
    assert {row["part"] for row in rows_of(runs[2] / "split.csv")} == {"train"}
    before = models[2].protocol
    assert models[3].protocol.endswith(f"Before that, {models[3].init_from.name}: {before}")
    (cross_validated,) = (home / "outputs").glob("fine_tune-cross-validation/*/results.json")
    assert "Fine-tuned from ser-ravdess: Speaker-independent" in cross_validated.read_text(encoding="utf-8")


def test_the_benchmark_prints_its_table_and_keeps_its_rows(home):
    output = home / "rows.csv"
    command = [
        sys.executable, str(ROOT / "benchmarks" / "fine_tuning.py"), "--first-model", "ser-ravdess", "--manifest",
        "labels.csv", "--speakers", "01", "02", "--per-class", "4", "--cache", "cache", "--output", str(output),
        "trainer.max_epochs=1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=home, env=users_environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(output)
    assert len(rows) == 6
    assert {row["n_training"] for row in rows} == {"12"}
    assert "| fine-tuned minus from nothing |" in done.stdout
    assert Path(output).is_file()
