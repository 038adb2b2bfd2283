"""The inventory: what is there, missing, doubled and equal."""

import pytest

from ser.corpora.inventory import take_inventory
from ser.corpora.manifest import CHANNELS
from ser.corpora.ravdess import expected_names
from ser.errors import CorpusError


def fill(root, names):
    root.mkdir()
    for name in names:
        (root / f"{name.stem}.wav").write_text(name.stem)  # of its own, or all would be equal
    return root


def test_the_counts_and_what_is_odd_are_listed(tmp_path):
    root = fill(tmp_path / "corpus", expected_names("speech")[10:])
    (root / "deeper").mkdir()
    (root / "deeper" / "03-01-08-02-02-02-24.wav").touch()
    (root / "my_voice.wav").touch()
    (root / "03-01-08-02-02-02-23.wav").write_text("03-01-08-02-02-02-24")
    text, complete = take_inventory(root)
    assert not complete
    lines = {line[:18].strip(): line[18:].split() for line in text.splitlines()}
    assert text.startswith(f"{root}: 1430 recordings\n")
    assert lines["all"] == ["1430", "/", "1440", "0", "/", "1012"]
    assert lines["surprise"] == ["192", "/", "192", "0", "/", "0"]
    assert lines["actor 18"][3:] == ["0", "/", "0"]
    assert f"missing: {10 + 1012} (" in text
    assert "doubled by name, left out: 1 (" in text
    assert f"without a RAVDESS name, left out: 1 ({root / 'my_voice.wav'})" in text
    assert "under different names: 1 (03-01-08-02-02-02-23.wav = 03-01-08-02-02-02-24.wav)" in text


def test_all_of_ravdess_is_complete(tmp_path):
    text, complete = take_inventory(fill(tmp_path / "corpus", [n for c in CHANNELS for n in expected_names(c)]))
    assert complete
    assert "\nmissing: 0\n" in text


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="nowhere is not a folder"):
        take_inventory(tmp_path / "nowhere")
