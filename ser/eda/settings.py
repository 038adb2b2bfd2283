"""The settings of `python -m ser eda`."""

from typing import Literal

from ser.corpora.selection import DataSettings
from ser.errors import SettingsError
from ser.features.settings import FeatureSettings
from ser.features.validation import Seed, settings_dataclass


@settings_dataclass
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
    seed: Seed = 42

    def __post_init__(self) -> None:
        if self.output_path is not None and self.task == "report":
            raise SettingsError(f"output_path is {self.output_path!r}, but a report is many files: set output_dir.")
