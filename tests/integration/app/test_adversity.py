"""Another program holds the database, the disk is full, the data directory is moved away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from testkit.scripted_actors import script, text_of
from testkit.service import ended, running, texts, until
from whisper_service.core.domain import Status
from whisper_service.scheduler import loop as dispatch
from whisper_service.storage import database

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the store wait for a short time only."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 200)
    monkeypatch.setattr(dispatch, "RETRY_S", 0.2)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a transaction, like another program."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_locked_database_costs_patience_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path) as (service, client, _):
        made = (
            await client.post("/api/jobs?filename=film", content=script(chunks=40, delay=0.05, decode_delay=0.05))
        ).json()
        short = (await client.post("/api/jobs?filename=clip", content=script(chunks=3, delay=0.05))).json()
        await until(service, made["id"], lambda job: job.chunks_done >= 3)
        with locked(service.parts.store.path):
            for _ in range(3):
                for answer in (
                    await client.post(f"/api/jobs/{made['id']}/pause"),
                    await client.post("/api/jobs?filename=more", content=script(chunks=1)),
                    await client.delete(f"/api/jobs/{short['id']}"),
                ):
                    assert (answer.status_code, answer.json()["code"]) == (503, "database_busy"), answer.text
                    assert answer.json()["hint"]
                    assert answer.headers["retry-after"] == "5"
            assert (await client.get(f"/api/jobs/{made['id']}")).status_code == 200  # reading goes on
            await anyio.sleep(1.5)  # everything that is in work comes to the locked door
        for job_id, chunks in ((made["id"], 40), (short["id"], 3)):
            job = await ended(service, job_id)
            assert (job.status, job.gaps) == (Status.COMPLETED, ())
            assert await texts(service, job_id) == [text_of(n) for n in range(chunks)]
        kept = {path.name for path in (tmp_path / "data" / "media").iterdir()}
        assert kept == {made["id"], short["id"]}  # what was refused has left nothing
