"""What a corpus holds against what RAVDESS should hold."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ser.corpora.manifest import CHANNELS, same_content
from ser.corpora.ravdess import EMOTIONS, N_ACTORS, expected_names, parse_stem
from ser.corpora.reading import find_reader

_LISTED = 5


def take_inventory(root: Path) -> tuple[str, bool]:
    """Return what lies below `root` as text, and whether it is all of RAVDESS.

    The text has the counts found / expected by channel, emotion and actor, then the files that are missing, left out,
    or equal byte by byte under different names.

    Raises
    ------
    CorpusError : `root` is not a folder.
    """
    found = find_reader("ravdess").find(root)
    names = [name for recording in found.recordings if (name := parse_stem(recording.id))]
    expected = [name for channel in CHANNELS for name in expected_names(channel)]
    missing = sorted(set(expected) - set(names))
    equal = same_content(recording.path for recording in found.recordings)
    lines = [f"{root}: {len(names)} recordings", "", f"{'found / expected':<18}{'speech':>14}{'song':>14}"]
    n_found, n_expected = (
        Counter((label, n.channel) for n in of_all for label in ("all", n.emotion, f"actor {n.actor:02d}"))
        for of_all in (names, expected)
    )
    for label in ("all", *EMOTIONS, *(f"actor {actor:02d}" for actor in range(1, N_ACTORS + 1))):
        cells = [f"{n_found[label, channel]} / {n_expected[label, channel]}" for channel in CHANNELS]
        lines.append(f"{label:<18}" + "".join(f"{cell:>14}" for cell in cells))
    lines += [
        "",
        _listing("missing", [name.stem for name in missing]),
        _listing("doubled by name, left out", list(map(str, found.doubled))),
        _listing("without a RAVDESS name, left out", list(map(str, found.foreign))),
        _listing("equal byte by byte under different names", [" = ".join(p.name for p in group) for group in equal]),
    ]
    return "\n".join(lines) + "\n", not missing


def _listing(label: str, items: Sequence[str]) -> str:
    shown = ", ".join(items[:_LISTED]) + (", ..." if len(items) > _LISTED else "")
    return f"{label}: {len(items)}" + (f" ({shown})" if items else "")
