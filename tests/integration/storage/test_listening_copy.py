"""What the store knows of listening copies, and what it makes of jobs from before there were any."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.storage.rows import new, working
from whisper_service.core.domain import Playable, Status
from whisper_service.core.job_states import Cause
from whisper_service.storage import database
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_what_plays_is_stored_and_told(store: Store) -> None:
    await working(store, 0)
    written = await store.update("a", expected=Status.PROCESSING, playable=Playable.COPY, copy_bytes=1_234)
    assert written is not None
    assert b'"playable":"copy","copy_bytes":1234' in written.changes[-1].payload
    job = await store.job("a")
    assert (job.playable, job.copy_bytes) == (Playable.COPY, 1_234)
    assert [(stored.bytes, stored.copy_bytes) for stored in await store.stored_jobs()] == [(3, 1_234)]


async def test_jobs_from_before_have_no_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 17})
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        await connection.execute(
            "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
            " chunks_done, chunks_total, decoded, attempts, rank, gaps, finished_at)"
            " VALUES ('a', 'talk.wma', 'failed', '{}', 0, 7, 'x', 1, '', 0, 0, 0, 1, 1, 0, '[]', 5)"
        )
    monkeypatch.undo()
    async with Store.open(path) as store:
        job = await store.job("a")
        assert (job.name, job.status, job.finished_at) == ("talk.wma", Status.FAILED, 5.0)
        assert (job.playable, job.copy_bytes) == (None, 0)
        assert [(stored.bytes, stored.copy_bytes) for stored in await store.stored_jobs()] == [(7, 0)]
        assert (await store.move("a", Cause.RETRY)).job.status is Status.PENDING
        assert (await store.add(new("b"))).job.playable is None
