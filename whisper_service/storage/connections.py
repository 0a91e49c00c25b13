"""The two connections of the store: one writes, one transaction after another, and one reads meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from anyio import CancelScope, Lock

from whisper_service.storage import database
from whisper_service.storage.aiosqlite_private import on_its_thread

T = TypeVar("T")


class Connections:
    """The connections for writing and reading. Any task may read. Writes wait for one another."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.path = path
        self.writer = writer
        self.reader = reader
        self.lock = Lock()
        self._timeout_ms = database.BUSY_TIMEOUT_MS
        self._direct: sqlite3.Connection | None = None  # set on the thread of the writer, while `at_once` runs there

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
                    await self.run("COMMIT")
                except BaseException:
                    await self._roll_back()
                    raise

    async def at_once(self, body: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a transaction, and return what `body` returns. Like `transaction`, it is not cut short.

        All of it runs on the thread of the connection in one go: a statement that the event loop awaits costs a tenth
        of a millisecond, five times what most statements take. So `body` may await `run` and `run_many` only.
        """
        async with self.lock:
            with CancelScope(shield=True), database.sqlite_as_service_errors(self.path):
                result = await on_its_thread(self.writer, partial(self._run_directly, body))
        return result

    def _run_directly(self, body: Callable[[], Coroutine[Any, Any, T]], connection: sqlite3.Connection) -> T:
        """Run a transaction to its end. Runs on the thread of the connection: there, no statement has to wait."""
        self._direct = connection
        try:
            steps = self._transact(body)
            try:
                steps.send(None)
            except StopIteration as end:
                result: T = end.value
                return result
            steps.close()
            raise RuntimeError("a transaction on the thread of the connection has waited for something else")
        finally:
            self._direct = None

    async def _transact(self, body: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            await self._begin()
            result = await body()
            await self.run("COMMIT")
        except BaseException:
            await self._roll_back()
            raise
        return result

    async def run(self, sql: str, *values: Any, **parameters: Any) -> list[sqlite3.Row]:
        """Run one statement inside a transaction, with values in order or by name. Return its rows."""
        if self._direct is not None:
            return self._direct.execute(sql, parameters or values).fetchall()
        return list(await self.writer.execute_fetchall(sql, parameters or values))

    async def run_many(self, sql: str, values: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Run one statement inside a transaction for each of the values."""
        if self._direct is not None:
            self._direct.executemany(sql, values)
            return
        await self.writer.executemany(sql, values)

    async def read(self, sql: str, **parameters: Any) -> list[sqlite3.Row]:
        """Return rows of what is committed."""
        with database.sqlite_as_service_errors(self.path):
            return list(await self.reader.execute_fetchall(sql, parameters))

    async def _begin(self) -> None:
        """Begin a transaction. Wait for another program that holds the file, but only briefly after a wait in vain."""
        try:
            await self.run("BEGIN IMMEDIATE")  # a deferred transaction fails when it turns into a write
        except sqlite3.OperationalError:
            await self._set_timeout(database.BUSY_RETRY_MS)
            raise
        await self._set_timeout(database.BUSY_TIMEOUT_MS)

    async def _roll_back(self) -> None:
        if self._direct is not None:
            self._direct.rollback()
        else:
            await self.writer.rollback()

    async def _set_timeout(self, timeout_ms: int) -> None:
        if timeout_ms != self._timeout_ms:
            self._timeout_ms = timeout_ms
            await self.run(database.busy_timeout(timeout_ms))
