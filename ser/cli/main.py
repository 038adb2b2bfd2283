"""`ser`, or `python -m ser`: every command of the project by its name."""

import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ser.cli.command import CONF_FOLDER, exit_status

HYDRA_COMMANDS = {
    "train": "train a recogniser",
    "prepare": "write the features of a large corpus in shards",
    "evaluate": "score a model on labelled recordings",
    "cross-validate": "train and score every fold and seed of a recipe",
    "tune": "search the best settings of a recipe",
    "eda": "explore the corpus: figures, tables, report",
}
"""Command -> what it is for; each takes the overrides and flags of Hydra."""
COMMANDS = {
    "predict": "predict the emotion of your own recordings",
    "compare": "compare runs: metrics, difference, changed recordings",
    "corpus": "check a manifest or corpus; download RAVDESS",
    "sweep": "say how far a sweep or a cross-validation is",
    "export": "write a model as ONNX",
    "publish": "write a model that is loaded by its name",
    "robustness": "measure the UAR lost by level, noise, telephone, room",
    "card": "write the model card",
    "app": "start the web app",
    "serve": "start the web server: HTTP and websocket",
}
"""Command -> what it is for; each takes options and arguments in any order."""


class _Commands(TyperGroup):
    """The commands. The module of one is imported once it is called, so that `ser --help` is quick."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            from ser.features.validation import suggestion

            ctx.fail(f"there is no command {args[0]!r}; {suggestion(args[0], self.commands)}.")
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name)(_with_exit_status(getattr(_module(name), _identifier(name))))
            command = typer.main.get_command(alone)
        return name, command, rest


def _identifier(command: str) -> str:
    return command.replace("-", "_")


def _module(command: str) -> Any:
    return importlib.import_module(f"ser.cli.{_identifier(command)}")


def _with_exit_status(act: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(act)
    def run(**options: Any) -> int:
        return exit_status(lambda: act(**options))

    return run


def _complete_override(incomplete: str) -> list[str]:
    """Return the choices of the configuration's groups that begin so, such as `experiment=debug`."""
    files = CONF_FOLDER.glob("*/**/*.yaml")
    choices = (f"{file.parent.relative_to(CONF_FOLDER).as_posix()}={file.stem}" for file in files)
    return sorted(choice for choice in choices if choice.startswith(incomplete))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Hydra's overrides and flags", autocompletion=_complete_override),
]


def _add_hydra_command(app: typer.Typer, name: str, purpose: str) -> None:
    # Hydra reads its flags, --help among them.
    all_is_hydras = {"ignore_unknown_options": True, "allow_interspersed_args": True}

    @app.command(name, help=purpose, add_help_option=False, context_settings=all_is_hydras)
    def run(overrides: Overrides = None) -> int:
        status: int = _module(name).main(overrides or [])
        return status


def _application() -> typer.Typer:
    help_text = "Speech emotion recognition: train, check and use a recogniser."
    app = typer.Typer(
        name="ser", cls=_Commands, help=help_text, context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None, pretty_exceptions_enable=False,
    )  # fmt: skip
    for name, purpose in HYDRA_COMMANDS.items():
        _add_hydra_command(app, name, purpose)
    for name, purpose in COMMANDS.items():
        app.command(name, help=purpose)(_name_only)
    return app


def _name_only() -> None:
    """Stand for a command in the list of them all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; None takes the arguments of the command line.

    Returns
    -------
    The exit status: 0; 1 for an error that a person can mend; 2 for a command line that is not understood; and as of
    `exit_status`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    command = typer.main.get_command(_application())

    def run() -> int:
        try:
            return command.main(given, prog_name="ser", standalone_mode=False) or 0
        except typer.TyperException as error:  # of the command line
            print(f"error: {error.format_message()}", file=sys.stderr)
            return error.exit_code

    return exit_status(run)
