"""The log of changes: what clients are told, in order, each change in the transaction that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whisper_service.core.domain import Change
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

_CHANGES: Final = f"SELECT {row_mapping.names(row_mapping.CHANGE)} FROM change"


class ChangeLog:
    """See the module."""

    def __init__(self, session: Connections) -> None:
        self._db = session

    async def changes(self, since: int, *, job_id: str | None = None, limit: int = 500) -> list[Change]:
        """What happened after `since`, in order; with `job_id` only to that job."""
        where = "seq > :since" if job_id is None else "job_id = :job_id AND seq > :since"
        found = await self._db.read(
            f"{_CHANGES} WHERE {where} ORDER BY seq LIMIT :limit", since=since, job_id=job_id, limit=limit
        )
        return [row_mapping.change(row) for row in found]

    async def bounds(self) -> tuple[int, int]:
        """The seq up to which the log was pruned away and the newest seq ever given; 0: none."""
        pruned, newest = (
            await self._db.read(
                "SELECT (SELECT seq FROM pruned), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0)"
            )
        )[0]
        return pruned, newest

    async def prune(self, keep: int, *, page: int = 2_000) -> bool:
        """Forget all but the last `keep` numbers of the log, at most `page` rows of it at once; whether that leaves some.

        They count as pruned from the first page on, so that no reader finds only half of them.
        """
        async with self._db.transaction():
            await self._db.run(
                "UPDATE pruned SET seq = max(seq, (SELECT seq FROM sqlite_sequence WHERE name = 'change') - :keep)"
                " WHERE EXISTS (SELECT 1 FROM change)",
                keep=keep,
            )
            gone = await self._db.run(
                "DELETE FROM change WHERE seq IN"
                " (SELECT seq FROM change WHERE seq <= (SELECT seq FROM pruned) ORDER BY seq LIMIT :page) RETURNING 1",
                page=page,
            )
            return len(gone) == page

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def append(self, job_id: str, news: Sequence[tuple[str, bytes]]) -> tuple[Change, ...]:
        """Append (kind, payload) pairs to the log. One statement: a chunk of speech has many segments."""
        values = [cell for kind, payload in news for cell in (job_id, kind, payload)]
        sql = f"INSERT INTO change (job_id, kind, payload) VALUES {', '.join(['(?, ?, ?)'] * len(news))} RETURNING seq"
        numbers = sorted(row[0] for row in await self._db.run(sql, *values))
        return tuple(Change(seq, job_id, *new) for seq, new in zip(numbers, news, strict=True))

    async def forget(self, subject: str) -> None:
        """Remove what the log has of this job, or of what else changes are told of."""
        await self._db.run("DELETE FROM change WHERE job_id = :subject", subject=subject)
