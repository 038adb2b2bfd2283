"""SIGKILL at random moments of training, preparation and download: what is finished afterwards is the same to the bit.

And two processes that prepare into one cache, and an entry of it whose bit flips.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ser.inference.checkpoint import read_checkpoint
from tests.command_line import typed
from tests.corpora.test_download import archive_of
from tests.resuming import EPOCHS, RECIPES, differences
from tests.slow.hostile_archives import sends, serving, zip_of
from tests.slow.killing import Victim, contents_of, moments

MEMBERS = {f"Actor_{n % 24 + 1:02d}/{n}.wav": np.random.default_rng(n).bytes(2000) for n in range(2000)}


def spare(folder: Path) -> Path:
    """Return `folder` without whatever was left there."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def kill_once(run: Callable[[Path], Victim], folder: Path, moment: float) -> None:
    """Run it in a new `folder` and kill it there, `moment` seconds on; where it had ended before that, try earlier."""
    while not run(spare(folder)).killed_after(moment):
        moment *= 0.9


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_training_ends_as_one_that_was_not(recipe, times, tmp_path):
    if recipe == "voices" and times == 1:
        pytest.skip(
            "killed at a random moment as the first recipe is; its state is compared by tests/cli/test_resume.py"
        )

    def of(folder: Path, *given: str) -> Victim:
        paths = (f"paths.output_dir={folder}", f"paths.data_dir={folder}/data", f"hydra.run.dir={folder}/run")
        overrides = given or (*RECIPES[recipe], "data.synthetic.n_statements=1", *paths)
        return Victim(typed("train.py", *overrides), (folder / "data").is_dir)  # all is imported by then

    def kill_while_saving(folder: Path, number: int) -> None:
        """Kill it while the checkpoint behind the first `number` is being written; in vain, while an earlier one is."""
        last, written = folder / "run" / "checkpoints" / "last.ckpt", set()

        def saves() -> bool:
            if last.is_file():
                written.add(last.stat().st_ino)
            return len(written) >= number and any(last.parent.glob(".*.partial"))

        if not of(spare(folder)).killed_when(saves):
            kill_while_saving(folder, max(number - 1, 0))

    seconds = of(tmp_path / "unbroken").to_its_end()
    for number, fraction in enumerate(moments(times, longest=1.0)):
        folder = tmp_path / f"killed-{number}"
        if (number + list(RECIPES).index(recipe)) % 2:
            kill_while_saving(folder, int(fraction * EPOCHS))
        else:
            kill_once(of, folder, fraction * seconds)
        if (last := folder / "run" / "checkpoints" / "last.ckpt").is_file():
            read_checkpoint(last)  # whole
        of(folder, f"ckpt_path={folder}/run").to_its_end()
        assert differences(folder / "run", tmp_path / "unbroken" / "run") == []
        spare(folder)


def victim(kind: str, ready: Path, *given: object) -> Victim:
    """One of the victims of `tests.slow.killing`, which makes `ready` when it has begun."""
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    return Victim([sys.executable, "-m", "tests.slow.killing", kind, *map(str, (ready, *given))], ready.is_file)


def preparation(corpus: Path, folder: Path, name: str = "features", workers: int = 0) -> Victim:
    """The preparation of `corpus` into `folder`/cache and `folder`/`name`.npy; it waits for `folder`/go."""
    given = (corpus, folder / "cache", folder / f"{name}.npy", workers, folder / "go")
    return victim("prepare", folder / f"{name}.ready", *given)


def test_a_killed_preparation_is_finished_to_the_byte(tiny_corpus, times, tmp_path):
    def begin(folder: Path) -> Victim:
        begun = preparation(tiny_corpus, folder)
        (folder / "go").touch()
        return begun

    def prepared(folder: Path) -> dict[str, bytes]:
        """The entries of the cache and the features; leftovers of kills are neither."""
        return {name: content for name, content in contents_of(folder).items() if name.endswith((".features", ".npy"))}

    seconds = begin(tmp_path / "unbroken").to_its_end()
    expected = prepared(tmp_path / "unbroken")
    assert len(expected) == 2 * 45 + 1
    for moment in moments(times, longest=seconds):
        kill_once(begin, tmp_path / "killed", moment)
        begin(tmp_path / "killed").to_its_end()
        assert prepared(tmp_path / "killed") == expected


def test_a_killed_download_is_finished_to_the_byte(times, tmp_path):
    archive = archive_of(body := zip_of(MEMBERS), channel="speech", name="Speech.zip")

    def fetching(root: Path) -> Victim:
        return victim("fetch", root / "ready", root, address, archive.size, archive.md5)

    with serving(sends(body, pause=0.01)) as address:
        seconds = fetching(tmp_path / "unbroken").to_its_end()
        for moment in moments(times, longest=seconds):
            unpacked = tmp_path / "killed" / "Speech"
            kill_once(fetching, tmp_path / "killed", moment)
            assert not unpacked.exists() or contents_of(unpacked) == MEMBERS
            fetching(tmp_path / "killed").to_its_end()
            assert contents_of(unpacked) == MEMBERS


def test_two_processes_fill_one_cache_and_a_flipped_bit_is_mended(tiny_corpus, times, tmp_path):
    def prepare_together(folder: Path, *names: str) -> None:
        victims = [preparation(tiny_corpus, folder, name, workers=1) for name in names]
        (folder / "go").unlink(missing_ok=True)
        processes = [subprocess.Popen(victim.arguments) for victim in victims]
        while not all(victim.begins() for victim in victims) and all(one.poll() is None for one in processes):
            pass
        (folder / "go").touch()
        assert [one.wait(timeout=300) for one in processes] == [0] * len(names)

    def holds_what_is_expected(folder: Path, *names: str) -> bool:
        written = [(folder / f"{name}.npy").read_bytes() for name in names]
        return contents_of(folder / "cache") == entries and written == [features] * len(names)

    rng = np.random.default_rng(0)
    prepare_together(tmp_path / "alone", "one")
    entries, features = contents_of(tmp_path / "alone" / "cache"), (tmp_path / "alone" / "one.npy").read_bytes()
    for number in range(times):
        folder = tmp_path / str(number)
        prepare_together(folder, "one", "two")
        assert holds_what_is_expected(folder, "one", "two")
        spoilt = folder / "cache" / sorted(entries)[int(rng.integers(len(entries)))]
        content = bytearray(spoilt.read_bytes())
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        spoilt.write_bytes(content)
        prepare_together(folder, "one")
        assert holds_what_is_expected(folder, "one")
        spare(folder)


def test_a_kill_ends_the_process_and_what_it_has_started_and_a_failure_is_noticed(tmp_path):
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def of(seconds: float, status: int = 0) -> Victim:
        script = f"sleep {seconds} & echo $! > {tmp_path}/child; touch {begun}; wait; touch {ended}; exit {status}"
        return Victim(["sh", "-c", script], begun.exists)

    assert of(60).killed_after(0.1)
    assert not ended.exists()
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"
    begun.unlink()
    assert not of(0).killed_when(lambda: False)  # it had ended
    assert ended.exists()
    of(0).to_its_end()
    with pytest.raises(AssertionError):
        of(0, status=3).to_its_end()
    assert [int(moment / 0.5) for moment in moments(20, longest=10.0)] == list(range(20))
