"""The two connections of the store: one that writes, in transactions that take turns, and one that reads meanwhile."""

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
    """See the module. Any task may read; writes take turns."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.path = path
        self.writer = writer
        self.reader = reader
        self.turn = Lock()
        self._patient = True  # waits for other programs that hold the file

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A turn at the write connection. Once begun it runs to its end, even if the caller is cancelled meanwhile: what is
        committed must be published, and a statement that was handed to the connection's thread cannot be taken back."""
        async with self.turn:
            with CancelScope(shield=True), database.explained(self.path):
                try:
                    await self._begin()
                    yield
                    await self.writer.execute("COMMIT")
                except BaseException:
                    await self.writer.rollback()
                    raise

    async def run(self, sql: str, *values: Any, **parameters: Any) -> list[sqlite3.Row]:
        """One statement inside a transaction, with its values in order or by name; the rows that it returns."""
        return list(await self.writer.execute_fetchall(sql, parameters or values))

    async def many(self, sql: str, values: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """One statement inside a transaction, for each of these."""
        await self.writer.executemany(sql, values)

    async def read(self, sql: str, **parameters: Any) -> list[sqlite3.Row]:
        """What is committed."""
        with database.explained(self.path):
            return list(await self.reader.execute_fetchall(sql, parameters))

    async def _begin(self) -> None:
        """Another program that holds the file is waited for, but not by everybody in turn."""
        try:
            await self.writer.execute("BEGIN IMMEDIATE")  # deferred ones fail when they turn into writes
        except sqlite3.OperationalError:
            self._patient = False
            await database.wait(self.writer, database.BUSY_AGAIN_MS)
            raise
        if not self._patient:
            self._patient = True
            await database.wait(self.writer, database.BUSY_TIMEOUT_MS)
