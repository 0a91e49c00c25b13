"""Old recordings and jobs are deleted, the text of a job stays with its job, and a restart changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from testkit.scripted_actors import text_of
from testkit.service import ended, log_of, placeholder_networks, running, send, texts
from whisper_service.app.retention import Retention
from whisper_service.app.service import Service
from whisper_service.config.schema import StorageSettings
from whisper_service.core.domain import Options, Status
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import requests

pytestmark = pytest.mark.anyio
HOUR = 3_600.0


class Clock:
    """A wall clock, and the time that really passes."""

    def __init__(self, service: Service, rules: StorageSettings) -> None:
        self.wall = service.started_at
        self.passed = 0.0
        context = service.parts.context
        self.retention = Retention(
            rules,
            service.parts.store,
            service.events,
            lambda job_id: context.ask(requests.remove_copy, job_id),
            lambda job_id: context.ask(requests.remove_media, job_id),
            lambda job_id: context.ask(requests.expire, job_id),
            wall=lambda: self.wall,
            clock=lambda: self.passed,
        )

    async def after(self, seconds: float) -> None:
        """Let so many seconds pass, then look."""
        self.wall += seconds
        self.passed += seconds
        await self.retention.look()


def recordings(root: Path) -> set[str]:
    return {path.name for folder in ("media", "peaks", "fine_peaks") for path in (root / "data" / folder).iterdir()}


async def test_a_recording_goes_and_its_text_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, client, _):
        done = await ended(service, (await send(service, chunks=3)).id)
        failed = await ended(service, (await send(service, chunks=1, bad=(0,))).id)
        assert failed.status is Status.FAILED
        work = await send(service, chunks=400, delay=0.1)
        clock = Clock(service, StorageSettings(keep_media_days=1, keep_jobs_days=3))
        await clock.after(23 * HOUR)
        assert recordings(tmp_path) >= {done.id, failed.id}
        await clock.after(2 * HOUR)
        assert recordings(tmp_path) == {work.id}
        told = (await log_of(service, done.id))[-1]
        assert b'"media_removed":true' in told.payload
        assert (await client.get(f"/api/jobs/{done.id}")).json()["media_removed"]
        assert text_of(2) in (await client.get(f"/api/jobs/{done.id}/export?format=srt")).text
        assert (await client.get(f"/api/jobs/{done.id}/media")).status_code == 404
        again = await client.post(f"/api/jobs/{failed.id}/retry")
        assert (again.status_code, again.json()["code"]) == (409, "media_removed")
        assert again.json()["hint"]
        assert (await service.parts.store.job(failed.id)).status is Status.FAILED
        await clock.after(48 * HOUR)
        assert [job.id for job in await service.parts.store.jobs()] == [work.id]
        assert (await service.parts.store.job(work.id)).status is Status.PROCESSING
        assert recordings(tmp_path) == {work.id}


async def test_when_room_is_short_the_oldest_go_that_nobody_needs(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, _, _):
        jobs = [await ended(service, (await send(service, chunks=1, says=f"job {n}")).id) for n in range(3)]
        failed = await ended(service, (await send(service, chunks=1, bad=(0,))).id)
        clock = Clock(service, StorageSettings(max_media_bytes=jobs[2].bytes + failed.bytes))
        await clock.after(1.0)
        assert recordings(tmp_path) == {jobs[2].id, failed.id}
        assert await texts(service, jobs[0].id) == ["job 0 0."]
        again = await service.jobs.change(failed.id, Cause.RETRY)
        assert again.status is Status.PENDING


async def test_the_same_bytes_come_anew_where_the_recording_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, _, _):
        failed = await ended(service, (await send(service, chunks=1, bad=(0,))).id)
        await Clock(service, StorageSettings(keep_media_days=1 / 24 / HOUR)).after(10.0)
        other = await send(service, reuse=True, chunks=1, bad=(0,))
        assert other.id != failed.id
        assert other.status is Status.PENDING


async def test_voices_go_before_the_text_and_who_says_what_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    placeholder_networks(tmp_path)
    async with running(tmp_path) as (service, client, _):
        options = Options(language="en", speakers="auto")
        done = await ended(service, (await send(service, chunks=3, people="ABA", options=options)).id)
        stored = service.parts.store.speakers
        before = [(await client.get(f"/api/jobs/{done.id}/{path}")).json() for path in ("transcript", "speakers")]
        assert before[1]["can_recount"]
        clock = Clock(service, StorageSettings(keep_voices_days=1))
        await clock.after(23 * HOUR)
        assert await stored.has_voices(done.id)
        with caplog.at_level(logging.INFO, "whisper_service"):
            await clock.after(2 * HOUR)
        assert "the speakers of 1 jobs" in caplog.text
        assert await stored.voices(done.id) == []
        assert await stored.directions(done.id) == {}
        after = [(await client.get(f"/api/jobs/{done.id}/{path}")).json() for path in ("transcript", "speakers")]
        assert after[0] == before[0]
        assert after[1] == before[1] | {"can_recount": False, "why_not": after[1]["why_not"]}
        assert after[1]["why_not"]["code"] == "no_voices"
        answer = await client.post(f"/api/jobs/{done.id}/speakers", json={"speakers": 1})
        assert (answer.status_code, answer.json()["params"]["cause"]) == (409, "no_voices")
        caplog.clear()
        await clock.after(1.0)
        assert "speakers" not in caplog.text


async def test_a_clock_that_is_set_forward_is_not_believed_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as (service, _, _):
        done = await ended(service, (await send(service, chunks=1)).id)
        clock = Clock(service, StorageSettings(keep_jobs_days=1))
        clock.wall += 365 * 24 * HOUR
        with caplog.at_level(logging.WARNING, "whisper_service"):
            await clock.after(1.0)
        assert "clock" in caplog.text
        clock.wall -= 365 * 24 * HOUR  # and is set right
        await clock.after(1.0)
        assert await service.parts.store.job(done.id)
        await clock.after(25 * HOUR)
        assert await service.parts.store.jobs() == []


async def test_a_recording_whose_end_was_only_written_down_goes_with_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, _, _):
        done = await ended(service, (await send(service, chunks=1)).id)
        await service.parts.store.update(
            done.id, expected=Status.COMPLETED, media_removed=True
        )  # and then the power fails
        assert recordings(tmp_path) == {done.id}
    async with running(tmp_path) as (service, _, _):
        assert recordings(tmp_path) == set()
        assert await texts(service, done.id) == [text_of(0)]


async def test_the_rules_come_from_the_configuration(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, _, _):
        done = await ended(service, (await send(service, chunks=1)).id)
        await service.parts.store.update(done.id, expected=Status.COMPLETED, finished_at=1.0)
    async with running(tmp_path, storage={"keep_jobs_days": 1.0}) as (service, _, _):
        cursor = service.events.cursor(service.events.head - 1, done.id)
        while (await cursor.read())[-1].kind != "deleted":
            pass
        assert await service.parts.store.jobs() == []
    assert recordings(tmp_path) == set()
