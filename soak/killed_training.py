"""Kill a training at random moments, resume it, and compare its end with that of one that never stopped.

    python soak/killed_training.py [--count 20] [--seed 0] [--json FILE]

Each round has a folder of its own, so that the corpus and the features are made in it too. The moments are spread over
the whole run; every fourth kill waits for a checkpoint that is being written. Rounds take turns between the default
recipe, whose learning rate falls on plateaus, and experiment=logmel_resbilstm. Checkpoints have to agree to the bit
(weights, optimiser, schedule, history), and the reports byte by byte.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/benchmarks")

import torch
from recordings import one_thread

from ser.corpora.progress import track
from ser.inference.checkpoint import read_checkpoint
from soak.figures import PROJECT, Figure, conclude, parser_of
from soak.killing import Command, moments

ROUNDS = 20
AIMED_ONE_IN = 4
EPOCHS = 12
_SMALL = (
    "trainer.accelerator=cpu",
    f"trainer.max_epochs={EPOCHS}",
    "logger.tensorboard=false",
    "reference_files=false",
)
_VOICES = ("data.synthetic.n_actors=2", "data.synthetic.n_statements=1", "data.batch_size=16")
RECIPES = {
    # A patience of 0 and a high rate, so that ReduceLROnPlateau steps within the few epochs.
    "default": ("experiment=debug", *_SMALL, *_VOICES, "model.lr=0.02", "model.scheduler.patience=0"),
    "logmel_resbilstm": (
        "experiment=logmel_resbilstm",
        *_SMALL,
        *_VOICES,
        "data=synthetic",
        "data.split=random",
        "data.fold=null",
        "data.channel=speech",
        "model.network.channels=[8, 8]",
        "model.network.lstm_hidden=8",
    ),
}
_COMPARED = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "history")
_REPORTS = ("val_metrics.txt", "predictions.csv", "metrics.json")


def training(recipe: str, folder: Path) -> Command:
    """Return the command of a run in `folder`, which holds its corpus and its cache as well."""
    paths = (f"paths.output_dir={folder}", f"paths.data_dir={folder}/data", f"hydra.run.dir={folder}/run")
    return _train([*RECIPES[recipe], *paths], folder)


def resuming(folder: Path) -> Command:
    """Return the command that goes on with the run in `folder`."""
    return _train([f"ckpt_path={folder}/run"], folder)


def _train(overrides: Sequence[str], folder: Path) -> Command:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in one_thread().items() if name != "RAVDESS_ROOT"}
    return Command(
        arguments=[sys.executable, str(PROJECT / "train.py"), *overrides],
        folder=folder,
        environment=environment,
        begins=(folder / "data").is_dir,  # all is imported, and the corpus is being made
    )


def differences(folder: Path, unbroken: Path) -> list[str]:
    """Return what of a finished run differs from an unbroken one's."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (read_checkpoint(one / "run" / "checkpoints" / name) for one in (folder, unbroken))
        found += [f"{name}: {key}" for key in _COMPARED if not _equal(ours[key], theirs[key])]
    for name in _REPORTS:
        if (folder / "run" / name).read_bytes() != (unbroken / "run" / name).read_bytes():
            found.append(name)
    left = [path.name for path in (folder / "run").rglob("*.ckpt") if path.name not in ("last.ckpt", "best.ckpt")]
    return found + left


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def rounds(count: int, *, seed: int, folder: Path) -> Iterator[dict[str, object]]:
    """Kill and resume `count` runs; yield what became of each."""
    seconds = {recipe: training(recipe, folder / recipe).to_its_end() for recipe in list(RECIPES)[:count]}
    for number, share in enumerate(moments(count, longest=1.0, seed=seed)):
        recipe = list(RECIPES)[number % len(RECIPES)]
        is_aimed = number % AIMED_ONE_IN == AIMED_ONE_IN - 1
        killed = folder / f"killed-{number}"
        while not _kill(training(recipe, killed), share, seconds[recipe], killed if is_aimed else None):
            shutil.rmtree(killed)  # it had ended before: that was no kill
            share *= 0.9
        epoch = _epoch(killed)
        resuming(killed).to_its_end()
        yield {
            "recipe": recipe,
            "killed": "while a checkpoint is written" if is_aimed else f"after {share:.0%} of the run",
            "newest checkpoint": epoch,
            "differs": differences(killed, folder / recipe),
        }
        shutil.rmtree(killed)


def _kill(command: Command, share: float, seconds: float, aimed: Path | None) -> bool:
    """Kill a run after a share of its time, or at the next checkpoint that it writes then; False if it had ended."""
    if aimed is None:
        return command.for_seconds(share * seconds)
    checkpoints = aimed / "run" / "checkpoints"
    written: set[int] = set()  # the files that last.ckpt has been

    def writes() -> bool:
        if (checkpoints / "last.ckpt").is_file():
            written.add((checkpoints / "last.ckpt").stat().st_ino)
        return len(written) >= int(share * EPOCHS) and any(checkpoints.glob(".*.partial"))

    return command.until(writes)


def _epoch(folder: Path) -> int | None:
    """Return the epoch of the checkpoint that a kill left, which has to be whole; None where there is none yet."""
    last = folder / "run" / "checkpoints" / "last.ckpt"
    return read_checkpoint(last)["epoch"] if last.is_file() else None


def main() -> int:
    """Run the rounds and report."""
    options = parser_of(__doc__, count=ROUNDS).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = rounds(options.count, seed=options.seed, folder=Path(folder))
        done = list(track(made, total=options.count, description="Killed trainings", unit="rounds"))
    differ = sum(bool(one["differs"]) for one in done)
    figure = Figure(
        figure="SIGKILL at random moments of training, then resume",
        must=f"{options.count} kills, weights bit-identical to an unkilled run's",
        measured=f"{len(done) - differ} of {len(done)} identical",
        held=not differ and len(done) == options.count,
        command="python soak/killed_training.py",
    )
    return conclude([figure], {"rounds": done}, options.json)


if __name__ == "__main__":
    sys.exit(main())
