"""The commands of docs/guides/own_recordings.md, one after another, on a table of made-up recordings."""

import re
import shlex
from pathlib import Path

import pytest

from ser.corpora.reading import find_recordings
from tests.command_line import rows_of, run_in_process

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "own_recordings.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(ser .*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
FEW = ("experiment=debug", "data.workers=1", "trainer.max_epochs=1", "run_name=train")


@pytest.fixture(scope="module")
def home(tiny_corpus, tmp_path_factory):
    """A folder with labels.csv: three emotions of three speakers, eight recordings each, two of each by links."""
    home = tmp_path_factory.mktemp("own recordings")
    names = {"angry": "angry", "sad": "bored", "happy": "content"}
    rows = ["file;emotion;speaker;gender"]
    for recording in find_recordings(tiny_corpus):
        if recording.emotion in names:
            for number in range(4):
                file = home / recording.speaker / f"{recording.emotion}-{number}-{recording.id}.wav"
                file.parent.mkdir(exist_ok=True)
                file.symlink_to(recording.path)
                label = names[recording.emotion]
                rows.append(f"{file.relative_to(home)};{label};speaker {recording.speaker};{recording.gender}")
    (home / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return home


def test_the_page_has_five_commands():
    assert len(COMMANDS) == 5


def test_the_commands_of_the_page_do_what_it_says(home):
    for command in COMMANDS:
        words = shlex.split(command)
        if words[1] in ("train", "cross-validate"):
            words += [*FEW, "bootstrap_resamples=2000"] if words[1] == "cross-validate" else FEW
        done = run_in_process("-m", *words, folder=home)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    runs = sorted((home / "outputs" / "train").iterdir())
    first, second = (rows_of(run / "split.csv") for run in runs)
    assert len({row["speaker"] for row in first if row["part"] == "test"}) == 1
    assert {row["emotion"] for row in first} == {"angry", "bored", "content"}
    assert {row["emotion"] for row in second} == {"angry", "happy"}
