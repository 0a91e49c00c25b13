"""The one thing that the storage uses from inside aiosqlite: a function of ours on the thread of a connection.

`test_aiosqlite_private.py` tells if a release takes that away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


async def on_its_thread(connection: aiosqlite.Connection, act: Callable[[sqlite3.Connection], T]) -> T:
    """Run `act` on the thread of a connection, with the connection of sqlite3. Return or raise what `act` does."""
    answer: T = await connection._execute(act, connection._conn)  # type: ignore[no-untyped-call]
    return answer
