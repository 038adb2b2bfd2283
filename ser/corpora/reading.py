"""From a name or a path to recordings: the readers by name, the manifest, readers of one's own."""

import hashlib
import json
import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser.corpora import readers
from ser.corpora.manifest import CHANNELS, Recording
from ser.corpora.manifest_file import LabelMap, read_manifest
from ser.corpora.ravdess import ROOT_VARIABLE, corpus_root
from ser.corpora.reader import Reader
from ser.corpora.synthetic import write_synthetic_corpus
from ser.errors import CorpusError, SettingsError
from ser.features.validation import as_plain, suggestion

if TYPE_CHECKING:
    from ser.corpora.selection import DataSettings

MANIFEST, SYNTHETIC = "manifest", "synthetic"
OwnReader = Callable[[Path], Iterable[Recording]]
"""A reader of one's own: from the folder of a corpus to its recordings."""


@cache
def reader_names() -> tuple[str, ...]:
    """Return the names of the corpora that have a reader: the files of `ser.corpora.readers`."""
    return tuple(file.name for file in pkgutil.iter_modules(readers.__path__) if not file.name.startswith("_"))


def find_reader(name: str) -> Reader:
    """Return the reader of a corpus by its name.

    Raises
    ------
    SettingsError : there is none.
    """
    if name not in reader_names():
        raise SettingsError(f"There is no corpus {name!r}; {suggestion(name, reader_names())}.")
    found: Reader = import_module(f"{readers.__name__}.{name}").READER
    return found


def corpus_names() -> tuple[str, ...]:
    """Return what `data.corpus` may be."""
    return (*reader_names(), SYNTHETIC, MANIFEST)


def classes_of(corpus: str) -> tuple[str, ...] | None:
    """Return the emotions of a corpus; None for a manifest, whose labels only its rows tell."""
    return None if corpus == MANIFEST else find_reader("ravdess" if corpus == SYNTHETIC else corpus).classes


def find_recordings(
    place: Path, corpus: str = "ravdess", *, reader: OwnReader | None = None, label_map: LabelMap | None = None
) -> list[Recording]:
    """Return the recordings of a manifest (the file `place`), or of a corpus in the folder `place`.

    Parameters
    ----------
    corpus : whose reader is used, by name.
    reader : one of one's own, used instead.
    label_map : label -> name of the class; None leaves the recording out.

    Raises
    ------
    CorpusError : as the reader, or `read_manifest`.
    SettingsError : `label_map` names a label that no recording has.
    """
    if reader is not None:
        return relabelled(_read_own(reader, place), label_map or {})
    if place.is_file() or corpus == MANIFEST:
        return read_manifest(place, label_map=label_map)
    by_name = corpus if corpus in reader_names() else "ravdess"
    return relabelled(find_reader(by_name)(place), label_map or {})


def read_corpus(settings: "DataSettings", root: Path) -> list[Recording]:
    """Return the recordings of the settings' corpus at `root`, as `locate_corpus` gives it.

    Raises
    ------
    CorpusError : the corpus is not as it should be; it names the file or the row.
    SettingsError : `data.label_map` names a label that no recording has.
    """
    return find_recordings(root, settings.corpus, reader=settings.reader, label_map=settings.label_map)


def relabelled(recordings: list[Recording], label_map: LabelMap) -> list[Recording]:
    """Return recordings by the names that `label_map` gives to their labels; None leaves a recording out.

    Raises
    ------
    SettingsError : it names a label that no recording has.
    """
    if not label_map:
        return recordings
    labels = {recording.emotion for recording in recordings}
    for label in label_map:
        if label not in labels:
            raise SettingsError(f"data.label_map has {label!r}; {suggestion(label, sorted(labels))}.")
    mapped = [(recording, label_map.get(recording.emotion, recording.emotion)) for recording in recordings]
    return [replace(recording, emotion=emotion) for recording, emotion in mapped if emotion is not None]


def _read_own(reader: OwnReader, root: Path) -> list[Recording]:
    """Return what a reader of one's own finds below `root`.

    Raises
    ------
    CorpusError : none, or something else than recordings of our channels, each with an id of its own.
    """
    found = reader(root)
    if not isinstance(found, Iterable):
        raise CorpusError(f"data.reader returned {found!r}, but should return recordings, or yield them.")
    recordings, names = list(found), set[str]()
    for one in recordings:
        if not isinstance(one, Recording):
            raise CorpusError(f"data.reader returned {one!r}, but should return ser.corpora.manifest.Recording alone.")
        if not isinstance(one.emotion, str) or not one.emotion.strip() or not one.emotion.isprintable():
            raise CorpusError(f"{one.path} has emotion {one.emotion!r} by data.reader; give it a label of a few words.")
        if one.channel not in CHANNELS:
            raise CorpusError(
                f"{one.path} has channel {one.channel!r} by data.reader; {suggestion(one.channel, CHANNELS)}."
            )
        if one.id in names:
            raise CorpusError(f"{one.path} has the id {one.id!r} by data.reader, as another has; make each unique.")
        names.add(one.id)
    if not recordings:
        raise CorpusError(f"{root} holds no recording by data.reader.")
    return recordings


def locate_corpus(settings: "DataSettings", *, data_dir: Path) -> Path:
    """Return the folder of the corpus, or the file of the manifest; write or download what the settings say.

    Parameters
    ----------
    data_dir : the folder of corpora that no setting names: `ravdess` and `synthetic-<digest>` below it.

    Raises
    ------
    CorpusError, DownloadError : the corpus is not there and cannot be had.
    """
    if settings.reader is not None:
        root = Path(str(settings.root)).expanduser()
        if not root.is_dir():
            raise CorpusError(f"data.root is {settings.root!r}, but should be the folder that data.reader reads.")
        return root
    if settings.corpus == MANIFEST:
        return Path(str(settings.manifest)).expanduser()
    if settings.corpus == SYNTHETIC:
        digest = hashlib.sha256(json.dumps(as_plain(settings.synthetic)).encode()).hexdigest()[:8]
        root = Path(settings.root) if settings.root else data_dir / f"synthetic-{digest}"
        return write_synthetic_corpus(root, settings.synthetic)
    if settings.corpus != "ravdess":
        return _locate_by_name(settings, data_dir)
    root, named = corpus_root(settings.root, default=data_dir / "ravdess")
    if named or not settings.download:
        if not root.is_dir():
            raise CorpusError(
                f"{root} is not a folder; set data.root or {ROOT_VARIABLE} to the folder that holds RAVDESS, or leave "
                "both unset, and data.download=true, to download it."
            )
        return root
    present = {r.channel for r in find_reader("ravdess").find(root).recordings} if root.is_dir() else set()
    # By channel: a download that was killed between its two archives has left one of them.
    if missing := tuple(channel for channel in settings.channels if channel not in present):
        from ser.corpora.download import download_corpus  # an HTTP client, which hardly any run needs

        download_corpus(root, channels=missing)
    return root


def _locate_by_name(settings: "DataSettings", data_dir: Path) -> Path:
    variable = f"{settings.corpus.upper()}_ROOT"
    named = settings.root or os.environ.get(variable)
    root = Path(named).expanduser() if named else data_dir / settings.corpus
    if not root.is_dir():
        reader = find_reader(settings.corpus)
        raise CorpusError(
            f"{root} is not a folder; set data.root or {variable} to the folder that holds {reader.title}, which is to "
            f"be had from {reader.source}."
        )
    return root


def corpus_in(configuration: Mapping[str, Any]) -> tuple[str, dict[str, str | None]]:
    """Return the name of the corpus and the label map that a model's configuration has; others are ignored."""
    data = configuration.get("data")
    data = data if isinstance(data, Mapping) else {}
    corpus, label_map = data.get("corpus"), data.get("label_map")
    known = corpus if isinstance(corpus, str) and corpus in corpus_names() else "ravdess"
    plain = dict(label_map) if isinstance(label_map, Mapping) else {}
    return known, {str(key): value for key, value in plain.items() if value is None or isinstance(value, str)}
