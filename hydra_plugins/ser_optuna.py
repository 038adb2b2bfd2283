"""The Hydra sweeper of `ser tune`: Optuna asks for the next trials, any launcher runs them as jobs."""

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ser.data.files import is_locked, waiting_lock
from ser.errors import SettingsError, missing_package
from ser.training.launcher import quoted
from ser.training.outcome import is_minimised
from ser.training.overrides import NOT_OF_THE_RECIPE, command_line, override_key
from ser.training.study import PRUNED_AT, STUDY, open_journal

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)

_COMMAND, _COMMANDS, _FAILED = "command", "commands", "failed"
"""Attributes: of a trial, which command runs it; of the study, how many commands there were; of a trial, it failed."""

_NO_PART = re.compile(rf"{NOT_OF_THE_RECIPE.pattern}|hparams_search")
"""Overrides of a search that train no network."""


class OptunaSweeper(Sweeper):
    """Hydra's sweeper of `conf/hydra/sweeper/optuna.yaml`, where its parameters are explained."""

    hydra_context: HydraContext
    config: DictConfig
    launcher: Launcher

    def __init__(
        self,
        n_trials: int = 20,
        n_jobs: int = 1,
        seed: int | None = 0,
        storage: str = "study.journal",
        params: dict[str, Any] | None = None,
    ) -> None:
        self.n_trials, self.n_jobs, self.seed, self.storage = n_trials, n_jobs, seed, Path(storage)
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over, and make the launcher.

        Raises
        ------
        SettingsError : Optuna is not installed, or a number is not above 0.
        """
        try:
            import optuna  # noqa: F401 - the one place that says what to install
        except ImportError as error:
            raise SettingsError(f"{missing_package(error, 'ser tune')}.") from error
        for key in ("n_trials", "n_jobs"):
            value = getattr(self, key)
            if type(value) is not int or value < 1:
                raise SettingsError(f"hydra.sweeper.{key} is {value!r}, but should be a whole number, at least 1.")
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> dict[str, Any] | None:
        """Run the trials that the study lacks, `n_jobs` at a time; return the best one's overrides, None without one.

        The number of a job is that of its trial. A job that failed is a failed trial, and counts as one.

        Raises
        ------
        SettingsError : nothing is searched for, or the storage holds a search of another kind.
        """
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        overrides = {override.get_key_element(): override for override in given}
        space = {key: _distribution(each) for key, each in overrides.items() if each.is_sweep_override()}
        fixed = [str(each.input_line) for each in overrides.values() if not each.is_sweep_override()]
        if not space:
            raise SettingsError("hydra.sweeper.params is empty; give keys with ranges, as in conf/hparams_search.")
        with self._joined(space) as study:
            log.info("The trials are kept in %s; the same command with hydra.sweep.dir=%s goes on", self.storage,
                     quoted(folder))  # fmt: skip
            while trials := self._ask(study, space):
                batch = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
                self.validate_batch_is_legal(batch)
                for trial, job in zip(trials, self.launcher.launch(batch, trials[0].number), strict=True):
                    _tell(study, trial, job.return_value)
        return self._best(study, fixed)

    @contextmanager
    def _joined(self, space: dict[str, "BaseDistribution"]) -> Iterator["optuna.Study"]:
        """Open the study, new or begun, of which other commands may run trials; hold a file that says we do, too."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_journal(self.storage.absolute())
        with waiting_lock(self._beside("lock")):
            study = self._study(storage, space)
            self._number = study.user_attrs.get(_COMMANDS, 0)
            study.set_user_attr(_COMMANDS, self._number + 1)
        # Another seed for each command: it would begin with the trials of the one before.
        seed = None if self.seed is None else self.seed + self._number
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        own = self._beside(self._number)
        with waiting_lock(own):
            yield study
        own.unlink(missing_ok=True)

    def _beside(self, what: object) -> Path:
        return self.storage.with_name(f".{self.storage.name}.{what}").absolute()

    def _ask(self, study: "optuna.Study", space: dict[str, "BaseDistribution"]) -> list["optuna.Trial"]:
        """Return up to `n_jobs` new trials, with numbers in a row; none where the study has `n_trials`.

        A trial of a command that is there no more is given up: another takes its place.
        """
        from optuna.trial import TrialState

        with waiting_lock(self._beside("lock")):
            known = 0
            for old in study.get_trials(deepcopy=False):
                command = old.user_attrs.get(_COMMAND)
                if old.state is TrialState.RUNNING and not is_locked(self._beside(command)):
                    study.tell(old.number, state=TrialState.FAIL)
                else:
                    known += old.state is not TrialState.FAIL or _FAILED in old.user_attrs
            trials = [study.ask(space) for _ in range(min(self.n_jobs, self.n_trials - known))]
            for trial in trials:
                trial.set_user_attr(_COMMAND, self._number)
        return trials

    def _best(self, study: "optuna.Study", fixed: list[str]) -> dict[str, Any] | None:
        """Print the best trial and the command that trains it; return its values, None without one."""
        from optuna.trial import TrialState

        counts = {state: len(study.get_trials(deepcopy=False, states=[state])) for state in TrialState}
        if not counts[TrialState.COMPLETE]:
            return None
        best = study.best_trial
        values = [f"{key}={value}" for key, value in best.params.items()]
        kept = [one for one in fixed if not _NO_PART.fullmatch(override_key(one))]
        name = str(self.config.hydra.job.config_name).replace("tune", "train").replace("_", "-")
        # Printed: it is the result of the command, above the table.
        n_trials = counts[TrialState.COMPLETE] + counts[TrialState.PRUNED]
        outcome = f"job {best.number}, {self.config.optimized_metric} {best.value:.4f}: {' '.join(values)}"
        ended_early = f" ({counts[TrialState.PRUNED]} ended early)" if counts[TrialState.PRUNED] else ""
        print(f"Best of {n_trials} trials{ended_early}: {outcome}")
        print(f"Train it by: {command_line(f'ser {name}', [*kept, *values])}")
        return dict(best.params)

    def _study(self, storage: "optuna.storages.BaseStorage", space: dict[str, "BaseDistribution"]) -> "optuna.Study":
        """Return the study in `storage`, new where there is none."""
        import optuna
        from optuna.distributions import distribution_to_json
        from optuna.study import StudyDirection

        direction = StudyDirection.MINIMIZE if is_minimised(self.config) else StudyDirection.MAXIMIZE
        study = optuna.create_study(storage=storage, study_name=STUDY, direction=direction, load_if_exists=True)
        kind = {
            "metric": self.config.optimized_metric,
            **{key: distribution_to_json(each) for key, each in space.items()},
        }
        if study.user_attrs.get("kind", kind) != kind:
            raise SettingsError(f"{self.storage} holds a search over other ranges; give another hydra.sweeper.storage.")
        study.set_user_attr("kind", kind)
        return study


def _tell(study: "optuna.Study", trial: "optuna.Trial", value: object) -> None:
    """Tell the study what became of a trial: `value` is its metric; what is no finite number has failed."""
    from optuna.trial import TrialState

    if not isinstance(value, int | float) or not math.isfinite(value):
        trial.set_user_attr(_FAILED, True)
        study.tell(trial, state=TrialState.FAIL)
    elif PRUNED_AT in study.trials[trial.number].user_attrs:
        study.tell(trial, state=TrialState.PRUNED)  # with the last value that it reported
    else:
        study.tell(trial, value)


def _distribution(override: Override) -> "BaseDistribution":
    """Return what Optuna draws from for a sweep of Hydra: choices, a range with steps, or an interval."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    if isinstance(override.value(), IntervalSweep):
        numbers, options = [sweep.start, sweep.end], {"log": "log" in sweep.tags}
    elif override.is_range_sweep():
        numbers, options = sorted(sweep.range()), {"step": abs(sweep.step)}
    else:
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(numbers[0], numbers[-1], **options)
    return FloatDistribution(numbers[0], numbers[-1], **options)
