"""The database file: opens, checks and migrates it. Repairs nothing and overwrites nothing that it does not know."""

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
"""Marks a SQLite file as ours ("whsr"), so that nobody else's is ever written to."""
OLDEST_SQLITE: Final = (3, 37, 0)
"""Introduced STRICT tables."""
BUSY_TIMEOUT_MS: Final = 5_000
"""How long to wait for another program that has the file open, such as a backup."""
BUSY_AGAIN_MS: Final = 100
"""How long to wait when somebody has just waited so long in vain: they would wait one after the other."""
BUSY_AGAIN_S: Final = 5
"""When programs are asked to come back."""
ROOM: Final = 128 * 1024
"""Bytes on a disk below which SQLite's shared memory file, which grows by 32 KiB, may find no place."""
LARGE: Final = 100_000_000
"""Bytes of a database that take longer to read through than anybody expects of a start."""
SCHEMA: Final = Path(__file__).with_name("schema")
"""Numbered migrations; the number of the last one applied is the file's `user_version`."""


@asynccontextmanager
async def connect(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """A connection whose transactions are begun and ended by nobody but us. It is closed on every way out.

    Opening and closing are shielded: the thread behind a connection that is left open would keep the process alive.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreBroken(
            f"Python is linked to SQLite {sqlite3.sqlite_version}; {needed} or newer is needed.",
            hint="Use another build of Python, for instance one from python.org or uv.",
        )
    with explained(path, opening=True):
        with CancelScope(shield=True):
            connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        await connection.create_function("grams", 1, grams, deterministic=True)  # for the triggers of the search
        await wait(connection, BUSY_TIMEOUT_MS)
        yield connection
    finally:
        with CancelScope(shield=True):
            await connection.close()


async def wait(connection: aiosqlite.Connection, milliseconds: int) -> None:
    """From now on wait so long for another program that has the file open."""
    await connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


async def prepare(connection: aiosqlite.Connection, path: Path) -> None:
    """Make sure that this is a sound database of ours in its newest form, and note that it is in use. Raises `StoreBroken`."""
    with explained(path, opening=True):
        version = await _version(connection, path)
        if (await pragma(connection, "journal_mode = WAL")) != "wal":
            raise StoreBroken(
                f"{path} cannot be written safely: its file system does not support SQLite's write-ahead log.",
                hint="Network drives do not; point data_dir at a local disk.",
            )
        await connection.execute("PRAGMA synchronous = FULL")  # what was answered with 202 survives a power cut
        await connection.execute("PRAGMA foreign_keys = OFF")  # a migration may have to rebuild a table
        for number, file in sorted(_migrations().items()):
            if number > version:
                if version:
                    logger.info(
                        "the database gets form %d; a large one takes minutes", number, extra={"action": "migration"}
                    )
                await _apply(connection, number, file)
        await connection.execute("PRAGMA foreign_keys = ON")
    integrity.opened(path)


async def pragma(connection: aiosqlite.Connection, text: str) -> Any:
    """The first value that a PRAGMA answers."""
    return next(iter(await connection.execute_fetchall(f"PRAGMA {text}")))[0]


@contextmanager
def explained(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn what SQLite says about the file into what a user can do about it; `opening`: everything it says."""
    try:
        yield
    except sqlite3.Error as error:
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the higher bits are details
            case sqlite3.SQLITE_FULL:
                raise DiskFull from error
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if _no_room(path):  # for the files beside it
                raise DiskFull from error
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise StoreBusy(
                    f"{path} is locked by another program.", file=str(path), retry_after_s=BUSY_AGAIN_S
                ) from error
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY if not opening:
                hint = "Look for errors of the disk in the log of the system, and whether it is mounted read-only."
                raise StoreBroken(f"{path} cannot be read or written: {error}.", hint=hint, file=str(path)) from error
            case sqlite3.SQLITE_NOTADB:
                integrity.forget(path)
                raise StoreBroken(f"{path} is not a database.", file=str(path)) from error
            case sqlite3.SQLITE_CORRUPT:
                integrity.forget(path)
                raise StoreBroken(f"{path} is damaged: {error}.", file=str(path)) from error
            case _ if opening:
                hint = "Make sure that this user may write to it and its directory, and that no other program holds it."
                raise StoreBroken(f"{path} cannot be opened: {error}.", hint=hint, file=str(path)) from error
        raise


def _no_room(path: Path) -> bool:
    """Whether not even the files could grow that SQLite keeps beside its own."""
    try:
        return shutil.disk_usage(path.parent).free < ROOM
    except OSError:
        return False


async def _version(connection: aiosqlite.Connection, path: Path) -> int:
    """Number of the last migration applied. Looks only: before it is known to be ours, nothing is written to the file."""
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
    if not integrity.known(path):
        if (size := await pragma(connection, "page_count") * await pragma(connection, "page_size")) > LARGE:
            logger.info(
                "the database is read through, %d MB: it may have changed",
                size // 10**6,
                extra={"action": "database_check"},
            )
        finding = await pragma(connection, "quick_check(1)")
        if finding != "ok":
            raise StoreBroken(f"{path} is damaged: {finding}.", file=str(path))
    return version


def _migrations() -> dict[int, Path]:
    return {int(file.name.partition("_")[0]): file for file in SCHEMA.glob("*.sql")}


def _script(number: int, file: Path) -> str:
    """A migration and its marks, in a transaction that is left open."""
    marks = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};"
    return f"BEGIN IMMEDIATE;\n{marks}\n{file.read_text('utf-8')}"


async def _apply(connection: aiosqlite.Connection, number: int, file: Path) -> None:
    """One migration, wholly or not at all."""
    try:
        await connection.executescript(_script(number, file))
        if await connection.execute_fetchall("PRAGMA foreign_key_check"):
            raise StoreBroken(f"Schema {number} would leave rows without their owner; nothing was changed.")
        await connection.execute("COMMIT")
    except BaseException:
        with CancelScope(shield=True):
            await connection.rollback()
        raise
