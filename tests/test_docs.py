"""README and the pages of docs/ hold what they promise: links, names, commands that are understood.

What needs no network, GPU, cluster or container is run in tests/slow/test_docs.py.
"""

import importlib
import re
import shutil
import subprocess
import tomllib

import pytest
import typer
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.cli.hydra_command import _run_folder
from ser.cli.main import COMMANDS, HYDRA_COMMANDS, _identifier, _module
from tests.documentation import NEEDS, ROOT, WITH_TESTS_OF_THEIR_OWN, Block, blocks, imported_names, pages, summary

README = pages()["README.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ELSEWHERE = {"MODEL_CARD.md", "CONTRIBUTING.md", "CHANGELOG.md"}
SHELL = [block for block in blocks() if block.language == "sh"]
MARKED = [(block, line) for block in SHELL if block.needs for line in block.commands]
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")


def words_of(line: str) -> list[str]:
    """The words of a command, its placeholders such as <run> filled in, without what a shell does with it."""
    line = re.sub(r"<[\w -]+>", "placeholder", line)
    line = re.sub(r"\$\([^)]*\)|\$\w+", "value", line)
    words = [word.strip("'\"") for word in re.findall(r"(?:'[^']*'|\"[^\"]*\"|\S)+", line)]
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    return [word for word in words if word not in ("&", "<")]


def anchors_of(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_the_readme_is_short_and_begins_with_a_command_for_ones_own_file():
    assert len(README.split()) < 900
    assert any(line.startswith("ser predict hello.wav") for line in README.splitlines()[:25])
    assert re.findall(r"^## (.+)$", README, re.MULTILINE) == [
        "Try it", "Reproduce and extend", "Put it behind a product", "Results", "Limits", "Citation", "Licence",
    ]  # fmt: skip


@pytest.mark.parametrize(("term", "meaning"), [("UAR", "mean recall"), ("ECE", "mean gap between confidence and acc")])
@pytest.mark.parametrize("page", ["README.md", "docs/results/index.md"])
def test_a_term_is_defined_where_it_is_first_used(page, term, meaning):
    text = " ".join(pages()[page].split())
    assert meaning in text[text.index(term) : text.index(term) + 250]


def test_the_readmes_results_are_few_and_have_protocol_and_command():
    (table,) = re.findall(r"^\| model, protocol \| command \|.*?\n\n", README, re.MULTILINE | re.DOTALL)
    rows = table.strip().splitlines()[2:]
    assert 0 < len(rows) <= 6
    assert all(len(row.strip("|").split("|")) == 5 for row in rows)


def test_the_readmes_badges_are_true():
    assert (ROOT / ".github" / "workflows" / "tests.yml").is_file()
    assert README.count("actions/workflows/tests.yml") == 2
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert f"badge/python-{lowest}%20or%20later-" in README
    assert f"badge/licence-{PROJECT['license']}-" in README
    assert README.count("img.shields.io") == 2


def test_pictures_are_small_and_described():
    pictures = [*(ROOT / "docs" / "images").iterdir()]
    assert ROOT / "docs" / "images" / "app.png" in pictures
    assert [path.name for path in pictures if path.stat().st_size > 200_000] == []
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img [^>]*>", README))


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    for target, picture in LINK.findall(re.sub(r"^```.*?^```", "", pages()[page], flags=re.MULTILINE | re.DOTALL)):
        path, _, anchor = (target or picture).partition("#")
        if re.match(r"https?:|\.\./\.\./actions/", path):
            continue
        aim = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert aim.exists(), f"{page}: {target}"
        assert aim.is_relative_to(ROOT / "docs") or page == "README.md" or aim.name in ELSEWHERE, f"{page}: {target}"
        if anchor and "reference" not in path and not page.startswith("docs/reference/"):
            assert anchor in anchors_of(aim.read_text(encoding="utf-8")), f"{page}: {target}"


def test_every_page_is_in_the_navigation():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for each in (entry.values() if isinstance(entry, dict) else entry) for file in files(each)]

    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = files(yaml.safe_load(site)["nav"])
    of_the_root = {name.lower() for name in ELSEWHERE}
    there = {page.removeprefix("docs/") for page in pages() if page.startswith("docs/")}
    assert sorted(named) == sorted(there | of_the_root)


def test_the_versions_of_the_site_are_those_of_the_project():
    def pins(name):
        return dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    site, project = pins("requirements-docs.txt"), pins("requirements.txt") | pins("requirements-dev.txt")
    assert {name: pin for name, pin in site.items() if project.get(name, pin) != pin} == {}


@pytest.mark.parametrize("page", [page for page in pages() if page.startswith("docs/reference/")])
def test_the_reference_names_what_is_there_and_explained(page):
    for name in re.findall(r"^::: (\S+)$", pages()[page], re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "python"], ids=str)
def test_a_snippet_compiles_and_what_it_imports_of_ser_is_there(block: Block):
    for module, name in imported_names(block.text):
        if module.partition(".")[0] == "ser":
            assert name is None or hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_shell_blocks_are_understood_by_a_shell():
    script = "\n".join(re.sub(r"<[\w -]+>", "placeholder", block.text) for block in SHELL)
    done = subprocess.run([str(shutil.which("bash")), "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_markers_are_known_and_their_number_is_stated(capsys):
    assert {need for block in blocks() for need in block.needs} <= set(NEEDS)
    with capsys.disabled():
        print(f"\n{summary()}")
    assert summary() in " ".join(pages()["docs/tested.md"].split()), f"docs/tested.md should say: {summary()}."
    assert all(f"`{need}`" in pages()["docs/tested.md"] for block in blocks() for need in block.needs)


def test_pages_with_tests_of_their_own_are_named_there():
    for page, file in WITH_TESTS_OF_THEIR_OWN.items():
        assert page in pages()
        assert page in (ROOT / file).read_text(encoding="utf-8")
        assert [str(block) for block in blocks() if block.page == page and block.needs] == []


def _check_ser(words: list[str]) -> None:
    name, *rest = words
    if name in HYDRA_COMMANDS:
        launcher = ("hydra/launcher=", "hydra.launcher")  # in a package of its own
        overrides = [word for word in rest if "=" in word and not word.startswith(("-", *launcher))]
        overrides = [re.sub(r"=([^,\[{]+),[^\[{]*$", r"=\1", word) for word in overrides]  # of a sweep's list the first
        OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            compose(_identifier(name), [*overrides, "paths.run_dir=other"] if name == "train" else overrides)
        return
    assert name in COMMANDS, name
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(getattr(_module(name), _identifier(name)))
    typer.main.get_command(alone).make_context(name, rest)


def _check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    for word in words[1:]:
        if match := re.fullmatch(r"(?:\.|ser)(?:\[(.+)\])?", word):
            assert set((match[1] or "all").split(",")) <= PROJECT["optional-dependencies"].keys(), word


def _check_docker(words: list[str]) -> None:
    if words[0] == "build":
        file = words[words.index("--file") + 1] if "--file" in words else "Dockerfile"
        assert (ROOT / file).is_file()
        assert words[-1] == "."
    else:
        built = [line.split()[line.split().index("--tag") + 1] for _, line in MARKED if line.startswith("docker build")]
        assert words[0] == "run"
        assert words[-1] in built


def _check_torchrun(rest):
    _check_ser(["train", *rest[rest.index("train.py") + 1 :]])


CHECKS = {"ser": _check_ser, "torchrun": _check_torchrun, "pip": _check_pip, "docker": _check_docker}


@pytest.mark.parametrize(("block", "line"), MARKED, ids=lambda value: str(value)[:60])
def test_a_command_that_is_not_run_is_understood(block, line):
    for each in line.split(" && "):
        program, *rest = words_of(each)
        if program in CHECKS:
            CHECKS[program](rest)
        else:
            assert program in ("git", "cd", "python", "python3", "source", "jupyter"), program
            assert program != "python" or (ROOT / rest[0]).is_file()
            assert program != "jupyter" or (ROOT / rest[-1]).is_file()


@pytest.mark.parametrize("page", pages())
def test_commands_in_the_text_name_what_is_there(page):
    for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", pages()[page]):
        program, *rest = code.split() or [""]
        if program == "ser" and rest:
            assert rest[0] in {*HYDRA_COMMANDS, *COMMANDS, "--help", "--install-completion"}, code
        elif program == "python" and rest and rest[0].endswith(".py"):
            assert (ROOT / rest[0]).is_file(), code
        elif program == "make" and len(rest) == 1:
            assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), code
        elif re.fullmatch(r"(?:ser|app|conf|tests|benchmarks)/[\w./]+", program) and not rest:
            assert (ROOT / program).exists(), code
