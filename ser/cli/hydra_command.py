"""What the Hydra commands share: one sentence for what a person did wrong, and the folder of a resumed run."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.ser_processes import ProcessLauncher
from ser.errors import CheckpointError, SerError
from ser.inference.run_folder import run_of

log = logging.getLogger(__name__)

CONF = str(Path(__file__).parents[2] / "conf")
"""The folder of the configurations."""


def run_command(task: Callable[[], Any], arguments: Sequence[str] | None) -> int:
    """Run a `hydra.main` function; print the errors that a person can mend as one sentence and exit with 1.

    Parameters
    ----------
    arguments : the overrides; None takes those of the command line.
    """
    if arguments is not None:
        sys.argv[1:] = arguments
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    Plugins.instance().register(ProcessLauncher)  # by itself, Hydra does not find it in an editable installation
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here unprinted, without a traceback
    with one_sentence_errors():
        task()
    return 0


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn the errors that a person can mend into one sentence and exit status 1, Ctrl-C into status 130.

    Inside a task this keeps Hydra, which only sees the exit, from printing the error again.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:  # some of Hydra's are OSErrors too
        sys.exit(f"error: {_one_sentence(error)}")
    except (SerError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _run_folder(ckpt_path: str | None, output_dir: str, run_name: str, now: str) -> str:
    if ckpt_path is not None:
        try:
            return str(run_of(Path(ckpt_path)))
        except CheckpointError:
            log.debug("%s is no run; the command will refuse it", ckpt_path)
    return str(Path(output_dir) / run_name / now)


def _one_sentence(error: Exception) -> str:
    # Hydra's messages name the key or group first, and go on over several lines with where it looked.
    message, _, _ = str(error).partition("Config search path")
    return " ".join(message.split())
