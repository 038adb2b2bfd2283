"""The files about the project name what is there, and nothing of POSIX is needed to import it."""

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import ser

ROOT = Path(__file__).parents[1]
FURTHER = (".yaml", ".toml", ".md", ".html", ".css", ".js", ".mp3")
"""What a wheel holds beside code and models."""
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

WITHOUT_POSIX = """
import importlib, os, pkgutil, signal, sys
import app, ser

def import_all():
    for package in (ser, app):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

import_all()  # first with them, so that libraries are loaded, which look at the system and not at the names
for module, names in {
    os: ("fork", "getuid", "geteuid", "getpgid", "killpg", "sched_getaffinity", "setsid", "O_NOFOLLOW", "O_DIRECTORY"),
    signal: ("SIGHUP", "SIGKILL", "SIGALRM", "SIG_BLOCK", "SIG_SETMASK", "alarm", "pthread_sigmask"),
}.items():
    for name in names:
        delattr(module, name)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in [name for name in sys.modules if name.partition(".")[0] in ("app", "ser")]:
    del sys.modules[name]
import app, ser
import_all()
"""


def test_every_module_is_imported_without_the_names_that_windows_lacks() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_POSIX], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_contributing_names_files_that_are_there() -> None:
    named = re.findall(r"`((?:ser|app|conf|tests|benchmarks|docs|\.ci|\.github)/[\w./-]*)`", CONTRIBUTING)
    assert len(named) > 40
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_contributing_names_every_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "ser").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `ser/(\w+)/` \|", CONTRIBUTING, re.MULTILINE)) == rooms | {"pretrained"}


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (ser.__version__, project["license"])
    assert [one["doi"] for one in citation["references"]] == ["10.1371/journal.pone.0196391"]


def test_a_wheel_holds_every_package_and_every_configuration() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    files = [path.relative_to(ROOT) for room in ("app", "hydra_plugins", "ser") for path in (ROOT / room).rglob("*.py")]
    expected = {".".join(path.parent.parts) for path in files} | {"ser.conf", "ser.pretrained"}
    assert setuptools["packages"] == sorted(expected)
    assert setuptools["package-dir"] == {"ser.conf": "conf"}
    data = setuptools["package-data"]
    rooms = {"ser.conf": "conf", "app": "app", "ser.evaluation": "ser/evaluation", "ser.eda": "ser/eda"}
    for package, folder in rooms.items():
        kept = {path for pattern in data[package] for path in (ROOT / folder).glob(pattern)}
        assert kept == {path for path in (ROOT / folder).rglob("*.*") if path.suffix in FURTHER}


def test_the_model_card_names_the_files_of_the_pretrained_model() -> None:
    card = (ROOT / "docs" / "model_cards" / "ser-ravdess.md").read_text(encoding="utf-8")
    files = list((ROOT / "ser" / "pretrained").glob("ser-ravdess.*"))
    assert len(files) == 3
    for path in files:
        content = path.read_bytes()
        assert f"| `{path.name}` | {len(content):,} | `{hashlib.sha256(content).hexdigest()}` |" in card
