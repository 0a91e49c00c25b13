"""The two connections of the store: one writes, one transaction after another, and one reads meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from anyio import CancelScope, Lock

from whisper_service.storage import database


class Connections:
    """The connections for writing and reading. Any task may read. Writes wait for one another."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.path = path
        self.writer = writer
        self.reader = reader
        self.lock = Lock()
        self._timeout_ms = database.BUSY_TIMEOUT_MS

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Open a write transaction for the block.

        A transaction that has begun runs to its end even if its caller is cancelled. What is committed must be
        published, and a statement that was handed to the connection's thread cannot be taken back.
        """
        async with self.lock:
            with CancelScope(shield=True), database.sqlite_as_service_errors(self.path):
                try:
                    await self._begin()
                    yield
                    await self.writer.execute("COMMIT")
                except BaseException:
                    await self.writer.rollback()
                    raise

    async def run(self, sql: str, *values: Any, **parameters: Any) -> list[sqlite3.Row]:
        """Run one statement inside a transaction, with values in order or by name. Return its rows."""
        return list(await self.writer.execute_fetchall(sql, parameters or values))

    async def run_many(self, sql: str, values: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Run one statement inside a transaction for each of the values."""
        await self.writer.executemany(sql, values)

    async def read(self, sql: str, **parameters: Any) -> list[sqlite3.Row]:
        """Return rows of what is committed."""
        with database.sqlite_as_service_errors(self.path):
            return list(await self.reader.execute_fetchall(sql, parameters))

    async def _begin(self) -> None:
        """Begin a transaction. Wait for another program that holds the file, but only briefly after a wait in vain."""
        try:
            await self.writer.execute("BEGIN IMMEDIATE")  # a deferred transaction fails when it turns into a write
        except sqlite3.OperationalError:
            await self._set_timeout(database.BUSY_RETRY_MS)
            raise
        await self._set_timeout(database.BUSY_TIMEOUT_MS)

    async def _set_timeout(self, timeout_ms: int) -> None:
        if timeout_ms != self._timeout_ms:
            self._timeout_ms = timeout_ms
            await database.set_busy_timeout(self.writer, timeout_ms)
