"""A digest of a component of one's own, which changes with its settings and its source: a part of keys of the cache."""

import hashlib
import io
import pickle
import pickletools
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

from ser.errors import SettingsError


class _SortingPickler(pickle.Pickler):
    """Pickles the members of a set in the order of their own pickles: each process has them in another one."""

    def persistent_id(self, value: Any) -> Any:
        is_set = isinstance(value, set | frozenset)
        return (type(value).__name__, *sorted(value, key=_pickled)) if is_set else None


def _pickled(value: Any) -> bytes:
    whole = io.BytesIO()
    _SortingPickler(whole).dump(value)
    return whole.getvalue()


def fingerprint(component: Any, *, where: str) -> str:
    """Return a digest of a component of one's own: its values, and the sources of the modules that it is made of.

    Parameters
    ----------
    where : its key, for messages.

    Raises
    ------
    SettingsError : worker processes could not be given it.
    """
    try:
        pickled = _pickled(component)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        reason = re.sub(r" at 0x\w+", "", str(error))
        raise SettingsError(
            f"{where} cannot be sent to worker processes ({reason}); make it of functions and classes that stand at "
            "the top of a module, not of lambdas."
        ) from error
    digest = hashlib.sha256(pickled)
    # Pickle names each module that it would import.
    named = {text for _, text, _ in pickletools.genops(pickled) if isinstance(text, str) and text in sys.modules}
    sources = {source for module in named if (source := _own_source(module))}
    folders = {source.parent for source in sources}
    # And what lies beside them, which they may import.
    beside = {source for module in list(sys.modules) if (source := _own_source(module)) and source.parent in folders}
    for source in sorted(sources | beside):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _own_source(module: str) -> Path | None:
    """Return the file of a module of one's own; None for ours, Python's and installed ones."""
    source = getattr(sys.modules[module], "__file__", None)
    if not source or module.partition(".")[0] in ("ser", "__main__"):
        return None
    path = Path(source)
    is_installed = "site-packages" in path.parts or path.is_relative_to(sysconfig.get_path("stdlib"))
    return None if is_installed or path.suffix != ".py" else path
