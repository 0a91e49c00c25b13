"""The table `mark`. Marks are written with the edit that changes them, in its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from whisper_service.editing.marking import MarkChanges
from whisper_service.editing.marks import Anchor, Mark, MarkKind
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

_SAME: Final = ("id", "kind", "colour", "text", "lost", "author", "at")
"""Columns with the name of their field."""
_COLUMNS: Final = ("job_id", *_SAME, "first_line", "first_at", "last_line", "last_at")
_CHANGED: Final = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
_INSERT: Final = f"{row_mapping.insert('mark', _COLUMNS)} ON CONFLICT (job_id, id) DO UPDATE SET {_CHANGED}"


async def read_marks(run: Callable[..., Awaitable[Iterable[sqlite3.Row]]], job_id: str) -> list[Mark]:
    """Return the marks of a job, the oldest first. `run` reads what is committed, or inside a transaction."""
    return [_mark(row) for row in await run("SELECT * FROM mark WHERE job_id = :id ORDER BY at, id", id=job_id)]


async def write_marks(connections: Connections, job_id: str, changes: MarkChanges) -> None:
    """Write what an edit changed of the marks, inside a transaction."""
    await connections.run_many(_INSERT, [_row(job_id, mark) for mark in changes.marks])
    await connections.run_many(
        "DELETE FROM mark WHERE job_id = ? AND id = ?", [(job_id, gone) for gone in changes.gone]
    )


def _row(job_id: str, mark: Mark) -> dict[str, Any]:
    first, last = mark.first, mark.last
    places = {"first_line": first.line, "first_at": first.at, "last_line": last.line, "last_at": last.at}
    return {"job_id": job_id, **places, **{name: getattr(mark, name) for name in _SAME}}


def _mark(row: sqlite3.Row) -> Mark:
    same = {name: row[name] for name in _SAME} | {"kind": MarkKind(row["kind"])}
    first, last = Anchor(row["first_line"], row["first_at"]), Anchor(row["last_line"], row["last_at"])
    return Mark(first=first, last=last, **same)
