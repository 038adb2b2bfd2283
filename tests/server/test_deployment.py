"""What Dockerfile.server installs and copies is enough for the server, and all that it needs."""

import importlib.metadata
import json
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ser.cli.main import main
from ser.data.workers import THREAD_VARIABLES
from tests.app.test_deployment import GUARD, read_requirements
from tests.command_line import ROOT, is_one_sentence

PINNED = ROOT / "requirements-serve.txt"
BASE = "numpy onnxruntime pydantic rich soundfile soxr threadpoolctl typer"
SERVE = "fastapi uvicorn websockets prometheus-client python-multipart"
DOCKERFILE = re.findall(
    r"^([A-Z]+) +(.+)$", re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile.server").read_text()), re.MULTILINE
)
"""The instructions, and what follows them."""


def test_requirements_are_those_of_the_project_complete_and_no_more_than_is_needed():
    pinned, tested = read_requirements(PINNED), read_requirements(ROOT / "requirements.txt")
    assert pinned == {name: tested.get(name) for name in pinned}
    needed, reached = set(f"{BASE} {SERVE}".split()), set()
    while needed - reached:
        name = (needed - reached).pop()
        reached.add(name)
        requirements = [Requirement(line) for line in importlib.metadata.requires(name) or []]
        needed |= {canonicalize_name(one.name) for one in requirements if one.marker is None or one.marker.evaluate()}
    assert set(pinned) == needed


def test_the_image_is_of_exact_packages_and_no_root():
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", dict(DOCKERFILE)["FROM"])
    assert [rest for name, rest in DOCKERFILE if name == "RUN"][-1].endswith("--requirement requirements-serve.txt")
    assert int(dict(DOCKERFILE)["USER"]) != 0
    names = [name for name, _ in DOCKERFILE]
    assert max(place for place, name in enumerate(names) if name in ("RUN", "COPY")) < names.index("USER")
    assert names.index("USER") < names.index("ENTRYPOINT")
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [rest.split()[0] for name, rest in DOCKERFILE if name == "COPY"]
    assert set(copied) == {"requirements-serve.txt", "LICENSE", "ser"} <= set(let_through)


def test_its_packages_alone_are_enough_to_start_the_command(tmp_path):
    wanted, installed = set(read_requirements(PINNED)), importlib.metadata.packages_distributions()
    hidden = {module for module, names in installed.items() if not wanted & set(map(canonicalize_name, names))}
    (tmp_path / "sitecustomize.py").write_text(GUARD.format(hidden=hidden - {"ser"}))
    (tmp_path / "ser").symlink_to(ROOT / "ser")
    name, *arguments = json.loads(dict(DOCKERFILE)["ENTRYPOINT"])
    assert name == "python"
    command = [sys.executable, *arguments, "--model", "missing"]
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    *warnings, error = done.stderr.splitlines()
    assert is_one_sentence(f"{error}\n", "no pretrained model of that name"), done.stderr
    assert all("SER_API_KEY is not set" in line for line in warnings)


@pytest.fixture
def started(monkeypatch):
    """What the command gives to uvicorn, which does not start."""
    given = []
    monkeypatch.setattr("uvicorn.run", lambda app, **options: given.append((app, options)))
    monkeypatch.delenv("SER_API_KEY", raising=False)
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    return given


def test_the_command_serves_this_machine_and_within_bounds(started, caplog):
    assert main(["serve", "--port", "8123"]) == 0
    ((app, options),) = started
    assert (options["host"], options["port"]) == ("127.0.0.1", 8123)
    assert not options["access_log"]
    assert not options["ws_per_message_deflate"]
    assert app.title == "Speech emotion recognition"
    assert "SER_API_KEY" not in caplog.text


def test_the_command_warns_of_an_open_door_and_takes_no_empty_key(started, caplog, monkeypatch, capsys):
    assert main(["serve", "--host", "0.0.0.0"]) == 0  # noqa: S104 - it is not opened
    assert "SER_API_KEY is not set" in caplog.text
    monkeypatch.setenv("SER_API_KEY", " ")
    assert main(["serve"]) == 1
    assert is_one_sentence(capsys.readouterr().err, "SER_API_KEY is set, but empty")
    monkeypatch.setenv("SER_API_KEY", "key")
    assert main(["serve"]) == 0
    assert "securitySchemes" in started[-1][0].openapi()["components"]
