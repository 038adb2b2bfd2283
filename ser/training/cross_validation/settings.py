"""Which folds and seeds, how they are run, and the sentence that says what the figures are worth."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from ser.corpora.splits import FOLDS
from ser.errors import SettingsError
from ser.features.validation import require, suggestion
from ser.training.config import RunSettings

Part = Literal["validation", "test"]
RANDOM = "random"
FOLD_SETS = {name: tuple(fold for fold in FOLDS if fold.startswith(f"{name}_")) for name in ("subject_wise", "emobox")}
"""The sets of folds in which every actor is tested once."""

_FOLD_SET_NAMES = {
    "subject_wise": "the 5 subject-wise folds",
    "emobox": "the 6 EmoBox folds, with validation actors of our own",
}


@dataclass(frozen=True, kw_only=True)
class CrossValidationSettings:
    """The keys that `conf/cross_validate.yaml` adds to those of a training run; each is explained there."""

    folds: int | str | tuple[int | str, ...] = "subject_wise"
    seeds: tuple[int, ...] = (42, 43, 44)
    jobs: int = 0
    bootstrap_resamples: int = 10_000
    bootstrap_seed: int = 0
    selective_accuracy: float = 0.8

    def __post_init__(self) -> None:
        tested = Counter(actor for fold in self.fold_names if fold != RANDOM for actor in FOLDS[fold].test)
        twice = sorted(actor for actor, times in tested.items() if times > 1)
        require(not twice, f"folds test actors {twice} twice, who would count twice; choose folds that share none.")
        require(bool(self.seeds), "seeds is empty; name one at least, such as seeds=[42].")
        require(len(set(self.seeds)) == len(self.seeds), f"seeds names one twice: {list(self.seeds)}.")
        require(
            all(0 <= seed < 2**32 for seed in self.seeds), f"seeds is {list(self.seeds)}, not all from 0 to 2^32 - 1."
        )
        require(self.jobs >= 0, f"jobs is {self.jobs}, but should be 0 (as many as cores) or more.")
        require(
            self.bootstrap_resamples >= 2000,
            f"bootstrap_resamples is {self.bootstrap_resamples}, but fewer than 2000 give an interval that jumps.",
        )
        require(self.bootstrap_seed >= 0, f"bootstrap_seed is {self.bootstrap_seed}, but should not be negative.")
        require(
            0 < self.selective_accuracy <= 1,
            f"selective_accuracy is {self.selective_accuracy}, but should be in (0, 1].",
        )

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds one by one: names of `ser.corpora.splits.FOLDS`, or "random" alone.

        Raises
        ------
        SettingsError : there is no such fold, none at all, or one twice.
        """
        if self.folds == RANDOM:
            return (RANDOM,)
        if self.folds in FOLD_SETS:
            return FOLD_SETS[self.folds]
        named = (self.folds,) if isinstance(self.folds, (int, str)) else self.folds
        names = tuple(f"subject_wise_{fold}" if isinstance(fold, int) else fold for fold in named)
        for name in names:
            if name not in FOLDS:
                raise SettingsError(f"folds has {name!r}; {suggestion(name, (*FOLD_SETS, RANDOM, *FOLDS))}.")
        if not names or len(set(names)) < len(names):
            raise SettingsError(f"folds is {list(named)}; name at least one, and each once.")
        return names


def describe_protocol(settings: CrossValidationSettings, run: RunSettings, *, scored: tuple[Part, ...]) -> str:
    """Return what was trained, tested and chosen on whom, in a few sentences; printed above every figure.

    Parameters
    ----------
    run : the settings of any one of the runs.
    scored : the parts that have figures.
    """
    data = run.data
    channels = {"both": "speech and song", "speech": "speech", "song": "song"}
    number = "seeds" if len(settings.seeds) > 1 else "seed"
    seeds = f"{len(data.classes)} classes, trained on {channels[data.channel]}, {number} {_listed(settings.seeds)}."
    unscored = "" if "test" in scored else " The test part was left unscored."
    if data.split == "random":
        nothing_left = not data.val_size  # the test part is empty: it chose the checkpoint
        return f"{run.describe_protocol()} {seeds}{'' if nothing_left else unscored}"
    folds = _FOLD_SET_NAMES.get(str(settings.folds), f"the folds {_listed(settings.fold_names)}")
    last = run.callbacks.checkpoint.monitor is None
    chosen = "the last epoch was kept; the temperature" if last else "the checkpoint, the temperature"
    return (
        f"Speaker-independent, {channels[data.scored_channel]}, {folds}: neither test nor validation actors were heard "
        f"in training; {chosen} and the threshold of each run were chosen on its validation "
        f"actors alone. {seeds[0].upper()}{seeds[1:]}{unscored}"
    )


def _listed(values: tuple[int, ...] | tuple[str, ...]) -> str:
    return ", ".join(map(str, values))
