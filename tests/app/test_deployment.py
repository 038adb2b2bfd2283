"""What Streamlit Community Cloud and the Dockerfile install and copy is enough for the app, and all that it needs.

That an image of it answers an upload is in tests/slow/browser/test_deployment.py.
"""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.command_line import ROOT

APP_REQUIREMENTS = ROOT / "app" / "requirements.txt"

GUARD = """
# Makes an interpreter behave as if packages were not installed that are not in app/requirements.txt; read at its start.
import sys

sys.modules.update(dict.fromkeys({hidden!r}))
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
"""


def read_requirements(path: Path) -> dict[str, str]:
    """Name -> version of a file in which every line pins one."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "-r "))]
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.+]*)", line) for line in lines]
    assert all(pins), f"{path.name} has a line that pins nothing"
    return {canonicalize_name(pin[1]): pin[2] for pin in pins}


def read_dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile and what follows them."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    return re.findall(r"^([A-Z]+) +(.+)$", text, flags=re.MULTILINE)


def arguments_of(instruction: str) -> list[str]:
    (found,) = [rest for name, rest in read_dockerfile() if name == instruction]
    return json.loads(found[found.index("[") :])


def copy_image(folder: Path) -> Path:
    """Copy the files that the Dockerfile copies into `folder`, but those that .dockerignore keeps back."""
    ignored, *lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    for source, target in [rest.split() for name, rest in read_dockerfile() if name == "COPY"]:
        assert {source, *map(str, Path(source).parents)} & let_through, f".dockerignore keeps {source} back"
        place = folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    return folder


def write_guard(folder: Path) -> Path:
    """Fill a folder that, on PYTHONPATH, hides every package that app/requirements.txt does not name."""
    wanted, installed = set(read_requirements(APP_REQUIREMENTS)), importlib.metadata.packages_distributions()
    hidden = {module for module, names in installed.items() if not wanted & set(map(canonicalize_name, names))}
    (folder / "sitecustomize.py").write_text(GUARD.format(hidden=hidden - {"ser", "app"}))
    return folder


def test_versions_are_those_that_the_project_is_tested_with():
    tested = read_requirements(ROOT / "requirements.txt") | read_requirements(ROOT / "requirements-dev.txt")
    pinned = read_requirements(APP_REQUIREMENTS)
    assert pinned == {name: tested.get(name) for name in pinned}


def test_requirements_are_complete_and_hold_no_more_than_is_needed():
    imported = "numpy onnxruntime pandas pyarrow pydantic soundfile soxr starlette streamlit threadpoolctl"
    needed, reached = set(imported.split()), set()  # those that app/ and ser import, and what they need in turn
    while needed - reached:
        name = (needed - reached).pop()
        reached.add(name)
        requirements = [Requirement(line) for line in importlib.metadata.requires(name) or []]
        needed |= {canonicalize_name(one.name) for one in requirements if one.marker is None or one.marker.evaluate()}
    assert set(read_requirements(APP_REQUIREMENTS)) == needed


def test_the_image_and_its_packages_alone_are_enough_to_predict(tmp_path):
    image, guard = tmp_path / "image", tmp_path / "guard"
    image.mkdir()
    guard.mkdir()
    modules = [f"app.{path.stem}" for path in (ROOT / "app").glob("[a-z]*.py") if path.stem != "app"]
    program = (
        f"import {', '.join(modules)}\nfrom ser.inference.predictor import Predictor\nPredictor.load('ser-ravdess')\n"
        "try: import torch\nexcept ImportError as error: print(error)"
    )
    environment = {"PYTHONPATH": f"{write_guard(guard)}:{copy_image(image)}"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=image, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "import of torch halted; None in sys.modules"


def test_the_server_keeps_uploads_small_and_visitors_private():
    settings = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text())
    assert settings["server"].items() >= {"maxUploadSize": 20, "enableXsrfProtection": True}.items()
    assert not settings["browser"]["gatherUsageStats"]
    assert "serverAddress" in settings["browser"]  # else the server asks another for its address when it starts
    assert settings["client"]["showErrorDetails"] == "none"


def test_image_is_of_exact_packages_and_no_root():
    instructions = read_dockerfile()
    (base,) = [rest for name, rest in instructions if name == "FROM"]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    (install,) = [rest for name, rest in instructions if name == "RUN" and "pip" in rest]
    assert install.endswith("--requirement app/requirements.txt")
    (user,) = [rest for name, rest in instructions if name == "USER"]
    assert int(user) != 0
    names = [name for name, _ in instructions]
    assert names.index("USER") < names.index("CMD")
    assert max(place for place, name in enumerate(names) if name in ("RUN", "COPY")) < names.index("USER")


def test_image_holds_neither_secrets_nor_models(tmp_path):
    image = copy_image(tmp_path)
    files = {path.relative_to(image).as_posix() for path in image.rglob("*") if path.is_file()}
    assert {"app/app.py", "ser/inference/predictor.py", "app/.streamlit/config.toml", "LICENSE"} <= files
    assert not [file for file in files if file.endswith((".ckpt", ".wav", ".flac", ".pyc", "secrets.toml"))]
