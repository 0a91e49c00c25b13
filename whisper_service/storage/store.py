"""What the service knows, in SQLite: jobs, chunks, segments; beside them what is remembered, and the log of changes.

Every write is one transaction: compare and set, the rows that go with it, and the changes that tell of it. Whoever writes
publishes `Written.changes` afterwards, in that order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from math import inf, nextafter
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiosqlite
import msgspec
from msgspec.structs import replace

from whisper_service.core.domain import (
    CALL_RANK,
    Change,
    Gap,
    Job,
    Problem,
    Segment,
    Span,
    Status,
)
from whisper_service.core.errors import Conflict, IllegalTransition, MediaRemoved
from whisper_service.core.job_states import Cause, advance
from whisper_service.storage import database, integrity, row_mapping
from whisper_service.storage.browse import JobBrowser
from whisper_service.storage.change_log import ChangeLog
from whisper_service.storage.connections import Connections
from whisper_service.storage.queries import JOBS, TO_FETCH, Queries, missing
from whisper_service.storage.service_state import ServiceState
from whisper_service.storage.webhook_queue import WebhookQueue

CHANGEABLE: Final = frozenset(row_mapping.JOB) - {
    *("id", "status", "options", "created_at", "bytes", "sha256"),  # fixed, or a matter of `Cause`
    *("chunks_done", "chunks_total", "gaps"),  # follow from the chunks
}
"""Fields of a job that callers may set along with a write."""

FETCHED: Final = frozenset({"bytes", "sha256"})
"""Fields that are fixed once the recording is here."""

RANK_STEP: Final = 1e-5
"""Between the ranks of two jobs that come at the same time, seconds: above the resolution of a float at today's times."""

_COUNTED: Final = (
    "chunks_total = (SELECT count(*) FROM chunk WHERE job_id = job.id)",
    "chunks_done = (SELECT count(*) FROM chunk WHERE job_id = job.id AND state = 'done')",
)
_encode: Final = msgspec.json.Encoder().encode


class Written(NamedTuple):
    """What a write came to: the job as it now is, and the changes to publish, in order."""

    job: Job
    changes: tuple[Change, ...]


class Store(Queries):
    """The database. Any task may read; writes take turns. What takes long to read is in `listings`, and delays nobody here."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection, browser: aiosqlite.Connection
    ) -> None:
        super().__init__(Connections(path, writer, reader))
        self.path = path
        self.listings = JobBrowser(path, browser)
        self.log = ChangeLog(self._db)
        self.outbox = WebhookQueue(self._db)
        self.remembered = ServiceState(self._db, self.log)

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Store]:
        """Open the file, creating or migrating it as needed. Raises `StoreBroken` if it is not a sound database of ours."""
        async with database.connect(path) as writer:
            await database.prepare(writer, path)
            async with database.connect(path) as reader, database.connect(path) as browser:
                for connection in (reader, browser):
                    await connection.execute("PRAGMA query_only = ON")
                yield cls(path, writer, reader, browser)
        integrity.closed(path)

    # -- writes ------------------------------------------------------------------------------------------------------

    async def add(self, job: Job) -> Written:
        """A new job; it must be pending. Unless its rank says that it is urgent, it goes behind all that wait."""
        if job.status is not Status.PENDING:
            raise ValueError(f"a new job is pending, not {job.status.value}")
        async with self._db.transaction():
            if job.rank >= 0:
                last = (await self._db.run("SELECT coalesce(max(rank), 0) FROM job WHERE status = 'pending'"))[0][0]
                job = replace(job, rank=max(job.created_at, last + RANK_STEP))  # the clock may have been set back
            found = await self._db.run(
                f"INSERT INTO job ({row_mapping.names(row_mapping.JOB)}) VALUES ({row_mapping.marks(row_mapping.JOB)}) RETURNING {row_mapping.names(row_mapping.JOB)}",
                **row_mapping.cells(row_mapping.JOB, job),
            )
            return await self._written(row_mapping.job(found[0]))

    async def move(self, job_id: str, cause: Cause, **fields: Any) -> Written:
        """Change the status as the table says and set `fields` with it. Raises `NotFound` or `IllegalTransition`.

        A job finishes only when none of its chunks waits, and not if it has chunks and all of them failed. A retry lets
        failed chunks wait again, clears what was wrong, and is the one move that may lower the progress and change the `options`;
        a completed job has something to try again only if it has gaps.
        """
        _check(fields.keys() - {"options"} if cause is Cause.RETRY else fields)
        async with self._db.transaction():
            return await self._move(job_id, cause, fields)

    async def shift(self, job_id: str, cause: Cause) -> list[Written]:
        """Have a pending job change places with the one before it (`Cause.SOONER`) or behind it (`LATER`) in the queue; the
        one that was asked for comes last. At the end of the queue, and among calls, nothing changes. Raises what `move` does.
        """
        before = cause is Cause.SOONER
        async with self._db.transaction():
            job = await self._job(job_id)
            advance(job.status, cause)
            found = await self._db.run(
                f"SELECT id, rank FROM kept WHERE status = 'pending' AND rank <> :call AND :rank <> :call"
                f" AND (rank, id) {'<' if before else '>'} (:rank, :id) ORDER BY rank {(order := 'DESC' if before else 'ASC')}, id {order} LIMIT 1",
                id=job_id, rank=job.rank, call=CALL_RANK,
            )  # fmt: skip
            if not found:
                return [Written(job, ())]
            other, rank = found[0]
            if rank == job.rank:  # the clock gave two jobs the same
                rank = nextafter(rank, -inf if before else inf)
            exchanged = [
                await self._set(other, job.status, {"rank": job.rank}),
                await self._set(job_id, job.status, {"rank": rank}),
            ]
            return [await self._written(each) for each in exchanged]

    async def update(self, job_id: str, *, expected: Status, **fields: Any) -> Written | None:
        """Set fields of a job that is `expected`; None if it is not, or not any more."""
        _check(fields)
        async with self._db.transaction():
            if await self._status(job_id) is not expected:
                return None
            return await self._written(await self._set(job_id, expected, fields))

    async def fetch(self, job_id: str, **fields: Any) -> Written | None:
        """Set fields of a pending job whose recording is on its way, those that `sha256` fixes too; None if it is not."""
        _check(fields.keys() - FETCHED)
        async with self._db.transaction():
            if not await self._db.run(
                f"SELECT 1 FROM kept WHERE id = :id AND status = 'pending' AND {TO_FETCH}", id=job_id
            ):
                return None
            return await self._written(await self._set(job_id, Status.PENDING, fields))

    async def add_chunk(self, job_id: str, span: Span, **fields: Any) -> Written | None:
        """One more chunk of a job in work; None if the chunk was there, or the job is not in work."""
        _check(fields)
        async with self._db.transaction():
            if await self._status(job_id) is not Status.PROCESSING:
                return None
            added = await self._db.run(
                f"INSERT INTO chunk (job_id, {row_mapping.names(row_mapping.SPAN)}) VALUES (:job_id, {row_mapping.marks(row_mapping.SPAN)})"
                " ON CONFLICT DO NOTHING RETURNING 1",
                **row_mapping.cells(row_mapping.SPAN, span) | {"job_id": job_id},
            )
            if not added:
                return None
            return await self._written(await self._set(job_id, Status.PROCESSING, fields))

    async def checkpoint(
        self,
        job_id: str,
        index: int,
        segments: Sequence[Segment],
        language: str | None,
        /,
        *,
        probability: float | None = None,
        **fields: Any,
    ) -> Written | None:
        """A chunk is done: its text and its state in one. None if it did not wait any more, so a repetition does nothing.

        `probability` is that of the language, where the model found it out.

        A paused job takes it too: the batch was in flight when its user paused it.
        """
        _check(fields)
        if any(segment.chunk != index for segment in segments):
            raise ValueError(f"segments of another chunk than {index}")
        async with self._db.transaction():
            if (
                status := await self._settle(job_id, index, "done", language=language, language_probability=probability)
            ) is None:
                return None
            await self._db.many(
                f"INSERT INTO segment (job_id, {row_mapping.names(row_mapping.SEGMENT)}) VALUES (:job_id, {row_mapping.marks(row_mapping.SEGMENT)})",
                [row_mapping.cells(row_mapping.SEGMENT, segment) | {"job_id": job_id} for segment in segments],
            )
            return await self._written(await self._set(job_id, status, fields), segments)

    async def quarantine(self, job_id: str, index: int, problem: Problem, gap: Gap, **fields: Any) -> Written | None:
        """A chunk is given up: the job gets a gap in its place. None if the chunk did not wait any more."""
        _check(fields)
        async with self._db.transaction():
            if (status := await self._settle(job_id, index, "failed", error=problem)) is None:
                return None
            gaps = (*(await self._job(job_id)).gaps, gap)
            return await self._written(await self._set(job_id, status, fields | {"gaps": gaps}))

    async def strike(self, chunks: Sequence[tuple[str, int]], *, killed: bool = False) -> None:
        """Count an attempt against each (job, index): its actor died with it. One that was `killed` is counted apart."""
        column = "kills" if killed else "attempts"
        async with self._db.transaction():
            await self._db.many(f'UPDATE chunk SET {column} = {column} + 1 WHERE job_id = ? AND "index" = ?', chunks)

    async def beset(self, problem: Problem | None, message: str) -> list[Written]:
        """Give every pending job this problem, if it has another or none; None: take it from those that have one."""
        wanting = "SELECT id FROM kept WHERE status = 'pending' AND problem IS NOT :problem ORDER BY rank, id"
        text = row_mapping.cell("problem", problem)
        if not await self._db.read(wanting, problem=text):
            return []
        fields = {"problem": problem, "message": message}
        async with self._db.transaction():
            found = await self._db.run(wanting, problem=text)
            return [await self._written(await self._set(job_id, Status.PENDING, fields)) for (job_id,) in found]

    async def recover(self, **fields: Any) -> list[Written]:
        """After a start: whatever was in work waits for its turn again. Its chunks stay as they are."""
        _check(fields)
        async with self._db.transaction():
            found = await self._db.run("SELECT id FROM job WHERE status = 'processing' ORDER BY rank, id")
            return [await self._move(job_id, Cause.RECOVER, fields) for (job_id,) in found]

    async def rename(self, job_id: str, name: str) -> Written:
        """Call the job something else. Raises `NotFound`."""
        async with self._db.transaction():
            status = (await self._job(job_id)).status
            return await self._written(await self._set(job_id, status, {"name": name}))

    async def bury(self, job_id: str, now: float, **fields: Any) -> Change:
        """Put a job into the trash; what was in work waits for its turn again, should it come back. Raises `NotFound`."""
        _check(fields)
        async with self._db.transaction():
            if (await self._job(job_id)).status is Status.PROCESSING:
                await self._set(job_id, advance(Status.PROCESSING, Cause.RECOVER), fields)
            await self._db.run("UPDATE job SET deleted_at = :now WHERE id = :id", id=job_id, now=now)
            return (await self.log.append(job_id, [("deleted", _encode({"id": job_id}))]))[0]

    async def restore(self, job_id: str) -> Written:
        """Take a job out of the trash. Raises `NotFound`, and `Conflict` if it is not in there."""
        async with self._db.transaction():
            if not await self._db.run(
                "UPDATE job SET deleted_at = NULL WHERE id = :id AND deleted_at IS NOT NULL RETURNING 1", id=job_id
            ):
                await self._job(job_id)
                raise Conflict("The job is not deleted.", hint="There is nothing to restore.", id=job_id)
            return await self._written(await self._job(job_id))

    async def trash(self) -> list[tuple[str, float]]:
        """The deleted jobs that can still be had back, and since when they are deleted; the oldest first."""
        found = await self._db.read("SELECT id, deleted_at FROM job WHERE deleted_at IS NOT NULL ORDER BY deleted_at")
        return [(row["id"], row["deleted_at"]) for row in found]

    async def delete(self, job_id: str) -> Change:
        """Remove a job and everything about it, from the trash too; what is left is the change that says so. Raises `NotFound`."""
        async with self._db.transaction():
            if not await self._db.run("DELETE FROM job WHERE id = :id RETURNING 1", id=job_id):
                missing(job_id)
            await self.log.forget(job_id)
            return (await self.log.append(job_id, [("deleted", _encode({"id": job_id}))]))[0]

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def _move(self, job_id: str, cause: Cause, fields: dict[str, Any]) -> Written:
        job = await self._job(job_id)
        status = advance(job.status, cause)
        asked = {"status": job.status.value, "cause": cause.value}
        if cause is Cause.RETRY:
            if job.status is Status.COMPLETED and not job.gaps:
                hint = "To transcribe it anew, perhaps with other options, send the recording again."
                raise IllegalTransition("The job is complete; there is nothing to try again.", hint=hint, **asked)
            if job.media_removed:
                raise MediaRemoved(**asked)
            again = "UPDATE chunk SET state = 'waiting', attempts = 0, kills = 0, error = NULL WHERE job_id = :id AND state = 'failed'"
            await self._db.run(again, id=job_id)
            fields = {"gaps": (), "error": None, "finished_at": None} | fields
        elif cause is Cause.FINISH:
            waiting = await self._db.run("SELECT 1 FROM chunk WHERE job_id = :id AND state = 'waiting'", id=job_id)
            if waiting:
                raise IllegalTransition(f"The job cannot finish: {len(waiting)} of its chunks still wait.", **asked)
            states = await self._db.run("SELECT DISTINCT state FROM chunk WHERE job_id = :id", id=job_id)
            if [state for (state,) in states] == ["failed"]:
                raise IllegalTransition("The job cannot finish: every chunk of it failed.", **asked)
        return await self._written(await self._set(job_id, status, fields, falls=cause is Cause.RETRY))

    async def _settle(self, job_id: str, index: int, state: str, **fields: Any) -> Status | None:
        """Take a chunk from waiting to `state`; the status of its job, or None if that was not possible."""
        status = await self._status(job_id)
        if status not in (Status.PROCESSING, Status.PAUSED):
            return None
        changed = await self._db.run(
            f"""UPDATE chunk SET state = :state, {_assignments(fields)}
                WHERE job_id = :job_id AND "index" = :index AND state = 'waiting' RETURNING 1""",
            **{field: row_mapping.cell(field, value) for field, value in fields.items()},
            **{"job_id": job_id, "index": index, "state": state},
        )
        return status if changed else None

    async def _set(self, job_id: str, status: Status, fields: dict[str, Any], *, falls: bool = False) -> Job:
        """Write status and fields, count the chunks; the job as it then is. A phase is only had while in work."""
        fields = fields | {"status": status}
        if status is not Status.PROCESSING:
            fields["phase"] = None
        found = await self._db.run(
            f"UPDATE job SET {_assignments(fields, falls=falls)}, {', '.join(_COUNTED)} WHERE id = :id RETURNING {row_mapping.names(row_mapping.JOB)}",
            **{field: row_mapping.cell(field, value) for field, value in fields.items()} | {"id": job_id},
        )
        return row_mapping.job(found[0])

    async def _written(self, job: Job, segments: Sequence[Segment] = ()) -> Written:
        news = [("segment", _encode({"job_id": job.id, "segment": segment})) for segment in segments]
        return Written(job, await self.log.append(job.id, [*news, ("update", _encode(job))]))

    async def _job(self, job_id: str) -> Job:
        found = await self._db.run(f"{JOBS} WHERE id = :id", id=job_id)
        return row_mapping.job(found[0]) if found else missing(job_id)

    async def _status(self, job_id: str) -> Status | None:
        found = await self._db.run("SELECT status FROM kept WHERE id = :id", id=job_id)
        return Status(found[0][0]) if found else None


def _assignments(fields: Collection[str], *, falls: bool = False) -> str:
    """`SET` for these fields. Progress never falls, unless it `falls`."""
    values = {} if falls else {"progress": "max(progress, :progress)"}
    return ", ".join(f'"{field}" = {values.get(field, f":{field}")}' for field in fields)


def _check(fields: Collection[str]) -> None:
    if wrong := sorted(set(fields) - CHANGEABLE):
        raise TypeError(f"these fields of a job cannot be set: {', '.join(wrong)}")
