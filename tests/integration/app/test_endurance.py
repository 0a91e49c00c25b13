"""Hundreds of jobs, a clock that is set, a data directory that moves: nothing grows and nothing is lost.

ENDURANCE_JOBS=500 makes it more jobs.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from testkit.event_stream import events
from testkit.scripted_actors import script, text_of
from testkit.service import ended, log_of, running, send, texts, until
from whisper_service.app.service import Service
from whisper_service.core.domain import Status

pytestmark = pytest.mark.anyio
JOBS = int(os.environ.get("ENDURANCE_JOBS", "150"))
AT_ONCE = 8


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as only Linux lists them")
async def test_hundreds_of_jobs_leave_nothing_open_and_nothing_in_memory(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, client, url):
        clip = script(chunks=2, segments=3)
        await ended(service, (await client.post("/api/jobs?language=en", content=clip)).json()["id"])
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def one(number: int) -> None:
            """Send jobs, wait for their end, export them, and delete every second one."""
            async with limiter, httpx.AsyncClient(base_url=url, timeout=60) as caller:
                job_id = (await caller.post(f"/api/jobs?filename=clip{number}&language=en", content=clip)).json()["id"]
                async with caller.stream("GET", f"/api/jobs/{job_id}/events") as stream:
                    async for event in events(stream):
                        if number % 10 == 0 or event.kind == "end":  # some go in the middle of it
                            break
                await caller.get(f"/api/jobs/{job_id}/export?format=vtt")
                if number % 2:
                    await caller.delete(f"/api/jobs/{job_id}")

        async def many(first: int, count: int) -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(first, first + count):
                    tasks.start_soon(one, number)
            with anyio.fail_after(60):
                for job in await service.parts.store.jobs(limit=1_000):
                    await ended(service, job.id)
                while service.events.subscribers:  # noqa: ASYNC110 - no event tells when one leaves
                    await anyio.sleep(0.1)
                await anyio.sleep(0.5)  # sockets that were closed last

        await many(0, JOBS // 5)  # pools and caches have their size now
        before = counts(service)
        await many(JOBS // 5, JOBS - JOBS // 5)
        after = counts(service)
        assert {name: after[name] for name in before if after[name] > before[name]} == {}
        kept = {job.id for job in await service.parts.store.jobs(limit=1_000)}
        for folder in ("media", "peaks"):
            assert {path.name for path in (tmp_path / "data" / folder).iterdir()} == kept
        assert not list((tmp_path / "data" / "spool").iterdir())


def counts(service: Service) -> dict[str, int]:
    """Count what could leak in this process and its actors."""
    gc.collect()
    context = service.parts.context
    return {
        "open files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - of the system, not of a directory
        "threads": threading.active_count(),
        "children": len(psutil.Process().children(recursive=True)),
        "runs": len(context.ledger.runs),
        "decodes": len(context.media._jobs),
        "batches": len(context.fleet.first._batches),
        "deadlines": sum(len(actor._deadlines) for actor in context.actors),
        "unsaid": len(context.unwritten),
        "asked": len(context.mailbox._unanswered),
    }


async def test_a_clock_that_is_set_back_turns_nothing_upside_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read for ids, the queue, the rank at the front, the times of a job, and events."""
    real, behind = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() - behind)
    async with running(tmp_path) as (service, client, _):
        async with client.stream("GET", "/api/events") as stream:
            told = events(stream)
            assert (await anext(told)).kind == "hello"
            film = await send(service, chunks=30, delay=0.05, decode_delay=0.05)
            await until(service, film.id, lambda job: job.chunks_done >= 2)
            first = await send(service, chunks=1)
            behind = 3_600.0
            second = await send(service, chunks=1)
            for job in (first, second):
                assert (await client.post(f"/api/jobs/{job.id}/front")).status_code in (200, 409)  # done already
            for job in (film, first, second):
                over = await ended(service, job.id)
                assert over.status is Status.COMPLETED
                assert over.started_at is not None
                assert over.finished_at is not None
                assert over.created_at <= over.started_at <= over.finished_at
            head, numbers = service.events.head, []
            while not numbers or numbers[-1] < head:
                if (number := (await anext(told)).id) is not None:
                    numbers.append(number)
            assert all(earlier < later for earlier, later in pairwise(numbers))
        assert await texts(service, film.id) == [text_of(n) for n in range(30)]
        assert (await service.parts.store.jobs(limit=1)) == [await service.parts.store.job(second.id)]


async def test_the_data_directory_moves_between_two_runs(tmp_path: Path) -> None:
    async with running(tmp_path / "here") as (service, _, _):
        done = await ended(service, (await send(service, chunks=2)).id)
        film = await send(service, chunks=60, delay=0.05, decode_delay=0.02)
        await until(service, film.id, lambda job: job.chunks_done >= 3)
        history = len(await log_of(service, done.id))
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "data").rename(tmp_path / "there" / "data")
    moved = [path for path in (tmp_path / "there" / "data").rglob("*") if path.is_file() and path.suffix != ".log"]
    assert {"whisper_service.db", film.id} <= {path.name.partition(".pcm")[0] for path in moved}
    for path in moved:
        assert str(tmp_path).encode() not in path.read_bytes(), path
    async with running(tmp_path / "there") as (service, client, _):
        assert (await ended(service, film.id)).status is Status.COMPLETED
        assert await texts(service, film.id) == [text_of(n) for n in range(60)]
        assert len(await log_of(service, done.id)) == history
        assert (await client.get(f"/api/jobs/{done.id}/media")).content == script(name="talk.wav", chunks=2)
    assert not (tmp_path / "here" / "data").exists()
