"""Opening the file: one that is whole, foreign, damaged, newer, locked or older."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import anyio
import anyio.lowlevel
import pytest

from tests.integration.storage.rows import everything, new, said, working
from whisper_service.core.errors import StoreBroken, StoreBusy
from whisper_service.editing.operations import ChangeText
from whisper_service.storage import database
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio


async def test_the_safety_belts_are_on(store: Store) -> None:
    settings = {
        name: await database.pragma(store._db.writer, name) for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert (
        await database.pragma(store._db.reader, "busy_timeout")
        == await database.pragma(store._db.writer, "busy_timeout")
        == 5_000
    )
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store._db.reader.execute("DELETE FROM job")
    tables = await store._db.reader.execute_fetchall(
        "SELECT name, strict FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    known = (
        "job",
        "chunk",
        "segment",
        "change",
        "pruned",
        "model",
        "delivery",
        "webhook",
        "standing",
        "document",
        "setting",
        "tally",
        "line",
        "edit",
        "alignment",
        "mark",
        "voice",
        "speaker",
        "speaker_timeline",
        "term",
        "session_state",
        "session_key",
        "stored_object",
    )
    assert dict(map(tuple, tables)) == dict.fromkeys(known, 1)


async def test_everything_is_there_when_the_file_is_opened_again(path: Path) -> None:
    async with Store.open(path) as store:
        await working(store, 2)
        await store.checkpoint("a", 0, said(0, "one"), "en")
        before = await everything(store)
    assert not path.with_name(f"{path.name}-wal").exists()
    async with Store.open(path) as store:
        assert await everything(store) == before


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def scribble(path: Path, data: bytes, at: int = 0) -> None:
    """Write over a part of a file."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(at)
        file.write(data)


@contextmanager
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)  # one that has been told to end may still be at it
        assert not thread.is_alive()


async def refused(path: Path) -> StoreBroken:
    """Why this file is not opened; nothing about it may change, and no thread may be left behind."""
    before = content(path)
    with no_thread_left(), pytest.raises(StoreBroken) as caught:
        async with Store.open(path):
            pytest.fail("was opened")
    assert content(path) == before
    assert caught.value.problem.hint
    return caught.value


async def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    scribble(path, b"Dear diary, " * 1_000)
    error = await refused(path)
    assert error.code == "database_broken"
    assert "is not a database" in error.message
    assert str(path) in error.message


async def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
    connection.close()
    assert "another program" in (await refused(path)).message


async def test_a_database_from_the_future_is_left_alone(path: Path) -> None:
    async with Store.open(path) as store:
        await store.add(new())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    error = await refused(path)
    assert "newer version" in error.message
    assert "99" in error.message


async def test_a_damaged_database_is_left_alone(path: Path) -> None:
    async with Store.open(path) as store:
        for number in range(200):
            await store.add(new(f"j{number:03}"))
    scribble(path, b"\xa5" * 4096 * 4, at=4096 * 8)
    assert "damaged" in (await refused(path)).message


async def test_a_database_is_read_through_only_when_it_may_have_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    pragma = database.pragma

    async def watched(connection: aiosqlite.Connection, text: str) -> Any:
        asked.append(text)
        return await pragma(connection, text)

    monkeypatch.setattr(database, "pragma", watched)
    looks = []
    for _ in range(2):
        async with Store.open(path) as store:
            await store.add(new(f"j{len(looks)}"))
        looks.append("quick_check(1)" in asked)
        asked.clear()
    os.utime(path)
    async with Store.open(path):
        looks.append("quick_check(1)" in asked)
    assert looks == [True, False, True]


async def test_damage_that_is_met_while_in_use_has_the_next_start_look(path: Path) -> None:
    async with Store.open(path) as store:
        for number in range(200):
            await store.add(new(f"j{number:03}"))
    as_it_was = os.stat(path)  # noqa: PTH116 - it does not block
    half = as_it_was.st_size // 8192 * 4096
    scribble(path, b"\xa5" * half, at=half)
    os.utime(path, ns=(as_it_was.st_atime_ns, as_it_was.st_mtime_ns))  # as if the disk had done it
    async with Store.open(path) as store:
        with pytest.raises(StoreBroken):
            await store.change_log.changes(0, limit=1_000)
    assert "damaged" in (await refused(path)).message


@pytest.mark.parametrize(("at", "size"), [(0, 16), (16, 20), (0, 100), (4096, 4096)])
async def test_a_database_with_a_broken_head_is_left_alone(path: Path, at: int, size: int) -> None:
    async with Store.open(path) as store:
        await store.add(new())
    scribble(path, b"\xa5" * size, at=at)
    assert (await refused(path)).code == "database_broken"


@pytest.mark.parametrize("left", [0.3, 0.7, 0.9])
async def test_a_database_that_was_cut_off_is_left_alone(path: Path, left: float) -> None:
    async with Store.open(path) as store:
        for number in range(200):
            await store.add(new(f"j{number:03}"))
    os.truncate(path, int(left * os.path.getsize(path)))  # noqa: ASYNC240, PTH202 - it does not block
    assert (await refused(path)).code == "database_broken"


async def test_who_waited_in_vain_for_another_program_does_not_make_the_next_wait(path: Path) -> None:
    async with Store.open(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        waits = []
        for _ in range(2):
            with pytest.raises(StoreBusy):
                await store.add(new())
            waits.append(await database.pragma(store._db.writer, "busy_timeout"))
        assert (await store.jobs()) == []  # reading goes on
        holder.close()
        await store.add(new())
        waits.append(await database.pragma(store._db.writer, "busy_timeout"))
    assert waits == [database.BUSY_RETRY_MS, database.BUSY_RETRY_MS, database.BUSY_TIMEOUT_MS]


async def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    assert "cannot be opened" in (await refused(tmp_path / "missing" / "db")).message
    assert "cannot be opened" in (await refused(tmp_path)).message


async def test_a_database_that_another_program_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with no_thread_left(), pytest.raises(StoreBusy) as caught:
            async with Store.open(path):
                pytest.fail("was opened")
        assert caught.value.code == "database_busy"
        assert str(path) in caught.value.message
    finally:
        holder.close()


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert "3.37.0" in (await refused(path)).message


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations that a test may add to."""
    directory = tmp_path / "schema"
    directory.mkdir()
    for file in database.SCHEMA.glob("*.sql"):
        (directory / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(database, "SCHEMA", directory)
    return directory


async def test_migrations_are_applied_once_in_their_order(path: Path, schema: Path) -> None:
    async with Store.open(path) as store:
        await working(store, 1)
        before = await everything(store)
    (schema / "9002_third.sql").write_text("UPDATE note SET text = text || ' third';")
    (schema / "9001_second.sql").write_text("CREATE TABLE note (text TEXT) STRICT; INSERT INTO note VALUES ('second');")
    for _ in range(2):
        async with Store.open(path) as store:
            assert await database.pragma(store._db.writer, "user_version") == 9002
            assert [tuple(row) for row in await store._db.reader.execute_fetchall("SELECT * FROM note")] == [
                ("second third",)
            ]
            assert await everything(store) == before


async def test_jobs_from_before_say_that_nobody_speaks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 16})
    job = (
        "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
        " chunks_done, chunks_total, decoded, attempts, rank, gaps, language)"
        " VALUES (:id, 'recording.wav', :status, :options, 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, :gaps, 'en')"
    )
    silent = {"status": "completed", "options": "{}", "gaps": "[]"}
    gap = '[{"start": 0, "end": 1, "reason": "It crashed."}]'
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        for row in (
            {"id": "silent"},
            {"id": "spoken"},
            {"id": "gap", "gaps": gap},
            {"id": "failed", "status": "failed"},
            {"id": "language", "options": '{"task": "detect"}'},
        ):
            await connection.execute(job, silent | row)
        await connection.execute(
            """INSERT INTO chunk (job_id, "index", start_sample, samples, start, "end", state)
               VALUES ('spoken', 0, 0, 1, 0, 1, 'done')"""
        )
        await connection.execute(
            """INSERT INTO segment (job_id, chunk, "index", start, "end", text, words)
               VALUES ('spoken', 0, 0, 0, 1, 'a word', '[]')"""
        )
    monkeypatch.undo()
    async with Store.open(path) as store:
        assert {job.id: job.no_speech for job in await store.jobs()} == {
            "silent": True,
            **dict.fromkeys(("spoken", "gap", "failed", "language"), False),
        }


async def test_transcripts_from_before_can_be_edited_and_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 16})
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        await connection.execute(
            "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
            " chunks_done, chunks_total, decoded, attempts, rank, gaps)"
            " VALUES ('old', 'talk.wav', 'completed', '{}', 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]')"
        )
        await connection.execute(
            """INSERT INTO chunk (job_id, "index", start_sample, samples, start, "end", state)
               VALUES ('old', 0, 0, 1, 0, 1, 'done')"""
        )
        await connection.execute(
            """INSERT INTO segment (job_id, chunk, "index", start, "end", text, words)
               VALUES ('old', 0, 0, 0, 1, 'a hedgehog', '[]')"""
        )
    monkeypatch.undo()
    async with Store.open(path) as store:
        assert (await store.job("old")).edits == 0
        edit = Edit("b", (ChangeText(id="c0.0", v=0, text="a badger"),))
        await store.edits.apply("old", edit, 1.0)
        assert [line.text for line in await store.edits.lines("old")] == ["a badger"]
        assert [segment.text for segment in await store.segments("old")] == ["a hedgehog"]
        for word, expected in (("badger", ["old"]), ("hedgehog", [])):
            assert [job.id for job in (await store.browser.jobs(q=word)).jobs] == expected
        await store.delete("old")
        assert (await store.browser.jobs(q="badger")).jobs == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE note (text TEXT) STRICT; SELECT nonsense;",
        "CREATE TABLE note (text TEXT) STRICT; DELETE FROM job;",
    ],
)
async def test_a_migration_that_fails_changes_nothing(path: Path, schema: Path, sql: str) -> None:
    """The second one would leave chunks without their job."""
    async with Store.open(path) as store:
        await working(store, 1)
        before = await everything(store)
    bad = schema / "9001_bad.sql"
    bad.write_text(sql)
    await refused(path)
    bad.unlink()
    async with Store.open(path) as store:
        assert await everything(store) == before
        assert not await store._db.reader.execute_fetchall("SELECT * FROM sqlite_schema WHERE name = 'note'")


async def test_the_connections_are_closed_on_every_way_out(path: Path) -> None:
    with no_thread_left():
        with pytest.raises(ZeroDivisionError):
            async with Store.open(path):
                raise ZeroDivisionError
        with anyio.CancelScope() as scope:
            async with Store.open(path):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with Store.open(path):
                pytest.fail("was opened")
