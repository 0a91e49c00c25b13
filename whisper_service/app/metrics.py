"""Count the reports and deaths of actors for Prometheus.

Counters and histograms start with the process. Gauges are computed for each scrape (`web.api.metrics`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.media import ChunkFound, Decoded
from whisper_service.supervision.messages.speakers import Heard
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, Loaded
from whisper_service.supervision.supervisor import ActorEvent, Died

PREFIX: Final = "whisper_service"
LATENCY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
BATCH_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
MOST_WAITING: Final = 20_000
"""Chunks whose latency is measured at a time. Of more, the oldest are left out."""


class Metrics:
    """The counters of one service, in a registry of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._registry = CollectorRegistry()
        self._now = _ScrapeCollector()
        self._registry.register(self._now)
        ProcessCollector(registry=self._registry)
        self._waiting: OrderedDict[tuple[str, int], float] = (
            OrderedDict()
        )  # chunks without text, and when they were found
        self._out_of_memory: set[tuple[str, int]] = set()  # (actor, generation) that reported so before their exit

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(name, help, labels, namespace=PREFIX, registry=self._registry)

        def histogram(name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, help, namespace=PREFIX, registry=self._registry, buckets=buckets)

        self._chunks = counter("chunks_total", "Chunks that became text.")
        self._latency = histogram(
            "chunk_latency_seconds", "From when a chunk was found in a recording until its text.", LATENCY_S
        )
        self._batch = histogram("batch_seconds", "Work on one batch of chunks.", BATCH_S)
        self._audio = counter("recognised_audio_seconds_total", "Speech in the chunks that became text.")
        self._decoded = counter(
            "decoded_audio_seconds_total", "Length of the recordings that were decoded to their end."
        )
        self._voices = counter("voices_seconds_total", "Sound in the chunks whose voices were heard.")
        self._loads = counter("model_loads_total", "Models loaded.", "model", "device", "compute_type")
        self._faults = counter("faults_total", "Failures that actors reported and survived.", "scope", "kind")
        self._memory = counter(
            "out_of_memory_total", "Times that the memory of the device or the machine ran out.", "actor"
        )
        self._starts = counter("actor_starts_total", "Starts of actors that then took commands.", "actor")
        self._deaths = counter("actor_deaths_total", "Deaths of actors, by cause.", "actor", "cause")

    def counting(self, deliver: Callable[[ActorEvent], None]) -> Callable[[ActorEvent], None]:
        """Return a function that counts an event, then delivers it."""

        def count_and_deliver(event: ActorEvent) -> None:
            self.count(event)
            deliver(event)

        return count_and_deliver

    def count(self, event: ActorEvent) -> None:
        """Count an event."""
        actor = event.actor.partition("-")[0]  # all media actors are counted together
        generation = (event.actor, event.generation)
        if isinstance(event, Died):
            self._deaths.labels(actor, event.diagnosis.kind.value).inc()
            if event.diagnosis.kind is FaultKind.OOM and generation not in self._out_of_memory:
                self._memory.labels(actor).inc()
            self._out_of_memory.discard(generation)
            return
        match event.report:
            case Ready():
                self._starts.labels(actor).inc()
            case ChunkFound(job_id=job_id, span=span):
                self._waiting.setdefault((job_id, span.index), self._clock())
                if len(self._waiting) > MOST_WAITING:
                    self._waiting.popitem(last=False)
            case ChunkDone(job_id=job_id, index=index):
                self._chunks.inc()
                if (found := self._waiting.pop((job_id, index), None)) is not None:
                    self._latency.observe(self._clock() - found)
            case BatchDone(seconds=seconds, audio_s=audio_s):
                self._batch.observe(seconds)
                self._audio.inc(audio_s)
            case Decoded(duration_s=duration_s):
                self._decoded.inc(duration_s)
            case Heard(audio_s=audio_s):
                self._voices.inc(audio_s)
            case Loaded(model=model, device=device, compute_type=compute_type):
                self._loads.labels(model, device, compute_type).inc()
            case Fault(scope=scope, kind=kind, fatal=fatal):
                self._faults.labels(scope, kind).inc()
                if kind == FaultKind.OOM:
                    self._memory.labels(actor).inc()
                    if fatal:
                        self._out_of_memory.add(generation)
            case _:
                pass

    def text(self, accept: str, now: Iterable[Metric]) -> tuple[bytes, str]:
        """Return all metrics and `now`, the gauges, in the form that `accept` asks for; and the content type."""
        encode, content_type = choose_encoder(accept)
        self._now.metrics = list(now)
        return encode(self._registry), content_type


class _ScrapeCollector(Collector):
    """Hands out the gauges that were computed for this scrape."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.metrics
