"""What a corpus holds against what RAVDESS should hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.corpora.manifest import FoundFiles, find_files, same_content
from ser.corpora.ravdess import CHANNELS, EMOTIONS, N_ACTORS, RecordingName, expected_names

_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The files below `root`, what is missing of RAVDESS, and the groups of recordings that are equal byte by byte."""

    root: Path
    found: FoundFiles
    missing: tuple[RecordingName, ...]
    equal: tuple[tuple[Path, ...], ...]

    @property
    def is_complete(self) -> bool:
        return not self.missing


def take_inventory(root: Path) -> Inventory:
    """Look through `root`, reading the content of files of equal size; raises CorpusError where it is not a folder."""
    found = find_files(root)
    present = {recording.name for recording in found.recordings}
    expected = [name for channel in CHANNELS for name in expected_names(channel)]
    return Inventory(
        root=root,
        found=found,
        missing=tuple(name for name in expected if name not in present),
        equal=tuple(same_content(recording.path for recording in found.recordings)),
    )


def format_inventory(inventory: Inventory) -> str:
    """Return the inventory as text: counts found/expected by channel, emotion and actor, then what is odd."""
    names = [recording.name for recording in inventory.found.recordings]
    expected = {channel: expected_names(channel) for channel in CHANNELS}
    lines = [f"{inventory.root}: {len(names)} recordings", "", f"{'found / expected':<18}{'speech':>14}{'song':>14}"]
    lines.append(_line("all", names, expected, lambda name: True))
    lines += [_line(emotion, names, expected, lambda name, e=emotion: name.emotion == e) for emotion in EMOTIONS]
    lines += [
        _line(f"actor {actor:02d}", names, expected, lambda name, a=actor: name.actor == a)
        for actor in range(1, N_ACTORS + 1)
    ]
    lines.append("")
    lines.append(_listing("missing", [name.stem for name in inventory.missing]))
    lines.append(_listing("doubled by name, left out", list(map(str, inventory.found.doubled))))
    lines.append(_listing("without a RAVDESS name, left out", list(map(str, inventory.found.foreign))))
    equal = [" = ".join(path.name for path in group) for group in inventory.equal]
    lines.append(_listing("equal byte by byte under different names", equal))
    return "\n".join(lines) + "\n"


def _line(
    label: str,
    names: Sequence[RecordingName],
    expected: dict[str, list[RecordingName]],
    wanted: Callable[[RecordingName], bool],
) -> str:
    cells = []
    for channel, all_names in expected.items():
        here = sum(wanted(name) for name in names if name.channel == channel)
        cells.append(f"{here} / {sum(map(wanted, all_names))}")
    return f"{label:<18}" + "".join(f"{cell:>14}" for cell in cells)


def _listing(label: str, items: Sequence[str]) -> str:
    shown = ", ".join(items[:_LISTED]) + (", ..." if len(items) > _LISTED else "")
    return f"{label}: {len(items)}" + (f" ({shown})" if items else "")
