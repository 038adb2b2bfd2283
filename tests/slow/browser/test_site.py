"""The site of docs/ as `make docs` builds it: axe-core's rules of WCAG 2 A and AA on pages of every kind."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from benchmarks.app_server import ROOT, free_port, serving
from tests.slow.browser.test_accessibility import DESKTOP, serious_faults
from tests.slow.browser.test_answers import PHONE

PAGES = ("", "get_started/", "guides/evaluate/", "guides/predict/", "results/", "reference/prediction/")
"""Home, first steps, a guide with a table, one with much code, wide tables, the reference of an API."""
PACKAGES = ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers.python")


def is_missing(package):
    try:
        return find_spec(package) is None
    except ModuleNotFoundError:  # what it is a part of is missing
        return True


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the site, built and served."""
    if missing := [package for package in PACKAGES if is_missing(package)]:
        pytest.skip(f"not installed: {', '.join(missing)}; `make docs` installs what is needed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind=127.0.0.1", f"--directory={folder / 'site'}"]
    address = f"http://127.0.0.1:{port}"
    with serving(command, address, folder / "log", folder=folder, environment={}, health="/index.html"):
        yield address


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_fault_on_the_site(site, context, device, theme):
    page = context(color_scheme=theme, **device).new_page()
    found = []
    for name in PAGES:
        answer = page.goto(f"{site}/{name}")
        assert answer.ok, name
        page.wait_for_timeout(300)  # the tabs fade in
        found += [f"{name}: {fault}" for fault in serious_faults(page)]
    assert found == []
