"""The change log: what clients are told, in order. A change is written in the transaction that made it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from whisper_service.core.domain import Change, Job
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

_CHANGES: Final = f"SELECT {row_mapping.names(row_mapping.CHANGE)} FROM change"

AT_ONCE: Final = 50
"""Changes of one statement. SQLite takes ten thousand, but few compiled statements of different lengths are kept."""


class Written(NamedTuple):
    """The result of a write: the job as it is now, and the changes to publish, in order."""

    job: Job
    changes: tuple[Change, ...]


class ChangeLog:
    """The table of changes."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def changes(self, since: int, *, job_id: str | None = None, limit: int = 500) -> list[Change]:
        """Return the changes after `since`, in order. `job_id`: only those of that job."""
        where = "seq > :since" if job_id is None else "job_id = :job_id AND seq > :since"
        sql = f"{_CHANGES} WHERE {where} ORDER BY seq LIMIT :limit"
        return [row_mapping.change(row) for row in await self._db.read(sql, since=since, job_id=job_id, limit=limit)]

    async def bounds(self) -> tuple[int, int]:
        """Return the `seq` up to which the log was pruned, and the newest `seq` ever given. 0: none."""
        sql = "SELECT (SELECT seq FROM pruned), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0)"
        pruned, newest = (await self._db.read(sql))[0]
        return pruned, newest

    async def prune(self, keep: int, *, up_to: int | None = None, page: int = 2_000) -> bool:
        """Delete at most `page` changes that are older than the last `keep`. Return whether some are left to delete.

        `up_to`: no change after this one is deleted. None: any may be.
        The first page marks all of them as pruned, so that no reader finds only a part of them.
        """
        async with self._db.transaction():
            await self._db.run(
                "UPDATE pruned SET seq ="
                " max(seq, min(:up_to, (SELECT seq FROM sqlite_sequence WHERE name = 'change') - :keep))"
                " WHERE EXISTS (SELECT 1 FROM change)",
                keep=keep, up_to=sys.maxsize if up_to is None else up_to,
            )  # fmt: skip
            gone = await self._db.run(
                "DELETE FROM change WHERE seq IN"
                " (SELECT seq FROM change WHERE seq <= (SELECT seq FROM pruned) ORDER BY seq LIMIT :page) RETURNING 1",
                page=page,
            )
            return len(gone) == page

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def append(self, job_id: str, news: Sequence[tuple[str, bytes]]) -> tuple[Change, ...]:
        """Append (kind, payload) pairs, many with one statement: a chunk of speech has many segments."""
        numbers: list[int] = []
        for first in range(0, len(news), AT_ONCE):
            some = news[first : first + AT_ONCE]
            values = [cell for kind, payload in some for cell in (job_id, kind, payload)]
            rows = ", ".join(["(?, ?, ?)"] * len(some))
            sql = f"INSERT INTO change (job_id, kind, payload) VALUES {rows} RETURNING seq"
            numbers += sorted(row[0] for row in await self._db.run(sql, *values))
        return tuple(Change(seq, job_id, *new) for seq, new in zip(numbers, news, strict=True))

    async def delete(self, subject: str) -> None:
        """Delete the changes of a job, or of another subject such as `model:base`."""
        await self._db.run("DELETE FROM change WHERE job_id = :subject", subject=subject)
