"""Recordings to features on disk: read, augment, extract, store; by all cores, and again only what is missing."""

import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ser.audio.io import read_sound
from ser.audio.trim import trim_and_level
from ser.augment.waveform import AugmentSettings, augment, recording_rng
from ser.corpora.manifest import Recording, content_digest
from ser.corpora.progress import track
from ser.data import _cache_file as store
from ser.data.workers import core_count, map_in_workers
from ser.errors import AudioError
from ser.features.extract import FeatureSettings, extract, fit_length
from ser.features.validation import as_plain

log = logging.getLogger(__name__)

_CODE = (
    "audio/io",
    "audio/wav",
    "audio/trim",
    "features/extract",
    "features/_filterbanks",
    "features/_stft",
    "features/_tuning",
    "features/pitch",
    "augment/waveform",
    "augment/phase_vocoder",
    "augment/_phase_vocoder_kernels",
)
"""The modules that a feature's value depends on."""
_LIBRARIES = ("numpy", "numba", "scipy", "soundfile", "soxr")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One row of a data set: a recording as it is (`copy` 0) or its augmented copy number 1, 2, ..."""

    recording: Recording
    copy: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the features of a sample beside its sound.

    Attributes
    ----------
    augment_seed : with the recording's name and the copy's number it seeds that copy's augmentation, so results do
        not depend on the number of workers or the order of the work.
    """

    features: FeatureSettings
    augment: AugmentSettings
    augment_seed: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set in memory.

    Attributes
    ----------
    samples : those that could be read, in the order asked for.
    features : float32 [samples, features, max_length], not standardised.
    failures : path -> why it could not be read.
    """

    samples: tuple[Sample, ...]
    features: np.ndarray
    failures: Mapping[Path, str]


def prepare(samples: Sequence[Sample], recipe: Recipe, *, cache_dir: Path, workers: int = 0) -> Prepared:
    """Return the features of `samples`, from the cache where they are there, else made and stored.

    Parameters
    ----------
    workers : processes; 0 takes all cores.

    Raises
    ------
    AudioError : no sample at all could be read.
    """
    keys = _entry_keys(samples, recipe)
    paths = [store.entry_path(cache_dir, key) for key in keys]
    shape = (recipe.features.n_features, recipe.features.max_length)
    # One allocation that the entries are read into: a second copy would double the peak of memory.
    matrix = np.empty((len(samples), *shape), dtype=np.float32)
    with ThreadPoolExecutor(core_count()) as pool:  # reading, checksums and copies all let go of the interpreter
        found = track(pool.map(_read_into, matrix, paths), total=len(paths), description="Cache", unit="samples")
        missing = [row for row, is_there in enumerate(found) if not is_there]
    failures = _fill(missing, samples, paths, matrix, recipe, workers) if missing else {}
    kept = [row for row, sample in enumerate(samples) if sample.recording.path not in failures]
    log.info("%d samples, the features of %d from the cache", len(kept), len(samples) - len(missing))
    if not kept:
        path, reason = next(iter(failures.items()))
        raise AudioError(f"None of {len(failures)} recordings could be read; the first was {path}: {reason}")
    if len(kept) < len(samples):
        matrix = matrix[kept]
    return Prepared(samples=tuple(samples[row] for row in kept), features=matrix, failures=failures)


def _fill(
    missing: Sequence[int],
    samples: Sequence[Sample],
    paths: Sequence[Path],
    matrix: np.ndarray,
    recipe: Recipe,
    workers: int,
) -> dict[Path, str]:
    """Make the missing entries, read them into their rows, and return the recordings that cannot be read."""
    rows_of: dict[Recording, list[int]] = {}
    for row in missing:  # a recording and its copies are one task, so that it is decoded once
        rows_of.setdefault(samples[row].recording, []).append(row)
    tasks = [(recording, [(samples[row].copy, paths[row]) for row in rows]) for recording, rows in rows_of.items()]
    made = map_in_workers(functools.partial(_make_entries, recipe=recipe), tasks, workers=workers)
    made = track(made, total=len(tasks), description="Features", unit="recordings")
    failures: dict[Path, str] = {}
    for (recording, rows), reason in zip(rows_of.items(), made, strict=True):
        for row in rows:
            if reason is None and not _read_into(matrix[row], paths[row]):
                reason = f"its features could not be read back from {paths[row]}; is the disk full?"
        if reason is not None:
            failures[recording.path] = reason
    return failures


def _make_entries(task: tuple[Recording, list[tuple[int, Path]]], *, recipe: Recipe) -> str | None:
    """Write the entries of a recording's copies; return None, or why the recording cannot be read."""
    recording, copies = task
    rate = recipe.features.sample_rate
    try:
        waveform = read_sound(recording.path, sample_rate=rate).waveform
    except AudioError as error:
        return str(error)
    for copy, path in copies:
        changed = waveform
        if copy:
            rng = recording_rng(seed=recipe.augment_seed, name=recording.stem, copy=copy)
            changed = augment(waveform, recipe.augment, sample_rate=rate, rng=rng)
        store.write_entry(path, extract(trim_and_level(changed, recipe.features).waveform, recipe.features))
    return None


def _read_into(row: np.ndarray, path: Path) -> bool:
    entry = store.read_entry(path)
    if entry is None or len(entry) != len(row):
        return False
    row[:] = fit_length(entry, row.shape[1])
    return True


def _entry_keys(samples: Sequence[Sample], recipe: Recipe) -> list[str]:
    """Return a key for each sample that changes with the sound, the settings and the code and libraries behind it."""
    settings = as_plain(recipe.features)
    del settings["max_length"]  # entries are whole recordings: runs of any length share them
    base = json.dumps([settings, _versions()], sort_keys=True)
    sounds = list(dict.fromkeys(sample.recording.path for sample in samples))  # copies share their recording's
    with ThreadPoolExecutor(core_count()) as pool:
        digests = dict(zip(sounds, pool.map(content_digest, sounds), strict=True))
    return [
        hashlib.sha256("\n".join([base, digests[s.recording.path], *_copy_key(s, recipe)]).encode()).hexdigest()
        for s in samples
    ]


def _copy_key(sample: Sample, recipe: Recipe) -> list[str]:
    if not sample.copy:
        return []
    settings = json.dumps(as_plain(recipe.augment), sort_keys=True)
    return [settings, str(recipe.augment_seed), sample.recording.stem, str(sample.copy)]


def _versions() -> dict[str, str]:
    sources = {name: Path(__file__).parents[1] / f"{name}.py" for name in _CODE}
    code = {name: hashlib.sha256(source.read_bytes()).hexdigest() for name, source in sources.items()}
    return code | {name: version(name) for name in _LIBRARIES}
