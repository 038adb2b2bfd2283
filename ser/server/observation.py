"""One line of the log and one count for each request."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser.server.metrics import Metrics

log = logging.getLogger(__name__)

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"}


class Observation:
    """Counts and logs what passes through it. Of a path it shows no more than the name of its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"].endswith("response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "GET")
        method = method if method in _METHODS else "other"
        path = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(method, path, str(status)).inc()
        if scope["type"] == "http":
            self._metrics.request_seconds.labels(path).observe(seconds)
        log.info("%s %s %d %.0f ms", method, path, status, 1000 * seconds)
