"""The memory of processes, read from /proc."""

from pathlib import Path


def family(process: int) -> list[int]:
    """Return `process` and all that descend from it."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it ended just now
        return []
    return [process, *(one for text in texts for child in text.split() for one in family(int(child)))]


def memory_of(process: int) -> tuple[int, int]:
    """Return RSS and PSS in bytes; zeros for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    values = {name: 1024 * int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return values["Rss"], values["Pss"]


def high_water(process: int) -> int:
    """Return the largest RSS that a living process ever had, in bytes: the kernel sees what lies between two looks."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
