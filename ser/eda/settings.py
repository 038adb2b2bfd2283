"""The settings of `python -m ser eda`."""

from dataclasses import dataclass
from typing import Literal

from ser.corpora.selection import DataSettings
from ser.features.extract import FeatureSettings
from ser.features.validation import require


@dataclass(frozen=True, kw_only=True)
class EdaSettings:
    """The configuration of `python -m ser eda`; every key is explained in `conf/eda.yaml`.

    Attributes
    ----------
    paths : the group `paths`; "cache_dir" and "data_dir" are used.
    """

    task: Literal["report", "plot_emotions", "table"]
    data: DataSettings
    features: FeatureSettings
    paths: dict[str, str]
    output_dir: str
    output_path: str | None = None
    tsne: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed is {self.seed}, but should be a whole number from 0 to 2^32 - 1.")
        require(
            self.output_path is None or self.task != "report",
            f"output_path is {self.output_path!r}, but a report is many files: say output_dir=<folder>.",
        )
