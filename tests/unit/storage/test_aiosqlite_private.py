"""What the storage needs of aiosqlite beyond its public interface is still there."""

from __future__ import annotations

import sqlite3
import threading

import aiosqlite
import pytest

from whisper_service.storage.aiosqlite_private import on_its_thread

pytestmark = pytest.mark.anyio


async def test_a_function_runs_on_the_thread_of_the_connection_between_its_statements() -> None:
    def look(connection: sqlite3.Connection) -> tuple[int, list[tuple[int]]]:
        return threading.get_ident(), connection.execute("SELECT n FROM t").fetchall()

    async with aiosqlite.connect(":memory:") as connection:
        await connection.execute("CREATE TABLE t (n)")
        await connection.execute("INSERT INTO t VALUES (7)")
        thread, rows = await on_its_thread(connection, look)
        assert thread not in (threading.get_ident(), 0)
        assert rows == [(7,)]


async def test_an_error_of_the_function_reaches_the_caller_and_the_connection_works_on() -> None:
    async with aiosqlite.connect(":memory:") as connection:
        with pytest.raises(sqlite3.OperationalError):
            await on_its_thread(connection, lambda direct: direct.execute("SELECT n FROM missing"))
        assert await on_its_thread(connection, lambda direct: direct.execute("SELECT 1").fetchone()) == (1,)
