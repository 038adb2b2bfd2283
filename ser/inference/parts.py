"""Predictions of any number of recordings as a folder of Parquet files, by `ser.data.tasks`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ser.data.places import is_address, local_path, open_filesystem
from ser.data.tasks import Launcher, Plan, TaskReport, run_tasks
from ser.errors import SettingsError
from ser.features.compiled import MANY_RECORDINGS, load_compiled
from ser.inference.parquet import table_of
from ser.inference.predictor import Predictor
from ser.inference.sources import read_recordings

if TYPE_CHECKING:
    import pyarrow as pa

PART_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How the recordings of a task become its rows; called once in each worker, where it loads the model.

    Attributes
    ----------
    model, encoder, own : the arguments of `Predictor.load`: `own` are networks and feature_groups.
    fingerprint : of the model that the plan is of.
    single_speaker : as of `Predictor.predict`.
    is_many : whether there are so many recordings that compiled loops are worth their start.
    """

    model: str
    fingerprint: str
    encoder: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    single_speaker: bool = False
    is_many: bool = False

    def __call__(self) -> "Callable[[Sequence[str], int], pa.Table]":
        """Return the work of `ser.data.tasks.run_tasks`.

        Raises
        ------
        CheckpointError : as of `Predictor.load`.
        SettingsError : the model is another one on this machine, or by now.
        """
        if self.is_many:
            load_compiled()
        predictor = Predictor.load(self.model, encoder=self.encoder, **self.own)
        if predictor.fingerprint != self.fingerprint:
            raise SettingsError(
                f"{self.model} is another model for this worker ({predictor.fingerprint}, not {self.fingerprint}); "
                "give a file that stays what it is."
            )

        def work(items: Sequence[str], number: int) -> "pa.Table":
            results = predictor.predict_many(read_recordings(items), single_speaker=self.single_speaker)
            return table_of(
                results,
                model=predictor.fingerprint,
                class_names=predictor.class_names,
                context=predictor.context is not None,
            )

        return work


def predict_in_parts(
    items: Sequence[str],
    scoring: Scoring,
    *,
    folder: str,
    part_size: int = PART_SIZE,
    launcher: Launcher = "processes",
    workers: int = 0,
    address: str | None = None,
    resume: bool = False,
) -> Iterator[TaskReport]:
    """Predict recordings, each once; write `part_size` of them to a file of `folder`; yield a report of each file.

    The rows are those of a .parquet file of `Predictor.predict_many`, in the same order. One that cannot be read has
    its reason in the column error, and the others go on.

    Parameters
    ----------
    items : paths and addresses, as `ser.inference.sources.find_recordings` returns them.
    folder, launcher, workers, address, resume : as of `ser.data.tasks.run_tasks`.

    Raises
    ------
    SettingsError, SerError, OSError : as `ser.data.tasks.run_tasks` and `Scoring`.
    """
    depends = {"model": scoring.fingerprint} | ({"single speaker": "yes"} if scoring.single_speaker else {})
    plan = Plan(items=items, size=part_size, depends=depends)
    scoring = replace(scoring, is_many=len(items) >= MANY_RECORDINGS)
    return run_tasks(
        plan, scoring, folder=folder, launcher=launcher, workers=workers, address=address, resume=resume
    )  # fmt: skip


def count_failures(folder: str) -> int:
    """Return how many rows of a folder of parts have an error in the place of a prediction."""
    import pyarrow.dataset as ds

    filesystem, path = open_filesystem(folder) if is_address(folder) else (None, local_path(folder))
    return int(
        ds.dataset(path, filesystem=filesystem, format="parquet").count_rows(filter=ds.field("error").is_valid())
    )
