"""Search the best settings of a recipe: `ser tune experiment=debug 'model.lr=tag(log,interval(1e-4,1e-2))'`."""

from functools import partial

from ser.cli.hydra_command import hydra_command
from ser.cli.train import task

main = partial(hydra_command, task, "tune")
