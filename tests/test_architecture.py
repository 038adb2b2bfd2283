"""The rooms hold: imports run in one direction, and nothing heavy is brought in where it is not needed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "errors", "audio", "features", "augment", "corpora", "data", "models", "inference", "evaluation", "eda", "training",
    "server", "cli",
)  # fmt: skip
"""A room imports from the rooms left of it, and from itself. app/ imports from all of them, and none from app/."""
TORCH_BACKED = {"torch_backend", "checkpoint", "export", "pretrained"}
"""Modules of inference/ that are imported only once a model of torch is loaded, or named for it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for folder in ("ser", "app") for path in sorted((ROOT / folder).rglob("*.py"))}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def statements(node: ast.AST, *, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports below `node`, with `lazy` those in functions too; but for those of type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not is_for_types_only(child) and (lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from statements(child, lazy=lazy)


def imports_of(name: str, *, lazy: bool) -> set[str]:
    """Return the full names of the modules that a module imports, our own and others."""
    found: set[str] = set()
    for statement in statements(ast.parse(MODULES[name].read_text(encoding="utf-8")), lazy=lazy):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f"{name} has a relative import"
        below = {f"{statement.module}.{alias.name}" for alias in statement.names}
        found |= {one if one in MODULES else str(statement.module) for one in below}
    return found


def packages_of(name: str, *, lazy: bool) -> set[str]:
    return {one.partition(".")[0] for one in imports_of(name, lazy=lazy)}


def room_of(module: str) -> str | None:
    """Return the room of one of our modules; None for ser itself, its __main__, and what is not in ser."""
    top, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return room if top == "ser" and room not in ("", "__main__", "pretrained") else None


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name)])
def test_a_room_imports_only_from_those_before_it(name: str) -> None:
    allowed = {*ROOMS[: ROOMS.index(room_of(name)) + 1], None}
    found = imports_of(name, lazy=True)
    assert sorted(one for one in found if room_of(one) not in allowed or one.partition(".")[0] == "app") == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {name: imports_of(name, lazy=False) & set(MODULES) - {name} for name in MODULES}
    left = dict(arrows)
    while ends := {name for name, targets in left.items() if not targets & set(left)}:
        for name in ends:
            del left[name]
    assert left == {}, "what is left imports itself in a circle"


def test_only_three_modules_lie_in_no_room() -> None:
    assert {path.name for path in (ROOT / "ser").glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}
    rooms = {path.parent.name for path in (ROOT / "ser").glob("*/__init__.py")}
    assert rooms <= {*ROOMS, "pretrained"}


@pytest.mark.parametrize(
    ("room", "banned"),
    [
        ("models", {"lightning", "hydra"}),
        ("inference", {"lightning", "hydra", "omegaconf", "sklearn"}),
        ("server", {"lightning", "hydra", "omegaconf", "sklearn", "torch"}),
    ],
)
def test_what_predicts_needs_no_training(room: str, banned: set[str]) -> None:
    names = [name for name in MODULES if room_of(name) == room]
    assert names
    assert [name for name in names if packages_of(name, lazy=True) & banned] == []


def test_torch_is_imported_where_a_model_of_torch_is_loaded() -> None:
    names = [name for name in MODULES if room_of(name) == "inference"]
    found = {name.rpartition(".")[2] for name in names if packages_of(name, lazy=False) & {"torch", "safetensors"}}
    assert found <= TORCH_BACKED
    app = [name for name in MODULES if name.partition(".")[0] == "app"]
    assert [name for name in app if "torch" in packages_of(name, lazy=True)] == []
