"""The feature cache: recordings to features, by all cores, made once and kept on disk.

An entry is one file, written whole or not at all, and checked when it is read. So a killed run loses only the entry
that it was writing, two runs may fill one cache at once, and a sweep over other settings finds what it shares. Entries
are not cut to a length, so runs that differ in `features.max_length` share them.
"""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.corpora.manifest import Recording
from ser.corpora.progress import track
from ser.data.digests import content_digests
from ser.data.files import waiting_lock
from ser.data.recipe import Recipe, Sample, features_of, waveform_of
from ser.data.storage import StoredFeatures, fill, frames_of_entry, read_entry, write_entry
from ser.data.workers import core_count, map_in_workers
from ser.errors import AudioError
from ser.features.compiled import MANY_RECORDINGS, load_compiled
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain

log = logging.getLogger(__name__)

_CODE = (
    *("audio/io", "audio/array", "audio/formats", "audio/bare", "audio/wav", "audio/aiff", "audio/ffmpeg"),
    *("audio/levels", "audio/trim", "features/extract", "features/groups", "features/pipeline", "features/settings"),
    *("features/pitch", "features/_analysis", "features/_filterbanks", "features/_stft"),
    *("features/_tuning", "features/compiled", "features/_fft_kernels", "features/_loops", "features/_vectors"),
    *("augment/waveform", "augment/phase_vocoder", "augment/_phase_vocoder_kernels"),
)
"""The modules that a feature's value depends on."""
_LIBRARIES = ("numpy", "numba", "soundfile", "soxr")
_LOCK = ".making.lock"
"""Held by the run that makes entries; the lock of ser.data.datamodule, which the same run may hold, is another."""
_READ_AT_ONCE = 64
"""Samples that a thread reads before the next thread's turn: there may be millions."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set: in memory, or in the cache.

    Attributes
    ----------
    samples : those that could be read, in the order asked for.
    features : float32 [samples, features, max_length], not normalised; an encoder's states are float16.
    lengths : int64 [samples], frames of each sample before the padding, at most `max_length`.
    failures : recording -> why it could not be read.
    """

    samples: tuple[Sample, ...]
    features: NDArray[np.float32] | StoredFeatures
    lengths: NDArray[np.int64]
    failures: Mapping[Recording, str]


def prepare(
    samples: Sequence[Sample], recipe: Recipe, *, cache_dir: Path, workers: int = 0, in_memory: bool = True
) -> Prepared:
    """Return the features of `samples`, from the cache where they are there, else made and stored.

    Parameters
    ----------
    workers : processes; 0 takes all cores.
    in_memory : False leaves the features in the cache, from where each selection of samples is read when it is used.

    Raises
    ------
    AudioError : no sample at all could be read.
    """
    entries, numbers = _entries(samples, recipe, cache_dir)
    shape = (recipe.features.n_features, recipe.features.max_length)
    features: NDArray[np.float32] | StoredFeatures
    read: Callable[[int], int]
    if in_memory:
        # One allocation that the entries are read into: a second copy would double the peak of memory.
        features = np.empty((len(samples), *shape), dtype=np.float32)
        read = functools.partial(_read_into, features, entries, numbers)
        found = track(_in_threads(read, len(samples)), total=len(samples), description="Cache", unit="samples")
        lengths = np.fromiter(found, dtype=np.int64, count=len(samples))
    else:
        features = StoredFeatures(entries, numbers, shape=shape, mend=_Mender(samples, entries, numbers, recipe))
        read = functools.partial(_stored_length, entries, numbers, shape)
        frames = np.fromiter(
            (frames_of_entry(entry, n_features=shape[0]) for entry in entries), dtype=np.int64, count=len(entries)
        )
        lengths = np.minimum(frames, shape[1])[numbers]
    missing = np.flatnonzero(lengths == 0).tolist()
    failures: dict[Recording, str] = {}
    makers: dict[int, Sample] = {}
    reasons: dict[Recording, str] = {}
    if missing:
        # Jobs side by side need the same: the first makes it with all cores, and the others find it when they get here.
        with waiting_lock(cache_dir / _LOCK):
            for row in missing:
                lengths[row] = read(row)
            missing = [row for row in missing if not lengths[row]]
            makers = {int(numbers[row]): samples[row] for row in reversed(missing)}  # the first sample of each entry
            reasons = _make([(sample, entries[number]) for number, sample in reversed(makers.items())], recipe, workers)
    for row in missing:
        lengths[row] = read(row)
        if not lengths[row]:
            maker, recording = makers[int(numbers[row])].recording, samples[row].recording
            reason = reasons.get(maker) or f"could not be read back from {entries[numbers[row]]}; is the disk full?"
            failures.setdefault(recording, reason.replace(str(maker.path), str(recording.path)))
    kept = [row for row, sample in enumerate(samples) if sample.recording not in failures] if failures else None
    n_kept = len(samples) if kept is None else len(kept)
    log.info("%d samples, the features of %d from the cache", n_kept, len(samples) - len(missing))
    if not n_kept:
        first, reason = next(iter(failures.items()))
        raise AudioError(f"None of {len(failures)} recordings could be read; the first was {first.path}: {reason}")
    if kept is not None:
        rows = np.array(kept)
        features = features.of(rows) if isinstance(features, StoredFeatures) else features[rows]
        samples, lengths = [samples[row] for row in kept], lengths[rows]
    return Prepared(samples=tuple(samples), features=features, lengths=lengths, failures=failures)


def _in_threads(read: Callable[[int], int], n_samples: int) -> Iterator[int]:
    """Yield `read(row)` of every sample in order; reading, checksums and copies all let go of the interpreter."""
    with ThreadPoolExecutor(core_count()) as pool:
        starts = range(0, n_samples, _READ_AT_ONCE)
        for some in pool.map(lambda start: [*map(read, range(n_samples)[start : start + _READ_AT_ONCE])], starts):
            yield from some


def _read_into(matrix: NDArray[np.float32], entries: Sequence[str], numbers: NDArray[np.int64], row: int) -> int:
    """Read the entry of a sample into its row of the matrix; return how many frames it fills, 0 where there is none."""
    entry = read_entry(entries[numbers[row]])
    return 0 if entry is None or len(entry) != matrix.shape[1] else fill(matrix[row], entry)


def _stored_length(entries: Sequence[str], numbers: NDArray[np.int64], shape: tuple[int, int], row: int) -> int:
    n_features, max_length = shape
    return min(frames_of_entry(entries[numbers[row]], n_features=n_features), max_length)


@dataclass(frozen=True)
class _Mender:
    """Makes an entry anew, of the first sample that has it."""

    samples: Sequence[Sample]
    entries: Sequence[str]
    numbers: NDArray[np.int64]
    recipe: Recipe

    def __call__(self, number: int) -> None:
        sample = self.samples[int(np.argmax(self.numbers == number))]
        log.warning("%s is damaged and is made again", self.entries[number])
        with threadpool_limits(1):  # as in the workers, so that not a bit depends on who makes it
            _make_entries((sample.recording, [(sample.copy, self.entries[number])]), recipe=self.recipe)


def _make(missing: Sequence[tuple[Sample, str]], recipe: Recipe, workers: int) -> dict[Recording, str]:
    """Write the missing entries; return the recordings that cannot be read, and why."""
    tasks: dict[Recording, list[tuple[int, str]]] = {}
    for sample, path in missing:  # a recording and its copies are one task, so that it is decoded once
        tasks.setdefault(sample.recording, []).append((sample.copy, path))
    if not tasks:
        return {}
    make = functools.partial(_make_many if len(tasks) >= MANY_RECORDINGS else _make_entries, recipe=recipe)
    made = map_in_workers(make, tasks.items(), workers=workers, key="data.workers")
    made = track(made, total=len(tasks), description="Features", unit="recordings")
    return {recording: reason for recording, reason in zip(tasks, made, strict=True) if reason is not None}


def _make_many(task: tuple[Recording, list[tuple[int, str]]], *, recipe: Recipe) -> str | None:
    """Return what `_make_entries` does, by compiled loops."""
    load_compiled()
    return _make_entries(task, recipe=recipe)


def _make_entries(task: tuple[Recording, list[tuple[int, str]]], *, recipe: Recipe) -> str | None:
    """Write the entries of a recording's copies; return None, or why the recording cannot be read."""
    recording, copies = task
    try:
        waveform = waveform_of(recording, recipe)
    except AudioError as error:
        return str(error)
    for copy, path in copies:
        write_entry(Path(path), features_of(waveform, Sample(recording=recording, copy=copy), recipe))
    return None


def _entries(samples: Sequence[Sample], recipe: Recipe, cache_dir: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Return the paths of the entries, and int64 [samples], which is each sample's: equal sound shares one."""
    places: dict[str, int] = {}
    sounds = list(dict.fromkeys(sample.recording.path for sample in samples))  # copies share their recording's
    digests = dict(zip(sounds, content_digests(sounds, cache_dir=cache_dir), strict=True))
    found = (places.setdefault(key, len(places)) for key in _entry_keys(samples, recipe, digests))
    numbers = np.fromiter(found, dtype=np.int64, count=len(samples))
    # Spread over 256 folders, which any file system likes. Text, because a Path takes three times its memory.
    return [f"{cache_dir}{os.sep}{key[:2]}{os.sep}{key[2:]}.features" for key in places], numbers


def _entry_keys(samples: Sequence[Sample], recipe: Recipe, digests: Mapping[Path, str]) -> Iterator[str]:
    """Yield a key for each sample that changes with the sound, the settings and the code and libraries behind it."""
    settings = as_plain(recipe.features)
    del settings["max_length"]  # entries are whole recordings: runs of any length share them
    base = hashlib.sha256(json.dumps([settings, recipe.own_groups, versions(recipe.features)], sort_keys=True).encode())
    augmentation = [recipe.augmentation, str(recipe.augment_seed)]
    for sample in samples:
        recording = sample.recording
        of_part = [f"{recording.start} to {recording.end} s"] if recording.is_cut else []
        of_copy = [*augmentation, recording.id, str(sample.copy)] if sample.copy else []
        key = base.copy()  # what all have in common is hashed once
        key.update("\n".join(["", digests[recording.path], *of_part, *of_copy]).encode())
        yield key.hexdigest()


def versions(settings: FeatureSettings) -> dict[str, str]:
    """Return the digests of the modules and the versions of the libraries that features of the settings depend on."""
    ser = Path(__file__).parents[1]
    code = {name: hashlib.sha256((ser / f"{name}.py").read_bytes()).hexdigest() for name in _CODE}
    libraries = (*_LIBRARIES, "librosa") if settings.needs_librosa else _LIBRARIES
    return code | {name: version(name) for name in libraries}
