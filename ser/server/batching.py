"""One predictor for many requests: a few threads decode, and what waits goes through the network as a batch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from ser.features.pipeline import LoadedRecording, load_features
from ser.inference.context import SpeakerContext
from ser.inference.predictor import Predictor
from ser.inference.results import Prediction

Result = TypeVar("Result")

MAX_UTTERANCES = 64
"""In one batch of the network; a single recording may have more."""
_AHEAD = 4
"""Recordings at work for each that is decoded: the others wait for the network, as a batch. Each may hold 30 MB."""


@dataclass(frozen=True)
class _Waiting:
    name: str
    recording: LoadedRecording
    context: SpeakerContext | None
    answer: asyncio.Future[Prediction]


class Batching:
    """The predictions of all requests of a server; made and used in one event loop.

    Parameters
    ----------
    at_once : threads that decode sound and extract features.
    observe : called with the number of utterances of each batch.
    """

    def __init__(self, predictor: Predictor, *, at_once: int, observe: Callable[[int], None]) -> None:
        self._predictor = predictor
        self._observe = observe
        self._threads = ThreadPoolExecutor(at_once, "features")
        self._network = ThreadPoolExecutor(1, "network")
        self._places = asyncio.Semaphore(_AHEAD * at_once)
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._batches: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer what comes in for as long as the body runs."""
        self._batches = asyncio.create_task(self._run_batches())
        try:
            yield
        finally:
            self._batches.cancel()
            with suppress(asyncio.CancelledError):
                await self._batches
            for pool in (self._threads, self._network):
                pool.shutdown(wait=False, cancel_futures=True)

    @property
    def is_running(self) -> bool:
        """Whether answers can be expected."""
        return self._batches is not None and not self._batches.done()

    async def predict(self, content: bytes, *, name: str, context: SpeakerContext | None = None) -> Prediction:
        """Return what `Predictor.predict` does of the bytes of a sound file.

        Parameters
        ----------
        context : of the speaker, who says all of the recording; None: nobody is known.

        Raises
        ------
        AudioError : as `ser.audio.io.read_sound`.
        """
        settings = self._predictor.metadata.features
        async with self._places:
            recording = await self.in_thread(partial(load_features, content, settings=settings, name=name))
            return await self.predict_loaded(recording, name=name, context=context)

    async def predict_loaded(
        self, recording: LoadedRecording, *, name: str, context: SpeakerContext | None = None
    ) -> Prediction:
        """Return the prediction of features, in a batch with those that wait at that time; `context` as `predict`."""
        answer: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Waiting(name, recording, context, answer))
        return await answer

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do work in one of the threads; it is left undone where nobody waits for it any more when its turn comes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _run_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            try:
                predictions = await loop.run_in_executor(self._network, partial(self._predict, batch))
            except Exception as error:  # it is the answer to each of them, and the next batch goes on
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            self._observe(sum(len(one.recording.utterances) for one in batch))
            for one, prediction in zip(batch, predictions, strict=True):
                if not one.answer.done():
                    one.answer.set_result(prediction)

    def _predict(self, batch: Sequence[_Waiting]) -> list[Prediction]:
        """Return the predictions of a batch: those of known speakers apart, whose utterances are context in turn."""
        found: dict[int, Prediction] = {}
        for is_known in (False, True):
            places = [place for place, one in enumerate(batch) if (one.context is not None) == is_known]
            predictions = self._predictor.predict_loaded(
                [(batch[place].name, batch[place].recording) for place in places],
                contexts=[context for place in places if (context := batch[place].context) is not None] or None,
                single_speaker=is_known,
            )
            found |= zip(places, predictions, strict=True)
        return [found[place] for place in range(len(batch))]

    async def _next_batch(self) -> list[_Waiting]:
        """Wait for one recording, and take those that wait with it; without those that nobody waits for any more."""
        batch: list[_Waiting] = []
        n_utterances = 0
        while not batch or (n_utterances < MAX_UTTERANCES and not self._waiting.empty()):
            one = await self._waiting.get()
            if not one.answer.done():
                batch.append(one)
                n_utterances += len(one.recording.utterances)
        return batch
