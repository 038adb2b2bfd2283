"""Fixtures that several test files share."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

# Before numpy and torch: test processes run side by side, and threads that spin for a core slow each other tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from filelock import FileLock

from ser.audio.io import read_sound
from ser.corpora.manifest import CHANNELS
from ser.corpora.ravdess import EMOTIONS, RecordingName, expected_names
from ser.corpora.synthetic import SyntheticSettings, synthesize, write_synthetic_corpus
from ser.features.extract import fit_length
from ser.features.pipeline import network_input
from ser.features.settings import FeatureSettings
from ser.inference.checkpoint import load_recogniser, save_atomically
from ser.inference.predictor import Predictor
from ser.models.metadata import ModelMetadata
from tests.checkpoints import checkpoint_of, random_recogniser, write_checkpoint
from tests.command_line import Done, run_in_process, typed, users_environment

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's `&`; the commands of the tests would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
Command = Callable[..., Done]
LONGEST = (
    "slow/test_docs.py", "cli/test_train.py", "cli/test_resume.py", "training/test_own_classes.py", "cli/test_eda.py",
    "cli/test_robustness.py", "cli/test_evaluate.py", "slow/test_launchers.py", "slow/test_killed.py",
    "slow/test_benchmarks.py", "slow/test_cross_validate.py", "slow/test_ddp.py", "slow/test_fine_tuning.py",
    "slow/test_sweep.py",
)  # fmt: skip
"""The test files that take the longest, in that order; a test process takes one file at a time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first: else one process has work left when the other has none."""
    order = {Path(__file__).parent / file: place for place, file in enumerate(LONGEST)}
    if missing := [str(path) for path in order if not path.is_file()]:
        raise pytest.UsageError(f"LONGEST in {__file__} names {', '.join(missing)}, which is not there.")
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session")
def ravdess_root():
    """The folder of the real corpus; tests that ask for it bear the marker `ravdess`."""
    root = os.environ.get("RAVDESS_ROOT")
    if not root:
        pytest.skip("RAVDESS_ROOT is not set")
    return Path(root).resolve()


@pytest.fixture(scope="session")
def ravdess_recordings():
    """All 2,452 recordings of RAVDESS by name, sorted; the files are not there."""
    names = sorted((name for channel in CHANNELS for name in expected_names(channel)), key=lambda name: name.stem)
    return [name.recording(Path(f"{name.stem}.wav")) for name in names]


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory):
    """The folder of a synthetic corpus of 45 recordings: three actors, one sentence, one take. Not to be written to."""
    settings = SyntheticSettings(n_actors=3, n_statements=1, n_repetitions=1)
    return write_synthetic_corpus(tmp_path_factory.mktemp("corpus") / "tiny", settings)


@pytest.fixture(scope="session")
def voice():
    """float32 [2 s at 22,050 Hz]: a sentence of a synthetic voice, at half of full scale."""
    sentence = synthesize(RecordingName("speech", "angry", "strong", 1, 1, 1))
    return fit_length(0.5 * sentence / np.abs(sentence).max(), 2 * 22050)


@pytest.fixture
def voice_file(tmp_path, voice):
    """The first 1.36 s of the voice, which the tiny model's window holds, as a 16-bit WAV file."""
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice[:30_000], 22050)
    return path


@pytest.fixture(scope="session")
def tiny_metadata():
    """A small network on the features of the baseline recipe, over 64 frames (1.49 s)."""
    return ModelMetadata(
        architecture="cnn_bilstm_luong",
        network={"conv_channels": [4, 4], "lstm_hidden": 4, "lstm_layers": 1},
        class_names=EMOTIONS,
        features=FeatureSettings(max_length=64),
        protocol="Random weights: nothing was learnt.",
    )


@pytest.fixture(scope="session")
def tiny_content(tiny_metadata):
    """The content of a checkpoint of that metadata, with random weights and statistics."""
    return checkpoint_of(random_recogniser(tiny_metadata), tiny_metadata)


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_content, tmp_path_factory):
    """That checkpoint as a file. Not to be written to."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.ckpt"
    save_atomically(tiny_content, path)
    return path


@pytest.fixture(scope="session")
def predictor(tiny_checkpoint):
    """The model of that checkpoint, whose segments last 1.49 s."""
    return Predictor.load(tiny_checkpoint)


@pytest.fixture(scope="session")
def scored_cross_validation(tiny_metadata, tmp_path_factory):
    """The folder of a finished cross-validation of networks with random weights: two folds, two seeds.

    Their predictions are their own, of a synthetic corpus of 90 recordings. Not to be written to.
    """
    from omegaconf import OmegaConf

    from ser.corpora.reading import find_recordings
    from ser.data.files import write_text_atomically
    from ser.evaluation.cross_validation.report import write_results
    from ser.evaluation.cross_validation.summary import summarise
    from ser.evaluation.predictions import format_predictions, prediction_table
    from ser.training.cross_validation.plan import plan
    from ser.training.cross_validation.run import describe as describe_cross_validation

    folder = tmp_path_factory.mktemp("scored")
    voices = SyntheticSettings(n_actors=6, n_statements=1, n_repetitions=1)
    recordings = find_recordings(write_synthetic_corpus(folder / "voices", voices))
    configuration = OmegaConf.create(
        {
            "data": {"root": str(folder / "voices"), "channel": "speech"},
            "features": {"groups": ["logmel", "zcr"], "n_mels": 32, "max_length": 48},
            "model": {
                "network": {"_target_": "ser.models.networks.cnn_bilstm_luong.CnnBiLstmLuong"} | tiny_metadata.network,
                "loss": {"_target_": "ser.training.loss.CrossEntropy"},
                "optimiser": {"_target_": "ser.training.optimiser.adam", "_partial_": True, "lr": 1e-4},
            },
            "trainer": {"_target_": "lightning.Trainer", "max_epochs": 1},
            "paths": {"output_dir": "o", "run_dir": str(folder), "cache_dir": "o/cache", "data_dir": "data"},
            **{"augment": {}, "callbacks": {}, "logger": {}},
            **{"seed": 0, "run_name": "test", "ckpt_path": None, "optimized_metric": "val/loss"},
            **{"folds": [0, 4], "seeds": [0, 1], "bootstrap_resamples": 2000},
        }
    )
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(configuration), encoding="utf-8")
    settings, runs = plan(configuration)
    for run in runs:
        metadata = replace(tiny_metadata, features=run.settings.features, corpus_root=str(folder / "voices"))
        recogniser = random_recogniser(metadata, seed=run.seed)
        for parameter in recogniser.parameters():
            parameter.data.mul_(4)  # fresh weights hardly heed their input
        recogniser.normalisation.mean.fill_(-40)
        recogniser.normalisation.scale.fill_(20)
        write_checkpoint(recogniser, metadata, run.folder / "checkpoints" / "best.ckpt")
        fold = run.settings.data.named_fold
        for part, of_part in (("validation", fold.validation), ("test", fold.test)):
            chosen = [recording for recording in recordings if recording.speaker in of_part]
            waveforms = [read_sound(each.path, sample_rate=22050).waveform for each in chosen]
            inputs = [network_input(waveform, metadata.features) for waveform in waveforms]
            probabilities = Predictor.load(run.folder).score(*map(np.stack, zip(*inputs, strict=True)))
            table = prediction_table(chosen, probabilities, EMOTIONS)
            write_text_atomically(run.predictions(part), format_predictions(table))
    write_results(summarise(describe_cross_validation(settings, runs, folder=folder)), folder)
    return folder


@pytest.fixture(scope="module")
def moved_cross_validation(scored_cross_validation, tmp_path_factory):
    """A copy of that folder to write to, without its voices; it also shows that a cross-validation may be moved."""
    copy = tmp_path_factory.mktemp("moved") / "cross-validation"
    shutil.copytree(scored_cross_validation, copy, ignore=shutil.ignore_patterns("voices"))
    return copy


@pytest.fixture(scope="session")
def tiny():
    """Overrides that make any experiment end within seconds."""
    return "trainer.max_epochs=1", "trainer.accelerator=cpu", "model.network.lstm_hidden=8", "features.max_length=40"


@pytest.fixture(scope="session")
def tiny_voices():
    """Overrides that choose a synthetic corpus of 90 recordings."""
    voices = ("data.synthetic.n_actors=6", "data.synthetic.n_statements=1", "data.synthetic.n_repetitions=1")
    return "data.corpus=synthetic", "data.channel=speech", "data.workers=1", *voices


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where the commands are run and write to."""
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all test processes of a session have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def below(folder, shared):
    """Overrides that put all output below `folder`, but corpora and features where they are made once for all."""
    return f"paths.output_dir={folder}", f"paths.data_dir={shared}/data", f"paths.cache_dir={shared}/cache"


@pytest.fixture(scope="session")
def command(folder):
    """Run a command of the project in `folder`, in this process, and check its exit status."""

    def run(*arguments: str, status: int = 0) -> Done:
        done = run_in_process(*arguments, folder=folder)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def process(folder):
    """The same in a process of its own, as users start it: slow, so once for each entry."""

    def run(*arguments: str, status: int = 0) -> Done:
        done = subprocess.run(
            typed(*arguments), cwd=folder, env=users_environment(), capture_output=True, text=True, timeout=280
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def train(command, below):
    """Run train.py with all its output below `folder`."""

    def run(*overrides: str, status: int = 0) -> Done:
        return command("train.py", *overrides, *below, "data.workers=1", status=status)

    return run


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made and saved but blank: to draw them is half the time of a tiny run.

    For tests of something else; `debug_run` has all its figures, and tests/evaluation looks at them.
    """
    monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda figure, renderer: None)


@pytest.fixture(scope="session")
def debug_run(process, shared, below):
    """The folder of a run of `experiment=debug`, made as its users make it, once for all test processes."""
    run_dir, made = shared / "debug-run", shared / "debug-run.made"
    with FileLock(f"{run_dir}.lock"):
        if not made.exists():
            process("train.py", "experiment=debug", "reference_files=true", *below, f"hydra.run.dir={run_dir}")
            made.touch()
    return run_dir


@pytest.fixture(scope="session")
def voices(debug_run):
    """The folder of the synthetic corpus that `debug_run` was trained on."""
    return Path(load_recogniser(debug_run)[1].corpus_root)
