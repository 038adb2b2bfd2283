"""The file that keeps the trials of `ser tune`."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

STUDY = "ser"
"""The name of the study in its file, which has one."""
PRUNED_AT = "pruned_at"
"""The attribute of a trial that was ended early: after which epoch."""


def open_journal(path: Path) -> "optuna.storages.BaseStorage":
    """Return the storage in the file `path`, which is made where it is missing; several processes may write to it.

    What a kill or a power cut has left of a last line is cut off: Optuna would refuse the file once more is written.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileOpenLock(str(path))
    if path.is_file():
        lock.acquire()
        try:
            with path.open("rb+") as file:
                content = file.read()
                if not content.endswith(b"\n"):
                    file.truncate(content.rfind(b"\n") + 1)
        finally:
            with suppress(RuntimeError):  # another process has waited for it too long, and taken it
                lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
