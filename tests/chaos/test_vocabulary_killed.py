"""The service is killed while jobs end: what the vocabulary corrects is corrected once, and nothing else is changed."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest

from testkit.chaos import storm
from testkit.chaos.host import Host
from testkit.scripted_actors import script
from whisper_service.core.domain import Status
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio
JOBS = 16
KILLS = 4
CHUNKS = 2


async def test_corrections_are_made_once_while_the_service_is_killed(tmp_path: Path) -> None:
    chance = random.Random(1)
    host = Host(tmp_path, tmp_path, storm.FAKES, storm.Plan(1, 0).settings)
    await host.start()
    try:
        async with httpx.AsyncClient(timeout=20) as client:
            term = {"term": "PASSAGE", "heard": ["chunk"], "replace": True}
            (await client.post(f"{host.url}/api/vocabulary", json=term)).raise_for_status()
            for number in range(JOBS):
                recording = script(chunks=CHUNKS, delay=0.05, name=f"{number}.wav")
                answer = await client.post(
                    f"{host.url}/api/jobs", content=recording, headers={"content-type": "audio/wav"}
                )
                answer.raise_for_status()
        for _ in range(KILLS):
            await anyio.sleep(chance.uniform(0.1, 0.6))
            await host.kill()
        async with httpx.AsyncClient(timeout=20) as client:
            with anyio.fail_after(60):
                while True:
                    answer = await client.get(f"{host.url}/api/jobs", params={"status": "completed", "limit": 100})
                    if len(answer.json()["jobs"]) == JOBS:
                        break
                    await anyio.sleep(0.2)
        assert await host.leave() == 0
    finally:
        if host.process.poll() is None:
            host.abandon()
    assert host.findings == []
    with closing(sqlite3.connect(host.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with Store.open(host.database) as store:
        jobs = await store.jobs(limit=100)
        assert len(jobs) == JOBS
        assert max(job.attempts for job in jobs) > 1, "no kill met a job"
        for job in jobs:
            assert job.status is Status.COMPLETED
            assert [line.text for line in await store.edits.lines(job.id)] == [
                f"This is PASSAGE {number}." for number in range(CHUNKS)
            ]
            assert [part.text for part in await store.segments(job.id)] == [
                f"This is chunk {number}." for number in range(CHUNKS)
            ]
            history = await store.edits.log.history(job.id)
            assert [(edit.kind.value, edit.lines) for edit in history] == [("vocabulary", CHUNKS)]
            told = [change for change in await store.change_log.changes(0, job_id=job.id) if change.kind == "edit"]
            assert len(told) == 1
