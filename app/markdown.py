"""Text of visitors and of files, escaped for Markdown."""

import re


def plain(text: str) -> str:
    r"""Return Markdown that shows `text` character by character.

    >>> plain("my_voice_*1*.wav")
    'my\\_voice\\_\\*1\\*.wav'
    """
    return re.sub(r"([\\`*_{}\[\]()#|~<>$:&!])", r"\\\1", " ".join(text.split()))
