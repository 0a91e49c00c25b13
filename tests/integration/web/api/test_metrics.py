"""`/metrics` after some work, read by Prometheus's own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testkit.event_stream import events
from testkit.scripted_actors import script
from testkit.service import running

pytestmark = pytest.mark.anyio


async def test_figures_of_a_service_that_has_worked(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        async with web.client.stream("GET", "/api/events") as stream:
            heard = events(stream)
            assert (await anext(heard)).kind == "hello"
            await web.client.post("/api/jobs", files={"file": ("a.wav", script(chunks=3))})
            while (event := await anext(heard)).kind != "update" or event.data["status"] != "completed":
                pass
            answer = await web.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = {
            family.name.removeprefix("whisper_service_"): family
            for family in text_string_to_metric_families(answer.text)
        }
        values = {
            name: {tuple(s.labels.values()): s.value for s in family.samples} for name, family in families.items()
        }
        assert values["jobs"] == {
            (s,): float(s == "completed")
            for s in ("pending", "processing", "paused", "completed", "failed", "cancelled")
        }
        assert values["chunks"][()] == 3
        assert values["ready"][()] == 1
        assert values["subscribers"][()] == 1
        assert values["uploads"][()] == 0
        assert values["queue_audio_seconds"][()] == 0
        assert values["seats"][("ready",)] == 1
        assert values["seats"][("pending",)] == 0
        assert "seats_wanted" not in values, "there is no cluster"
        assert values["disk_free_bytes"][()] > 0
        assert values["actor_state"][("speech", "ready")] == 1
        assert values["actor_state"][("speech", "waiting")] == 0
        assert (
            sum(sample.value for sample in families["chunk_latency_seconds"].samples if sample.name.endswith("_count"))
            == 3
        )
        assert families.keys() >= {
            "info",
            "changes",
            "model_info",
            "start_time_seconds",
            "process_resident_memory_bytes",
            "batch_seconds",
        }
        assert all(family.documentation for family in families.values())
