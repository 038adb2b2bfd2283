"""The commands of docs/guides/several_corpora.md, one after another, on recordings by the names of two corpora."""

import re
import shlex
from pathlib import Path

import pytest

from ser.corpora.reading import find_recordings
from tests.command_line import rows_of, run_in_process

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "several_corpora.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(ser .*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
FEW = ("data.workers=1", "trainer.max_epochs=1", "run_name=train", "model.network.channels=[4,4]")
CODES = {"neutral": "NEU", "happy": "HAP", "sad": "SAD", "angry": "ANG", "fearful": "FEA", "disgust": "DIS"}


@pytest.fixture(scope="module")
def home(tiny_corpus, tmp_path_factory):
    """A folder with CREMA-D and labels.csv; the sound is that of the synthetic corpus, whose names are RAVDESS's."""
    home = tmp_path_factory.mktemp("several corpora")
    (home / "CREMA-D").mkdir()
    rows = ["file,emotion,speaker"]
    for place, recording in enumerate(find_recordings(tiny_corpus)):
        (home / f"{recording.id}.wav").symlink_to(recording.path)
        rows.append(f"{recording.id}.wav,{recording.emotion},{recording.speaker}")
        if code := CODES.get(recording.emotion):
            sentence = f"{chr(65 + place // 26)}{chr(65 + place % 26)}X"
            (home / "CREMA-D" / f"10{recording.speaker}_{sentence}_{code}_XX.wav").symlink_to(recording.path)
    (home / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return home


def test_the_commands_of_the_page_do_what_it_says(home, tiny_corpus, monkeypatch):
    (home / "data").mkdir()
    (home / "data" / "ravdess").symlink_to(tiny_corpus)  # RAVDESS_ROOT is taken from every command of a test
    monkeypatch.setenv("CREMAD_ROOT", str(home / "CREMA-D"))
    assert len(COMMANDS) == 5
    for command in COMMANDS:
        words = shlex.split(command)
        if words[1] in ("train", "cross-validate"):
            words += [*FEW, "bootstrap_resamples=2000", "n_folds=2"] if words[1] == "cross-validate" else FEW
        done = run_in_process("-m", *words, folder=home)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    runs = sorted((home / "outputs" / "train").iterdir())
    both, with_mine, left_out = ({row["corpus"]: row for row in rows_of(run / "split.csv")} for run in runs)
    assert (set(both), set(with_mine)) == ({"ravdess", "cremad"}, {"ravdess", "mine"})
    assert left_out["cremad"]["part"] == "test"
    tested = {row["corpus"] for row in rows_of(runs[2] / "split.csv") if row["part"] == "test"}
    assert tested == {"cremad"}
