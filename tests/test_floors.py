"""No known bad release can be installed: the floors of pyproject.toml exclude them, and so do the pins.

`make audit` asks the advisories of today; this table needs no network, and keeps a floor from being lowered again.
"""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ser.errors import EXTRA_OF

ROOT = Path(__file__).parents[1]

# Package, its last bad release where it is known, so that a floor above it excludes all before; advisory, reason.
DIRECT = (
    ("torch", "2.10.0", "CVE-2026-4538", "loading a .pt2 file deserialises what it should not"),
    ("lightning", "2.6.3", "CVE-2026-44484", "a malicious upload that collects credentials"),
    ("hydra-core", "1.3.2", "CVE-2026-68508", "instantiate could be brought to call what it should not"),
    ("streamlit", "1.36.0", "CVE-2024-42474", "static files: path traversal on Windows"),
    ("scikit-learn", "1.4.2", "CVE-2024-5206", "fitted vectorisers kept words of the training data"),
    ("pyarrow", "14.0.0", "CVE-2023-47248", "reading a Parquet or IPC file could run code"),
    ("onnx", "1.17.0", "CVE-2025-51480", "saving external data wrote any file"),
)
# What others bring along: pinned, not in pyproject.toml.
INDIRECT = (
    ("aiohttp", "3.13.2", "CVE-2025-69223", "a compressed request unpacked to any size"),
    ("filelock", "3.20.0", "CVE-2025-68146", "a link in the place of the lock truncated its target"),
    ("fonttools", "4.60.1", "CVE-2025-66034", "varLib wrote any file"),
    ("h11", "0.14.0", "CVE-2025-43859", "malformed chunks were accepted: request smuggling"),
    ("Jinja2", "3.1.5", "CVE-2025-27516", "a way out of the sandbox"),
    ("joblib", "1.1.0", "CVE-2022-21797", "pre_dispatch was evaluated"),
    ("pillow", "11.2.1", "CVE-2025-48379", "writing DDS overflowed a buffer"),
    ("protobuf", "6.31.0", "CVE-2025-4565", "nested messages exhausted the stack"),
    ("python-multipart", "0.0.17", "CVE-2024-53981", "a malformed upload stalled the server"),
    ("requests", "2.32.3", "CVE-2024-47081", "credentials of .netrc went to another host"),
    ("starlette", "1.0.1", "CVE-2026-48818", "static files on Windows opened network shares"),
    ("tqdm", "4.66.2", "CVE-2024-34062", "its command line evaluated arguments"),
    ("urllib3", "2.4.0", "CVE-2025-50181", "redirects could not be turned off for a pool"),
    ("Werkzeug", "3.0.5", "CVE-2024-49767", "forms could use memory beyond their bound"),
)
UNPINNED = {"ray", "wandb", "mlflow-skinny"}
"""What the extras for other people's services bring: the tests have stand-ins for them, or leave them out."""


OF_DEVELOPERS = ("dev", "docs")
"""The extras that no command needs."""


def floors():
    """Name -> what pyproject.toml allows of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    requirements = [Requirement(line) for line in lines]
    # An extra that takes in others names this project.
    return [(canonicalize_name(one.name), one.specifier) for one in requirements if one.name != project["name"]]


def pins():
    """Name -> version, of all requirement files; a name that they pin to several versions has them all."""
    found = {}
    for path in (*ROOT.glob("requirements*.txt"), ROOT / "app" / "requirements.txt"):
        for name, version in re.findall(r"^([\w.-]+)==(\S+)$", path.read_text(), re.MULTILINE):
            found.setdefault(canonicalize_name(name), set()).add(Version(version))
    return found


@pytest.mark.parametrize(("package", "bad", "advisory", "reason"), DIRECT)
def test_a_floor_excludes_a_bad_release(package, bad, advisory, reason):
    allowed = [specifier for name, specifier in floors() if name == package]
    assert allowed, f"{package} is not in pyproject.toml: the row is of no use here"
    for specifier in allowed:
        assert not specifier.contains(bad), f"{package} {bad} may be installed: {advisory}, {reason}"
        assert specifier.contains(max(pins()[package]))


@pytest.mark.parametrize(("package", "bad", "advisory", "reason"), [*DIRECT, *INDIRECT])
def test_a_pin_is_newer_than_a_bad_release(package, bad, advisory, reason):
    for version in pins()[canonicalize_name(package)]:
        assert version > Version(bad), f"{package} {version} is pinned: {advisory}, {reason}"


IMPORTED_AS = {
    "hydra-core": "hydra", "pyyaml": "yaml", "scikit-learn": "sklearn", "mlflow-skinny": "mlflow",
    "prometheus-client": "prometheus_client", "python-multipart": "python_multipart",
}  # fmt: skip


def test_a_package_that_is_missing_is_looked_for_in_an_extra_that_brings_it():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {
        extra: {Requirement(line).name for line in lines}
        for extra, lines in extras.items()
        if extra not in OF_DEVELOPERS
    }
    modules = {extra: {IMPORTED_AS.get(name, name) for name in names} for extra, names in brought.items()}
    assert [name for name, extra in EXTRA_OF.items() if name not in modules[extra]] == []
    assert set().union(*modules.values()) - EXTRA_OF.keys() == {
        "ser",
        "hydra-joblib-launcher",
        "hydra-submitit-launcher",
    }


def test_every_dependency_has_a_floor_and_a_pin():
    for name, specifier in floors():
        assert any(one.operator in (">=", "==") for one in specifier), f"{name} has no floor"
        assert name in pins().keys() | UNPINNED, f"{name} is not pinned"


def test_the_base_install_is_small_and_extras_bring_the_rest():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base, extras = project["dependencies"], project["optional-dependencies"]
    names = {canonicalize_name(Requirement(line).name) for line in base}
    assert names == {"numpy", "onnxruntime", "pydantic", "rich", "soundfile", "soxr", "threadpoolctl", "typer"}
    (everything,) = extras["all"]
    assert Requirement(everything).extras == extras.keys() - {"all", *OF_DEVELOPERS}
    floors_of = {}
    for lines in (base, *extras.values()):
        for one in map(Requirement, lines):
            floors_of.setdefault(one.name, set()).add(str(one.specifier))
    assert {name: each for name, each in floors_of.items() if len(each) > 1} == {}  # what two extras name has one floor
