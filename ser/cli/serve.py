"""`ser serve [--model <model>]`: start the web server."""

import ipaddress
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from ser.cli.command import FeatureGroups, Networks, own_parts
from ser.errors import SettingsError

KEY = "SER_API_KEY"
"""The environment variable of the key that a request has to bear."""

log = logging.getLogger(__name__)


def serve(
    model: Annotated[
        str | None,
        typer.Option(help="a run's folder, a folder of runs, a model's file or name; ser-voices if left out"),
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen at; 0.0.0.0: all of this machine")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8000,
    network: Networks = None,
    feature_group: FeatureGroups = None,
) -> int:
    """Start the web server, and run until Ctrl-C: POST /v1/predict, websocket /v1/stream, /docs for the rest.

    Where the environment variable SER_API_KEY is set, requests have to bear it: `Authorization: Bearer <key>`.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    import uvicorn
    from threadpoolctl import threadpool_limits

    from ser.data.workers import THREAD_VARIABLES, keep_freed_memory
    from ser.inference.predictor import Predictor
    from ser.inference.pretrained import DEFAULT_MODEL
    from ser.server import Limits, create_app

    # Recordings run side by side: more threads within one only fight each other.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    threadpool_limits(1)
    keep_freed_memory()
    source = model or DEFAULT_MODEL
    predictor = Predictor.load(source, **own_parts(network, feature_group))
    limits = Limits()
    app = create_app(predictor, name=Path(source).name, limits=limits, api_key=_key(host))
    uvicorn.run(
        app, host=host, port=port, http="h11", ws="websockets-sansio", log_config=None, access_log=False,
        server_header=False, ws_max_size=2 * limits.max_message_bytes, ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
    )  # fmt: skip
    return 0


def _key(host: str) -> str | None:
    key = os.environ.get(KEY)
    if key is not None and not key.strip():
        raise SettingsError(f"{KEY} is set, but empty: give it a key, or unset it, so that anybody is answered.")
    if key is None and not _is_of_this_machine(host):
        log.warning("Whoever reaches %s is answered: %s is not set.", host, KEY)
    return key


def _is_of_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
