"""Run a command of the project in this process: what a subprocess would take seconds to import is there already."""

import contextlib
import csv
import functools
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
Done = subprocess.CompletedProcess[str]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def is_one_sentence(error: str, sentence: str) -> bool:
    """Whether a command ended with one line for people that holds `sentence`, and nothing else."""
    return error.startswith("error: ") and sentence in error and error.count("\n") == 1


def users_environment() -> dict[str, str]:
    """Return the environment of a command, without the corpora that this machine has."""
    variables = {name: value for name, value in os.environ.items() if name != "RAVDESS_ROOT"}
    return variables | {"PYTHONPATH": str(ROOT)}


def typed(*arguments: str) -> list[str]:
    """Return the command line of `train.py a=b` or `-m ser predict ...`."""
    script = [str(ROOT / arguments[0])] if arguments[0].endswith(".py") else [arguments[0]]
    return [sys.executable, *script, *arguments[1:]]


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command in `folder`, in a group of processes of its own, whose output and errors are one pipe."""
    # A shell may start us with SIGINT ignored, as it does with `&`, which children inherit.
    with_sigint = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        typed(*arguments), cwd=folder, env=users_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True, preexec_fn=with_sigint,
    )  # fmt: skip


def run_in_process(*arguments: str, folder: Path, main: Callable[[list[str]], int] | None = None) -> Done:
    """Run `train.py`, `evaluate.py`, `cross_validate.py` or `-m ser <command>` in `folder`, as their scripts would.

    With `main`, a command of the test's own, `arguments` are its own from the first. Returns the exit status and what
    was printed. The environment, logging, Hydra and torch's generator are put back.
    """
    from ser.__main__ import main as main_of_ser

    given = list(arguments)
    if main is None:
        name, *rest = given[2:] if given[:2] == ["-m", "ser"] else given
        main, given = main_of_ser, [name.removesuffix(".py").replace("_", "-"), *rest]
    out, err = io.StringIO(), io.StringIO()
    with _as_in_a_process_of_its_own(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(given)
        except SystemExit as end:  # as the interpreter ends
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
    return subprocess.CompletedProcess(given, status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _as_in_a_process_of_its_own(folder: Path) -> Iterator[None]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton

    root = logging.getLogger()
    variables, argv, handlers, level = dict(os.environ), list(sys.argv), list(root.handlers), root.level
    os.environ.pop("RAVDESS_ROOT", None)
    root.handlers.clear()
    try:
        with contextlib.chdir(folder), torch.random.fork_rng():
            yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], sys.argv[:] = handlers, argv
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(variables)
        GlobalHydra.instance().clear()
        Singleton._instances.pop(HydraConfig, None)
