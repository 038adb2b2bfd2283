"""A stream by websocket: 16-bit PCM in, an answer for each utterance that has ended, and one for all at the end."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from fastapi import HTTPException, WebSocket, WebSocketDisconnect

from ser.audio.io import MAX_RATE, MIN_RATE
from ser.features.pipeline import ModelInput
from ser.inference.context import SpeakerContext
from ser.inference.predictor import Predictor
from ser.inference.results import Prediction
from ser.inference.segments import Segment
from ser.server.batching import Batching
from ser.server.limits import Limits
from ser.server.metrics import Metrics
from ser.server.streaming import SpeechStream, recording_of

NAME = "stream"
END = "end"
"""The text by which a client ends its sound, and asks for the answer to all of it."""
_NORMAL, _UNSUPPORTED, _POLICY, _TOO_BIG = 1000, 1003, 1008, 1009
"""Status codes of RFC 6455, section 7.4.1."""
_NO_ATTENTION = np.empty(0, dtype=np.float32)


class _StreamError(Exception):
    """What a client did wrong: a status code and a sentence."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def sample_rate_of(websocket: WebSocket) -> int:
    """Return the rate in the address, in Hz.

    Raises
    ------
    HTTPException : 422, it is missing or none that can be.
    """
    given = websocket.query_params.get("sample_rate", "")
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and MIN_RATE <= int(given) <= MAX_RATE):
        raise HTTPException(
            422, f"sample_rate is {given[:20]!r}, but should be {MIN_RATE} to {MAX_RATE}: /v1/stream?sample_rate=16000."
        )
    return int(given)


class Conversation:
    """One client's stream, from its first sound to the answer to all of it."""

    def __init__(
        self,
        websocket: WebSocket,
        *,
        sample_rate: int,
        single_speaker: bool,
        predictor: Predictor,
        batching: Batching,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._websocket, self._batching, self._limits, self._metrics = websocket, batching, limits, metrics
        self._stream = SpeechStream(predictor.metadata.features, sample_rate=sample_rate)
        self._segments: list[Segment] = []
        self._context = SpeakerContext.none(predictor.metadata.context) if single_speaker else None

    async def run(self) -> None:
        """Answer until the client ends it, or does what it should not."""
        try:
            while (pcm := await self._next()) is not None:
                arrived = time.perf_counter()
                ended = await self._batching.in_thread(partial(self._stream.feed, pcm))
                if ended:
                    await self._answer(ended, arrived)
            ended = await self._batching.in_thread(self._stream.finish)
            overall = await self._answer(ended, time.perf_counter())
            await self._send({"type": "end", "result": overall.to_dict()})
            await self._websocket.close(_NORMAL)
        except _StreamError as error:
            await self._send({"type": "error", "detail": error.detail})
            await self._websocket.close(error.code)

    async def _next(self) -> bytes | None:
        """Return the next samples; None at the end."""
        if self._stream.duration > self._limits.stream_seconds:
            raise _StreamError(_POLICY, f"A stream lasts {self._limits.stream_seconds:g} s at most; open another.")
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                message = await self._websocket.receive()
        except TimeoutError:
            raise _StreamError(_POLICY, f"Nothing was sent for {self._limits.idle_seconds:g} s.") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", _NORMAL))
        pcm: bytes | None = message.get("bytes")
        if pcm is None and message.get("text") != END:
            raise _StreamError(
                _UNSUPPORTED, f"Send 16-bit samples as binary messages, and the text {END!r} at the end."
            )
        if pcm is not None and len(pcm) > self._limits.max_message_bytes:
            most = self._limits.max_message_bytes // 2**10
            raise _StreamError(_TOO_BIG, f"A message has {most} KiB at most; send a second of sound or less.")
        return pcm

    async def _answer(self, utterances: Sequence[ModelInput], arrived: float) -> Prediction:
        """Send the answers to utterances; return the prediction of all that there were."""
        recording = recording_of(utterances, stream=self._stream)
        prediction = await self._batching.predict_loaded(recording, name=NAME, context=self._context)
        if self._context is not None:
            self._context += SpeakerContext.of_predictions([prediction])
        self._segments += (replace(one, attention=_NO_ATTENTION) for one in prediction.segments)
        for number, utterance in enumerate(prediction.to_dict()["utterances"]):
            size = {}
            if prediction.context_size is not None:
                size["context_size"] = prediction.context_size + (0 if self._context is None else number)
            await self._send({"type": "utterance", **utterance, **size})
            self._metrics.answer_seconds.observe(time.perf_counter() - arrived)
        no_other = None if prediction.context_size is None else 0
        return replace(prediction, segments=tuple(self._segments), context_size=no_other)

    async def _send(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._limits.idle_seconds):
            await self._websocket.send_json(message)
