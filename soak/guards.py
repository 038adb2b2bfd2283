"""Take each guard away in turn, and see that a test fails: a guard that can go unnoticed does not count.

    python soak/guards.py [--count 155] [--only ser/audio.py ...] [--workers 2] [--json FILE]

soak/guards.toml names them: the code that is one, what stands in its place without it, and the tests that should
notice. They run in copies of the project, first with every guard in place, when all have to pass. A removal counts as
noticed if a test fails, or if its process crashes; not if the tests cannot be collected.
"""

import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ser.progress import track
from ser.workers import THREAD_VARIABLES
from soak.figures import PROJECT, Figure, conclude, parser_of

LIST = Path(__file__).with_name("guards.toml")
GIBIBYTES = 8
"""Of memory for the tests: without some of the guards they would take all there is."""
SECONDS = 120
"""For one test: without some of the guards it would wait for ever."""
_LEFT_OUT = {".git", ".venv", "outputs", "data", ".pytest_cache", ".ruff_cache"}
"""At the top of the project; conf/data/ belongs to it."""
_FAILED = 1  # pytest's exit status where a test failed; 2 to 5 say that they did not run as they should


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One guard taken away.

    Attributes
    ----------
    file : that it stands in, from the top of the project.
    guard : its code, which occurs there once.
    without : what stands there when it is gone.
    tests : the test files that should notice.
    """

    file: str
    guard: str
    without: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {' '.join(self.guard.split())!r} -> {' '.join(self.without.split())!r}"

    def apply(self, source: str) -> str:
        """Return the source without the guard; raises ValueError where it does not occur exactly once."""
        if source.count(self.guard) != 1:
            raise ValueError(f"{self} occurs {source.count(self.guard)} times; mend {LIST.name}")
        return source.replace(self.guard, self.without)


def read_removals(path: Path = LIST) -> tuple[Removal, ...]:
    """Return all removals of the list."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Removal(file=group["file"], tests=tuple(group["tests"]), **one)
        for group in content["group"]
        for one in group["removals"]
    )


def unnoticed(removals: Sequence[Removal], *, workers: int, project: Path = PROJECT) -> list[Removal]:
    """Return those that no test fails for.

    Raises
    ------
    RuntimeError : tests fail with every guard in place, or do not run without one.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            copy = Path(folder) / str(number)
            # At the top alone: conf/data/ belongs to the project.
            shutil.copytree(
                project, copy, ignore=lambda at, names: _LEFT_OUT if Path(at) == project else ["__pycache__"]
            )
            copies.put(copy)

        def check_that_all_pass(tests: str) -> None:
            with _taken(copies) as copy:
                if said := _failure(copy, [tests]):
                    raise RuntimeError(f"{tests} fails with every guard in place, and can tell nothing:\n{said}")

        def is_noticed(removal: Removal) -> bool:
            with _taken(copies) as copy:
                file = copy / removal.file
                source = file.read_text(encoding="utf-8")
                try:
                    file.write_text(removal.apply(source), encoding="utf-8")
                    return bool(_failure(copy, removal.tests))
                finally:
                    file.write_text(source, encoding="utf-8")

        tests = sorted({path for removal in removals for path in removal.tests})
        checked = pool.map(check_that_all_pass, tests)
        list(track(checked, total=len(tests), description="All in place", unit="files"))
        noticed = track(pool.map(is_noticed, removals), total=len(removals), description="Removed", unit="guards")
        return [removal for removal, was in zip(removals, list(noticed), strict=True) if not was]


@contextmanager
def _taken(copies: "queue.SimpleQueue[Path]") -> Iterator[Path]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _failure(project: Path, tests: Sequence[str]) -> str:
    """Return what is said of a test that fails in the copy, or nothing; raises RuntimeError where none could be run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--timeout={SECONDS}"]
    command += ["--timeout-method=thread", *tests]  # a signal would wait for a decoder that never comes back
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPATH": str(project)}
    environment.pop("RAVDESS_ROOT", None)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # two versions of a source within a second share a time stamp

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (GIBIBYTES * 2**30,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # A shell starts what runs in the background deaf to Ctrl-C, which some of the tests send.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(  # noqa: S603 - our own tests
            command,
            cwd=project,
            env=environment,
            preexec_fn=limit,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait()
        finally:
            with suppress(ProcessLookupError):  # what a test that was cut off has started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = output.read()[-3000:]
    if status > _FAILED:
        raise RuntimeError(f"{' '.join(tests)} did not run:\n{said}")
    return said if status else ""


def main() -> int:
    """Measure, print, return the exit status."""
    removals = read_removals()
    parser = parser_of(__doc__, count=len(removals), of="guards, from the top of the list")
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE", help="the guards in these files alone")
    parser.add_argument("--workers", type=int, default=2, help="tests that run at once (2)")
    options = parser.parse_args()
    chosen = [one for one in removals if not options.only or one.file in options.only][: options.count]
    alive = unnoticed(chosen, workers=options.workers)
    figure = Figure(
        figure="guards taken away one by one",
        must="a test fails without each",
        measured=f"{len(chosen) - len(alive)} of {len(chosen)} noticed",
        held=bool(chosen) and not alive,
        command="python soak/guards.py",
    )
    status = conclude([figure], {"unnoticed": [str(one) for one in alive]}, options.json)
    for one in alive:
        print(f"unnoticed: {one}")
    return status


if __name__ == "__main__":
    sys.exit(main())
