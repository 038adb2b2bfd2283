"""Pages of the site that lie elsewhere in the repository, and links that work both there and here."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"MODEL_CARD.md": "model_card.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""File at the root of the repository -> page of the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie at the root; there, their links begin at the root."""
    for name, page in ELSEWHERE.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files at the root, which work in the repository, into links to their pages."""
    up = "../" * page.file.src_uri.count("/")
    for name, target in ELSEWHERE.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(name)}(#[^)]*)?\)", rf"]({up}{target}\1)", markdown)
    return markdown
