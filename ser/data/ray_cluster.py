"""Ray, for the commands that spread their work by it: started here, or found at an address."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ser.errors import SettingsError, missing_package


@contextmanager
def ray_started(
    address: str | None,
    *,
    what: str,
    key: str,
    cpus: int | None = None,
    runtime_env: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """Start Ray on this machine, or connect to the cluster at `address`; yield the module; shut it down at the end.

    Parameters
    ----------
    what : what needs Ray, for the error; key : what a person sets the address by.
    cpus : how many cores it may use on this machine; None: all. A cluster has its own.

    Raises
    ------
    SettingsError : Ray is not installed, does not start, or is not reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it asks a server of others to count this start
    try:
        import ray
    except ImportError as error:
        raise SettingsError(f"{missing_package(error, what)}.") from error
    here: dict[str, Any] = {} if address else {"include_dashboard": False, "num_cpus": cpus}
    try:
        ray.init(address=address, runtime_env=runtime_env, logging_level=logging.WARNING, log_to_driver=False, **here)
    except Exception as error:  # Ray has no class for it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        failed = "could not be started" if address is None else f"is not to be reached at {address!r}"
        raise SettingsError(f"Ray {failed} ({key}): {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
