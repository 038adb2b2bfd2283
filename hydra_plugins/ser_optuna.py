"""The Hydra sweeper `hydra/sweeper=optuna`: Optuna asks for the next trials, any launcher runs them as jobs."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ser.errors import SettingsError, missing_package
from ser.training.outcome import is_minimised

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


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
        storage: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.n_trials, self.n_jobs, self.seed, self.storage = n_trials, n_jobs, seed, storage
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
            raise SettingsError(f"{missing_package(error, 'hydra/sweeper=optuna')}.") from error
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
        from optuna.trial import TrialState

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
        study = self._study(space)
        known = [trial for trial in study.trials if trial.state is TrialState.COMPLETE or "failed" in trial.user_attrs]
        missing = self.n_trials - len(known)
        while missing > 0:
            trials = [study.ask(space) for _ in range(min(self.n_jobs, missing))]
            batch = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
            self.validate_batch_is_legal(batch)
            for trial, job in zip(trials, self.launcher.launch(batch, trials[0].number), strict=True):
                value = job.return_value
                if isinstance(value, int | float) and math.isfinite(value):
                    study.tell(trial, value)
                else:
                    trial.set_user_attr("failed", True)
                    study.tell(trial, state=TrialState.FAIL)
            missing -= len(trials)
        if not any(trial.state is TrialState.COMPLETE for trial in study.trials):
            return None
        best = study.best_trial
        settings = " ".join(f"{key}={value}" for key, value in best.params.items())
        # Printed: it is the result of the command, above the table.
        outcome = f"job {best.number}, {self.config.optimized_metric} {best.value:.4f}: {settings}"
        print(f"Best of {len(study.trials)} trials: {outcome}")
        return dict(best.params)

    def _study(self, space: dict[str, "BaseDistribution"]) -> "optuna.Study":
        """Return a new study, or that of the storage with its interrupted trials given up."""
        import optuna
        from optuna.distributions import distribution_to_json
        from optuna.study import StudyDirection
        from optuna.trial import TrialState

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        url = None
        if self.storage is not None:
            path = Path(self.storage).absolute()
            path.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{path}"
        direction = StudyDirection.MINIMIZE if is_minimised(self.config) else StudyDirection.MAXIMIZE
        study = optuna.create_study(storage=url, study_name="ser", direction=direction, load_if_exists=True)
        kind = {
            "metric": self.config.optimized_metric,
            **{key: distribution_to_json(each) for key, each in space.items()},
        }
        if study.user_attrs.get("kind", kind) != kind:
            raise SettingsError(f"{self.storage} holds a search over other ranges; give another hydra.sweeper.storage.")
        study.set_user_attr("kind", kind)
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            study.tell(trial.number, state=TrialState.FAIL)
        # A resumed study with the same seed would begin with the trials that it has already.
        seed = None if self.seed is None else self.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=self.n_jobs > 1)
        return study


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
