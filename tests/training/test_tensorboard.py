"""What TensorBoard shows of a run, read by TensorBoard's own reader."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from ser.training.tensorboard import RunTensorBoardLogger


def events_below(folder: Path) -> EventMultiplexer:
    return EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()


def scalars(events: EventMultiplexer, run: str) -> dict[str, list[tuple[int, float]]]:
    """Return tag -> step and value of a run."""
    found = {}
    for tag in events.Runs()[run]["tensors"]:
        if events.SummaryMetadata(run, tag).plugin_data.plugin_name == "scalars":
            found[tag] = [(one.step, float(one.tensor_proto.float_val[0])) for one in events.Tensors(run, tag)]
    return found


def hparams_below(folder: Path) -> tuple[list[str], list[str], dict[str, dict[str, float]]]:
    """Return the columns of TensorBoard's HParams, settings and metrics, and run -> metric -> value."""
    provider = MultiplexerDataProvider(events_below(folder), str(folder))
    of_request, backend = context.RequestContext(), Context(TBContext(data_provider=provider))
    tags = backend.hparams_metadata(of_request, "")
    nothing = backend.hparams_from_data_provider(of_request, "", None)
    experiment = backend.experiment_from_metadata(of_request, "", True, tags, nothing)
    every = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_RUNNING, api_pb2.STATUS_FAILURE]
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=every, slice_size=100)
    groups = Handler(of_request, backend, "", request).run().session_groups
    values = {one.name: {value.name.tag: value.value for value in one.metric_values} for one in groups}
    return [one.name for one in experiment.hparam_infos], [one.name.tag for one in experiment.metric_infos], values


def test_training_and_validation_are_lines_of_one_chart(tmp_path):
    logger = RunTensorBoardLogger(tmp_path)
    for epoch, loss in enumerate((2.0, 1.0, 1.5)):
        step = 10 * (epoch + 1)
        logger.log_metrics({"lr-Adam": 1e-3, "lr-Adam/pg2": 1e-4}, step - 10)
        logger.log_metrics({"val/loss": loss, "val/uar": 0.5 / loss, "epoch": epoch}, step)
        if loss < 1.5 or epoch == 0:
            logger.after_save_checkpoint(SimpleNamespace(filename="best"))
        logger.after_save_checkpoint(SimpleNamespace(filename="last"))
        logger.log_metrics({"train/loss": loss - 0.5, "gradient_norm": 7.0, "epoch": epoch}, step)
    logger.experiment.add_scalar("mine", 1.0, 10)
    logger.finalize("success")
    events = events_below(tmp_path)
    assert set(events.Runs()) == {"tb/train", "tb/val", "tb/best"}
    train, val, best = (scalars(events, f"tb/{run}") for run in ("train", "val", "best"))
    assert set(train) == {*(f"metrics/{tag}" for tag in ("loss", "lr", "lr/pg2", "gradient_norm")), "mine"}
    assert train["metrics/loss"] == [(10, 1.5), (20, 0.5), (30, 1.0)]
    assert val["metrics/loss"] == [(10, 2.0), (20, 1.0), (30, 1.5)]
    assert set(val) == set(best) == {"metrics/loss", "metrics/uar"}
    assert best["metrics/loss"] == [(10, 2.0), (20, 1.0)]
    assert sorted(path.name for path in (tmp_path / "tb").iterdir()) == ["best", "train", "val"]


def test_hparams_have_the_settings_of_all_runs_and_the_metrics_of_their_best_epochs(tmp_path):
    for name, settings in {
        "0": {"experiment": "debug", "model.lr": 1e-3},
        "1": {"experiment": "debug", "model.lr": 3e-3},
        "2": {"seed": 42, "trainer.x": True},
    }.items():
        logger = RunTensorBoardLogger(tmp_path / name)
        logger.log_settings(settings)
        logger.log_metrics({"val/uar": 0.1 * (int(name) + 1), "train/uar": 1.0}, 5)
        logger.after_save_checkpoint(SimpleNamespace(filename="best"))
        logger.log_metrics({"val/uar": 0.0}, 6)
        logger.finalize("success" if name != "2" else "failed")
    settings, metrics, values = hparams_below(tmp_path)
    assert settings == ["model.lr", "experiment", "seed", "trainer.x"]  # what differs comes first
    assert metrics == ["metrics/uar"]
    assert values == {
        f"{name}/tb/best": {"metrics/uar": pytest.approx(0.1 * (int(name) + 1))} for name in ("0", "1", "2")
    }


def test_a_run_shows_its_best_epoch_five_recordings_and_a_confusion_matrix(debug_run):
    events = events_below(debug_run)
    overall = json.loads((debug_run / "metrics.json").read_text(encoding="utf-8"))["overall"]
    settings, metrics, values = hparams_below(debug_run)
    assert settings == ["experiment"]
    assert metrics == [f"metrics/{name}" for name in ("accuracy", "loss", "macro_f1", "uar")]
    for name in ("accuracy", "macro_f1", "uar"):
        assert values["tb/best"][f"metrics/{name}"] == pytest.approx(overall[name], abs=1e-6)
    for run in ("train", "val"):
        curves = scalars(events, f"tb/{run}")
        assert {len(points) for points in curves.values()} == {2}, "a chart of a single dot"
        assert set(metrics) <= set(curves)
    tags = events.Runs()["tb/best"]["tensors"]
    kinds = {tag: events.SummaryMetadata("tb/best", tag).plugin_data.plugin_name for tag in tags}
    assert [tag for tag, kind in kinds.items() if kind == "images"] == ["val/confusion_matrix"]
    sounds = sorted(tag for tag, kind in kinds.items() if kind == "audio")
    assert len(sounds) == 5
    (table,) = events.Tensors("tb/best", "recordings/text_summary")
    text = table.tensor_proto.string_val[0].decode()
    for tag in sounds:
        file, _, prediction = tag.removeprefix("recordings/").partition(": ")
        true, predicted, confidence = prediction.replace(" (", ", predicted ").rstrip(")").split(", predicted ")
        assert [cell.strip() for row in text.splitlines() if file in row for cell in row.strip("|").split("|")] == [
            file, true, predicted, confidence,
        ]  # fmt: skip
    assert len({tag.split(": ")[1].split(",")[0] for tag in sounds}) == 5, "five emotions"
    (protocol,) = events.Tensors("tb/best", "protocol/text_summary")
    assert protocol.tensor_proto.string_val[0].startswith(b"Speaker-dependent")
