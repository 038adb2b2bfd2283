"""The memory of a program with its worker processes, as Linux counts it."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_INTERVAL = 0.1


def peak_of(command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> tuple[float, str]:
    """Run a program in `folder` and return its peak in MiB, and what it wrote to standard output.

    Every 0.1 s the proportional set sizes of the process and all below it are added: of memory that several share,
    each counts its part.

    Raises
    ------
    subprocess.CalledProcessError : the program failed.
    """
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(_proportional_kib, _tree(process.pid))))
            time.sleep(_INTERVAL)
        output = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak / 1024, output


def _tree(pid: int) -> list[int]:
    tree = [pid]
    for parent in tree:  # grows as it goes
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                tree += map(int, children.read_text().split())
            except OSError:  # the process has just ended
                continue
    return tree


def _proportional_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
