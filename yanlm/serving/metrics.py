"""Counters of a server, in the format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server; another one in the same process has its own.

    Example:
        >>> metrics = Metrics()
        >>> metrics.answered("/v1/infill", 200, 0.02)
        >>> b'yanlm_requests_total{path="/v1/infill",status="200"} 1.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter("yanlm_requests", "Requests answered.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "yanlm_request_seconds", "Time to answer a request.", ["path"], buckets=SECONDS, registry=own
        )
        self._queue = Gauge("yanlm_queue_texts", "Texts that wait for the model.", registry=own)
        self._batches = Histogram("yanlm_batch_texts", "Texts filled together.", buckets=ROWS, registry=own)
        self._tokens = Counter("yanlm_tokens", "Tokens written, of all samples.", registry=own)
        self._model = Counter("yanlm_model_seconds", "Time in which the model was busy.", registry=own)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request is done."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def queued(self, texts: int) -> None:
        """Set the number of waiting texts."""
        self._queue.set(texts)

    def filled(self, texts: int, tokens: int, seconds: float) -> None:
        """A batch is done."""
        self._batches.observe(texts)
        self._tokens.inc(tokens)
        self._model.inc(seconds)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
