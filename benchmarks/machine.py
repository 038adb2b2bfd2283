"""What a page of figures says of where, when and from what they were measured."""

import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from recordings import PROJECT

from ser.data.workers import core_count


def hardware() -> str:
    """Return the processor, its cores and the memory, in a line."""
    cpu_info, memory_info = (Path(path).read_text() for path in ("/proc/cpuinfo", "/proc/meminfo"))
    models = (line.partition(": ")[2] for line in cpu_info.splitlines() if line.startswith("model name"))
    gib = int(memory_info.split()[1]) / 2**20
    return f"{next(models, platform.machine())}, {core_count()} cores, {gib:.0f} GiB of memory"


def state(*folders: str) -> str:
    """Return today's date and the commit, and whether `folders` hold changes to it."""
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit(folders)}"


def _commit(folders: tuple[str, ...]) -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*arguments: str) -> str:
        done = subprocess.run([git, *arguments], cwd=PROJECT, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603
        return done.stdout.strip()

    commit = ask("rev-parse", "--short", "HEAD") or "unknown"
    return f"{commit} with changes" if ask("status", "--porcelain", "--", *folders) else commit
