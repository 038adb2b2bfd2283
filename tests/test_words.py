"""The project speaks the field's words: those that it used to have of its own are in no file and no file's name.

The list is that of the refactoring into rooms. It holds what can be held by a pattern without false alarms; ordinary
English and the names of libraries are free.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = (".py", ".yaml", ".yml", ".md", ".toml", ".json", ".txt", ".cfg", ".cff")
NAMES = ("Makefile", "Dockerfile")
EXEMPT = ("tests/test_words.py",)
NEW_LINE = "\n"

WORDS = {
    "utterance-level head, late fusion": r"second opinions?|takes_meant_alike|meant alike",
    "unseen speakers": r"\b(?:never|not|ever) heard\b|voices that were heard|it has heard|\bunheard\b",
    "seen, load_features, ModelInput": r"\bheard\b|heard_|_heard\b|\bHeard\b|\bhear\(|\bhears\b",
    "features, pipeline": r"front[_-]end",
    "trim, level": r"\bconditioning\b|\bconditioned\b|condition_sound",
    "per-band": r"\bby_band\b|\bby_coefficient\b",
    "EMA model": r"own_learner|\bown learner\b|update_average",
    "freq_mask, time_mask": r"mask_bands|mask_frames",
    "pct_start": r"warm_up",
    "test_size, val_size": r"held_out|validation_fraction",
    "augment_count, oversample": r"extra_copies|data\.copies",
    "rejection threshold": r"uncertain_below",
    "groups": r"whole\.yaml",
    "logmel_resbilstm": r"\brecommended\b|\bbetter recipe\b|experiment=(?:whole|better|recommended)",
    "network": r"ask_network|network_rows|ask_the_network",
    "raw, unchanged": r"\bas it is\b|\bas they are\b",
    "reference implementation": r"original_files|\bthe original\b|\boriginal (?:recipe|project|notebook|network|split)",
    "pretrained": r"\bin the box\b|published_models?\b|find_published|write_published",
    "predict_long, prediction": r"\bjudge_|\bjudged?\(|predictor\.(?:judge|follow)",
}


@cache
def tracked() -> dict[str, str]:
    """Return file name -> text (empty where it holds none) of the repository; new files count before their commit."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    paths = {name: ROOT / name for name in done.stdout.splitlines() if name not in EXEMPT}
    return {
        name: path.read_text(encoding="utf-8") if path.suffix in SUFFIXES or path.name in NAMES else ""
        for name, path in paths.items()
        if path.is_file()
    }


@pytest.mark.parametrize("say", WORDS)
def test_the_fields_words_are_used(say: str) -> None:
    pattern = re.compile(WORDS[say].replace(" ", r"[\s#]+"))  # a phrase may go on in the next line
    found = [name for name in tracked() if pattern.search(name)]
    for name, text in tracked().items():
        found += [f"{name}:{text.count(NEW_LINE, 0, one.start()) + 1}: {one[0]}" for one in pattern.finditer(text)]
    assert found == [], f"say {say}"


def test_the_patterns_find_what_they_are_for() -> None:
    for text in ("a second opinion", "heard_from", "hear(", "own_learner", "front_end", "conditioned sound", "by_band",
                 "mask_bands", "warm_up", "extra_copies", "uncertain_below", "whole.yaml", "recommended", "never heard",
                 "ask_network", "network_rows", "as it is", "takes_meant_alike", "held_out: 0.2"):  # fmt: skip
        assert any(re.search(pattern, text) for pattern in WORDS.values()), text
