"""What is read of jobs, their chunks and their text. Nothing is cached: what a method returns was read from the rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple, NoReturn

from whisper_service.core.domain import Chunk, Job, Options, Segment, Status
from whisper_service.core.errors import NotFound
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

JOBS: Final = f"SELECT {row_mapping.names(row_mapping.JOB)} FROM kept"
"""Jobs that are not in the trash."""
TO_FETCH: Final = "origin IS NOT NULL AND sha256 = ''"
"""Their recording is not all here yet."""


class StoredJob(NamedTuple):
    """A job as far as it matters for how long things are kept."""

    id: str
    status: Status
    finished_at: float | None
    bytes: int
    gaps: bool
    media_removed: bool


class Queries:
    """See the module."""

    def __init__(self, session: Connections) -> None:
        self._db = session

    async def job(self, job_id: str) -> Job:
        """The job with this id. Raises `NotFound`."""
        found = await self._db.read(f"{JOBS} WHERE id = :id", id=job_id)
        return row_mapping.job(found[0]) if found else missing(job_id)

    async def jobs(self, *, status: Collection[Status] = (), before: str | None = None, limit: int = 50) -> list[Job]:
        """Jobs, the newest first: of any of these statuses, older than the job `before`."""
        conditions = ["true"]
        if status:
            conditions.append("status IN (SELECT value FROM json_each(:status))")
        if before is not None:
            conditions.append("id < :before")
        found = await self._db.read(
            f"{JOBS} WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit",
            **{"status": row_mapping.json(list(status)), "before": before, "limit": limit},
        )
        return [row_mapping.job(row) for row in found]

    async def queue(self, limit: int) -> list[Job]:
        """The pending jobs whose turn comes next and whose recording is here."""
        found = await self._db.read(
            f"{JOBS} WHERE status = 'pending' AND NOT ({TO_FETCH}) ORDER BY rank, id LIMIT :limit", limit=limit
        )
        return [row_mapping.job(row) for row in found]

    async def to_fetch(self) -> list[Job]:
        """The pending jobs whose recording is still to be had, in the order of their turns."""
        found = await self._db.read(f"{JOBS} WHERE status = 'pending' AND {TO_FETCH} ORDER BY rank, id")
        return [row_mapping.job(row) for row in found]

    async def count(self) -> dict[Status, int]:
        """How many jobs there are of every status."""
        found = await self._db.read("SELECT status, jobs FROM tally")
        return dict.fromkeys(Status, 0) | {Status(status): number for status, number in found}

    async def ids(self, status: Collection[Status] = tuple(Status)) -> set[str]:
        """Every job there is in one of these."""
        sql = "SELECT id FROM job WHERE status IN (SELECT value FROM json_each(:status))"
        return {row["id"] for row in await self._db.read(sql, status=row_mapping.json(list(status)))}

    async def newest(self) -> float:
        """The latest time that is written down of any job, Unix seconds; 0: none."""
        found = await self._db.read(
            "SELECT max(max(created_at, coalesce(started_at, 0), coalesce(finished_at, 0))) FROM job"
        )
        return float(found[0][0] or 0.0)

    async def kept(self) -> list[StoredJob]:
        """What there is to keep or not to keep: every job, in no order."""
        found = await self._db.read(
            "SELECT id, status, finished_at, bytes, gaps <> '[]' AS gaps, media_removed FROM kept"
        )
        return [StoredJob(row["id"], Status(row["status"]), *row[2:4], *map(bool, row[4:])) for row in found]

    async def with_media(self) -> set[str]:
        """The jobs whose recording was not removed."""
        return {row["id"] for row in await self._db.read("SELECT id FROM job WHERE NOT media_removed")}

    async def same(self, sha256: str, options: Options) -> Job | None:
        """The newest job with these bytes and options that has its text or can still get it."""
        found = await self._db.read(
            f"{JOBS} WHERE sha256 = :sha256 AND (status = 'completed' OR NOT media_removed) ORDER BY id DESC",
            sha256=sha256,
        )
        return next((job for job in map(row_mapping.job, found) if job.options == options), None)

    async def chunks(self, job_id: str) -> list[Chunk]:
        """The chunks of a job that are known so far, in order."""
        found = await self._db.read(
            f'SELECT {row_mapping.names(row_mapping.CHUNK)} FROM chunk WHERE job_id = :id ORDER BY "index"', id=job_id
        )
        return [row_mapping.chunk(row) for row in found]

    async def segments(self, job_id: str, *, first: int = 0, before: int | None = None) -> list[Segment]:
        """The text of a job so far, in order; only that of chunks from `first` on and below `before`."""
        found = await self._db.read(
            f"SELECT {row_mapping.names(row_mapping.SEGMENT)} FROM segment WHERE job_id = :id AND chunk >= :first"
            ' AND (:before IS NULL OR chunk < :before) ORDER BY chunk, "index"',
            id=job_id,
            first=first,
            before=before,
        )
        return [row_mapping.segment(row) for row in found]

    async def settled(self, job_id: str) -> int:
        """How many chunks from the first one on do not wait any more: up to there the text is final."""
        found = await self._db.read(
            """SELECT coalesce(
                (SELECT min("index") FROM chunk WHERE job_id = :id AND state = 'waiting'),
                (SELECT max("index") + 1 FROM chunk WHERE job_id = :id), 0)""",
            id=job_id,
        )
        return int(found[0][0])


def missing(job_id: str) -> NoReturn:
    """Raise `NotFound`."""
    raise NotFound(f"There is no job {job_id}.", id=job_id)
