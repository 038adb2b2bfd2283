"""Features in shards: some recordings with their copies a Parquet file, for corpora of which neither all features fit
into memory nor a file for each onto a disk.

A folder of shards has one folder for each part of the split, as tasks leave it (`ser.data.tasks`), and `index.parquet`:
all columns but the features, and the statistics of the training part. Of a shard, every row is of one part, so that a
training reads nothing that it does not train on, and the statistics of shards can be merged.
"""

import base64
import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser.corpora.manifest import Recording
from ser.corpora.selection import DataSettings, augmented_copies, classes_found, of_channel, select
from ser.corpora.several import locate_corpora, read_corpora
from ser.corpora.splits import Split
from ser.data.cache import versions
from ser.data.files import replace_when_complete
from ser.data.normalisation import Moments
from ser.data.recipe import Recipe, Sample, features_of, waveform_of
from ser.data.storage import fill
from ser.data.tasks import Launcher, Plan, TaskReport, run_tasks
from ser.errors import AudioError, SettingsError
from ser.features.compiled import load_compiled
from ser.features.validation import as_plain

if TYPE_CHECKING:
    import pyarrow as pa

INDEX = "index.parquet"
_STATISTICS = ("per_coefficient", "per_band")
_FACTS = tuple(field.name for field in dataclasses.fields(Recording))
_RESCORED = 5
"""Where there is no validation part, one training recording of so many takes its place."""
_OF_THE_MACHINE = {
    *("root", "manifest", "download", "reader", "workers", "memory_gb", "shards", "shuffle_shards", "batch_size"),
    *("recordings_per_speaker", "weights", "overlapping_classes", "classes"),
}
"""Keys of `data` that a training may give otherwise than the preparation; the classes are compared by name."""


def validation_part(split: Split, settings: DataSettings) -> tuple[Recording, ...]:
    """Return what a run validates on; of split "all" some training recordings: the curves show only that it learns."""
    return split.validation or of_channel(split.train, settings.scored_channel)[::_RESCORED]


def described(data: DataSettings, recipe: Recipe) -> dict[str, str]:
    """Return the settings that the rows of shards depend on, by the keys that a person gives."""
    values = as_plain(dataclasses.replace(data, reader=None, root=data.root if data.reader is None else None))
    values["corpora"] = sorted(data.corpora) if data.corpora else None
    of_data = {f"data.{key}": value for key, value in values.items() if key not in _OF_THE_MACHINE}
    of_features = {f"features.{key}": value for key, value in as_plain(recipe.features).items() if key != "own_groups"}
    own = {f"features.own_groups.{name}": digest for name, digest in recipe.own_groups.items()}
    found = {**of_data, **of_features, **own, "augment": recipe.augmentation}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


def prepare_shards(
    data: DataSettings,
    recipe: Recipe,
    *,
    data_dir: Path,
    launcher: Launcher = "processes",
    address: str | None = None,
) -> Iterator[tuple[str, TaskReport]]:
    """Write the shards of a corpus and their index below `data.shards`; yield the part and the report of each shard.

    What is there already is kept, so that a preparation that was killed goes on. Training recordings are dealt out to
    shards at random, by `data.split_seed`; they have their augmented copies beside them.

    Raises
    ------
    SettingsError : the folder was begun with other settings, or as `run_tasks`.
    CorpusError : as `ser.corpora.selection.select`.
    """
    folder = Path(str(data.shards))
    places = locate_corpora(data, data_dir=data_dir)
    recordings = read_corpora(data, places)
    settings = described(data, recipe)
    if data.classes is None:
        data = dataclasses.replace(data, classes=classes_found(recordings, data))
    split = select(recordings, data)
    order = np.random.default_rng(data.split_seed).permutation(len(split.train)).tolist()
    parts = {"train": [split.train[place] for place in order], "validation": validation_part(split, data)}
    if split.test:
        parts["test"] = split.test
    code = json.dumps(versions(recipe.features), sort_keys=True)
    depends = {**settings, "data.classes": json.dumps(data.classes), "code of the features": _digest(code)}
    for part, chosen in parts.items():
        items = [_item(one, augmented_copies(one, data) if part == "train" else 0) for one in chosen]
        plan = Plan(items=items, size=data.shard_size, depends=depends)
        make = _MakeWork(recipe, dtype=data.shard_dtype)
        reports = run_tasks(
            plan, make, folder=str(folder / part), launcher=launcher, workers=data.workers, address=address
        )
        yield from ((part, report) for report in reports)
    about = {
        "settings": settings,
        "classes": data.classes,
        "places": {name: str(place) for name, place in places.items()},
        "is_validated": bool(split.validation),
        "dtype": data.shard_dtype,
        "shape": [recipe.features.n_features, recipe.features.max_length],
    }
    _write_index(folder, tuple(parts), about)


def _digest(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _item(recording: Recording, n_copies: int) -> list[Any]:
    facts = [getattr(recording, name) for name in _FACTS]
    return [str(facts[0]), *facts[1:], n_copies]


@dataclass(frozen=True)
class _MakeWork:
    """Makes the work of a shard, in its worker."""

    recipe: Recipe
    dtype: str

    def __call__(self) -> Callable[[Sequence[Any], int], "pa.Table"]:
        load_compiled()
        return self.table

    def table(self, items: Sequence[Any], number: int) -> "pa.Table":
        """Return the rows of recordings and their copies; one that cannot be read is a row with its error."""
        import pyarrow as pa

        settings = self.recipe.features
        shape = settings.n_features, settings.max_length
        rows: list[dict[str, Any]] = []
        of_coefficients, of_bands = (Moments.of(np.empty((0, n), np.float32)) for n in (shape[0] * shape[1], shape[0]))
        for path, *facts, n_copies in items:
            known = dict(zip(_FACTS, (Path(path), *facts), strict=True))
            recording = Recording(**known)
            row = {**known, "path": path}
            try:
                waveform = waveform_of(recording, self.recipe)
            except AudioError as error:
                rows.append({**row, "copy": 0, "n_frames": 0, "error": str(error)})
                continue
            padded = np.empty((n_copies + 1, *shape), dtype=np.float32)
            for copy in range(n_copies + 1):
                features = features_of(waveform, Sample(recording=recording, copy=copy), self.recipe)
                values = self._rounded(features[:, : shape[1]], path)
                n_frames = fill(padded[copy], values.astype(np.float32))
                content = values.tobytes()
                stored = {"crc": zlib.crc32(content), "features": content}
                rows.append({**row, "copy": copy, "n_frames": n_frames, **stored})
                of_bands = of_bands.merged(Moments.of(padded[copy, :, :n_frames].T))
            of_coefficients = of_coefficients.merged(Moments.of(padded.reshape(len(padded), -1)))
        sums = dict(zip(_STATISTICS, (of_coefficients, of_bands), strict=True))
        metadata = {f"ser.{name}": _packed(moments) for name, moments in sums.items()}
        return pa.Table.from_pylist(rows, _schema().with_metadata(metadata))

    def _rounded(self, features: NDArray[np.float32], path: str) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(features, dtype="<f2" if self.dtype == "float16" else "<f4")
        if not np.isfinite(values).all():
            raise SettingsError(
                f"data.shard_dtype is float16, which has numbers up to 65504, but {path} has features beyond; give "
                "data.shard_dtype=float32."
            )
        return values


def _schema(*, with_features: bool = True) -> "pa.Schema":
    import pyarrow as pa

    numbers = {"start": pa.float64(), "end": pa.float64()}
    fields = {name: numbers.get(name, pa.string()) for name in _FACTS}
    fields |= {"copy": pa.int32(), "n_frames": pa.int32(), "error": pa.string()}
    if with_features:  # features row by row: little-endian, the frames of the first feature first
        fields |= {"crc": pa.int64(), "features": pa.large_binary()}
    return pa.schema(fields)


def _packed(moments: Moments) -> str:
    values = np.concatenate([[float(moments.count)], moments.mean, moments.squares]).astype("<f8")
    return base64.b64encode(values.tobytes()).decode()


def _unpacked(text: bytes) -> Moments:
    count, *_ = values = np.frombuffer(base64.b64decode(text), dtype="<f8").copy()
    mean, squares = np.split(values[1:], 2)
    return Moments(int(count), mean, squares)


def _write_index(folder: Path, parts: Sequence[str], about: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(with_features=False)
    sums: dict[str, Moments] = {}
    full = schema.append(pa.field("part", pa.string())).append(pa.field("shard", pa.int32()))
    with replace_when_complete(folder / INDEX) as temporary, pq.ParquetWriter(temporary, full) as writer:
        for part in parts:
            for number, path in enumerate(sorted((folder / part).glob("part-*.parquet"))):
                with pq.ParquetFile(path) as file:
                    table = file.read(columns=schema.names).replace_schema_metadata(None)
                    kept = file.schema_arrow.metadata
                for name in _STATISTICS if part == "train" else ():
                    moments = _unpacked(kept[f"ser.{name}".encode()])
                    sums[name] = sums[name].merged(moments) if name in sums else moments
                table = table.append_column("part", pa.array([part] * len(table), pa.string()))
                writer.write_table(table.append_column("shard", pa.array([number] * len(table), pa.int32())))
        if not sums["per_band"].count:
            raise AudioError(f"None of the training recordings could be read; {folder / INDEX} would say why.")
        writer.add_key_value_metadata(
            {"ser.about": json.dumps(about), **{f"ser.{name}": _packed(moments) for name, moments in sums.items()}}
        )


@dataclass(frozen=True, kw_only=True)
class IndexedPart:
    """The rows of a part that could be read.

    Attributes
    ----------
    samples : in the order of the shards.
    lengths : int64 [samples], frames.
    shards, rows : int64 [samples], the number of the shard, and the row in it.
    failures : recording -> why it could not be read.
    """

    samples: tuple[Sample, ...]
    lengths: NDArray[np.int64]
    shards: NDArray[np.int64]
    rows: NDArray[np.int64]
    failures: Mapping[Recording, str]


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """What is known of shards without opening one; `about` is what the preparation knew."""

    about: Mapping[str, Any]
    split: Split
    parts: Mapping[str, IndexedPart]
    statistics: Mapping[str, Moments]


def read_index(folder: Path, data: DataSettings, recipe: Recipe) -> ShardIndex:
    """Return the index of shards.

    Raises
    ------
    SettingsError : there is none, or the shards were prepared with other settings than those of the run.
    """
    import pyarrow.parquet as pq

    path = folder / INDEX
    if not path.is_file():
        raise SettingsError(
            f"data.shards is {folder}, but {path} is missing; run `ser prepare` with the settings of this training."
        )
    with pq.ParquetFile(path) as file:
        kept, table = file.metadata.metadata, file.read()
    about = json.loads(kept[b"ser.about"])
    _check_settings(folder, about, data, recipe)
    recordings: dict[tuple[str, str], Recording] = {}
    columns = {name: table[name].to_pylist() for name in _FACTS}
    of_part: dict[str, list[int]] = {}
    for row, part in enumerate(names := table["part"].to_pylist()):
        of_part.setdefault(part, []).append(row)
        key = part, columns["id"][row]
        if key not in recordings:
            facts = {name: values[row] for name, values in columns.items()}
            recordings[key] = Recording(**{**facts, "path": Path(facts["path"])})
    lengths, errors = table["n_frames"].to_numpy(), table["error"].to_pylist()
    shards, copies = table["shard"].to_numpy(), table["copy"].to_pylist()
    first = {(names[row], shards[row]): row for row in range(len(names) - 1, -1, -1)}
    parts = {}
    for part, rows in of_part.items():
        kept_rows = [row for row in rows if errors[row] is None]
        parts[part] = IndexedPart(
            samples=tuple(Sample(recording=recordings[part, columns["id"][r]], copy=copies[r]) for r in kept_rows),
            lengths=lengths[kept_rows].astype(np.int64),
            shards=shards[kept_rows].astype(np.int64),
            rows=np.array([row - first[part, shards[row]] for row in kept_rows], dtype=np.int64),
            failures={recordings[part, columns["id"][r]]: errors[r] for r in rows if errors[r] is not None},
        )
    found = {part: tuple(one for (of, _), one in recordings.items() if of == part) for part in of_part}
    split = Split(
        train=found["train"],
        validation=found["validation"] if about["is_validated"] else (),
        test=found.get("test", ()),
    )
    statistics = {name: _unpacked(kept[f"ser.{name}".encode()]) for name in _STATISTICS}
    return ShardIndex(about=about, split=split, parts=parts, statistics=statistics)


def _check_settings(folder: Path, about: Mapping[str, Any], data: DataSettings, recipe: Recipe) -> None:
    ours, theirs = described(data, recipe), about["settings"]
    if data.classes is not None and list(data.classes) != about["classes"]:
        ours, theirs = {"data.classes": str(list(data.classes))}, {"data.classes": str(about["classes"])}
    for key in {**theirs, **ours}:
        if ours.get(key) != theirs.get(key):
            raise SettingsError(
                f"{key} is {ours.get(key)}, but the shards in {folder} were prepared with {theirs.get(key)}; give "
                "that, or prepare others by `ser prepare`."
            )
