"""Docstrings of this project for mkdocstrings: `name : text` describes a parameter, where numpy has a type.

The types are in the signatures, so after the colon stands what the value is for.
"""

import re
from typing import Any

import griffe

SECTION = re.compile(
    r"^(?P<indent> *)(?:Parameters|Attributes|Returns|Raises|Yields)\n(?P=indent)-{3,}\n(?:.*\S.*\n?|\n(?= ))*",
    re.MULTILINE,
)
ITEM = re.compile(r"^(?P<indent> *)(?P<names>\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*) : (?P<text>.+)$", re.MULTILINE)

EXAMPLE = re.compile(r"^>>> (?:.*\S.*\n?)+", re.MULTILINE)


def as_numpy(text: str) -> str:
    """Put the text after a name into lines of its own, where numpy's style looks for a description.

    >>> print(as_numpy("Parameters\\n----------\\nrate : in Hz,\\n    positive.\\n"))
    Parameters
    ----------
    rate
        in Hz,
        positive.
    <BLANKLINE>
    """
    if "\nExamples\n---" not in text:  # which mkdocstrings finds by itself
        text = EXAMPLE.sub(lambda example: f"```pycon\n{example[0].rstrip()}\n```\n", text)
    return SECTION.sub(lambda section: ITEM.sub(r"\g<indent>\g<names>\n\g<indent>    \g<text>", section[0]), text)


class NamesAndTexts(griffe.Extension):
    """Rewrite every docstring that has a section, before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_numpy(obj.docstring.value)
