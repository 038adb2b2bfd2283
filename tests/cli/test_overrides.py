"""Paths with any characters on the command line of a Hydra command."""

import random
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from omegaconf import OmegaConf

from ser.cli.overrides import readable_by_hydra
from ser.errors import SettingsError
from tests.command_line import is_one_sentence, run_in_process

CHARACTERS = " äÖß()=,'&#[]{}!\"\\:;~$<>|?*%^`@+-_."
ODD = "an ä (b) [c] {d} = , ' & # !"
KEYS = (
    "data.root", "data.manifest", "root", "checkpoint", "output_dir", "output_path", "test_dir", "ckpt_path",
    "paths.output_dir", "paths.cache_dir", "paths.data_dir", "hydra.run.dir", "hydra.sweep.dir", "+paths.own",
    "hydra.sweeper.storage",
)  # fmt: skip


def read(word: str) -> object:
    return OverridesParser.create().parse_override(word).value()


def paths() -> list[str]:
    """Each character in the middle, in front, at the end, doubled, and alone; and mixtures of them all."""
    rng = random.Random(0)  # noqa: S311 - nothing secret
    each = [path for c in CHARACTERS for path in (f"/a{c}b/c", f"{c}a", f"a{c}", f"a{c}{c}b", f"/{c}", f"a{c}b,c")]
    mixed = ["/" + "".join(rng.choices(CHARACTERS + "ab/", k=12)) for _ in range(100)]
    # In quotes already, with Hydra's own escapes, or no text: not ours to change.
    return [path for path in each + mixed if path[0] not in "\"'" and "\\" not in path and "${" not in path]


def test_a_path_is_read_as_it_is_typed():
    for path in paths():
        (word,) = readable_by_hydra([f"data.root={path}"])
        assert read(word) == path


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_path_is_known(key):
    (word,) = readable_by_hydra([f"{key}={ODD}"])
    assert read(word) == ODD


@pytest.mark.parametrize("text", ["2024", "1e3", "true", "inf", "[a]", "{a: b}", "a,b", "choice (a", "C:\\new (1)\\x"])
def test_what_hydra_takes_for_something_else_stays_a_path(text):
    (word,) = readable_by_hydra([f"checkpoint={text}"])
    assert read(word) == text


@pytest.mark.parametrize(
    "word",
    ["data.root=null", "data.root=", "data.root='/a (b)'", 'data.root="/a, b"', "data.root=/a\\ \\(b\\)",
     "data.root=a/b", "root=${oc.env:HOME}/a", "seed=1,2", "data.classes=[happy,sad]", "model.lr=interval(0,1)",
     "~logger.csv", "+trainer.profiler=simple", "hydra/launcher=processes", "data.synthetic={n_actors: 2}"],
)  # fmt: skip
def test_what_hydra_can_read_is_left_alone(word):
    assert readable_by_hydra([word]) == [word]


def test_a_sweep_may_be_over_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert readable_by_hydra(["-m", "checkpoint=a,b"]) == ["-m", "checkpoint=a,b"]
    for word in ("checkpoint=choice(a,b)", "checkpoint=glob(*)"):
        assert readable_by_hydra(["-m", word]) == ["-m", word]
        assert readable_by_hydra([word]) == [word]  # Hydra says that -m is missing
    (tmp_path / "a,b").touch()
    assert isinstance(read(readable_by_hydra(["-m", "checkpoint=a,c"])[1]), ChoiceSweep)
    assert read(readable_by_hydra(["-m", "checkpoint=a,b"])[1]) == "a,b"
    assert read(readable_by_hydra(["-m", "checkpoint=/a (b)/c"])[1]) == "/a (b)/c"


def test_other_keys_are_quoted_where_the_value_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ä(b)").touch()
    for path in ("/a (b)/c", "./a=b", "../ü", "a/b=c", "ä(b)"):
        assert read(readable_by_hydra([f"+callbacks.mine.file={path}"])[0]) == path


@pytest.mark.parametrize("word", ["run_name=a(b", "run_name=ü", "run_name=it's", "+data.note=a=b", "run_name={"])
def test_what_cannot_be_read_is_one_sentence_with_the_word_that_would_do(word):
    with pytest.raises(SettingsError) as caught:
        readable_by_hydra([word])
    said = str(caught.value)
    assert "\n" not in said
    (typed,) = shlex.split(said.partition("in quotes: ")[2].removesuffix("."))
    assert readable_by_hydra([typed]) == [typed]
    assert read(typed) == word.partition("=")[2]


def test_a_value_that_the_shell_has_split_is_one_sentence():
    with pytest.raises(SettingsError, match=r"^'b' is no key=value; .* in quotes: 'data.root=/a b'\.$"):
        readable_by_hydra(["data.root=/a", "b"])
    with pytest.raises(SettingsError, match=r"^'ü=1' is no key=value that Hydra can read"):
        readable_by_hydra(["ü=1"])


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (command, key)
        for command, keys in {
            "train": ("data.root", "data.manifest", "ckpt_path", "paths.output_dir", "hydra.run.dir"),
            "evaluate": ("checkpoint", "test_dir", "root", "output_dir", "hydra.run.dir"),
            "cross-validate": ("data.root", "ckpt_path", "paths.cache_dir", "hydra.run.dir"),
            "eda": ("data.root", "output_dir", "output_path", "paths.data_dir"),
        }.items()
        for key in keys
    ],
)
def test_every_command_takes_every_path(command, key, tmp_path):
    done = run_in_process("-m", "ser", command, f"{key}={tmp_path / ODD}", "--cfg", "all", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = OmegaConf.create(done.stdout)
    assert OmegaConf.select(shown, key) == str(tmp_path / ODD)


def test_a_refused_word_is_one_sentence_of_the_command(command):
    done = command("train.py", "run_name=a(b", status=1)
    assert is_one_sentence(done.stderr, """put it in quotes: 'run_name='"'"'a(b'"'"''.""")
    done = command("train.py", "data.root=/a", "(b)", status=1)
    assert is_one_sentence(done.stderr, "'data.root=/a (b)'")
