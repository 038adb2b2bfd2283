"""`cross_validate.py`, as its users type it: two folds and two seeds, one run killed twice on the way, then resumed."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]
KILLED = "fold_subject_wise_4_seed_0"
RUNS = {f"fold_subject_wise_{fold}_seed_{seed}" for fold in (0, 4) for seed in (0, 1)}
RESULTS = ("results.md", "results.json", "predictions.csv", "confusion_matrix.png")


@pytest.fixture(scope="module")
def arguments(tiny: tuple[str, ...], tiny_voices: tuple[str, ...], folder: Path) -> list[str]:
    chosen = [text for text in tiny if "max_epochs" not in text]
    return [
        "experiment=speaker_independent", "folds=[0,4]", "seeds=[0,1]", "bootstrap_resamples=2000",
        "trainer.max_epochs=4", "~logger.tensorboard", "model.lr=0.01", *chosen, *tiny_voices,
        f"paths.output_dir={folder}", f"paths.data_dir={folder}/data",
    ]  # fmt: skip


def processes_of(run: Path) -> list[int]:
    """Return the processes that train in the folder of a run: their output goes into it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if path.readlink() == run / "output.log":
                found.append(int(path.parts[2]))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.fixture(scope="module")
def broken(arguments: list[str], folder: Path) -> tuple[Path, str]:
    """A cross-validation and its output; one run was killed after its first checkpoint, and again when retried."""
    run_dir = folder / "cross-validation"
    environment = {name: value for name, value in os.environ.items() if name != "RAVDESS_ROOT"}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "cross_validate.py"), *arguments, f"hydra.run.dir={run_dir}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        deadline = time.monotonic() + 150
        last = run_dir / KILLED / "checkpoints" / "last.ckpt"
        try:
            while process.poll() is None and not last.is_file() and time.monotonic() < deadline:
                time.sleep(0.005)
            assert last.is_file(), "the run has no checkpoint to be killed after"
            (first,) = processes_of(run_dir / KILLED)
            os.kill(first, signal.SIGKILL)
            while process.poll() is None and time.monotonic() < deadline:
                if again := [pid for pid in processes_of(run_dir / KILLED) if pid != first]:
                    os.kill(again[0], signal.SIGKILL)
                    break
                time.sleep(0.005)
            said = process.communicate(timeout=150)[0]
        finally:
            process.terminate()  # where one of the above failed; it takes its children along
    assert process.returncode == 1, said
    return run_dir, said


def test_a_killed_run_is_named_and_the_others_go_on(broken: tuple[Path, str]) -> None:
    run_dir, said = broken
    assert f"{KILLED} died (signal 9); it is tried once more" in said
    assert f"{KILLED}: failed (exit status -9)" in said
    error = said.splitlines()[-1]
    assert error.startswith(f"error: 1 of 4 jobs failed ({KILLED}); see output.log")
    assert error.endswith(f"continue with: ser cross-validate ckpt_path={run_dir}")
    assert {path.parent.name for path in run_dir.glob("*/learning_curve.png")} == RUNS - {KILLED}
    assert not [name for name in RESULTS if (run_dir / name).exists()]


@pytest.fixture(scope="module")
def resumed(broken: tuple[Path, str], command: Command) -> tuple[Path, str]:
    run_dir, _ = broken
    return run_dir, command("cross_validate.py", f"ckpt_path={run_dir}").stdout


def test_only_what_is_missing_runs_and_everything_is_written(resumed: tuple[Path, str]) -> None:
    run_dir, said = resumed
    assert "3 of 4 jobs are finished already" in said
    assert f"[1/1] {KILLED}: val/loss " in said
    assert [name for name in RESULTS if not (run_dir / name).stat().st_size] == []
    assert (run_dir / "results.md").read_text() in said
    assert not list(run_dir.rglob("*.partial"))
    results = json.loads((run_dir / "results.json").read_text())
    assert results["protocol"].startswith("Speaker-independent, speech, the folds subject_wise_0, subject_wise_4:")
    assert results["summary"]["test"]["pooled"]["all_seeds"]["n_recordings"] == 2 * (2 + 2) * 15
    # As it was begun, not as it was resumed.
    assert results["command"].startswith("ser cross-validate experiment=speaker_independent ")
    assert results["command"].endswith(" folds=[0,4] seeds=[0,1]")
    assert "paths." not in results["command"]


def test_each_run_is_of_its_fold_and_seed_and_its_scores_are_its_own_report(resumed: tuple[Path, str]) -> None:
    run_dir, _ = resumed
    entries = json.loads((run_dir / "results.json").read_text())["runs"]
    tested = {"subject_wise_0": {"02", "05"}, "subject_wise_4": {"01", "04"}}
    for entry in entries:
        if entry["seed"] == "ensemble":
            continue
        run = run_dir / f"fold_{entry['fold']}_seed_{entry['seed']}"
        for part, report in (("validation", run), ("test", run / "test")):
            metrics = json.loads((report / "metrics.json").read_text())
            for ours, theirs in (("accuracy", "accuracy"), ("uar", "uar")):
                assert entry[part][ours] == pytest.approx(metrics["overall"][theirs])
            assert entry[part]["calibration_error"] == pytest.approx(metrics["expected_calibration_error"], abs=1e-6)
        with (run / "split.csv").open() as file:
            actors = {row["speaker"] for row in csv.DictReader(file) if row["part"] == "test"}
        assert actors == tested[entry["fold"]]
    scores = {(entry["seed"], entry["validation"]["log_loss"]) for entry in entries}
    assert len(scores) == 6, "another seed should end elsewhere"


def test_the_killed_run_ends_like_one_that_never_stopped_and_test_actors_can_wait(
    resumed: tuple[Path, str], command: Command
) -> None:
    """The missing run is trained again, in one go and for its validation scores; scoring it later trains nothing."""
    run_dir, _ = resumed
    run = run_dir / KILLED
    before = {name: (run_dir / name).read_bytes() for name in RESULTS}
    shutil.rmtree(run)
    command("cross_validate.py", f"ckpt_path={run_dir}", "score_test=false")
    assert "has no complete checkpoint yet" in (run / "output.log").read_text()
    assert not (run / "test").exists()
    assert list(json.loads((run_dir / "results.json").read_text())["summary"]) == ["validation"]

    weights = (run / "checkpoints" / "best.ckpt").read_bytes()
    command("cross_validate.py", f"ckpt_path={run_dir}", "score_test=true")
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == weights
    assert {name: (run_dir / name).read_bytes() for name in RESULTS} == before


def test_other_settings_are_refused(resumed: tuple[Path, str], arguments: list[str], command: Command) -> None:
    run_dir, _ = resumed
    beside = [text for text in arguments if not text.startswith("model.lr")]
    done = command("cross_validate.py", *beside, "model.lr=0.5", f"hydra.run.dir={run_dir}", status=1)
    assert (run_dir / "results.json").is_file()
    assert done.stderr.startswith(f"error: model.lr is 0.5, but {run_dir} was begun with 0.01;")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.lrr=1", "model.lrr is not a setting; did you mean 'lr'"),
        ("folds=subjectwise", "error: folds has 'subjectwise'; did you mean 'subject_wise'."),
    ],
)
def test_wrong_settings_are_one_sentence_and_leave_no_folder(
    override: str, sentence: str, command: Command, tmp_path: Path
) -> None:
    done = command("cross_validate.py", override, f"hydra.run.dir={tmp_path}/refused", status=1)
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "refused").exists()
