"""The code blocks of the README, the model card and docs/: what there is, what each needs, and its commands."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDS = {
    "network": "a package registry, a hub of models, a corpus to download",
    "gpu": "one GPU or more",
    "cluster": "a cluster of machines",
    "container": "a container engine",
    "corpus": "a real corpus",
    "packages": "a package that the tests do not install",
}
"""What a marked block may need that the tests do not have: `<!-- needs: network -->` in the line before the block."""
WITH_TESTS_OF_THEIR_OWN = {
    "docs/guides/extend.md": "tests/training/test_own_classes.py",
    "docs/guides/fine_tuning.md": "tests/slow/test_fine_tuning.py",
    "docs/guides/own_recordings.md": "tests/slow/test_own_recordings.py",
    "docs/guides/several_corpora.md": "tests/slow/test_several_corpora.py",
}
"""Pages whose commands tell a story of their own -> the file that runs them."""
_FENCE = re.compile(
    r"(?:^<!-- needs: (?P<needs>[\w, ]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"(?:^|\s+)#(?: .*)?$")


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes
    ----------
    page : from the root of the repository, such as "docs/guides/train.md".
    line : of the page, where its text begins.
    language : "sh", "python", "yaml", ...; "" where none is named.
    needs : what the tests do not have, keys of `NEEDS`; empty: it is run.
    """

    page: str
    line: int
    language: str
    text: str
    needs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, without comments; a line that ends in a backslash goes on in the next."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for each in lines if (line := " ".join(_COMMENT.sub("", each).split()))]

    @property
    def n_checked(self) -> int:
        """How many commands and snippets it counts for."""
        return len(self.commands) if self.language == "sh" else 1


@cache
def pages() -> dict[str, str]:
    """Return README.md, MODEL_CARD.md and every page of docs/, by its path from the root -> its text."""
    found = [ROOT / "README.md", ROOT / "MODEL_CARD.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}


@cache
def blocks() -> tuple[Block, ...]:
    """Return the shell and Python blocks of all pages, in order."""
    return tuple(
        Block(
            page=page,
            line=text.count("\n", 0, match.start("text")) + 1,
            language=match["language"],
            text=match["text"],
            needs=tuple(each.strip() for each in match["needs"].split(",")) if match["needs"] else (),
        )
        for page, text in pages().items()
        for match in _FENCE.finditer(text)
        if match["language"] in ("sh", "python")
    )


def imported_names(code: str) -> list[tuple[str, str | None]]:
    """Return (module, name) of the imports of a snippet; the name is None for `import module`."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [(each.name, None) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, each.name) for each in node.names]
    return found


def summary() -> str:
    """Return how many commands and snippets there are, and how many of them are not run, by what they need."""
    marked = [block for block in blocks() if block.needs]
    total, n_marked = (sum(block.n_checked for block in some) for some in (blocks(), marked))
    by_need = {need: sum(block.n_checked for block in marked if need in block.needs) for need in NEEDS}
    listed = ", ".join(f"{need} {number}" for need, number in by_need.items() if number)
    return f"{total} commands and snippets, of which {total - n_marked} are run and {n_marked} are not: {listed}"
