"""What the server counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_UTTERANCES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one server; two servers in a process share none.

    Attributes
    ----------
    registry : what `/metrics` shows.
    requests : by method, path (that of a route, or "other") and status.
    request_seconds : from the request to the end of its answer, by path.
    recordings : by the status of their prediction; those that cannot be read are "unreadable".
    sound_seconds : of the recordings and streams that were predicted.
    batch_utterances : utterances that went through the network together.
    streams : that are open.
    answer_seconds : from the arrival of the sound that shows that an utterance has ended, to its answer.
    """

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("ser_requests", "Requests", ["method", "path", "status"], registry=self.registry)
        self.request_seconds = Histogram(
            "ser_request_seconds",
            "Time of a request, its upload included",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.recordings = Counter(
            "ser_recordings", "Recordings by the status of their prediction", ["status"], registry=self.registry
        )
        self.sound_seconds = Counter("ser_sound_seconds", "Sound that was predicted", registry=self.registry)
        self.batch_utterances = Histogram(
            "ser_batch_utterances", "Utterances in a batch of the network", buckets=_UTTERANCES, registry=self.registry
        )
        self.streams = Gauge("ser_streams", "Open streams", registry=self.registry)
        self.answer_seconds = Histogram(
            "ser_answer_seconds",
            "From the sound that ends an utterance to its answer",
            buckets=_SECONDS,
            registry=self.registry,
        )
        Gauge("ser_requests_in_work", "Requests at work or waiting for it", registry=self.registry).set_function(
            waiting
        )
