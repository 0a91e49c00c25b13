"""Read jobs, their chunks and their segments. Nothing is cached: every answer comes from the database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple, NoReturn

from msgspec.structs import replace

from whisper_service.core.domain import Chunk, Job, Options, Segment, Status
from whisper_service.core.errors import NotFound
from whisper_service.core.speaker_count import OFF
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

JOBS: Final = f"SELECT {row_mapping.names(row_mapping.JOB)} FROM kept"
"""Jobs that are not in the trash."""
TO_FETCH: Final = "origin IS NOT NULL AND sha256 = ''"
"""Jobs whose recording is not complete on this machine yet."""


class StoredJob(NamedTuple):
    """What retention needs to know of a job. `finished_at` in Unix seconds."""

    id: str
    status: Status
    finished_at: float | None
    bytes: int
    gaps: bool
    media_removed: bool
    copy_bytes: int = 0


class Queued(NamedTuple):
    """What the planner needs to know of a pending job."""

    id: str
    bytes: int
    duration_s: float | None
    rank: float


class JobQueries:
    """The reads of jobs. `Store` inherits them and adds the writes, so that callers see one object for jobs."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def job(self, job_id: str) -> Job:
        """Return a job. Raises `NotFound`."""
        found = await self._db.read(f"{JOBS} WHERE id = :id", id=job_id)
        return row_mapping.job(found[0]) if found else raise_not_found(job_id)

    async def jobs(self, *, status: Collection[Status] = (), before: str | None = None, limit: int = 50) -> list[Job]:
        """Return jobs of any of the statuses that are older than the job `before`, the newest first."""
        conditions = ["true"]
        if status:
            conditions.append("status IN (SELECT value FROM json_each(:status))")
        if before is not None:
            conditions.append("id < :before")
        sql = f"{JOBS} WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"
        statuses = row_mapping.json(list(status))
        return [row_mapping.job(row) for row in await self._db.read(sql, status=statuses, before=before, limit=limit)]

    async def queue(self, limit: int) -> list[Job]:
        """Return the pending jobs that have their recording, in the order of the queue."""
        sql = f"{JOBS} WHERE status = 'pending' AND NOT ({TO_FETCH}) ORDER BY rank, id LIMIT :limit"
        return [row_mapping.job(row) for row in await self._db.read(sql, limit=limit)]

    async def queue_heads(self, limit: int, *, seconds: tuple[float, float], sizes: tuple[int, int]) -> list[Queued]:
        """Return the first `limit` short, middle-sized and long ones of the jobs of `queue`, in its order.

        `seconds`: the shortest middle-sized one, and the longest. `sizes`: the largest short file and the largest
        middle-sized one, in bytes, where the length is unknown.
        """
        # 7 ms for 10,000 pending jobs: they are looked through, because their lengths are in no index.
        sql = f"""SELECT id, bytes, duration_s, rank FROM (
                SELECT *, row_number() OVER (PARTITION BY length ORDER BY rank, id) AS place FROM (
                    SELECT id, bytes, duration_s, rank,
                        CASE WHEN duration_s IS NULL THEN (bytes > :small) + (bytes > :large)
                        ELSE (duration_s >= :middle) + (duration_s > :long) END AS length
                    FROM kept WHERE status = 'pending' AND NOT ({TO_FETCH})
                )
            ) WHERE place <= :limit ORDER BY rank, id"""
        bounds = {"middle": seconds[0], "long": seconds[1], "small": sizes[0], "large": sizes[1]}
        return [Queued(*row) for row in await self._db.read(sql, limit=limit, **bounds)]

    async def to_fetch(self) -> list[Job]:
        """Return the pending jobs whose recording must still be fetched, in the order of the queue."""
        sql = f"{JOBS} WHERE status = 'pending' AND {TO_FETCH} ORDER BY rank, id"
        return [row_mapping.job(row) for row in await self._db.read(sql)]

    async def waiting_s(self, bytes_a_second: float) -> float:
        """Return the seconds of sound of the pending jobs; by their bytes where the length is unknown."""
        sql = "SELECT total(coalesce(duration_s, bytes / :rate)) FROM kept WHERE status = 'pending'"
        return float((await self._db.read(sql, rate=float(bytes_a_second)))[0][0])

    async def count(self) -> dict[Status, int]:
        """Return the number of jobs of each status."""
        found = await self._db.read("SELECT status, jobs FROM tally")
        return dict.fromkeys(Status, 0) | {Status(status): number for status, number in found}

    async def ids(self, status: Collection[Status] = tuple(Status)) -> set[str]:
        """Return the ids of the jobs of these statuses, with those in the trash."""
        sql = "SELECT id FROM job WHERE status IN (SELECT value FROM json_each(:status))"
        return {row["id"] for row in await self._db.read(sql, status=row_mapping.json(list(status)))}

    async def open_sessions(self) -> list[Job]:
        """Return the jobs whose recording may still grow, the oldest first."""
        sql = f"{JOBS} WHERE live IS NOT NULL AND json_extract(live, '$.ended') IS NULL ORDER BY id"
        return [row_mapping.job(row) for row in await self._db.read(sql)]

    async def ids_with_media(self) -> set[str]:
        """Return the ids of the jobs whose recording was not removed, with those in the trash."""
        return {row["id"] for row in await self._db.read("SELECT id FROM job WHERE NOT media_removed")}

    async def latest_time(self) -> float:
        """Return the latest time that is stored of any job, in Unix seconds. 0: there is none."""
        sql = "SELECT max(max(created_at, coalesce(started_at, 0), coalesce(finished_at, 0))) FROM job"
        return float((await self._db.read(sql))[0][0] or 0.0)

    async def stored_jobs(self) -> list[StoredJob]:
        """Return what retention needs to know of every job, in no order."""
        sql = "SELECT id, status, finished_at, bytes, gaps <> '[]' AS gaps, media_removed, copy_bytes FROM kept"
        rows = await self._db.read(sql)
        return [
            StoredJob(row["id"], Status(row["status"]), row[2], row[3], bool(row[4]), bool(row[5]), row[6])
            for row in rows
        ]

    async def find_duplicate(self, sha256: str, options: Options) -> Job | None:
        """Return the newest job with this recording and these options that has its text or can still get it."""
        sql = f"{JOBS} WHERE sha256 = :sha256 AND (status = 'completed' OR NOT media_removed) ORDER BY id DESC"
        jobs = map(row_mapping.job, await self._db.read(sql, sha256=sha256))
        wanted = _comparable(options)
        return next((job for job in jobs if _comparable(job.options) == wanted), None)

    async def chunks(self, job_id: str) -> list[Chunk]:
        """Return the chunks of a job that are known so far, in order."""
        sql = f'SELECT {row_mapping.names(row_mapping.CHUNK)} FROM chunk WHERE job_id = :id ORDER BY "index"'
        return [row_mapping.chunk(row) for row in await self._db.read(sql, id=job_id)]

    async def segments(self, job_id: str, *, first: int = 0, before: int | None = None) -> list[Segment]:
        """Return the segments so far, in order, of the chunks from `first` to below `before`. None: to the end."""
        sql = (
            f"SELECT {row_mapping.names(row_mapping.SEGMENT)} FROM segment WHERE job_id = :id AND chunk >= :first"
            ' AND (:before IS NULL OR chunk < :before) ORDER BY chunk, "index"'
        )
        return [row_mapping.segment(row) for row in await self._db.read(sql, id=job_id, first=first, before=before)]

    async def has_segments(self, job_id: str) -> bool:
        """Return whether a job has any text so far."""
        return bool(await self._db.read("SELECT 1 FROM segment WHERE job_id = :id LIMIT 1", id=job_id))

    async def final_chunks(self, job_id: str) -> int:
        """Return how many chunks from the first one on are no longer waiting. The text is final up to there."""
        sql = """SELECT coalesce(
            (SELECT min("index") FROM chunk WHERE job_id = :id AND state = 'waiting'),
            (SELECT max("index") + 1 FROM chunk WHERE job_id = :id), 0)"""
        return int((await self._db.read(sql, id=job_id))[0][0])


def _comparable(options: Options) -> Options:
    """Return options that say what they mean: a job from before speakers were told apart has none."""
    return replace(options, speakers=options.speakers or OFF)


def raise_not_found(job_id: str) -> NoReturn:
    """Raise `NotFound` for a job."""
    raise NotFound(f"There is no job {job_id}.", id=job_id)
