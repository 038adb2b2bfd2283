"""The feature cache: recordings to features, by all cores, made once and kept on disk.

An entry is one file, written whole or not at all, and checked when it is read. So a killed run loses only the entry
that it was writing, two runs may fill one cache at once, and a sweep over other settings finds what it shares. Entries
are not cut to a length, so runs that differ in `features.max_length` share them.
"""

import functools
import hashlib
import json
import logging
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.augment.waveform import AugmentSettings, augment, recording_rng
from ser.corpora.manifest import Recording, content_digest
from ser.corpora.progress import track
from ser.corpora.sound import read_recording
from ser.data.files import replace_when_complete
from ser.data.fingerprint import fingerprint
from ser.data.workers import core_count, map_in_workers
from ser.errors import AudioError, SettingsError
from ser.features.extract import extract, fit_length
from ser.features.pipeline import preprocess
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain

log = logging.getLogger(__name__)

_CODE = (
    *("audio/io", "audio/array", "audio/formats", "audio/bare", "audio/wav", "audio/aiff", "audio/ffmpeg"),
    *("audio/levels", "audio/trim", "features/extract", "features/groups", "features/pipeline", "features/settings"),
    *("features/pitch", "features/_analysis", "features/_filterbanks", "features/_stft"),
    *("features/_tuning", "augment/waveform", "augment/phase_vocoder", "augment/_phase_vocoder_kernels"),
)
"""The modules that a feature's value depends on."""
_LIBRARIES = ("numpy", "numba", "scipy", "soundfile", "soxr")
_HEADER = struct.Struct("<4sIII")  # magic, rows, columns, CRC-32 of the values
_MAGIC = b"SER1"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One row of a data set: a recording unchanged (`copy` 0), or its augmented copy number 1, 2, ..."""

    recording: Recording
    copy: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the features of a sample depend on.

    `augment` changes a copy's waveform: settings of `ser.augment.waveform.augment`, or something of one's own that is
    called with a waveform, float32 [samples], `sample_rate` and `rng`, and returns another. `augment_seed` seeds the
    augmentation of a copy together with the recording's name and the copy's number, so results do not depend on the
    number of workers or the order of the work.
    """

    features: FeatureSettings
    augment: AugmentSettings | Callable[..., NDArray[np.float32]]
    augment_seed: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set in memory.

    Attributes
    ----------
    samples : those that could be read, in the order asked for.
    features : float32 [samples, features, max_length], not normalised.
    lengths : int64 [samples], frames of each sample before the padding, at most `max_length`.
    failures : recording -> why it could not be read.
    """

    samples: tuple[Sample, ...]
    features: NDArray[np.float32]
    lengths: NDArray[np.int64]
    failures: Mapping[Recording, str]


def prepare(samples: Sequence[Sample], recipe: Recipe, *, cache_dir: Path, workers: int = 0) -> Prepared:
    """Return the features of `samples`, from the cache where they are there, else made and stored.

    Parameters
    ----------
    workers : processes; 0 takes all cores.

    Raises
    ------
    AudioError : no sample at all could be read.
    """
    # Spread over 256 folders, which any file system likes.
    paths = [cache_dir / key[:2] / f"{key[2:]}.features" for key in _entry_keys(samples, recipe)]
    # One allocation that the entries are read into: a second copy would double the peak of memory.
    shape = (len(samples), recipe.features.n_features, recipe.features.max_length)
    matrix = np.empty(shape, dtype=np.float32)
    with ThreadPoolExecutor(core_count()) as pool:  # reading, checksums and copies all let go of the interpreter
        found = track(pool.map(_read_into, matrix, paths), total=len(paths), description="Cache", unit="samples")
        lengths = np.fromiter(found, dtype=np.int64, count=len(paths))
    missing = np.flatnonzero(lengths == 0).tolist()
    failures = _make([(samples[row], paths[row]) for row in missing], recipe, workers) if missing else {}
    for row in missing:
        lengths[row] = _read_into(matrix[row], paths[row])
        if not lengths[row]:
            reason = f"its features could not be read back from {paths[row]}; is the disk full?"
            failures.setdefault(samples[row].recording, reason)
    kept = [row for row, sample in enumerate(samples) if sample.recording not in failures]
    log.info("%d samples, the features of %d from the cache", len(kept), len(samples) - len(missing))
    if not kept:
        first, reason = next(iter(failures.items()))
        raise AudioError(f"None of {len(failures)} recordings could be read; the first was {first.path}: {reason}")
    if len(kept) < len(samples):
        matrix, lengths = matrix[kept], lengths[kept]
    return Prepared(samples=tuple(samples[row] for row in kept), features=matrix, lengths=lengths, failures=failures)


def _make(missing: Sequence[tuple[Sample, Path]], recipe: Recipe, workers: int) -> dict[Recording, str]:
    """Write the missing entries; return the recordings that cannot be read, and why."""
    tasks: dict[Recording, list[tuple[int, Path]]] = {}
    for sample, path in missing:  # a recording and its copies are one task, so that it is decoded once
        tasks.setdefault(sample.recording, []).append((sample.copy, path))
    made = map_in_workers(
        functools.partial(_make_entries, recipe=recipe), list(tasks.items()), workers=workers, key="data.workers"
    )
    made = track(made, total=len(tasks), description="Features", unit="recordings")
    return {recording: reason for recording, reason in zip(tasks, made, strict=True) if reason is not None}


def _make_entries(task: tuple[Recording, list[tuple[int, Path]]], *, recipe: Recipe) -> str | None:
    """Write the entries of a recording's copies; return None, or why the recording cannot be read."""
    recording, copies = task
    rate = recipe.features.sample_rate
    try:
        waveform = read_recording(recording, sample_rate=rate)
    except AudioError as error:
        return str(error)
    for copy, path in copies:
        changed = waveform
        if copy:
            rng = recording_rng(seed=recipe.augment_seed, name=recording.id, copy=copy)
            if isinstance(recipe.augment, AugmentSettings):
                changed = augment(waveform, recipe.augment, sample_rate=rate, rng=rng)
            else:
                changed = _as_waveform(recipe.augment(waveform, sample_rate=rate, rng=rng), recipe.augment)
        write_entry(path, extract(preprocess(changed, recipe.features)[0], recipe.features))
    return None


def _as_waveform(value: Any, own: Callable[..., Any]) -> NDArray[np.float32]:
    """Return what an augmentation of one's own has returned as float32 [samples]; NumPy easily makes it float64.

    Raises
    ------
    SettingsError : it is no waveform.
    """
    error, found = None, "None" if value is None else type(value).__name__
    try:
        waveform = np.asarray(value, dtype=np.float32)
        if value is not None and waveform.ndim == 1 and waveform.size and np.isfinite(waveform).all():
            return waveform
        if isinstance(value, np.ndarray):
            found = f"an array of shape {list(waveform.shape)}"
            found += "" if np.isfinite(waveform).all() else " with values that are not finite"
    except (TypeError, ValueError) as refused:
        error = refused
    function = getattr(own, "func", own)  # of a function with settings bound
    named = function if hasattr(function, "__qualname__") else type(function)
    raise SettingsError(
        f"augment is {named.__module__}.{named.__qualname__}, which returned {found}, but should return a waveform: "
        "finite numbers [samples], one or more."
    ) from error


def _read_into(row: NDArray[np.float32], path: Path) -> int:
    """Read an entry into float32 [features, max_length]; return how many frames it fills, 0 where there is none."""
    entry = read_entry(path)
    if entry is None or len(entry) != len(row):
        return 0
    row[:] = fit_length(entry, row.shape[1])
    return int(min(entry.shape[1], row.shape[1]))


def write_entry(path: Path, features: NDArray[np.float32]) -> None:
    """Write float32 [features, frames] atomically; after a power cut `read_entry` may find it damaged, so absent."""
    values = np.ascontiguousarray(features, dtype="<f4")
    with replace_when_complete(path, durable=False) as partial:
        partial.write_bytes(_HEADER.pack(_MAGIC, *values.shape, zlib.crc32(values.data)) + values.tobytes())


def read_entry(path: Path) -> NDArray[np.float32] | None:
    """Return float32 [features, frames], or None where the entry is absent, cut short, or has a flipped byte."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(raw) < _HEADER.size:
        return None
    magic, rows, columns, checksum = _HEADER.unpack_from(raw)
    body = memoryview(raw)[_HEADER.size :]
    if magic != _MAGIC or len(body) != rows * columns * 4 or zlib.crc32(body) != checksum:
        return None
    return np.frombuffer(body, dtype="<f4").reshape(rows, columns)


def _entry_keys(samples: Sequence[Sample], recipe: Recipe) -> list[str]:
    """Return a key for each sample that changes with the sound, the settings and the code and libraries behind it."""
    settings = as_plain(recipe.features)
    del settings["max_length"]  # entries are whole recordings: runs of any length share them
    groups = recipe.features.own_groups.items()
    own = {name: fingerprint(group, where=f"features.own_groups.{name}") for name, group in groups}
    base = json.dumps([settings, own, _versions(recipe.features)], sort_keys=True)
    sounds = list(dict.fromkeys(sample.recording.path for sample in samples))  # copies share their recording's
    with ThreadPoolExecutor(core_count()) as pool:
        digests = dict(zip(sounds, pool.map(content_digest, sounds), strict=True))
    if isinstance(recipe.augment, AugmentSettings):
        changes = json.dumps(as_plain(recipe.augment), sort_keys=True)
    else:
        changes = fingerprint(recipe.augment, where="augment")
    augmentation = [changes, str(recipe.augment_seed)]
    keys = []
    for sample in samples:
        recording = sample.recording
        of_part = [f"{recording.start} to {recording.end} s"] if recording.is_cut else []
        of_copy = [*augmentation, recording.id, str(sample.copy)] if sample.copy else []
        facts = [base, digests[recording.path], *of_part, *of_copy]
        keys.append(hashlib.sha256("\n".join(facts).encode()).hexdigest())
    return keys


def _versions(settings: FeatureSettings) -> dict[str, str]:
    ser = Path(__file__).parents[1]
    code = {name: hashlib.sha256((ser / f"{name}.py").read_bytes()).hexdigest() for name in _CODE}
    libraries = (*_LIBRARIES, "librosa") if settings.needs_librosa else _LIBRARIES
    return code | {name: version(name) for name in libraries}
