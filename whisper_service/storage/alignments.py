"""Which chunks have words to align, and what became of them. The times and the row of a chunk are one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

import msgspec

from whisper_service.core.domain import Value
from whisper_service.editing.lines import Line
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections
from whisper_service.storage.transcript_edits import Edit, TranscriptEdits, WrittenEdit

_DUE: Final = (
    "alignment JOIN kept ON kept.id = job_id WHERE edited_at IS NOT NULL AND NOT kept.media_removed"
    " AND kept.channels = 0"
)
"""The rows that may be aligned."""
_keys = msgspec.json.Decoder(tuple[str, ...])


class DueJob(Value, frozen=True):
    """A job with chunks that are due. `language` of the job; None: unknown."""

    job_id: str
    language: str | None


class EditedChunk(Value, frozen=True):
    """A chunk that is due, as it is now. Times in seconds."""

    job_id: str
    chunk: int
    edited_at: float
    tried: tuple[str, ...]  # keys of runs that stay as they are
    failures: int
    lines: tuple[Line, ...]
    bounds: tuple[float, float]  # the end of the line before the first one, the start of the line behind the last one

    def is_like(self, other: EditedChunk | None) -> bool:
        """Return whether nobody edited the chunk between two looks, nor the lines beside it."""
        return other is not None and (self._edited, self.bounds) == (other._edited, other.bounds)

    @property
    def _edited(self) -> list[tuple[str, int]]:
        return [(line.id, line.version) for line in self.lines]


class Alignments:
    """The table `alignment`. Recordings that were deleted, and those whose channels are kept apart, are left out."""

    def __init__(self, connections: Connections, edits: TranscriptEdits) -> None:
        self._db = connections
        self._edits = edits

    async def first_edit(self) -> float | None:
        """Return the time of the edit that waits longest. None: nothing waits."""
        rows = await self._db.read(f"SELECT min(edited_at) FROM {_DUE}")
        return None if rows[0][0] is None else float(rows[0][0])

    async def jobs(self, before: float) -> list[DueJob]:
        """Return the jobs whose chunks were edited before a time, in order of those edits."""
        rows = await self._db.read(
            "SELECT job_id, coalesce(kept.language, json_extract(kept.options, '$.language')) AS language"
            f" FROM {_DUE} AND edited_at <= :before GROUP BY job_id ORDER BY min(edited_at), job_id",
            before=before,
        )
        return [DueJob(row["job_id"], row["language"]) for row in rows]

    async def chunks(self, job_id: str, before: float) -> list[int]:
        """Return the chunks of a job that were edited before a time, in order."""
        rows = await self._db.read(
            f"SELECT chunk FROM {_DUE} AND job_id = :id AND edited_at <= :before ORDER BY chunk",
            id=job_id, before=before,
        )  # fmt: skip
        return [row["chunk"] for row in rows]

    async def waiting(self, job_id: str) -> int:
        """Return how many chunks of a job wait, whatever keeps them."""
        rows = await self._db.read(
            "SELECT count(*) FROM alignment WHERE job_id = :id AND edited_at IS NOT NULL", id=job_id
        )
        return int(rows[0][0])

    async def chunk(self, job_id: str, chunk: int) -> EditedChunk | None:
        """Return a chunk as it is now. None: it is not due any more."""
        async with self._db.transaction():
            return await self._chunk(job_id, chunk)

    async def finish(self, seen: EditedChunk) -> None:
        """Record that nothing is left to do in a chunk, unless it was edited since it was seen."""
        async with self._db.transaction():
            await self._db.run(
                "UPDATE alignment SET edited_at = NULL, failures = 0"
                " WHERE job_id = :id AND chunk = :chunk AND edited_at = :edited_at",
                id=seen.job_id, chunk=seen.chunk, edited_at=seen.edited_at,
            )  # fmt: skip

    async def settle(
        self, seen: EditedChunk, edit: Edit | None, refused: Iterable[str], now: float
    ) -> WrittenEdit | None:
        """Make the edit with the new times, and remember the runs that stay as they are, by their keys.

        None: there is no edit, or the chunk was edited since it was seen. Then nothing is written.
        """
        async with self._db.transaction():
            if not seen.is_like(await self._chunk(seen.job_id, seen.chunk)):
                return None
            await self._db.run(
                "UPDATE alignment SET tried = :tried, failures = 0 WHERE job_id = :id AND chunk = :chunk",
                id=seen.job_id, chunk=seen.chunk, tried=row_mapping.json([*seen.tried, *refused]),
            )  # fmt: skip
            return None if edit is None else await self._edits.apply_within(seen.job_id, edit, now)

    async def count_failure(self, seen: EditedChunk) -> int:
        """Count a failure of an actor, and return how many there were since the last edit of the chunk."""
        async with self._db.transaction():
            rows = await self._db.run(
                "UPDATE alignment SET failures = failures + 1 WHERE job_id = :id AND chunk = :chunk"
                " AND edited_at = :edited_at RETURNING failures",
                id=seen.job_id, chunk=seen.chunk, edited_at=seen.edited_at,
            )  # fmt: skip
        return int(rows[0]["failures"]) if rows else 0

    async def _chunk(self, job_id: str, chunk: int) -> EditedChunk | None:
        rows = await self._db.run(
            f"SELECT edited_at, tried, failures FROM {_DUE} AND job_id = :id AND chunk = :chunk",
            id=job_id, chunk=chunk,
        )  # fmt: skip
        if not rows:
            return None
        row = rows[0]
        lines = await self._edits.around(job_id, chunk)
        inside = [line for line in lines if line.chunk == chunk]
        first, last = (inside[0], inside[-1]) if inside else (None, None)
        before = lines.neighbour(first, -1) if first else None
        behind = lines.neighbour(last, 1) if last else None
        bounds = (before.end if before else 0.0, behind.start if behind else inf)
        tried = _keys.decode(row["tried"])
        return EditedChunk(job_id, chunk, row["edited_at"], tried, row["failures"], tuple(inside), bounds)
