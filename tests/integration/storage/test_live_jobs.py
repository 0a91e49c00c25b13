"""What is stored of live sessions, and jobs of versions that knew none."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.integration.storage.rows import new
from whisper_service.core.domain import Encoding, LiveEnd, LiveSession, Status
from whisper_service.core.job_states import Cause
from whisper_service.storage import database
from whisper_service.storage.session_keys import SessionKey
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio
LIVE = LiveSession("microphone", 48_000, Encoding.F32LE, 2, received_bytes=7, heard_at=1.25)


async def test_a_session_is_read_back_and_changed_in_any_status(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "db") as store:
        await store.add(new("a", live=LIVE, bytes=0, sha256=""))
        await store.add(new("b"))
        await store.move("a", Cause.PAUSE)
        assert (await store.job("a")).live == LIVE
        assert [job.id for job in await store.open_sessions()] == ["a"]
        assert await store.update_live("b", message="no") is None
        ended = replace(LIVE, ended=LiveEnd.SILENCE)
        written = await store.update_live("a", live=ended, bytes=99, sha256="ab")
        assert written is not None
        assert (written.job.live, written.job.bytes, written.job.status) == (ended, 99, Status.PAUSED)
        assert b'"ended":"silence"' in written.changes[-1].payload
        assert await store.open_sessions() == []


async def test_where_a_session_can_be_followed_again_goes_with_its_job(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "db") as store:
        await store.add(new("a", live=LIVE))
        assert await store.session_state("a") == b""
        await store.set_session_state("a", b"one")
        await store.set_session_state("a", b"two\x00")
        assert await store.session_state("a") == b"two\x00"
        await store.set_session_state("gone", b"x")
        assert await store.session_state("gone") == b""
        await store.delete("a")
        await store.add(new("a", live=LIVE))
        assert await store.session_state("a") == b""


async def test_the_key_of_a_session_finds_its_job_until_the_job_is_deleted(tmp_path: Path) -> None:
    key = SessionKey("k", "what is asked")
    async with Store.open(tmp_path / "db") as store:
        await store.add(new("a", live=LIVE), None, key)
        assert await store.session_keys.find("k") == ("a", "what is asked")
        assert await store.session_keys.find("another") is None
    async with Store.open(tmp_path / "db") as store:
        assert await store.session_keys.find("k") == ("a", "what is asked")
        await store.trash("a", 5.0)
        assert await store.session_keys.find("k") is None
        await store.add(new("b", live=LIVE), None, key)
        assert await store.session_keys.find("k") == ("b", "what is asked")
        await store.restore("a")
        assert await store.session_keys.find("k") == ("b", "what is asked")
        await store.delete("b")
        assert await store.session_keys.find("k") is None


async def test_a_session_waits_in_the_queue_although_its_recording_is_not_complete(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "db") as store:
        await store.add(new("a", live=LIVE, bytes=0, sha256=""))
        assert [job.id for job in await store.queue_heads(5, seconds=(60.0, 3600.0), sizes=(1, 2))] == ["a"]


async def test_a_session_in_the_trash_is_not_open(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "db") as store:
        await store.add(new("a", live=LIVE))
        await store.trash("a", 5.0)
        assert await store.open_sessions() == []
        assert await store.update_live("a", message="no") is None
        await store.restore("a")
        assert [job.id for job in await store.open_sessions()] == ["a"]


async def test_jobs_of_an_earlier_version_are_no_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migration runs over a file that the version before it made and filled."""
    all_of_them = database._migrations()
    (own,) = (number for number, file in all_of_them.items() if file.name.endswith("_live.sql"))
    with monkeypatch.context() as before:
        known = {number: file for number, file in all_of_them.items() if number < own}
        before.setattr(database, "_migrations", lambda: known)
        async with database.connect(tmp_path / "db") as connection:
            await database.prepare(connection, tmp_path / "db")
            await connection.execute(
                "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
                " chunks_done, chunks_total, decoded, attempts, rank, gaps)"
                " VALUES ('old', 'talk.mp3', 'completed', '{}', 1.0, 5, 'ff', 1.0, '', 2.0, 0, 0, 1, 1, 1.0, '[]')"
            )
    async with Store.open(tmp_path / "db") as store:
        old = await store.job("old")
        assert (old.name, old.bytes, old.live, old.growing) == ("talk.mp3", 5, None, False)
        assert await store.open_sessions() == []
        assert await store.update_live("old", message="no") is None
