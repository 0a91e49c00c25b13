"""The metrics, read by Prometheus's own parser."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from whisper_service.app import metrics as module
from whisper_service.app.metrics import Metrics
from whisper_service.core.domain import Problem, Span
from whisper_service.supervision.faults import Diagnosis, FaultKind
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.media import ChunkFound, Decoded
from whisper_service.supervision.messages.speakers import Heard
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, Loaded
from whisper_service.supervision.protocol import Report
from whisper_service.supervision.supervisor import ActorEvent, Died, Reported

PROBLEM = Problem("oom", "There was not enough memory.")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def speech(report: Report, generation: int = 1) -> Reported:
    return Reported("speech", generation, report)


def died(kind: FaultKind, actor: str = "speech", generation: int = 1) -> Died:
    return Died(actor, generation, Diagnosis(kind, PROBLEM), 0.1)


def oom(*, fatal: bool) -> Fault:
    return Fault(scope="batch", kind="oom", problem=PROBLEM, fatal=fatal)


def found(index: int) -> Reported:
    return Reported("media-1", 1, ChunkFound(job_id="job", span=Span(index, 0, 1, 0.0, 1.0)))


def done(index: int) -> Reported:
    return speech(ChunkDone(batch=1, job_id="job", index=index, segments=(), language="en"))


def values(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text, kind = metrics.text("", [])
    assert kind.startswith("text/plain; version=")
    samples = [sample for family in read_text(text.decode()) for sample in family.samples]
    return {
        (sample.name.removeprefix("whisper_service_"), frozenset(sample.labels.items())): sample.value
        for sample in samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return values(metrics).get((name, frozenset(labels.items())))


def test_deaths_by_cause_and_kind_of_actor() -> None:
    metrics = Metrics()
    for event in (
        died(FaultKind.KILLED),
        died(FaultKind.HUNG, "media-1"),
        died(FaultKind.HUNG, "media-2"),
        speech(Ready(pid=1)),
    ):
        metrics.count(event)
    assert value(metrics, "actor_deaths_total", actor="speech", cause="killed") == 1
    assert value(metrics, "actor_deaths_total", actor="media", cause="hung") == 2
    assert value(metrics, "actor_starts_total", actor="speech") == 1
    assert value(metrics, "out_of_memory_total", actor="speech") is None


@pytest.mark.parametrize(
    ("events", "times"),
    [
        ([speech(oom(fatal=False))], 1),
        ([speech(oom(fatal=True)), died(FaultKind.OOM)], 1),
        ([died(FaultKind.OOM)], 1),
        ([speech(oom(fatal=True)), died(FaultKind.OOM), died(FaultKind.OOM, generation=2)], 2),
        ([speech(oom(fatal=False)), died(FaultKind.OOM)], 2),
        ([died(FaultKind.CRASHED)], None),
    ],
)
def test_memory_that_ran_out_counts_once_each_time(events: list[ActorEvent], times: float | None) -> None:
    metrics = Metrics()
    for event in events:
        metrics.count(event)
    assert value(metrics, "out_of_memory_total", actor="speech") == times


def test_latency_of_a_chunk_is_from_found_to_text() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    metrics.count(found(0))
    metrics.count(found(1))
    clock.now += 3
    metrics.count(done(0))
    metrics.count(found(1))  # the recording was decoded again
    clock.now += 30
    metrics.count(done(1))
    metrics.count(done(7))  # found by the service before this one
    assert value(metrics, "chunks_total") == 3
    assert value(metrics, "chunk_latency_seconds_count") == 2
    assert value(metrics, "chunk_latency_seconds_sum") == 36
    assert value(metrics, "chunk_latency_seconds_bucket", le="2.0") == 0
    assert value(metrics, "chunk_latency_seconds_bucket", le="5.0") == 1
    assert value(metrics, "chunk_latency_seconds_bucket", le="60.0") == 2


def test_chunks_of_deleted_jobs_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    metrics = Metrics()
    for index in range(100):
        metrics.count(found(index))
    assert len(metrics._waiting) == 10
    metrics.count(done(99))
    metrics.count(done(0))
    assert value(metrics, "chunk_latency_seconds_count") == 1


def test_speed_is_audio_by_time() -> None:
    metrics = Metrics()
    for event in (
        speech(BatchDone(batch=1, seconds=2.0, audio_s=58.0)),
        speech(BatchDone(batch=2, seconds=1.0, audio_s=20.0)),
        Reported("media-1", 1, Decoded(job_id="job", duration_s=90.0)),
        speech(Loaded(model='we"ird\n', device="cpu", compute_type="int8", seconds=1.0)),
    ):
        metrics.count(event)
    assert value(metrics, "recognised_audio_seconds_total") == 78
    assert value(metrics, "batch_seconds_sum") == 3
    assert value(metrics, "batch_seconds_count") == 2
    assert value(metrics, "decoded_audio_seconds_total") == 90
    assert value(metrics, "model_loads_total", model='we"ird\n', device="cpu", compute_type="int8") == 1


def test_what_is_counted_is_handed_on() -> None:
    seen: list[Any] = []
    event = died(FaultKind.KILLED)
    Metrics().counting(seen.append)(event)
    assert seen == [event]


def test_the_newer_form_is_there_for_those_who_ask() -> None:
    metrics = Metrics()
    metrics.count(died(FaultKind.KILLED))
    text, kind = metrics.text("application/openmetrics-text; version=1.0.0", [])
    assert kind.startswith("application/openmetrics-text")
    assert "whisper_service_actor_deaths" in {family.name for family in read_openmetrics(text.decode())}


def test_the_sound_whose_voices_were_heard_and_the_deaths_of_its_actor() -> None:
    metrics = Metrics()
    for index, seconds in enumerate((28.0, 1.5)):
        metrics.count(Reported("speakers", 1, Heard("job", index, b"", seconds)))
    metrics.count(died(FaultKind.KILLED, "speakers"))
    assert value(metrics, "voices_seconds_total") == 29.5
    assert value(metrics, "actor_deaths_total", actor="speakers", cause="killed") == 1
