"""`ser app [--model <model>]`: start the web app."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ser.inference.pretrained import find_model
from ser.inference.run_folder import find_checkpoint

SCRIPT = Path(__file__).parents[2] / "app" / "app.py"
"""Beside `ser`, in a checkout and where a wheel was installed."""


def app(
    model: Annotated[
        str | None,
        typer.Option(help="a run's folder, a folder of runs, a model's file or name; chosen in the app if left out"),
    ] = None,
    port: Annotated[int | None, typer.Option(help="8501 if left out")] = None,
) -> int:
    """Start the web app, and run until Ctrl-C.

    Other settings of its server are those of Streamlit's environment variables, such as STREAMLIT_SERVER_ADDRESS.
    """
    if model is not None:
        find_checkpoint(find_model(model))  # a model that is not there ends the command, not the page

    from streamlit.web import cli

    options = [] if port is None else [f"--server.port={port}"]
    given = [] if model is None else ["--", "--model", model]
    sys.argv = ["streamlit", "run", str(SCRIPT), *options, *given]
    cli.main(prog_name="streamlit")  # ends in SystemExit
    return 0
