"""What a reader of a corpus is: facts of the corpus, and a function from the path of a file to its recording."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ser.audio.folder import find_sound_files
from ser.corpora.manifest import Recording
from ser.errors import CorpusError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FoundFiles:
    """Every sound file below a root.

    Attributes
    ----------
    recordings : one for each name, sorted by name, so in the same order on every machine.
    doubled : further files that bear the name of one of `recordings` (Kaggle's copy of RAVDESS holds every file twice).
    foreign : sound files that the grammar of the corpus does not know.
    defective : files that are known to be wrong, with the reason.
    """

    recordings: list[Recording]
    doubled: list[Path]
    foreign: list[Path]
    defective: dict[Path, str]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A corpus that is known by the names of its files.

    Called with the folder of the corpus, it returns its recordings, so it is also what `data.reader` takes.

    Attributes
    ----------
    title : how people call the corpus.
    parse : the path of a sound file to its recording, None where the file is none of the corpus. What it needs of
        folders it takes from the name of the nearest one.
    example : the name of a file.
    classes : the emotions.
    n_recordings, n_speakers : of the complete corpus; None where it is not sure.
    defects : id of a recording -> why it is left out.
    notes : what to know before a figure is quoted.
    licence, citation, source : its terms, what to cite, where to get it.
    """

    title: str
    parse: Callable[[Path], Recording | None]
    example: str
    classes: tuple[str, ...]
    n_recordings: int | None = None
    n_speakers: int | None = None
    defects: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    source: str = ""

    def find(self, root: Path) -> FoundFiles:
        """Look through `root` in any layout: as published, doubled, flat; all formats that can be read.

        Where a name occurs twice, the file that lies least deep is taken.

        Raises
        ------
        CorpusError : `root` is not a folder.
        """
        if not root.is_dir():
            raise CorpusError(f"{root} is not a folder; set data.root to the folder that holds {self.title}.")
        found = FoundFiles(recordings=[], doubled=[], foreign=[], defective={})
        parsed: list[Recording] = []
        for path in find_sound_files(root):
            recording = self.parse(path)
            if recording is None:
                found.foreign.append(path)
            else:
                parsed.append(recording)
        for one in sorted(parsed, key=lambda one: (one.id, len(one.path.parts), one.path)):
            if reason := self.defects.get(one.id):
                found.defective[one.path] = reason
            elif found.recordings and found.recordings[-1].id == one.id:
                found.doubled.append(one.path)
            else:
                found.recordings.append(one)
        return found

    def __call__(self, root: Path) -> list[Recording]:
        """Return the recordings below `root`, sorted by name; log which files are left out.

        Raises
        ------
        CorpusError : `root` is not a folder, or holds no file of the corpus.
        """
        found = self.find(root)
        if not found.recordings:
            raise CorpusError(
                f"{root} holds no {self.title} recording (such as {self.example}); "
                f"{len(found.foreign)} sound files have other names."
            )
        if found.doubled:
            log.info("%s: %d doubled files are left out, such as %s", root, len(found.doubled), found.doubled[0])
        for path, reason in found.defective.items():
            log.warning("%s is left out: %s", path, reason)
        if found.foreign:
            n_foreign, first = len(found.foreign), found.foreign[0]
            log.warning(
                "%s: %d files without a name of %s are left out, such as %s", root, n_foreign, self.title, first
            )
        return found.recordings
