"""Two machines, each with the shards of its own process alone, train what two processes of one machine train."""

import shutil
import socket
import subprocess
import sys

import pytest
import torch

from ser.data.sharded import deal_shards
from ser.data.shards import INDEX
from ser.data.tasks import part_name
from tests.command_line import ROOT

RECIPE = ("experiment=debug", "data.shard_size=6", "logger=none")


def start(folder, *command):
    environment = {"PYTHONPATH": f"{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    options = {"cwd": folder, "env": environment, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *command], text=True, **options)


def end(*processes):
    for process in processes:
        _, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors[-3000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of the runs by two processes of one machine, and by two machines."""
    folder = tmp_path_factory.mktemp("nodes")
    end(start(folder, "-m", "ser", "prepare", *RECIPE, "data.shards=all", "data.workers=1"))
    end(start(folder, str(ROOT / "train.py"), *RECIPE, "data.shards=all", "run_name=one", "trainer=ddp_sim"))
    # 8 training shards of 6 recordings and a copy each, 2 to validate on.
    train, validation = deal_shards(dict.fromkeys(range(8), 12), 2), deal_shards({0: 6, 1: 6}, 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = []
    for rank in range(2):
        shards = folder / f"shards-{rank}"
        shutil.copytree(folder / "all", shards)
        for number in set(range(8)) - set(train[rank]):
            (shards / "train" / part_name(number)).unlink()
        for number in set(range(2)) - set(validation[rank]):
            if rank:  # the first process scores the best checkpoint on the whole validation part
                (shards / "validation" / part_name(number)).unlink()
        assert (shards / INDEX).is_file()
        of_node = ("--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1")
        meeting = ("--master-addr", "127.0.0.1", "--master-port", str(port))
        cluster = ("trainer=ddp_sim", "trainer.devices=1", "trainer.num_nodes=2", "run_name=two")
        torchrun = ("-m", "torch.distributed.run", *of_node, *meeting, str(ROOT / "train.py"))
        nodes.append(start(folder, *torchrun, *RECIPE, *cluster, f"data.shards={shards.name}"))
    end(*nodes)
    return [list((folder / "outputs" / name).iterdir()) for name in ("one", "two")]


def test_two_machines_leave_one_folder(runs):
    assert list(map(len, runs)) == [1, 1]
    by_one, by_two = ({path.name for path in run.rglob("*")} for (run,) in runs)
    assert by_two == by_one


def test_two_machines_train_what_two_processes_of_one_train(runs):
    one, two = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for (run,) in runs)
    assert two["history"] == one["history"]
    assert all(torch.equal(two["state_dict"][name], weights) for name, weights in one["state_dict"].items())
    reports = [(run / "predictions.csv").read_text() for (run,) in runs]
    assert reports[0] == reports[1]
