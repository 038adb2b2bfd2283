"""Parts of one's own, from a folder outside: docs/guides/extend.md is written there, and each block runs."""

import contextlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.audio.io import read_sound
from ser.augment.waveform import recording_rng
from ser.cli.hydra_command import _run_folder
from ser.corpora.ravdess import RecordingName
from ser.corpora.synthetic import synthesize
from ser.errors import CheckpointError, CorpusError, SettingsError
from ser.features.extract import extract
from ser.features.pipeline import preprocess
from ser.inference.checkpoint import load_recogniser, read_checkpoint
from ser.inference.predictor import Predictor
from ser.models import networks
from ser.models.registry import build_recogniser, find_networks
from ser.training.config import read_run_settings
from ser.training.configuration import fit_to_targets, plain, read_configuration
from ser.training.run import _best_epoch, build_data
from ser.training.trainer import build_trainer
from tests.command_line import ROOT, is_one_sentence, rows_of, run_in_process, users_environment

PAGE = (ROOT / "docs" / "guides" / "extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [shlex.split(line) for line in re.findall(r"^ser train (.*)$", PAGE, re.MULTILINE)]
RATE = 22050
FAULTY = """
import no_such_package_of_mine
"""
RAISING = """
from lightning.pytorch.callbacks import Callback

class Raising(Callback):
    def __init__(self, level=1):
        level / 0

class NoCallback:
    pass

def no_group():
    return "no group"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the files of the page, a few that are wrong, and 24 recordings; modules are found there."""
    home = tmp_path_factory.mktemp("own")
    for name, content in {**FILES, "my_faults.py": RAISING, "my_import.py": FAULTY, "my_bug.py": "1 / 0\n"}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, encoding="utf-8")
    (home / "voices").mkdir()
    for number, actor in enumerate(("ben", "anna"), start=1):
        for emotion in ("happy", "sad", "angry"):
            for take in range(1, 5):
                voice = synthesize(RecordingName("speech", emotion, "strong", 1, 1, number), seed=take)
                soundfile.write(home / "voices" / f"{actor}-{emotion}-{take}.wav", voice[2000 : 2000 + RATE], RATE)
    sys.path.append(str(home))
    with contextlib.chdir(home):
        yield home
    sys.path.remove(str(home))


@pytest.fixture(scope="module")
def run(home):
    """The folder of one run with all parts of the page, started as a user does; the network comes by its YAML file."""
    options, overrides = ["--config-dir", "my_conf"], []
    for command in COMMANDS:
        overrides += [each for each in command if each not in (*options, *overrides) and "model.network." not in each]
    # A callback of one's own may log anything, so this name is known to be wrong only afterwards.
    overrides += ["hydra.run.dir=run", "optimized_metric=val/nothing"]
    command = [sys.executable, str(ROOT / "train.py"), *options, *overrides]
    done = subprocess.run(command, cwd=home, env=users_environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "run"


@pytest.fixture(scope="module")
def data(run):
    """The data of that run, from its cache."""
    data = build_data(read_run_settings(plain(read_configuration(run))))
    data.setup()
    return data


@pytest.fixture(scope="module")
def own():
    """What a caller hands in to load the model of that run."""
    from my_features import flatness
    from my_network import MeanNet

    return {"networks": {"MeanNet": MeanNet}, "feature_groups": {"flatness": flatness()}}


@pytest.fixture(scope="module")
def history(run):
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["history"]


@pytest.fixture(scope="module")
def right(run, data, own):
    """Float [recordings]: the probability of the right class, by the best checkpoint, of the validation part."""
    predictor, prepared = Predictor.load(run, **own), data.prepared["validation"]
    scores = predictor.score(prepared.features, prepared.lengths)
    labels = [predictor.class_names.index(sample.recording.emotion) for sample in prepared.samples]
    return scores[np.arange(len(labels)), labels]


def read(*arguments):
    """The settings that `train.py` makes of its arguments."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    searched = []
    if arguments[0] == "--config-dir":
        searched, arguments = [f"hydra.searchpath=[file://{Path(arguments[1]).resolve()}]"], arguments[2:]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        configuration = compose("train", ["paths.run_dir=other", *searched, *arguments])
    fit_to_targets(configuration, arguments)
    return read_run_settings(plain(configuration))


def test_the_page_has_every_part():
    assert len(FILES) == 9
    for part in ("callback", "logger", "network", "loss", "metric", "feature group", "augmentation", "corpus"):
        assert re.search(rf"^## An? {part}$", PAGE, re.MULTILINE), part
    assert "## An optimiser, a learning-rate schedule" in PAGE
    assert len(COMMANDS) == 11


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[-1].partition("=")[0])
def test_each_command_is_accepted_alone(command, home):
    read(*command)


def test_a_callback_is_called_and_what_it_logs_is_in_the_history(history):
    assert len(history) == 2
    assert all(0 < row["train/gradient_norm"] < 100 for row in history)


def test_a_metric_that_nothing_has_logged_is_named_and_left_empty(run, history, caplog):
    assert "optimized_metric is 'val/nothing', which was never logged; there are epoch, lr, train/loss" in (
        run / "train.log"
    ).read_text(encoding="utf-8")
    assert json.loads((run / "job.json").read_text(encoding="utf-8"))["value"] is None
    settings = read("experiment=debug", "+callbacks.a._target_=my_callback.GradientNorm")
    settings.callbacks["checkpoint"]["monitor"] = "val/nothing"
    assert _best_epoch(history, settings) == history[-1]
    assert "'val/nothing' was never logged, so the last epoch is kept" in caplog.text


def test_a_logger_gets_the_settings_and_every_metric(run, home, history):
    settings, *logged = map(json.loads, (home / "lines.jsonl").read_text(encoding="utf-8").splitlines())
    assert settings["settings"]["model"]["loss"] == {"_target_": "my_loss.focal", "gamma": 1.0}
    last = {name: value for line in logged if line.get("epoch") == 1 for name, value in line.items()}
    assert {name: last[name] for name in history[-1] if "/" in name} == pytest.approx(
        {name: value for name, value in history[-1].items() if "/" in name}
    )


def test_a_network_is_trained_and_kept_under_the_name_of_its_class(run, own):
    recogniser, metadata = load_recogniser(run, **own)
    assert (metadata.architecture, metadata.network) == ("MeanNet", {"width": 24})
    torch.manual_seed(42)
    fresh = build_recogniser(metadata, own["networks"])
    trained, initial = (each.network.layers[2].weight for each in (recogniser, fresh))
    assert trained.shape == (3, 24)
    assert 0 < (trained - initial).abs().max() < 0.1  # a few steps from where this seed begins


def test_a_loss_is_that_of_validation_too(history, right):
    best = max(history, key=lambda row: row["val/confidence"])
    assert best["val/loss"] == pytest.approx(((1 - right) * -np.log(right)).mean(), rel=1e-4)


def test_a_metric_is_in_the_history_and_chooses_the_checkpoint(run, history, right):
    best = max(history, key=lambda row: row["val/confidence"])
    assert read_checkpoint(run / "checkpoints" / "best.ckpt")["epoch"] == best["epoch"]
    assert best["val/confidence"] == pytest.approx(right.mean(), rel=1e-4)


def test_a_feature_group_is_the_last_row_of_the_features(data):
    prepared = data.prepared["validation"]
    assert prepared.features.shape[1] == 188
    for sample, features, length in zip(prepared.samples, prepared.features, prepared.lengths, strict=True):
        waveform = read_sound(sample.recording.path, sample_rate=RATE).waveform
        flatness = librosa.feature.spectral_flatness(y=waveform)[0]
        np.testing.assert_allclose(features[-1, :length], flatness, rtol=0.01, atol=1e-5)


def test_an_augmentation_changes_the_copies_and_only_them(data):
    from my_augment import hum

    prepared, settings = data.prepared["train"], data.recipe.features
    assert [sample.copy for sample in prepared.samples] == [0] * 19 + [1] * 19
    for sample, features, length in zip(prepared.samples, prepared.features, prepared.lengths, strict=True):
        waveform = read_sound(sample.recording.path, sample_rate=RATE).waveform
        if sample.copy:
            rng = recording_rng(seed=42, name=sample.recording.id, copy=1)
            waveform = hum(waveform, sample_rate=RATE, rng=rng).astype(np.float32)
        expected = extract(preprocess(waveform, settings)[0], settings)
        np.testing.assert_allclose(features[:, :length], expected[:, :length], rtol=1e-4, atol=1e-4)


def test_the_recordings_of_a_corpus_are_in_the_split(run):
    rows = rows_of(run / "split.csv")
    assert len({row["file"] for row in rows}) == len(rows) == 24
    expected = {(speaker, name) for speaker in ("anna", "ben") for name in ("happy", "sad", "angry")}
    assert {(row["speaker"], row["emotion"]) for row in rows} == expected


def test_an_optimiser_and_a_schedule_are_those_of_torch(run, history):
    (optimiser,) = read_checkpoint(run / "checkpoints" / "last.ckpt")["optimizer_states"]
    assert optimiser["param_groups"][0]["momentum"] == 0.9
    assert [row["lr"] for row in history] == pytest.approx([1e-3, 5e-4])  # half a cosine over two epochs


def test_a_new_file_in_the_folder_of_networks_is_found(tmp_path, monkeypatch):
    (tmp_path / "mean.py").write_text(FILES["my_network.py"] + "\n\nNETWORK = MeanNet\n", encoding="utf-8")
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    found = find_networks()
    assert found["mean"].__name__ == "MeanNet"
    assert {"cnn_bilstm_luong", "residual_bilstm"} < set(found)


def test_the_model_predicts_where_its_parts_are_handed_in(run, own, home):
    (block,) = re.findall(r"^```python\n(from my_network.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    handed_in = 'networks={"MeanNet": MeanNet}'
    assert handed_in in block
    both = "networks={'MeanNet': MeanNet}, feature_groups=feature_groups"
    (home / "my_answer.py").write_text(block.replace("outputs/debug/<run>", str(run)).replace(handed_in, both))
    predictor = runpy.run_path(str(home / "my_answer.py"), own)["predictor"]
    prediction = predictor.predict(home / "voices" / "anna-sad-1.wav")
    assert prediction.class_names == ("happy", "sad", "angry")
    assert prediction.probabilities.sum() == pytest.approx(1)


HANDED_IN = ("+networks.MeanNet=my_network.MeanNet", "+feature_groups.flatness=my_features.flatness")


def test_the_page_has_these_words():
    assert all(word in PAGE for word in (*HANDED_IN, *BY_OPTION, "reader=my_corpus.read"))


def test_evaluate_takes_the_parts_from_the_command_line(run, home):
    evaluation = home / "evaluation"
    own = (*HANDED_IN, "reader=my_corpus.read", "workers=1")
    done = run_in_process("evaluate.py", f"checkpoint={run}", *own, f"output_dir={evaluation}", folder=home)
    assert done.returncode == 0, done.stderr
    ours, theirs = (json.loads((place / "metrics.json").read_text()) for place in (evaluation, run))
    assert ours["confusion_matrix"] == theirs["confusion_matrix"]
    assert ours["protocol"] == theirs["protocol"]


@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        ("networks", "by --network MeanNet=<module>.<class>, to `ser evaluate` by +networks.MeanNet=<module>.<class>"),
        ("feature_groups", "by --feature-group flatness=<module>.<function>, to `ser evaluate` by +feature_groups"),
        ("reader", "corpus is one of your own: give reader=<module>.<function>"),
    ],
)
def test_evaluate_says_which_part_it_lacks_and_how_it_is_given(left_out, sentence, run, home):
    own = [word for word in (*HANDED_IN, "reader=my_corpus.read") if left_out not in word]
    done = run_in_process("evaluate.py", f"checkpoint={run}", *own, "output_dir=no", folder=home)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr, sentence), done.stderr


BY_OPTION = ("--network MeanNet=my_network.MeanNet", "--feature-group flatness=my_features.flatness")


def test_commands_with_options_take_the_parts_too(run, home):
    voice, (network, group) = "voices/anna-sad-1.wav", [option.split() for option in BY_OPTION]
    shown = []
    for arguments in (
        ("predict", voice, "--model", str(run), *network, *group, "--json"),
        ("export", str(run), *network, *group, "--output", "own.onnx"),
        ("predict", voice, "--model", "own.onnx", *group, "--json"),
        ("publish", str(run), *network, *group, "--name", "own", "--folder", "published"),
        ("predict", voice, "--model", "published/own.safetensors", *network, *group, "--json"),
    ):
        done = run_in_process("-m", "ser", *arguments, folder=home)
        assert done.returncode == 0, done.stderr
        if arguments[0] == "predict":
            (row,) = json.loads(done.stdout)
            shown.append(row["probabilities"])
    assert shown[0] == pytest.approx(shown[1], abs=1e-4)
    assert shown[0] == pytest.approx(shown[2], abs=1e-6)


def test_robustness_hands_the_parts_on(home, monkeypatch):
    asked = {}
    monkeypatch.setattr("ser.evaluation.robustness.measurement.measure", lambda folder, **given: asked.update(given))
    monkeypatch.setattr("ser.evaluation.robustness.report.write_robustness", lambda values, folder: "")
    options = [word for option in BY_OPTION for word in option.split()]
    assert run_in_process("-m", "ser", "robustness", "nowhere", *options, folder=home).returncode == 0
    assert [list(asked[key]) for key in ("networks", "feature_groups")] == [["MeanNet"], ["flatness"]]


def test_an_option_that_is_no_name_and_path_is_one_sentence(home):
    done = run_in_process("-m", "ser", "predict", "voices", "--network", "MeanNet", folder=home)
    assert done.returncode == 2
    assert is_one_sentence(done.stderr, "--network is 'MeanNet', but should be a name and a path"), done.stderr


def test_eda_takes_a_group_and_a_corpus_of_ones_own(home):
    own = ("+features.own_groups.flatness._target_=my_features.flatness", "+data.reader._target_=my_corpus.read")
    voices = ("data.root=voices", "data.classes=[happy,sad,angry]", "data.workers=1", "features.max_length=10")
    done = run_in_process("-m", "ser", "eda", "table", *own, *voices, "output_path=own.parquet", folder=home)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(home / "own.parquet")
    assert table["label"].value_counts().to_dict() == dict.fromkeys(("happy", "sad", "angry"), 8)
    assert table["flatness_0"].between(0, 1).all()


def test_without_the_network_or_the_group_a_sentence_names_the_argument(run, own):
    for name, example in (("networks", "networks={'MeanNet':"), ("feature_groups", "feature_groups={'flatness':")):
        with pytest.raises(CheckpointError) as caught:
            Predictor.load(run, **{key: value for key, value in own.items() if key != name})
        assert example in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("+callbacks.a._target_=my_callback.GradientNrm", "has no 'GradientNrm'; did you mean 'GradientNorm'"),
        ("+callbacks.a._target_=my_calback.GradientNorm", "run the command in the folder of its module"),
        ("+callbacks.a._target_=my_import.Mine", "No module named 'no_such_package_of_mine'"),
        ("+callbacks.a._target_=my_faults.Raising +callbacks.a.levl=2", "levl is not a setting; did you mean 'level'"),
        ("model.loss._target_=my_loss.focal +model.loss.weight=2", "weight is not a setting; known are gamma"),
        ("+callbacks.a._target_=my_callback.GradientNorm +callbacks.a.b=1", "b is not a setting; there are none here"),
        ("model.network._target_=my_loss.focal", "should be a subclass of torch.nn.modules.module.Module"),
        ("data._target_=my_network.MeanNet", "should be a subclass of ser.data.datamodule.EmotionData"),
        ("model.network._target_=my_network.MeanNet +model.network.widht=2", "did you mean 'width'"),
        ("+logger.a._target_=lightning.pytorch.loggers.NeptuneLoger", "did you mean"),
        ("+logger.a._target_=lightning.pytorch.loggers.MLFlowLogger +logger.a.zzz=1", "known are experiment_name"),
        ("+model.metrics.a._target_=torchmetrics.classification.MulticlassRecal", "did you mean 'MulticlassRecall'"),
        ("+features.own_groups.a._target_=my_faults.no_group", "makes a str, no ser.features.groups.FeatureGroup"),
        ("+features.own_groups.mel._target_=my_features.flatness", "mel is the name of a group of this package"),
        ("+augment._target_=my_augment.hum +augment.levle=1", "augment.levle is not a setting; did you mean 'level'"),
        ("+data.reader._target_=my_corpus.reed", "did you mean 'read'"),
        ("model.optimiser._target_=torch.optim.SGDD", "did you mean 'SGD'"),
        ("model.optimiser._target_=torch.optim.SGD +model.optimiser.momentun=1", "did you mean 'momentum'"),
        ("model.scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR", "model.scheduler.T_max is missing"),
        ("+model.metrics.a._target_=my_metric.Confidence optimized_metric=val/b", "which is never logged"),
        # Those of our own.
        ("model.loss.label_smoothing=2", "model.loss.label_smoothing is 2, but should be below 1"),
        ("+model.loss.label_smothing=0.1", "did you mean 'label_smoothing'"),
        ("model.optimiser.lr=-1", "model.optimiser.lr is -1, but should be above 0"),
        ("callbacks.early_stopping.patience=0", "callbacks.early_stopping.patience is 0, but should be at least 1"),
        ("callbacks.checkpoint.mode=maxi", "did you mean 'max'"),
        ("callbacks.checkpoint.monitor=val/uaar", "did you mean 'val/uar'"),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong_gets_one_sentence(overrides, sentence, home):
    with pytest.raises(SettingsError) as caught:
        read("experiment=debug", *overrides.split())
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_object_of_another_class_is_refused_before_any_data_is_read(home):
    with pytest.raises(SettingsError, match=r"callbacks.a._target_ .* which makes a NoCallback, no .*Callback"):
        build_trainer(read("experiment=debug", "+callbacks.a._target_=my_faults.NoCallback"))


@pytest.mark.parametrize(("target", "file"), [("my_faults.Raising", "my_faults.py"), ("my_bug.Mine", "my_bug.py")])
def test_what_a_class_of_ones_own_raises_has_its_own_traceback(target, file, home):
    with pytest.raises(ZeroDivisionError) as caught:
        build_trainer(read("experiment=debug", f"+callbacks.a._target_={target}"))
    assert Path(str(caught.traceback[-1].path)).name == file


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("yield path", "should return ser.corpora.manifest.Recording alone"),
        ("emotion = ' '", "has emotion ' ' by data.reader; give it a label"),
        ("path = root / 'one.wav'", "has the id 'one' by data.reader, as another has"),
    ],
)
def test_a_reader_that_returns_something_else_gets_one_sentence(fault, sentence, home):
    module = f"my_reader_{len(fault)}"
    lines = FILES["my_corpus.py"].replace("        yield Rec", f"        {fault}\n        yield Rec")
    (home / f"{module}.py").write_text(lines, encoding="utf-8")
    settings = read("experiment=debug", f"+data.reader._target_={module}.read", "data.root=voices")
    with pytest.raises(CorpusError, match=sentence):
        build_data(settings).setup()


def test_a_reader_needs_a_folder(home):
    with pytest.raises(SettingsError, match=r"data\.root is needed with data\.reader"):
        read("experiment=debug", "+data.reader._target_=my_corpus.read")
    with pytest.raises(CorpusError, match=r"should be the folder that data\.reader reads"):
        build_data(read("experiment=debug", "+data.reader._target_=my_corpus.read", "data.root=nowhere")).setup()
    assert not (home / "nowhere").exists()
