"""Every command and snippet of README.md and of docs/ runs, made small: one that no longer works is worse than none.

A marked block (`<!-- needs: network -->`) is not run: tests/test_docs.py parses and composes it. A few pages have tests
of their own, by `WITH_TESTS_OF_THEIR_OWN`.
"""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import soundfile

from benchmarks.app_server import free_port, serving
from ser.corpora.reading import find_recordings
from tests.command_line import run_in_process, users_environment
from tests.documentation import ROOT, WITH_TESTS_OF_THEIR_OWN, blocks

RUN_HERE = [block for block in blocks() if not block.needs and block.page not in WITH_TESTS_OF_THEIR_OWN]
COMMANDS = [(block.page, line) for block in RUN_HERE if block.language == "sh" for line in block.commands]
SNIPPETS = [block for block in RUN_HERE if block.language == "python"]
RUN_ELSEWHERE = {
    "make demo": "tests/slow/test_demo.py",
    "make test": "its tests are these",
}
EXPERIMENT_ALONE = re.compile(r"ser train experiment=(\w+)")
"""What tests/cli/test_train.py runs for every experiment that there is, and looks at what comes of it."""
PLACEHOLDERS = {
    "<run>": "run", "<other run>": "other", "<RAVDESS-named files>": "recordings", "<name>": "mine --folder published",
}  # fmt: skip
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_steps.ipynb"
OUR_SERVER = "127.0.0.1:8000"


@pytest.fixture(scope="module")
def home(debug_run, folder, tiny_corpus):
    """The folder that the commands are given in, with all that the pages speak of; its sounds are synthetic."""
    for name in ("train/run", "train/other", "debug/run"):  # two of one kind, so that they can be compared
        shutil.copytree(debug_run, folder / "outputs" / name)
    recordings = find_recordings(tiny_corpus)
    (folder / "recordings").symlink_to(tiny_corpus)
    sound = recordings[0].path.read_bytes()
    for name in ("hello.wav", "folder/hello.wav", "anna/01.wav", "anna/02.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(sound)
    samples, rate = soundfile.read(folder / "hello.wav")
    soundfile.write(folder / "long.mp3", [*samples] * 6, rate)
    rows = ["file,emotion,speaker"]
    for number, recording in enumerate(recordings):
        if recording.emotion in ("angry", "happy", "sad"):
            rows.append(f"recordings/{recording.path.relative_to(tiny_corpus)},{recording.emotion},{number % 5}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(home, tmp_path_factory):
    """host:port of `ser serve`."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "ser", "serve", "--port", address.partition(":")[2]]
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(command, f"http://{address}", log, folder=home, environment=users_environment(), health="/healthz"):
        yield address


@pytest.fixture
def not_served(monkeypatch):
    """What serves for ever returns at once."""
    monkeypatch.setattr("streamlit.web.cli.main", lambda prog_name: None)
    monkeypatch.setattr("uvicorn.run", lambda app, **options: None)


def test_every_command_is_run_somewhere():
    programs = {line.split()[0] for _, line in COMMANDS if "=" not in line.split()[0]}
    assert programs == {"ser", "make", "curl", "python"}
    assert {line for _, line in COMMANDS if line.startswith("make")} <= RUN_ELSEWHERE.keys()
    alone = {match[1] for _, line in COMMANDS if (match := EXPERIMENT_ALONE.fullmatch(line))}
    assert alone
    assert alone <= {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}


def smaller(words: list[str], small: tuple[str, ...]) -> list[str]:
    """Return the words of a training with less of everything; what the line sets itself stays."""
    own = {word.split("=")[0] for word in words}
    return [*words, *(override for override in small if override.split("=")[0] not in own)]


@pytest.mark.parametrize(
    ("page", "line"),
    [(page, line) for page, line in COMMANDS if line.split()[0] != "make" and not EXPERIMENT_ALONE.fullmatch(line)],
)
def test_a_command_runs(
    page, line, home, command, process, tiny, tiny_voices, below, undrawn, not_served, monkeypatch, request
):
    for placeholder, name in PLACEHOLDERS.items():
        line = line.replace(placeholder, name)
    if "outputs/<cross-validation>" in line:  # that of an earlier line
        line = line.replace("outputs/<cross-validation>", str(max(home.glob("*-cross-validation/*"))))
    if line.startswith("curl"):
        address = request.getfixturevalue("server")
        done = subprocess.run(
            ["bash", "-c", line.replace(OUR_SERVER, address).replace("curl ", "curl --fail ")],  # noqa: S607
            cwd=home, env=users_environment() | {"SER_API_KEY": "key"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "DELETE" in line or json.loads(done.stdout)["results"]
        return
    if line.startswith("python"):  # a benchmark that takes seconds
        done = subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return
    if line.startswith("SER_API_KEY="):
        monkeypatch.setenv("SER_API_KEY", "key")
        line = line[line.index("ser ") :]
    if line.endswith(" < hello.wav"):
        monkeypatch.setattr("sys.stdin", (home / "hello.wav").open())  # its buffer is read
        line = line.removesuffix(" < hello.wav")
    line = re.sub(r"seeds=\[42[\d,]*\]", "seeds=[42]", line.removesuffix(" &"))
    line = re.sub(r"(=[\w.-]+),[\w.,-]+(?= )", r"\1", line)  # of the lists of a sweep the last one alone stays a list
    line = re.sub(r"n_trials=\d", "n_trials=1", line)
    if "hydra/launcher=" in line:
        line, command = re.sub(r",[\w.-]+$", "", line), process  # one job, started as users start it
    (home / "results.csv").unlink(missing_ok=True)
    _, name, *words = shlex.split(line)
    if name in ("train", "prepare", "tune", "cross-validate") and not any(
        word.startswith("ckpt_path=") for word in words
    ):
        own_data = any(word.startswith("data=") for word in words)
        few = ("data.workers=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")
        words = smaller(words, (*(few if own_data else (*tiny, *tiny_voices)), *below))
        if name == "cross-validate":
            words = [word for word in words if not word.startswith(("folds=", "seeds="))]
            words += ["folds=[0]", "seeds=[42]", "bootstrap_resamples=2000"]
    if name == "eda":
        words += [*tiny_voices, *below]
    is_incomplete = name == "corpus" and words[0] != "check"  # a few synthetic voices are not all of RAVDESS
    command("-m", "ser", name, *words, status=int(is_incomplete))


@pytest.fixture(scope="module")
def names_of_pages():
    """Page -> the names that its snippets so far have defined, as whoever tries them one after another has them."""
    return {}


@pytest.mark.parametrize("block", SNIPPETS, ids=str)
def test_a_snippet_runs(block, home, names_of_pages, request):
    text = block.text.replace("<run>", "run")
    if OUR_SERVER in text:
        text = text.replace(OUR_SERVER, request.getfixturevalue("server"))
    (home / "results.csv").unlink(missing_ok=True)
    names = names_of_pages.setdefault(block.page, {})
    # In a thread of its own: a browser test before it leaves an event loop in this one.
    with contextlib.chdir(home), ThreadPoolExecutor(1) as pool:
        pool.submit(exec, compile(text, str(block), "exec"), names).result()


def test_the_notebook_runs_from_top_to_bottom(home, tiny, tiny_voices, undrawn, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
    names: dict[str, object] = {}
    with contextlib.chdir(home):
        for number, text in enumerate(code, start=1):
            for line in re.findall(r"^!(.*)$", text, re.MULTILINE):
                done = run_in_process("-m", *smaller(shlex.split(line), (*tiny, *tiny_voices)), folder=home)
                assert done.returncode == 0, done.stdout + done.stderr
            python = re.sub(r"^[!%].*$", "", text, flags=re.MULTILINE)
            exec(compile(python, f"cell {number}", "exec"), names)  # noqa: S102 - our own
    assert Path(home / "outputs" / "first_steps").is_dir()
