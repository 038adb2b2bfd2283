"""The routes of the server."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, TypeVar

import prometheus_client
from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as AnyHTTPException

import ser
from ser.errors import AudioError
from ser.features.validation import as_plain
from ser.inference.context import SpeakerContext
from ser.inference.predictor import Predictor
from ser.inference.results import Failure, Prediction
from ser.server import schemas
from ser.server.batching import Batching
from ser.server.limits import Budget, Limits, busy
from ser.server.metrics import Metrics
from ser.server.observation import Observation
from ser.server.speakers import PATTERN, Speakers
from ser.server.uploads import FIELD, Upload, read_uploads
from ser.server.websocket import Conversation, sample_rate_of

Result = TypeVar("Result")

PROBLEM = "application/problem+json"
_DESCRIPTION = """
Send recordings, get the emotion of the voice in each: overall, and by utterance.

Sound that is still being spoken goes to the websocket `/v1/stream?sample_rate=16000`: 16-bit little-endian mono samples
as binary messages, and the text `end` at the end. For each utterance that a pause has ended comes
`{"type": "utterance", "start": ..., "end": ..., "emotion": ..., "confidence": ..., "probabilities": {...}}`,
at the end `{"type": "end", "result": {...}}`, and for a mistake `{"type": "error", "detail": "..."}`.

A model may take speaker context: what it knows of a person from other recordings. With `speaker=<id>`, an id of your
own making, each answer adds to what the next ones know of that speaker; `DELETE /v1/speakers/<id>` forgets it, as an
hour without a request does. A stream with `single_speaker=true` knows the utterances so far. It stays in memory.

A model is no lie detector, and its answer no ground to assess a person.
"""
_STATUSES = {
    400: "The body is no form, is cut short, or holds something else than files",
    401: "The API key is missing or wrong",
    408: "The body did not arrive in time",
    413: "A file or the body is too large, or there are too many files",
    415: "The body is no form",
    422: "None of the files can be read, or the speaker is no id",
    500: "A fault of the server",
    503: "Too many requests are waiting; `Retry-After` says when to try again",
}
_BODY = {
    "type": "object",
    "required": [FIELD],
    "additionalProperties": False,
    "properties": {FIELD: {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
}

_SPEAKER = {
    "name": "speaker",
    "description": "an id of your own making, for one person: the recordings answered before it are context",
    "schema": {"type": "string", "pattern": PATTERN},
}


def create_app(predictor: Predictor, *, name: str, limits: Limits | None = None, api_key: str | None = None) -> FastAPI:
    """Return the server of a model as an ASGI application; it begins to work with its lifespan.

    Parameters
    ----------
    name : of the model.
    limits : those of `Limits` if left out.
    api_key : what a request has to bear, as `Authorization: Bearer <key>`; None: anybody is answered.
    """
    service = _Service(predictor, name=name, limits=limits or Limits(), api_key=api_key)
    app = FastAPI(
        title="Speech emotion recognition",
        version=ser.__version__,
        description=_DESCRIPTION,
        lifespan=service.lifespan,
        redoc_url=None,
        exception_handlers={AnyHTTPException: _as_problem, Exception: _as_problem},
    )
    app.add_middleware(Observation, metrics=service.metrics)
    takes_context = predictor.metadata.context > 0
    key = [Depends(service.check_key)]
    if api_key is not None:
        key.append(Depends(HTTPBearer(auto_error=False, description="the API key")))
    app.add_api_route(
        "/v1/predict", service.predict, methods=["POST"], dependencies=key, summary="Predict recordings",
        responses={200: {"model": schemas.Predictions}, **_problems(400, 401, 408, 413, 415, 422, 500, 503)},
        openapi_extra={
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _BODY}}},
            "parameters": [{**_SPEAKER, "in": "query", "required": False}] if takes_context else [],
        },
    )  # fmt: skip
    app.add_api_route(
        "/v1/speakers/{speaker}", service.forget, methods=["DELETE"], dependencies=key, summary="Forget a speaker",
        status_code=204, response_class=Response, responses=_problems(401, 422), include_in_schema=takes_context,
        openapi_extra={"parameters": [{**_SPEAKER, "in": "path", "required": True}]},
    )  # fmt: skip
    app.add_api_route(
        "/v1/models", service.models, methods=["GET"], dependencies=key, summary="Describe the model",
        response_model=schemas.Models, responses=_problems(401),
    )  # fmt: skip
    app.add_api_route(
        "/healthz", service.health, methods=["GET"], summary="Tell whether the server answers",
        response_model=schemas.Health, responses=_problems(503),
    )  # fmt: skip
    app.add_api_route(
        "/metrics", service.show_metrics, methods=["GET"], dependencies=key, summary="Count for Prometheus",
        response_class=Response, responses={200: {"content": {"text/plain": {}}}, **_problems(401)},
    )  # fmt: skip
    app.add_api_websocket_route("/v1/stream", service.stream)
    return app


class _Service:
    """What the routes of one server share."""

    def __init__(self, predictor: Predictor, *, name: str, limits: Limits, api_key: str | None) -> None:
        self._predictor, self._name, self._limits, self._key = predictor, name, limits, api_key
        self._held = Budget(limits.max_held_bytes, "The server holds as many recordings as it can; try again.")
        self._line = Budget(limits.max_requests, "Too many requests are waiting; try again.")
        self._speakers = Speakers(predictor.metadata.context, limits)
        self._streams = Budget(limits.max_streams, "As many streams are open as can be; try again.")
        self.metrics = Metrics(waiting=lambda: self._line.taken)
        self._batching: Batching  # of the event loop, from the beginning of the lifespan

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        observe = self.metrics.batch_utterances.observe
        self._batching = Batching(self._predictor, at_once=self._limits.at_once, observe=observe)
        async with self._batching.running():
            yield

    async def check_key(self, request: Request) -> None:
        self._check(request.headers)

    def _check(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._key is None:
            return
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), self._key.encode()):
            sentence = "The API key is missing or wrong; send it as `Authorization: Bearer <key>`."
            raise HTTPException(401, sentence, headers={"WWW-Authenticate": "Bearer"})

    async def predict(self, request: Request) -> Response:
        """Predict one or more recordings, in any format and of any length up to ten minutes.

        A recording that cannot be read among others that can has an `error` in place of its prediction.
        """
        speaker = self._speakers.in_query(request)
        with self._held.share() as held:
            uploads = await read_uploads(request, self._limits, held)
            with self._line.share(1):
                try:
                    async with asyncio.timeout(self._limits.request_seconds):
                        context = None if speaker is None else self._speakers.context_of(speaker)
                        results = await _unless_gone(request, self._predict_all(uploads, context))
                except TimeoutError:
                    raise busy(f"No answer within {self._limits.request_seconds:g} s; try fewer recordings.") from None
        if speaker is not None:
            self._speakers.add(speaker, (result for result in results if isinstance(result, Prediction)))
        failures = [result.reason for result in results if isinstance(result, Failure)]
        if len(failures) == len(results):
            raise HTTPException(422, " ".join(failures))
        model = {"name": self._name, "fingerprint": self._predictor.fingerprint}
        return JSONResponse({"model": model, "results": [result.to_dict() for result in results]})

    async def forget(self, request: Request) -> Response:
        """Forget what is known of a speaker; it makes no difference whether anything is."""
        self._speakers.forget(self._speakers.in_path(request))
        return Response(status_code=204)

    async def _predict_all(
        self, uploads: Sequence[Upload], context: SpeakerContext | None
    ) -> list[Prediction | Failure]:
        """Predict so many at a time that requests of few recordings have their turns beside one of many."""
        places = asyncio.Semaphore(self._limits.at_once)

        async def predict(upload: Upload) -> Prediction | Failure:
            async with places:
                return await self._predict(upload, context)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(predict(upload)) for upload in uploads]
        return [task.result() for task in tasks]

    async def _predict(self, upload: Upload, context: SpeakerContext | None) -> Prediction | Failure:
        try:
            prediction = await self._batching.predict(upload.content, name=upload.name, context=context)
        except AudioError as error:
            self.metrics.recordings.labels("unreadable").inc()
            return Failure(source=upload.name, reason=str(error))
        self.metrics.recordings.labels(prediction.status).inc()
        self.metrics.sound_seconds.inc(prediction.duration)
        return prediction

    async def models(self) -> dict[str, Any]:
        """Describe what answers: its classes, what it was trained on, and how well networks of its recipe do."""
        metadata = self._predictor.metadata
        scores = metadata.recipe_scores
        model = {
            "name": self._name,
            "fingerprint": self._predictor.fingerprint,
            "class_names": list(metadata.class_names),
            "sample_rate": metadata.features.sample_rate,
            "window": metadata.features.duration,
            "rejection_threshold": metadata.rejection_threshold,
            "protocol": metadata.protocol,
            "scores": None if scores is None else as_plain(scores),
        }
        return {"models": [model]}

    async def health(self) -> dict[str, str]:
        """Answer as long as predictions can be expected; no key is needed."""
        if not self._batching.is_running:
            raise busy("The server does not predict.")
        return {"status": "ok"}

    async def show_metrics(self) -> Response:
        """Count requests, recordings, seconds of sound, times and batches, in Prometheus' text format."""
        text = prometheus_client.generate_latest(self.metrics.registry)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def stream(self, websocket: WebSocket) -> None:
        try:
            self._check(websocket.headers)
            sample_rate = sample_rate_of(websocket)
            single_speaker = self._speakers.is_single(websocket.query_params)
            with self._streams.share(1):
                await websocket.accept()
                with self.metrics.streams.track_inprogress():
                    await self._converse(websocket, sample_rate, single_speaker)
        except AnyHTTPException as error:
            await websocket.send_denial_response(_problem(error.status_code, error.detail, error.headers))

    async def _converse(self, websocket: WebSocket, sample_rate: int, single_speaker: bool) -> None:
        conversation = Conversation(
            websocket,
            sample_rate=sample_rate,
            single_speaker=single_speaker,
            predictor=self._predictor,
            batching=self._batching,
            limits=self._limits,
            metrics=self.metrics,
        )
        with suppress(WebSocketDisconnect, TimeoutError):  # gone, or takes no answer
            await conversation.run()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of work on a request whose body has been read; stop it where its client leaves."""

    async def wait_until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(wait_until_gone())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(400, "The connection ended before the answer.")
        return await working
    finally:
        working.cancel()
        leaving.cancel()


async def _as_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, AnyHTTPException):
        return _problem(error.status_code, error.detail, error.headers)
    return _problem(500, "Something went wrong on the server; its log has the rest.", None)  # uvicorn logs it


def _problem(status: int, detail: str, headers: Any) -> Response:
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status, headers=headers, media_type=PROBLEM)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {PROBLEM: {"schema": schemas.Problem.model_json_schema()}}
    return {status: {"description": _STATUSES[status], "content": content} for status in statuses}
