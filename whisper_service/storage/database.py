"""Open, check and migrate the database file. Nothing is repaired, and a file of another program is never changed."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite
from anyio import CancelScope

from whisper_service.core.errors import DiskFull, StoreBroken, StoreBusy
from whisper_service.storage import integrity
from whisper_service.storage.search_terms import grams

logger = logging.getLogger(__name__)

APPLICATION_ID: Final = 0x77687372
"""Marks a SQLite file as one of this service ("whsr"), so that no other file is ever written to."""
OLDEST_SQLITE: Final = (3, 37, 0)
"""The first version with STRICT tables."""
BUSY_TIMEOUT_MS: Final = 5_000
"""How long a statement waits for another program that has the file open, for example a backup."""
BUSY_RETRY_MS: Final = 100
"""How long a statement waits after one that waited in vain, so that callers do not wait the full time in turn."""
BUSY_RETRY_S: Final = 5
"""When clients are asked to come back."""
MIN_FREE: Final = 128 * 1024
"""Free bytes on a disk below which SQLite's shared memory file may find no room. The file grows by 32 KiB."""
LARGE: Final = 100_000_000
"""Bytes of a database whose check takes longer than people expect of a start."""
SCHEMA: Final = Path(__file__).with_name("schema")
"""Numbered migrations. The `user_version` of the file is the number of the last one that was applied."""


@asynccontextmanager
async def connect(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Open a connection that begins and ends no transaction by itself. The connection is closed however the block ends.

    Opening and closing are shielded: the thread of a connection that stays open would keep the process alive.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreBroken(
            f"Python is linked to SQLite {sqlite3.sqlite_version}; {needed} or newer is needed.",
            hint="Use another build of Python, for instance one from python.org or uv.",
        )
    with sqlite_as_service_errors(path, opening=True):
        with CancelScope(shield=True):
            connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        await connection.create_function("grams", 1, grams, deterministic=True)  # for the triggers of the search
        await connection.create_function("casefold", 1, str.casefold, deterministic=True)  # SQLite's knows ASCII only
        await connection.execute(busy_timeout(BUSY_TIMEOUT_MS))
        yield connection
    finally:
        with CancelScope(shield=True):
            await connection.close()


def busy_timeout(timeout_ms: int) -> str:
    """Return the statement that sets how long each later one waits for another program that has the file open."""
    return f"PRAGMA busy_timeout = {timeout_ms}"


async def prepare(connection: aiosqlite.Connection, path: Path) -> None:
    """Check and migrate the file, and mark it as open. Raises `StoreBroken`, `StoreBusy` or `DiskFull`."""
    with sqlite_as_service_errors(path, opening=True):
        version = await _version(connection, path)
        if (await pragma(connection, "journal_mode = WAL")) != "wal":
            raise StoreBroken(
                f"{path} cannot be written safely: its file system does not support SQLite's write-ahead log.",
                hint="Network drives do not support it. Point data_dir at a local disk.",
            )
        await connection.execute("PRAGMA synchronous = FULL")  # what was answered with 202 survives a power cut
        await connection.execute("PRAGMA foreign_keys = OFF")  # a migration may have to rebuild a table
        for number, file in sorted(_migrations().items()):
            if number > version:
                if version:
                    text = "The database is migrated to schema %d. A large one takes minutes."
                    logger.info(text, number, extra={"action": "migration"})
                await _apply(connection, number, file)
        await connection.execute("PRAGMA foreign_keys = ON")
    integrity.mark_open(path)


async def pragma(connection: aiosqlite.Connection, text: str) -> Any:
    """Run a PRAGMA and return its first value."""
    return next(iter(await connection.execute_fetchall(f"PRAGMA {text}")))[0]


@contextmanager
def sqlite_as_service_errors(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Raise a `ServiceError` that tells users what to do instead of an error of SQLite about the file.

    `opening`: every error becomes one. Otherwise errors that are not about the file, like a violated constraint, pass.
    """
    try:
        yield
    except sqlite3.Error as error:
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the higher bits are details
            case sqlite3.SQLITE_FULL:
                raise DiskFull from error
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if _is_full(path):  # the files beside the database
                raise DiskFull from error
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                message = f"{path} is locked by another program."
                raise StoreBusy(message, file=str(path), retry_after_s=BUSY_RETRY_S) from error
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY if not opening:
                hint = (
                    "Look for disk errors in the log of the system, and check that the disk is not mounted read-only."
                )
                raise StoreBroken(f"{path} cannot be read or written: {error}.", hint=hint, file=str(path)) from error
            case sqlite3.SQLITE_NOTADB:
                integrity.delete_mark(path)
                raise StoreBroken(f"{path} is not a database.", file=str(path)) from error
            case sqlite3.SQLITE_CORRUPT:
                integrity.delete_mark(path)
                raise StoreBroken(f"{path} is damaged: {error}.", file=str(path)) from error
            case _ if opening:
                hint = (
                    "Check that you may write to the file and its directory, and that no other program uses the file."
                )
                raise StoreBroken(f"{path} cannot be opened: {error}.", hint=hint, file=str(path)) from error
        raise


def _is_full(path: Path) -> bool:
    """Return whether SQLite's files beside the database have no room to grow."""
    try:
        return shutil.disk_usage(path.parent).free < MIN_FREE
    except OSError:
        return False


async def _version(connection: aiosqlite.Connection, path: Path) -> int:
    """Return the number of the last migration that was applied, after a check of the file. Nothing is written.

    Raises `StoreBroken` for a file of another program, of a newer version, or with damage.
    """
    version = int(await pragma(connection, "user_version"))
    tables = next(iter(await connection.execute_fetchall("SELECT count(*) FROM sqlite_schema")))[0]
    if tables and await pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreBroken(f"{path} is a database of another program.", file=str(path))
    newest = max(_migrations())
    if version > newest:
        raise StoreBroken(
            f"{path} was written by a newer version of whisper_service (schema {version}, this one knows {newest}).",
            hint="Install that version again, or use another data directory.",
            file=str(path),
        )
    if not integrity.is_known_good(path):
        size = await pragma(connection, "page_count") * await pragma(connection, "page_size")
        if size > LARGE:
            text = "The database may have changed while no service ran. All of it is checked: %d MB."
            logger.info(text, size // 10**6, extra={"action": "database_check"})
        finding = await pragma(connection, "quick_check(1)")
        if finding != "ok":
            raise StoreBroken(f"{path} is damaged: {finding}.", file=str(path))
    return version


def _migrations() -> dict[int, Path]:
    return {int(file.name.partition("_")[0]): file for file in SCHEMA.glob("*.sql")}


def _script(number: int, file: Path) -> str:
    """Return a migration that also marks the file with its number, in a transaction that is left open."""
    marks = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};"
    return f"BEGIN IMMEDIATE;\n{marks}\n{file.read_text('utf-8')}"


async def _apply(connection: aiosqlite.Connection, number: int, file: Path) -> None:
    """Apply one migration completely or not at all."""
    try:
        await connection.executescript(_script(number, file))
        if await connection.execute_fetchall("PRAGMA foreign_key_check"):
            raise StoreBroken(f"Schema {number} would leave rows without their owner. Nothing was changed.")
        await connection.execute("COMMIT")
    except BaseException:
        with CancelScope(shield=True):
            await connection.rollback()
        raise
