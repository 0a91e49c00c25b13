"""The database of the service. `Store` writes jobs, chunks and segments, and gives access to all other tables.

Every write is one transaction: the check of the present state, the rows, and the changes that tell of them. The caller
publishes `Written.changes` afterwards, in their order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf, nextafter
from pathlib import Path
from typing import Any, Final

import aiosqlite
import msgspec
from msgspec.structs import replace

from whisper_service.core.domain import CALL_RANK, Change, Gap, Job, Problem, Segment, Span, Status
from whisper_service.core.errors import Conflict, IllegalTransition, MediaRemoved
from whisper_service.core.job_states import Cause, advance
from whisper_service.core.speaker_count import wanted
from whisper_service.storage import database, integrity, row_mapping
from whisper_service.storage.alignments import Alignments
from whisper_service.storage.browse import JobBrowser
from whisper_service.storage.change_log import ChangeLog, Written
from whisper_service.storage.chunk_writes import ChunkWrite, DoneChunk, FoundChunk, JobWrites
from whisper_service.storage.connections import Connections
from whisper_service.storage.queries import JOBS, TO_FETCH, JobQueries, raise_not_found
from whisper_service.storage.service_state import ServiceState
from whisper_service.storage.session_keys import SessionKey, SessionKeys
from whisper_service.storage.speakers import Speakers
from whisper_service.storage.stored_recordings import StoredRecordings
from whisper_service.storage.transcript_edits import TranscriptEdits
from whisper_service.storage.vocabulary import Vocabulary
from whisper_service.storage.webhook_queue import WebhookQueue

CHANGEABLE: Final = frozenset(row_mapping.JOB) - {
    *("id", "status", "options", "created_at", "bytes", "sha256"),  # fixed, or changed by a `Cause`
    *("chunks_done", "chunks_total", "gaps", "no_speech"),  # follow from the chunks and their segments
    "edits",  # counted by `TranscriptEdits`
    *("speakers", "of"),  # counted by `Speakers`, fixed
}
"""Fields of a job that callers may set with a write."""

FETCHED: Final = frozenset({"bytes", "sha256"})
"""Fields that may change until the recording is complete on this machine."""

RANK_STEP: Final = 1e-5
"""Seconds between the ranks of jobs that come at the same time. A float can tell them apart at today's times."""

_COUNTED: Final = (
    "chunks_total = (SELECT count(*) FROM chunk WHERE job_id = job.id)",
    "chunks_done = (SELECT count(*) FROM chunk WHERE job_id = job.id AND state = 'done')",
    # A job that asks for the language has no segments: its chunks have languages.
    "no_speech = CASE WHEN :status <> 'completed' THEN 0 ELSE gaps = '[]'"
    " AND NOT EXISTS (SELECT 1 FROM segment WHERE job_id = job.id)"
    " AND NOT (json_extract(options, '$.task') IS 'detect'"
    " AND EXISTS (SELECT 1 FROM chunk WHERE job_id = job.id AND language IS NOT NULL)) END",
)
"""Assignments of an UPDATE that sets the status to `:status`. They see the row as it was."""
_JOB: Final = row_mapping.names(row_mapping.JOB)
_encode: Final = msgspec.json.Encoder().encode


class Store(JobQueries):
    """The database. Any task may read; writes wait for one another.

    Jobs are read with the inherited methods and written with those of this class. The other tables have a class each:
    `browser` (slow reads, with a connection of their own), `edits`, `alignments`, `speakers`, `change_log`,
    `webhook_queue` and `service_state`.
    """

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection, browser: aiosqlite.Connection
    ) -> None:
        super().__init__(Connections(path, writer, reader))
        self.path = path
        self.browser = JobBrowser(path, browser)
        self.change_log = ChangeLog(self._db)
        self.speakers = Speakers(self._db, self.change_log)
        self.edits = TranscriptEdits(self._db, self.change_log, self.speakers)
        self.alignments = Alignments(self._db, self.edits)
        self.vocabulary = Vocabulary(self._db)
        self.session_keys = SessionKeys(self._db)
        self.recordings = StoredRecordings(self._db)
        self.webhook_queue = WebhookQueue(self._db)
        self.service_state = ServiceState(self._db, self.change_log)

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Store]:
        """Open the file; create or migrate it when needed. Raises `StoreBroken` for a file that cannot be used."""
        async with database.connect(path) as writer:
            await database.prepare(writer, path)
            async with database.connect(path) as reader, database.connect(path) as browser:
                for connection in (reader, browser):
                    await connection.execute("PRAGMA query_only = ON")
                yield cls(path, writer, reader, browser)
        integrity.mark_closed(path)

    # -- writes ------------------------------------------------------------------------------------------------------

    async def add(self, job: Job, hints: Mapping[str, str] | None = None, key: SessionKey | None = None) -> Written:
        """Add a new pending job. It goes to the end of the queue unless its rank is negative, which means urgent.

        `hints`: what the model is told of the vocabulary, by language. `key`: that of the request for a live session.
        """
        if job.status is not Status.PENDING:
            raise ValueError(f"a new job is pending, not {job.status.value}")
        async with self._db.transaction():
            if job.rank >= 0:
                last = (await self._db.run("SELECT coalesce(max(rank), 0) FROM job WHERE status = 'pending'"))[0][0]
                job = replace(job, rank=max(job.created_at, last + RANK_STEP))  # the clock may have been set back
            sql = f"{row_mapping.insert('job', row_mapping.JOB)} RETURNING {_JOB}"
            found = await self._db.run(sql, **row_mapping.cells(row_mapping.JOB, job))
            if hints:
                told = row_mapping.json(dict(hints))
                await self._db.run("UPDATE job SET hints = :hints WHERE id = :id", hints=told, id=job.id)
            if key is not None:
                await self.session_keys.add(key, job.id)
            if job.of is not None:  # the recording is shared, wherever it is
                shared = "UPDATE job SET stored_as = (SELECT stored_as FROM job WHERE id = :of) WHERE id = :id"
                await self._db.run(shared, id=job.id, of=job.of)
            return await self._written(row_mapping.job(found[0]))

    async def move(self, job_id: str, cause: Cause, **fields: Any) -> Written:
        """Change the status of a job as `job_states` allows, and set fields. Raises `NotFound` or `IllegalTransition`.

        A job finishes only when no chunk is waiting, and not when it has chunks and all of them failed. A retry makes
        failed chunks wait again and clears the error. It is the only move that may lower the progress and change the
        `options`. A completed job can be retried only if it has gaps, lacks its
        speakers, or grows again.
        """
        _check(fields.keys() - {"options"} if cause is Cause.RETRY else fields)
        async with self._db.transaction():
            return await self._move(job_id, cause, fields)

    async def move_in_queue(self, job_id: str, cause: Cause) -> list[Written]:
        """Exchange a pending job with the one before it (`Cause.SOONER`) or behind it (`LATER`).

        Return both jobs, this one last. At the end of the queue, and among calls, nothing changes. Raises as `move`.
        """
        before = cause is Cause.SOONER
        order = "DESC" if before else "ASC"
        async with self._db.transaction():
            job = await self._job(job_id)
            advance(job.status, cause)
            found = await self._db.run(
                "SELECT id, rank FROM kept WHERE status = 'pending' AND rank <> :call AND :rank <> :call"
                f" AND (rank, id) {'<' if before else '>'} (:rank, :id) ORDER BY rank {order}, id {order} LIMIT 1",
                id=job_id, rank=job.rank, call=CALL_RANK,
            )  # fmt: skip
            if not found:
                return [Written(job, ())]
            other, rank = found[0]
            if rank == job.rank:  # two jobs came at the same time
                rank = nextafter(rank, -inf if before else inf)
            exchanged = [
                await self._set(other, job.status, {"rank": job.rank}),
                await self._set(job_id, job.status, {"rank": rank}),
            ]
            return [await self._written(each) for each in exchanged]

    async def update(self, job_id: str, *, expected: Status, **fields: Any) -> Written | None:
        """Set fields of a job that has the status `expected`. None: it has another one."""
        _check(fields)
        async with self._db.transaction():
            if await self._status(job_id) is not expected:
                return None
            return await self._written(await self._set(job_id, expected, fields))

    async def update_link(self, job_id: str, **fields: Any) -> Written | None:
        """Set fields, also those of `FETCHED`, of a pending job whose recording is being fetched. None: it is not."""
        _check(fields.keys() - FETCHED)
        sql = f"SELECT 1 FROM kept WHERE id = :id AND status = 'pending' AND {TO_FETCH}"
        async with self._db.transaction():
            if not await self._db.run(sql, id=job_id):
                return None
            return await self._written(await self._set(job_id, Status.PENDING, fields))

    async def update_live(self, job_id: str, **fields: Any) -> Written | None:
        """Set fields, also those of `FETCHED`, of a live session in any status. None: it is none, or in the trash."""
        _check(fields.keys() - FETCHED)
        async with self._db.transaction():
            found = await self._db.run("SELECT status FROM kept WHERE id = :id AND live IS NOT NULL", id=job_id)
            return await self._written(await self._set(job_id, Status(found[0][0]), fields)) if found else None

    async def set_session_state(self, job_id: str, state: bytes) -> None:
        """Keep where a live session can be followed again. It goes with its job."""
        sql = (
            "INSERT INTO session_state (job_id, state) SELECT id, :state FROM job WHERE id = :id"
            " ON CONFLICT (job_id) DO UPDATE SET state = excluded.state"
        )
        async with self._db.transaction():
            await self._db.run(sql, id=job_id, state=state)

    async def session_state(self, job_id: str) -> bytes:
        """Return what was set last. Empty: nothing was."""
        found = await self._db.read("SELECT state FROM session_state WHERE job_id = :id", id=job_id)
        return bytes(found[0]["state"]) if found else b""

    async def write_chunks(self, writes: Sequence[ChunkWrite]) -> list[Written]:
        """Store chunks that were found and chunks that are done, of any jobs, in one transaction.

        A chunk that is there already is not added again, and one that does not wait is not done again: of such a write
        nothing is stored, and it keeps no other from being stored. Return what was written of each job, in the order of
        `writes`: its segments, and then the job once.
        """
        for write in writes:
            _check(write.fields)
        return await self._db.at_once(partial(self._write_chunks, writes))

    async def add_chunk(self, job_id: str, span: Span, **fields: Any) -> Written | None:
        """Add a chunk to a job in work. None: the chunk was there, or the job is not in work."""
        return next(iter(await self.write_chunks([FoundChunk(job_id, span, fields)])), None)

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
        """Store a finished chunk: its segments and its state in one transaction. None: the chunk was not waiting.

        So a repeated call does nothing. A paused job takes the chunk too, because the batch began before the pause.
        """
        write = DoneChunk(job_id, index, segments, language, probability, fields)
        return next(iter(await self.write_chunks([write])), None)

    async def fail_chunk(self, job_id: str, index: int, problem: Problem, gap: Gap, **fields: Any) -> Written | None:
        """Give a chunk up; the job gets a gap in its place. None: the chunk was not waiting."""
        _check(fields)
        async with self._db.transaction():
            status = await self._status(job_id)
            if status is None or not await self._end_chunk(job_id, status, index, "failed", error=problem):
                return None
            gaps = (*(await self._job(job_id)).gaps, gap)
            return await self._written(await self._set(job_id, status, fields | {"gaps": gaps}))

    async def count_attempts(self, chunks: Sequence[tuple[str, int]], *, killed: bool = False) -> None:
        """Count an attempt of each (job, index) during which the actor died. `killed`: count it as a kill instead."""
        column = "kills" if killed else "attempts"
        async with self._db.transaction():
            await self._db.run_many(
                f'UPDATE chunk SET {column} = {column} + 1 WHERE job_id = ? AND "index" = ?', chunks
            )

    async def set_waiting_problem(self, problem: Problem | None, message: str) -> list[Written]:
        """Set the problem of all pending jobs that have another one or none. None: remove their problems."""
        sql = "SELECT id FROM kept WHERE status = 'pending' AND problem IS NOT :problem ORDER BY rank, id"
        text = row_mapping.cell("problem", problem)
        if not await self._db.read(sql, problem=text):
            return []
        fields = {"problem": problem, "message": message}
        async with self._db.transaction():
            found = await self._db.run(sql, problem=text)
            return [await self._written(await self._set(job_id, Status.PENDING, fields)) for (job_id,) in found]

    async def recover(self, **fields: Any) -> list[Written]:
        """Put the jobs that were in work when the service ended back into the queue. Their chunks stay as they are."""
        _check(fields)
        async with self._db.transaction():
            found = await self._db.run("SELECT id FROM job WHERE status = 'processing' ORDER BY rank, id")
            return [await self._move(job_id, Cause.RECOVER, fields) for (job_id,) in found]

    async def rename(self, job_id: str, name: str) -> Written:
        """Change the name of a job. Raises `NotFound`."""
        async with self._db.transaction():
            status = (await self._job(job_id)).status
            return await self._written(await self._set(job_id, status, {"name": name}))

    async def trash(self, job_id: str, now: float, **fields: Any) -> Change:
        """Put a job into the trash. A job in work becomes pending, should it be restored. Raises `NotFound`."""
        _check(fields)
        async with self._db.transaction():
            if (await self._job(job_id)).status is Status.PROCESSING:
                await self._set(job_id, advance(Status.PROCESSING, Cause.RECOVER), fields)
            await self._db.run("UPDATE job SET deleted_at = :now WHERE id = :id", id=job_id, now=now)
            return await self._log_deleted(job_id)

    async def restore(self, job_id: str) -> Written:
        """Take a job out of the trash. Raises `NotFound`, or `Conflict` for a job that is not in the trash."""
        sql = "UPDATE job SET deleted_at = NULL WHERE id = :id AND deleted_at IS NOT NULL RETURNING 1"
        async with self._db.transaction():
            if not await self._db.run(sql, id=job_id):
                await self._job(job_id)
                raise Conflict("The job is not deleted.", hint="There is nothing to restore.", id=job_id)
            return await self._written(await self._job(job_id))

    async def trashed(self) -> list[tuple[str, float]]:
        """Return the jobs in the trash and when they were put there, the oldest first."""
        found = await self._db.read("SELECT id, deleted_at FROM job WHERE deleted_at IS NOT NULL ORDER BY deleted_at")
        return [(row["id"], row["deleted_at"]) for row in found]

    async def delete(self, job_id: str) -> Change:
        """Delete a job, also one in the trash, with all its rows and changes. One change says so. Raises `NotFound`."""
        async with self._db.transaction():
            if not await self._db.run("DELETE FROM job WHERE id = :id RETURNING 1", id=job_id):
                raise_not_found(job_id)
            await self.change_log.delete(job_id)
            return await self._log_deleted(job_id)

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def _move(self, job_id: str, cause: Cause, fields: dict[str, Any]) -> Written:
        job = await self._job(job_id)
        status = advance(job.status, cause)
        params = {"status": job.status.value, "cause": cause.value}
        if cause is Cause.RETRY:
            again = job.gaps or job.growing or await self._lacks_speakers(job)
            if job.status is Status.COMPLETED and not again:
                hint = "To transcribe the recording again, perhaps with other options, send it again."
                raise IllegalTransition("The job is complete. There is nothing to retry.", hint=hint, **params)
            if job.media_removed:
                raise MediaRemoved(**params)
            await self._db.run(
                "UPDATE chunk SET state = 'waiting', attempts = 0, kills = 0, error = NULL"
                " WHERE job_id = :id AND state = 'failed'",
                id=job_id,
            )
            fields = {"gaps": (), "error": None, "finished_at": None} | fields
        elif cause is Cause.FINISH:
            waiting = await self._db.run("SELECT 1 FROM chunk WHERE job_id = :id AND state = 'waiting'", id=job_id)
            if waiting:
                raise IllegalTransition(f"The job cannot finish: {len(waiting)} of its chunks still wait.", **params)
            states = await self._db.run("SELECT DISTINCT state FROM chunk WHERE job_id = :id", id=job_id)
            if [state for (state,) in states] == ["failed"]:
                raise IllegalTransition("The job cannot finish: all its chunks failed.", **params)
        return await self._written(await self._set(job_id, status, fields, falls=cause is Cause.RETRY))

    async def _lacks_speakers(self, job: Job) -> bool:
        """Return whether a job has text whose speakers were asked for and not told apart."""
        sql = """SELECT 1 FROM segment WHERE job_id = :id AND (
            NOT EXISTS (SELECT 1 FROM voice WHERE voice.job_id = segment.job_id AND voice.chunk = segment.chunk)
            OR NOT EXISTS (SELECT 1 FROM speaker_timeline WHERE speaker_timeline.job_id = segment.job_id)) LIMIT 1"""
        return not job.channels and wanted(job.options) is not None and bool(await self._db.run(sql, id=job.id))

    async def _write_chunks(self, writes: Sequence[ChunkWrite]) -> list[Written]:
        jobs: dict[str, JobWrites] = {}
        statuses = {job_id: await self._status(job_id) for job_id in dict.fromkeys(write.job_id for write in writes)}
        for write in writes:
            if await self._write_chunk(write, statuses[write.job_id]):
                jobs.setdefault(write.job_id, JobWrites()).add(write)
        return [await self._write_job(job_id, statuses[job_id], changed) for job_id, changed in jobs.items()]

    async def _write_chunk(self, write: ChunkWrite, status: Status | None) -> bool:
        """Write a chunk without its job. False: nothing was written."""
        job_id = write.job_id
        if isinstance(write, FoundChunk):
            sql = f"{row_mapping.insert('chunk', row_mapping.SPAN, 'job_id')} ON CONFLICT DO NOTHING RETURNING 1"
            cells = row_mapping.cells(row_mapping.SPAN, write.span) | {"job_id": job_id}
            return status is Status.PROCESSING and bool(await self._db.run(sql, **cells))
        language = {"language": write.language, "language_probability": write.probability}
        if not await self._end_chunk(job_id, status, write.index, "done", **language):
            return False
        await self._db.run_many(
            row_mapping.insert("segment", row_mapping.SEGMENT, "job_id"),
            [row_mapping.cells(row_mapping.SEGMENT, segment) | {"job_id": job_id} for segment in write.segments],
        )
        return True

    async def _write_job(self, job_id: str, status: Status | None, changed: JobWrites) -> Written:
        """Count the chunks of a job, set its fields, and log it with its new segments."""
        assert status is not None  # else none of its chunks was written
        channels = {segment.speaker for segment in changed.segments if segment.speaker is not None}
        news = await self.speakers.add_channels(job_id, channels) if channels else []
        return await self._written(await self._set(job_id, status, changed.fields), changed.segments, news)

    async def _end_chunk(self, job_id: str, status: Status | None, index: int, state: str, **fields: Any) -> bool:
        """Change a waiting chunk to `state` and set its fields. `status`: that of its job. False: nothing changed."""
        if status not in (Status.PROCESSING, Status.PAUSED):
            return False
        changed = await self._db.run(
            f"""UPDATE chunk SET state = :state, {_assignments(fields)}
                WHERE job_id = :job_id AND "index" = :index AND state = 'waiting' RETURNING 1""",
            **{field: row_mapping.cell(field, value) for field, value in fields.items()},
            **{"job_id": job_id, "index": index, "state": state},
        )
        return bool(changed)

    async def _set(self, job_id: str, status: Status, fields: dict[str, Any], *, falls: bool = False) -> Job:
        """Set the status and the fields of a job, count its chunks, and return it. Only a job in work has a phase.

        The column of a field has its name, so `fields` needs no list of columns. `_check` has refused other names: no
        text of a client gets into the SQL.
        """
        fields = fields | {"status": status}
        if status is not Status.PROCESSING:
            fields["phase"] = None
        assignments = ", ".join([_assignments(fields, falls=falls), *_COUNTED])
        found = await self._db.run(
            f"UPDATE job SET {assignments} WHERE id = :id RETURNING {_JOB}",
            **{field: row_mapping.cell(field, value) for field, value in fields.items()} | {"id": job_id},
        )
        return row_mapping.job(found[0])

    async def _written(
        self, job: Job, segments: Sequence[Segment] = (), others: Sequence[tuple[str, bytes]] = ()
    ) -> Written:
        """Log other changes, the segments, and the job as it is now."""
        news = [("segment", _encode({"job_id": job.id, "segment": segment})) for segment in segments]
        return Written(job, await self.change_log.append(job.id, [*others, *news, ("update", _encode(job))]))

    async def _log_deleted(self, job_id: str) -> Change:
        return (await self.change_log.append(job_id, [("deleted", _encode({"id": job_id}))]))[0]

    async def _job(self, job_id: str) -> Job:
        found = await self._db.run(f"{JOBS} WHERE id = :id", id=job_id)
        return row_mapping.job(found[0]) if found else raise_not_found(job_id)

    async def _status(self, job_id: str) -> Status | None:
        found = await self._db.run("SELECT status FROM kept WHERE id = :id", id=job_id)
        return Status(found[0][0]) if found else None


def _assignments(fields: Collection[str], *, falls: bool = False) -> str:
    """Return the assignments of an UPDATE, like `"name" = :name, "message" = :message`.

    The progress of a job becomes the greater of the old and the new value, unless it `falls`.
    """
    values = {} if falls else {"progress": "max(progress, :progress)"}
    return ", ".join(f'"{field}" = {values.get(field, f":{field}")}' for field in fields)


def _check(fields: Collection[str]) -> None:
    if wrong := sorted(set(fields) - CHANGEABLE):
        raise TypeError(f"these fields of a job cannot be set: {', '.join(wrong)}")
