"""The settings of a cross-validation, and the sentences that state its protocol."""

from collections import Counter
from typing import Annotated

from pydantic import Field

from ser.corpora.protocol import CHANNEL_NAMES
from ser.corpora.selection import N_FOLDS, DataSettings
from ser.corpora.splits import FOLDS
from ser.errors import SettingsError
from ser.evaluation.calibration import TARGET_SELECTIVE_ACCURACY
from ser.evaluation.cross_validation.record import CORPUS_FOLD, Part
from ser.features.validation import ListOf, Natural, Seed, settings_dataclass, suggestion
from ser.training.config import RunSettings

RANDOM, SPEAKERS, CORPORA = "random", "speakers", "corpora"
FOLD_SETS = {name: tuple(fold for fold in FOLDS if fold.startswith(f"{name}_")) for name in ("subject_wise", "emobox")}
"""The sets of RAVDESS's folds in which every actor is tested once."""
_FOLD_SET_NAMES = {
    "subject_wise": "the 5 subject-wise folds",
    "emobox": "the 6 EmoBox folds, with validation actors of our own",
}


@settings_dataclass
class CrossValidationSettings:
    """The keys that `conf/cross_validate.yaml` adds to those of a training run; each is explained there."""

    folds: int | str | ListOf[int | str] = "subject_wise"
    n_folds: Annotated[int, Field(ge=2)] = N_FOLDS
    seeds: Annotated[ListOf[Seed], Field(min_length=1)] = (42, 43, 44)
    jobs: Natural = 0
    bootstrap_resamples: Annotated[int, Field(ge=2000)] = 10_000  # fewer give an interval that jumps
    bootstrap_seed: Natural = 0
    target_selective_accuracy: Annotated[float, Field(gt=0, le=1)] = TARGET_SELECTIVE_ACCURACY

    def __post_init__(self) -> None:
        tested = Counter(actor for fold in self.fold_names if fold in FOLDS for actor in FOLDS[fold].test)
        twice = sorted(int(actor) for actor, times in tested.items() if times > 1)
        if twice:
            raise SettingsError(f"folds test actors {twice} twice, who would count twice; choose others.")
        if len(set(self.seeds)) < len(self.seeds):
            raise SettingsError(f"seeds names one twice: {list(self.seeds)}.")

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds one by one: names of `ser.corpora.splits.FOLDS`, such as "speakers_0", or as "corpus_nemo"; or
        "random" alone.

        Of whole corpora, "corpora" alone: which ones, only the settings of a run say (`folds_of`).

        Raises
        ------
        SettingsError : there is no such fold, none at all, or one twice.
        """
        if self.folds == RANDOM:
            return (RANDOM,)
        if self.folds == SPEAKERS:
            return tuple(f"{SPEAKERS}_{fold}" for fold in range(self.n_folds))
        if self.folds == CORPORA:
            return (CORPORA,)
        if self.folds in FOLD_SETS:
            return FOLD_SETS[self.folds]
        named = (self.folds,) if isinstance(self.folds, (int, str)) else self.folds
        names = tuple(f"subject_wise_{fold}" if isinstance(fold, int) else fold for fold in named)
        of_speakers = [f"{SPEAKERS}_{fold}" for fold in range(self.n_folds)]
        is_one_kind = all(one.startswith(CORPUS_FOLD) for one in names) or all(one in of_speakers for one in names)
        for name in names:
            if name not in FOLDS and not is_one_kind:
                known = (*FOLD_SETS, SPEAKERS, CORPORA, RANDOM, *FOLDS)
                raise SettingsError(f"folds has {name!r}; {suggestion(name, known)}.")
        if not names or len(set(names)) < len(names):
            raise SettingsError(f"folds is {list(named)}; name at least one, and each once.")
        return names


def describe_protocol(
    settings: CrossValidationSettings, run: RunSettings, *, scored: tuple[Part, ...], n_classes: int
) -> str:
    """Return what was trained, tested and chosen on which recordings, in a few sentences; it stands above every metric.

    Parameters
    ----------
    run : the settings of any one of the runs.
    n_classes : of the models.
    scored : the parts that have metrics.
    """
    data, last = run.data, run.best_epoch_by[0] is None
    seeds = f"seed{'s' * (len(settings.seeds) > 1)} {', '.join(map(str, settings.seeds))}"
    trained = f"{n_classes} classes, trained on {CHANNEL_NAMES[data.channel]}, {seeds}."
    not_scored = "" if "test" in scored else " The test part was not scored."
    if data.split == "random":
        # Without a validation part the test part chose the checkpoint, and none is left.
        return f"{run.describe_protocol()} {trained}{not_scored if data.val_size else ''}"
    if data.split == "corpus":
        left_out = ", ".join(_left_out(settings, data))
        return (
            f"Cross-corpus, {CHANNEL_NAMES[data.scored_channel]}: each of {left_out} is left out once, and tested "
            f"by a network trained on the others; {_chosen_on_speakers(data, last=last)}the temperature "
            "and the rejection threshold of each run were chosen on what the other runs predict of the "
            f"corpora that they left out. {trained}{not_scored}"
        )
    names = {**_FOLD_SET_NAMES, SPEAKERS: f"{settings.n_folds} folds by speakers (seed {data.split_seed})"}
    folds = names.get(str(settings.folds), f"the folds {', '.join(settings.fold_names)}")
    chosen = "the last epoch was kept; the temperature" if last else "the checkpoint, the temperature"
    return (
        f"Speaker-independent, {CHANNEL_NAMES[data.scored_channel]}, {folds}: test and validation speakers are unseen "
        f"in training; {chosen} and the rejection threshold of each run were chosen on its validation speakers "
        f"alone. {trained}{not_scored}"
    )


def _left_out(settings: CrossValidationSettings, data: DataSettings) -> tuple[str, ...]:
    names = settings.fold_names
    return tuple(data.corpora or ()) if names == (CORPORA,) else tuple(n.removeprefix(CORPUS_FOLD) for n in names)


def _chosen_on_speakers(data: DataSettings, *, last: bool) -> str:
    if last:
        return "the last epoch was kept; "
    return (
        f"the checkpoint was chosen on one in {data.number_of_folds} speakers of the training corpora (seed "
        f"{data.split_seed}), who are unseen in training; "
    )
