"""A model trained on the synthetic corpus is fine-tuned on a table of labels of one's own, and resumed without it."""

import shutil
from pathlib import Path

import pytest
import torch

from ser.corpora.reading import find_recordings
from ser.inference.checkpoint import load_recogniser, read_checkpoint, save_atomically
from ser.training.callbacks import AtomicCheckpointIO
from ser.training.fine_tuning import class_dimensions, load_initial
from tests.command_line import is_one_sentence
from tests.resuming import differences

pytestmark = [pytest.mark.usefixtures("undrawn"), pytest.mark.no_cover]  # whole runs, slow to draw and to trace


class Killed(BaseException):
    """What no handler takes for an error: the run ends where it is."""


@pytest.fixture(scope="module")
def labels(voices, folder):
    """A table of 30 recordings of two speakers: happy and angry, as the first model calls them, and bored."""
    names = {"happy": "happy", "angry": "angry", "sad": "bored"}
    recordings = [one for one in find_recordings(voices) if one.channel == "speech" and one.emotion in names]
    rows = [f"{one.path},{names[one.emotion]},{one.speaker}" for one in recordings]
    path = folder / "labels.csv"
    path.write_text("\n".join(["file,emotion,speaker", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def first(debug_run, folder):
    """A copy of the run that is fine-tuned, to be removed."""
    return Path(shutil.copytree(debug_run, folder / "first"))


@pytest.fixture(scope="module")
def words(first, labels):
    """What a person types, and a few words that make it quick."""
    quick = ("trainer.max_epochs=3", "trainer.accelerator=cpu", "~logger.tensorboard", "data.augment_count=0")
    return f"init_from={first}", "data=manifest", f"data.manifest={labels}", "reference_files=true", *quick


@pytest.fixture(scope="module")
def tuned(train, words, folder):
    run_dir = folder / "tuned"
    train(*words, "model.body_lr=1e-5", "model.freeze=[convolutions]", f"hydra.run.dir={run_dir}")
    return run_dir


def test_the_model_keeps_features_network_and_statistics_and_says_what_it_came_from(tuned, first):
    ours, metadata = load_recogniser(tuned)
    theirs, of_first = load_recogniser(first)
    assert metadata.class_names == ("happy", "angry", "bored")
    assert (metadata.features, metadata.network) == (of_first.features, of_first.network)
    assert metadata.protocol.startswith("Fine-tuned from ")
    assert metadata.protocol.endswith(f"Before that, {metadata.init_from.name}: {of_first.protocol}")
    assert metadata.init_from.protocol == of_first.protocol
    assert "Fine-tuned from" in (tuned / "val_metrics.txt").read_text(encoding="utf-8")
    for name, tensor in theirs.normalisation.state_dict().items():
        assert torch.equal(ours.normalisation.state_dict()[name], tensor)
    moved = {name: ours.network.state_dict()[name] - tensor for name, tensor in theirs.network.state_dict().items()
             if not name.startswith("classify")}  # fmt: skip
    assert {name for name, by in moved.items() if by.any()} == {name for name in moved if name.startswith("lstm")}
    assert max(float(by.abs().max()) for by in moved.values()) < 1e-3  # nine steps of 1e-5
    rows = [of_first.class_names.index(name) for name in ("happy", "angry")]
    near = ours.network.classify.weight[:2] - theirs.network.classify.weight[rows]
    assert 0 < near.abs().max() < 0.02
    assert not (tuned / "scaler.pkl").exists()  # the baseline's three files have another normalisation


def test_a_run_that_was_killed_goes_on_without_the_first_model(
    tuned, first, words, train, command, folder, monkeypatch
):
    run_dir, save = folder / "killed", AtomicCheckpointIO.save_checkpoint

    def save_and_end(self, checkpoint, path, storage_options=None):
        save(self, checkpoint, path, storage_options)
        if Path(path).name == "last.ckpt" and checkpoint["epoch"] == 1:
            raise Killed

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save_and_end)
    with pytest.raises(Killed):
        train(*words, "model.body_lr=1e-5", "model.freeze=[convolutions]", f"hydra.run.dir={run_dir}")
    monkeypatch.undo()
    shutil.move(first, folder / "elsewhere")
    try:
        done = command("train.py", f"ckpt_path={run_dir}", "init_from=other", status=1)
        assert is_one_sentence(done.stderr, "init_from cannot be changed in a resumed run"), done.stderr
        command("train.py", f"ckpt_path={run_dir}")
    finally:
        shutil.move(folder / "elsewhere", first)
    assert differences(run_dir, tuned) == []


def test_a_run_of_another_model_of_the_same_name_is_not_begun(words, first, train, command, folder):
    """Killed before its first checkpoint, a run begins anew, and the model has changed since."""
    run_dir = folder / "begun"
    train(*words, f"hydra.run.dir={run_dir}")
    shutil.rmtree(run_dir / "checkpoints")
    path = first / "checkpoints" / "best.ckpt"
    content = read_checkpoint(path)
    network = {**content["ser"]["network"], "dropout": 0.25}
    save_atomically({**content, "ser": {**content["ser"], "network": network}}, path)
    done = command("train.py", f"ckpt_path={run_dir}", status=1)
    save_atomically(content, path)
    assert is_one_sentence(done.stderr, "whose network is not that of this run"), done.stderr
    assert is_one_sentence(train("init_from=no-such", status=1).stderr, "no-such: there is no such file or folder")


def test_the_experiment_starts_from_the_pretrained_model(labels, train, folder):
    train(
        "experiment=fine_tune", "data=manifest", f"data.manifest={labels}", "trainer.max_epochs=1",
        "trainer.accelerator=cpu", "~logger.tensorboard", f"hydra.run.dir={folder}/experiment",
    )  # fmt: skip
    metadata = load_recogniser(folder / "experiment")[1]
    assert metadata.protocol.startswith("Fine-tuned from ser-ravdess: Speaker-dependent, speech: random split")
    assert (metadata.init_from.name, metadata.features.groups) == ("ser-ravdess", ("logmel", "pitch"))


def test_a_model_with_speaker_context_keeps_it(labels, train, folder):
    run_dir = folder / "with_context"
    train(
        "experiment=fine_tune", "init_from=ser-voices", "data=manifest", f"data.manifest={labels}", "model.freeze=body",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "~logger.tensorboard", f"hydra.run.dir={run_dir}",
    )  # fmt: skip
    ours, metadata = load_recogniser(run_dir)
    first = load_initial("ser-voices")
    n_answers = len(metadata.class_names) - len(first.metadata.class_names)
    assert metadata.context == first.metadata.context + n_answers == ours.n_summary
    assert float(ours.network.class_shares.sum()) == pytest.approx(1)  # of the classes here
    assert metadata.init_from.name == "ser-voices"
    old, head = first.recogniser.state_dict(), class_dimensions(metadata)
    assert {name.partition(".")[2] for name in head} == {
        "class_shares",
        *(f"{layer}.{kind}" for layer in ("classify", "of_functionals.4") for kind in ("weight", "bias")),
    }
    for name, tensor in ours.state_dict().items():
        if name not in head and not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(tensor, old[name], rtol=0, atol=0)
    place, known = (one.class_names.index("happy") for one in (metadata, first.metadata))
    ours_happy, first_happy = ours.network.classify.weight[place], first.recogniser.network.classify.weight[known]
    # Begun with the row of its name, then trained a little.
    assert 0 < float((ours_happy - first_happy).detach().abs().max()) < 0.05
    assert (run_dir / "context.csv").is_file()
