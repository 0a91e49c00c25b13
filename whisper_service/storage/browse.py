"""Pages of jobs, counts of jobs, and searches in names and transcripts. Read only.

The browser has its own connection to the database and reads one answer in one transaction. So an answer shows one
moment, and a slow search delays only other searches.

A search reads two full-text indexes, `trigram` and `gram` (see schema/0007_search.sql). Jobs are numbered in the order
in which they came. The rowid of an indexed text holds three numbers; the lower 32 bits are 0 for the name of the job:

    rowid = number of the job << 32 | (chunk + 1) << 12 | index of the segment

An example: job number 7 has "budget" in its name and in segment 3 of chunk 0. "budget" is found at the rowids

    7 << 32                     = 30064771072     the name
    7 << 32 | (0 + 1) << 12 | 3 = 30064775171     the segment

Both are 7 when shifted right by 32 bits. So all finds of one job lie side by side, and the finds in falling order of
rowid give the newest jobs first. `SELECT DISTINCT rowid >> 32 ... ORDER BY rowid DESC LIMIT 128` is one block of
matching jobs. The block after a page that ended with job 7 begins with `rowid < 7 << 32`. No job is sorted, and no
older job is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiosqlite
from anyio import CancelScope, Lock

from whisper_service.core.domain import Job, Status, Value
from whisper_service.storage import database, row_mapping, search_terms

MAX_COUNTED: Final = 500
"""Finds of a search that are counted. There may be many more, and reading them all takes long."""
EXCERPTS: Final = 3
"""Excerpts that are shown of a job."""
FIRST_BLOCK: Final = 128
STEP: Final = 384
LAST_BLOCK: Final = 4_096
"""Matching jobs in a block: in the first one, how many more in each next one, and at most.

The first two blocks hold somewhat more than `MAX_COUNTED`.
"""
MAX_SCANNED: Final = 512
"""Jobs with the wanted status up to which all of them are searched one by one."""
MAX_SPREAD: Final = 64
"""Numbers per job of a page above which the jobs count as scattered."""
MAX_LOOKUPS: Final = 32
"""Jobs up to which each one is looked up for a further term."""

_JOB_SHIFT: Final = 32
_CHUNK_SHIFT: Final = 12
_IN_JOB: Final = (1 << _JOB_SHIFT) - 1
_ABOVE_ALL: Final = 1 << 30  # greater than the number of any job
_JOB: Final = ", ".join(f'job."{field}"' for field in row_mapping.JOB)
# CROSS JOIN keeps the tables in this order. The query planner would begin with the index on the status.
_JOBS_BY_NUMBER: Final = (
    "document CROSS JOIN kept AS job ON job.id = job_id WHERE number IN (SELECT value FROM json_each(:numbers))"
)


class Excerpt(Value, frozen=True):
    """A segment with finds. `parts` is its text in pieces; every second piece is a find."""

    chunk: int
    index: int
    start: float
    end: float
    parts: list[str]


class Found(Value, frozen=True):
    """Where the terms stand in a job.

    `name` is its name in pieces; every second piece is a find. Among the excerpts, lines with more of the terms come
    first.
    """

    name: list[str]
    excerpts: list[Excerpt]
    total: int  # lines that have any of the terms


class JobPage(NamedTuple):
    """Jobs, the newest first, and the number of jobs of each status.

    `found` is empty without a search. `complete`: every find was counted, not only the newest `MAX_COUNTED`.
    """

    jobs: list[Job]
    counts: dict[Status, int]
    found: dict[str, Found]
    complete: bool = True


class JobSnapshot(NamedTuple):
    """The newest jobs and the counts at the moment when `seq` was the newest change."""

    seq: int
    listing: JobPage


class JobBrowser:
    """The reader of pages and searches. Reads wait for one another."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = Lock()

    async def snapshot(self, limit: int) -> JobSnapshot:
        """Return the state that a user interface starts from."""
        async with self._transaction():
            newest = await self._run("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0)")
            return JobSnapshot(newest[0][0], JobPage(await self._newest((), None, limit), await self._counts(), {}))

    async def jobs(
        self,
        *,
        status: Collection[Status] = (),
        q: str = "",
        of: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """Return jobs of these statuses that are older than the job `before` and have every term of `q`.

        `speaker:NAME` in `q` stands for jobs in which somebody speaks who has that in the name. `of`: only that job and
        those that transcribe its recording again, or that it transcribed again.
        """
        text, speakers = search_terms.speakers(q)
        wanted = search_terms.terms(text)
        async with self._transaction():
            if not wanted and not speakers and of is None:
                return JobPage(await self._newest(status, before, limit), await self._counts(), {})
            among = await self._with_speakers(speakers) if speakers else None
            if of is not None:
                versions = await self._versions(of)
                among = versions if among is None else [number for number in among if number in set(versions)]
            return await self._search(wanted, status, before, limit, among)

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def _newest(self, status: Collection[Status], before: str | None, limit: int) -> list[Job]:
        """Return the newest jobs. Each status is read by its index, then the results are merged."""
        older = "" if before is None else "AND id < :before"
        one = f"SELECT * FROM (SELECT * FROM kept WHERE {{}} {older} ORDER BY id DESC LIMIT :limit)"
        conditions = [f"status = '{Status(each).value}'" for each in dict.fromkeys(status)] or ["true"]
        parts = " UNION ALL ".join(map(one.format, conditions))
        sql = f"SELECT {row_mapping.names(row_mapping.JOB)} FROM ({parts}) ORDER BY id DESC LIMIT :limit"
        return [row_mapping.job(row) for row in await self._run(sql, before=before, limit=limit)]

    async def _counts(self) -> dict[Status, int]:
        found = await self._run("SELECT status, jobs FROM tally")
        return dict.fromkeys(Status, 0) | {Status(status): number for status, number in found}

    async def _search(
        self,
        wanted: Sequence[str],
        status: Collection[Status],
        before: str | None,
        limit: int,
        among: Sequence[int] | None = None,
    ) -> JobPage:
        """Return the page that begins after `before`, with the counts of all finds.

        `among` are the numbers of the jobs that count, the newest first; None: all.
        """
        allowed = ", ".join(f"'{Status(each).value}'" for each in (status or Status))
        source = self._matches(wanted, _ABOVE_ALL) if among is None else self._among(among, wanted)
        matches = _CachedBlocks(source)
        if among is not None:
            below = await self._number_below(before)
            blocks = self._among([number for number in among if number < below], wanted)
        elif before is None and not status:
            blocks = matches.blocks()  # the first page and the counts read the same blocks
        else:
            blocks = self._matches_of(wanted, await self._number_below(before), allowed if status else None)
        page: list[sqlite3.Row] = []
        async for numbers in blocks:
            page += await self._run(
                f"SELECT {_JOB}, number FROM {_JOBS_BY_NUMBER} AND job.status IN ({allowed})"
                " ORDER BY number DESC LIMIT :rest",
                numbers=_json(numbers),
                rest=limit - len(page),
            )
            if len(page) == limit:
                break
        counts, complete = await self._count(matches)
        jobs = [row_mapping.job(row) for row in page]
        lines = await self._lines([row["number"] for row in page], wanted) if wanted else {}
        names = {job.id: search_terms.marked(job.name, wanted) if wanted else [job.name] for job in jobs}
        found = {job_id: Found(name, *lines.get(job_id, ([], 0))) for job_id, name in names.items()}
        return JobPage(jobs, counts, found, complete)

    async def _count(self, matches: _CachedBlocks) -> tuple[dict[Status, int], bool]:
        """Count the newest `MAX_COUNTED` matching jobs by status. Return also whether these are all."""
        sql = f"SELECT job.status, count(*) FROM {_JOBS_BY_NUMBER} GROUP BY job.status"
        counts, left = dict.fromkeys(Status, 0), MAX_COUNTED
        async for numbers in matches.blocks():
            for name, number in await self._run(sql, numbers=_json(numbers[:left])):
                counts[Status(name)] += number
            left = MAX_COUNTED - sum(counts.values())
            if not left:
                break
        return counts, left > 0

    async def _matches_of(self, wanted: Sequence[str], below: int, allowed: str | None) -> AsyncIterator[list[int]]:
        """Yield what `_matches` yields, for a search that is limited to the statuses `allowed`.

        When few jobs have such a status, only these are searched. So a search for failed jobs stays fast although its
        term is common.
        """
        if allowed is not None:
            found = await self._run(
                f"SELECT number FROM kept CROSS JOIN document ON job_id = kept.id WHERE kept.status IN ({allowed})"
                f" AND number < :below LIMIT {MAX_SCANNED + 1}",
                below=below,
            )
            if len(found) <= MAX_SCANNED:
                numbers = sorted((row[0] for row in found), reverse=True)
                for term in wanted:
                    numbers = await self._with_term(term, numbers)
                yield numbers
                return
        async for numbers in self._matches(wanted, below):
            yield numbers

    async def _with_speakers(self, names: Sequence[str]) -> list[int]:
        """Return the numbers of the jobs that have a speaker for each of these names, the newest first."""
        one = (
            "SELECT number FROM speaker JOIN document USING (job_id)"
            " WHERE merged_into IS NULL AND instr(casefold(name), :name{})"
        )
        sql = " INTERSECT ".join(one.format(at) for at in range(len(names)))
        found = await self._run(
            f"{sql} ORDER BY number DESC", **{f"name{at}": name.casefold() for at, name in enumerate(names)}
        )
        return [row[0] for row in found]

    async def _versions(self, job_id: str) -> list[int]:
        """Return the numbers of all jobs of the recording of a job, the newest first. Jobs between them may be gone."""
        found = await self._run(
            "WITH RECURSIVE"
            " first(id) AS (VALUES (:id) UNION SELECT of FROM job JOIN first USING (id) WHERE of IS NOT NULL),"
            " version(id) AS (SELECT id FROM first UNION SELECT job.id FROM job JOIN version ON job.of = version.id)"
            " SELECT number FROM version JOIN document ON job_id = id ORDER BY number DESC",
            id=job_id,
        )
        return [row[0] for row in found]

    async def _among(self, numbers: Sequence[int], wanted: Sequence[str]) -> AsyncIterator[list[int]]:
        """Yield those of the jobs that have all terms, the newest first."""
        for first in range(0, len(numbers), LAST_BLOCK):
            block = list(numbers[first : first + LAST_BLOCK])
            for term in wanted:
                block = await self._with_term(term, block)
            yield block

    async def _matches(self, wanted: Sequence[str], below: int) -> AsyncIterator[list[int]]:
        """Yield the numbers below `below` of the jobs that have all terms, the newest first.

        They come in blocks that grow, because one page needs few of them. The finds of the first term are read in
        order, at millions a second, so a long job or a common term costs little.
        """
        table, size = _table(wanted[0]), FIRST_BLOCK
        sql = (
            f"SELECT DISTINCT rowid >> {_JOB_SHIFT} FROM {table} WHERE {table} MATCH :q AND rowid < :end"
            " ORDER BY rowid DESC LIMIT :size"
        )
        while True:
            found = await self._run(sql, q=search_terms.match(wanted[0]), end=below << _JOB_SHIFT, size=size)
            numbers = [row[0] for row in found]
            if not numbers:
                return
            below = numbers[-1]
            for term in wanted[1:]:
                numbers = await self._with_term(term, numbers)
            yield numbers
            if len(found) < size:
                return
            size = min(size + STEP, LAST_BLOCK)

    async def _with_term(self, term: str, numbers: Sequence[int]) -> list[int]:
        """Return those of the jobs (the newest first) that have this term too.

        A few jobs are looked up one by one. For many, all finds between the newest and the oldest are read.
        """
        if not numbers:
            return []
        table, q = _table(term), search_terms.match(term)

        async def find(first: int, last: int, what: str) -> list[sqlite3.Row]:
            sql = f"SELECT {what} FROM {table} WHERE {table} MATCH :q AND rowid >= :first AND rowid < :end"
            return await self._run(sql, q=q, first=first << _JOB_SHIFT, end=(last + 1) << _JOB_SHIFT)

        if len(numbers) <= MAX_LOOKUPS:
            return [number for number in numbers if await find(number, number, "1")]
        matching = {row[0] for row in await find(numbers[-1], numbers[0], f"DISTINCT rowid >> {_JOB_SHIFT}")}
        return [number for number in numbers if number in matching]

    async def _number_below(self, before: str | None) -> int:
        """Return the number that all jobs older than `before` are below. The job `before` may be deleted."""
        if before is None:
            return _ABOVE_ALL
        found = await self._run("SELECT number FROM document WHERE job_id = :before", before=before)
        if not found:
            sql = "SELECT number + 1 FROM document WHERE job_id < :before ORDER BY job_id DESC LIMIT 1"
            found = await self._run(sql, before=before)
        return int(found[0][0]) if found else 0

    async def _lines(self, numbers: Sequence[int], wanted: Sequence[str]) -> dict[str, tuple[list[Excerpt], int]]:
        """Return the best excerpts of each job (the newest first) and how many lines have a term, by job id."""
        places: list[int] = []
        totals: dict[int, int] = {}
        for place, total in await self._best_places(numbers, wanted):
            places.append(place)
            totals[place >> _JOB_SHIFT] = total
        rows = await self._run(
            f"""WITH place AS (
                    SELECT key, number, job_id, ((value & {_IN_JOB}) >> {_CHUNK_SHIFT}) - 1 AS chunk,
                        value & {(1 << _CHUNK_SHIFT) - 1} AS "index"
                    FROM json_each(:places) JOIN document ON number = value >> {_JOB_SHIFT}
                )
                SELECT number, job_id, chunk, "index", coalesce(line.start, segment.start),
                    coalesce(line."end", segment."end"), coalesce(line.text, segment.text)
                FROM place
                LEFT JOIN line USING (job_id, chunk, "index") LEFT JOIN segment USING (job_id, chunk, "index")
                ORDER BY key""",
            places=_json(places),
        )
        found: dict[str, tuple[list[Excerpt], int]] = {}
        for number, job_id, chunk, index, start, end, text in rows:
            excerpt = Excerpt(chunk, index, start, end, search_terms.excerpt(text, wanted))
            found.setdefault(job_id, ([], totals[number]))[0].append(excerpt)
        return found

    async def _best_places(self, numbers: Sequence[int], wanted: Sequence[str]) -> list[tuple[int, int]]:
        """Return the rowids of the best lines of each job (the newest first), each with the job's number of lines.

        Jobs with close numbers are read in one pass. Scattered ones are read one by one, because a pass would read the
        finds of all jobs between them.
        """
        if not numbers:
            return []
        terms = {f"q{at}": search_terms.match(term) for at, term in enumerate(wanted)}
        finds = " UNION ALL ".join(
            f"SELECT rowid AS place FROM {table} WHERE {table} MATCH :q{at}"
            f" AND rowid > :first AND rowid < :end AND rowid & {_IN_JOB}"
            for at, table in enumerate(map(_table, wanted))
        )
        # A row of the indexes is found once by each of its terms. One term alone needs no grouping.
        lines = f"SELECT place, count(*) AS terms FROM ({finds}) GROUP BY place"
        sql = (
            "SELECT place, total FROM (SELECT place,"
            f" row_number() OVER (PARTITION BY place >> {_JOB_SHIFT} ORDER BY terms DESC, place) AS nth,"
            f" count(*) OVER (PARTITION BY place >> {_JOB_SHIFT}) AS total"
            f" FROM ({lines if len(wanted) > 1 else finds.replace('AS place', 'AS place, 1 AS terms', 1)}))"
            f" WHERE nth <= {EXCERPTS} AND place >> {_JOB_SHIFT} IN (SELECT value FROM json_each(:numbers))"
            f" ORDER BY place >> {_JOB_SHIFT}, nth"
        )
        scattered = numbers[0] - numbers[-1] > MAX_SPREAD * len(numbers)
        passes = [(number, number) for number in numbers] if scattered else [(numbers[-1], numbers[0])]
        found: list[tuple[int, int]] = []
        for first, last in passes:
            ends = {"first": first << _JOB_SHIFT, "end": (last + 1) << _JOB_SHIFT}
            found += map(tuple, await self._run(sql, numbers=_json(numbers), **terms, **ends))
        return found

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Read everything inside the block as of one moment. Other reads wait."""
        async with self._lock:
            with CancelScope(shield=True), database.sqlite_as_service_errors(self._path):
                await self._connection.execute("BEGIN")
                try:
                    yield
                finally:
                    await self._connection.rollback()

    async def _run(self, sql: str, **parameters: Any) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(sql, parameters))


class _CachedBlocks:
    """Blocks that are read from the database once and can be iterated again from the first one."""

    def __init__(self, source: AsyncIterator[list[int]]) -> None:
        self._source = source
        self._known: list[list[int]] = []

    async def blocks(self) -> AsyncIterator[list[int]]:
        """Yield all blocks in order."""
        for block in self._known:
            yield block
        async for block in self._source:
            self._known.append(block)
            yield block


def _table(term: str) -> str:
    return "gram" if search_terms.is_short(term) else "trigram"


def _json(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"
