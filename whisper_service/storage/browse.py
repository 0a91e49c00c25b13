"""Lists of jobs as people look through them: pages, counts, and searches in names and text. Read only.

Has a connection to the database of its own and reads all of one answer in one transaction, so that it is of one moment, and
what takes long delays nobody but others who browse.
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

COUNTED: Final = 500
"""Finds of a search that are counted; there may be many more, and to visit them all takes long."""
EXCERPTS: Final = 3
"""Places of a job that are shown."""
_NAME_BITS: Final = 32  # a place in the indexes, see schema/: number << 32 | chunk + 1 << 12 | index
_INDEX_BITS: Final = 12
_IN_TEXT: Final = (1 << _NAME_BITS) - 1
_NEWEST: Final = 1 << 30  # above every number
_JOB: Final = ", ".join(f'job."{field}"' for field in row_mapping.JOB)

# CROSS: in this order, whatever the planner thinks of the status
_THESE: Final = (
    "document CROSS JOIN kept AS job ON job.id = job_id WHERE number IN (SELECT value FROM json_each(:numbers))"
)
FIRST_BLOCK: Final = 128
STEP: Final = 384
LAST_BLOCK: Final = 4_096
"""Jobs that a search takes up at once: first, how many more each time, and at most. Two blocks are somewhat more than are counted."""
RARE: Final = 512
"""Jobs of a status that are looked through one and all."""
SPARSE: Final = 64
"""Numbers for each job of a page beyond which those jobs do not lie together."""
FEW: Final = 32
"""Jobs that are looked up one by one for a further term."""


class Excerpt(Value, frozen=True):
    """A segment in which something was found: its text in parts, every second of them what was found."""

    chunk: int
    index: int
    start: float
    end: float
    parts: list[str]


class Found(Value, frozen=True):
    """Where a job was found: its name in parts, every second of them what was found, and the first places in its text."""

    name: list[str]
    excerpts: list[Excerpt]


class JobPage(NamedTuple):
    """Jobs, the newest first, and how many there are of every status; of a search, `found` says where.

    `complete`: every find was counted, not just the newest `COUNTED`.
    """

    jobs: list[Job]
    counts: dict[Status, int]
    found: dict[str, Found]
    complete: bool = True


class JobSnapshot(NamedTuple):
    """The newest jobs and how many there are of every status, as they were when `seq` was the newest change."""

    seq: int
    listing: JobPage


class JobBrowser:
    """See the module. Those who browse take turns."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = path
        self._connection = connection
        self._turn = Lock()

    async def snapshot(self, limit: int) -> JobSnapshot:
        """What a user interface starts from."""
        async with self._moment():
            newest = await self._run("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0)")
            return JobSnapshot(newest[0][0], JobPage(await self._newest((), None, limit), await self._counts(), {}))

    async def jobs(
        self, *, status: Collection[Status] = (), q: str = "", before: str | None = None, limit: int = 50
    ) -> JobPage:
        """Jobs of any of these statuses, older than the job `before`, with all that `q` asks for in their name and text."""
        wanted = search_terms.terms(q)
        async with self._moment():
            if not wanted:
                return JobPage(await self._newest(status, before, limit), await self._counts(), {})
            return await self._search(wanted, status, before, limit)

    # -- inside a transaction ----------------------------------------------------------------------------------------

    async def _newest(self, status: Collection[Status], before: str | None, limit: int) -> list[Job]:
        """From each status the newest, by its index; then the newest of those."""
        older = "" if before is None else "AND id < :before"
        one = f"SELECT * FROM (SELECT * FROM kept WHERE {{}} {older} ORDER BY id DESC LIMIT :limit)"
        parts = [one.format(f"status = '{Status(each).value}'") for each in dict.fromkeys(status)] or [
            one.format("true")
        ]
        found = await self._run(
            f"SELECT {row_mapping.names(row_mapping.JOB)} FROM ({' UNION ALL '.join(parts)}) ORDER BY id DESC LIMIT :limit",
            before=before,
            limit=limit,
        )
        return [row_mapping.job(row) for row in found]

    async def _counts(self) -> dict[Status, int]:
        found = await self._run("SELECT status, jobs FROM tally")
        return dict.fromkeys(Status, 0) | {Status(status): number for status, number in found}

    async def _search(
        self, wanted: Sequence[str], status: Collection[Status], before: str | None, limit: int
    ) -> JobPage:
        """The page from `before` on, then the counts from the newest on."""
        allowed = ", ".join(f"'{Status(each).value}'" for each in (status or Status))
        page: list[sqlite3.Row] = []
        newest = _Walk(self._numbers(wanted, _NEWEST))  # the first page and the counts begin alike
        whole = before is None and not status
        async for numbers in (
            newest.blocks()
            if whole
            else self._of_status(wanted, await self._number(before), allowed if status else None)
        ):
            page += await self._run(
                f"SELECT {_JOB}, number FROM {_THESE} AND job.status IN ({allowed}) ORDER BY number DESC LIMIT :rest",
                numbers=_json(numbers),
                rest=limit - len(page),
            )
            if len(page) == limit:
                break
        counts, left = dict.fromkeys(Status, 0), COUNTED
        async for numbers in newest.blocks():
            sql = f"SELECT job.status, count(*) FROM {_THESE} GROUP BY job.status"
            for name, number in await self._run(sql, numbers=_json(numbers[:left])):
                counts[Status(name)] += number
            left = COUNTED - sum(counts.values())
            if not left:
                break
        jobs = [row_mapping.job(row) for row in page]
        excerpts = await self._excerpts([row["number"] for row in page], wanted)
        found = {job.id: Found(search_terms.marked(job.name, wanted), excerpts.get(job.id, [])) for job in jobs}
        return JobPage(jobs, counts, found, complete=left > 0)

    async def _of_status(self, wanted: Sequence[str], below: int, allowed: str | None) -> AsyncIterator[list[int]]:
        """The same as `_numbers`, but where few jobs have a status that is allowed, those are looked through instead: that a
        word is common must not make a search for failed jobs slow."""
        if allowed is not None:
            found = await self._run(
                f"SELECT number FROM kept CROSS JOIN document ON job_id = kept.id WHERE kept.status IN ({allowed})"
                f" AND number < :below LIMIT {RARE + 1}",
                below=below,
            )
            if len(found) <= RARE:
                numbers = sorted((row[0] for row in found), reverse=True)
                for term in wanted:
                    numbers = await self._with(term, numbers)
                yield numbers
                return
        async for numbers in self._numbers(wanted, below):
            yield numbers

    async def _numbers(self, wanted: Sequence[str], below: int) -> AsyncIterator[list[int]]:
        """The numbers below this one of jobs with all terms, the newest first, in blocks that grow: a page needs few of them.

        The finds of the first term are walked in order, at millions a second, so a long job or a common term costs little.
        """
        table, size = _table(wanted[0]), FIRST_BLOCK
        sql = f"SELECT DISTINCT rowid >> {_NAME_BITS} FROM {table} WHERE {table} MATCH :q AND rowid < :end ORDER BY rowid DESC LIMIT :size"
        while True:
            found = await self._run(sql, q=search_terms.match(wanted[0]), end=below << _NAME_BITS, size=size)
            numbers = [row[0] for row in found]
            if not numbers:
                return
            below = numbers[-1]
            for term in wanted[1:]:
                numbers = await self._with(term, numbers)
            yield numbers
            if len(found) < size:
                return
            size = min(size + STEP, LAST_BLOCK)

    async def _with(self, term: str, numbers: Sequence[int]) -> list[int]:
        """Those of these jobs (the newest first) that have this term too: a few are looked up, many are walked through."""
        if not numbers:
            return []
        table, q = _table(term), search_terms.match(term)
        among = f"FROM {table} WHERE {table} MATCH :q AND rowid >= :first AND rowid < :end"

        async def have(first: int, last: int, what: str) -> list[sqlite3.Row]:
            return await self._run(
                f"SELECT {what} {among}", q=q, first=first << _NAME_BITS, end=(last + 1) << _NAME_BITS
            )

        if len(numbers) <= FEW:
            return [number for number in numbers if await have(number, number, "1")]
        there = {row[0] for row in await have(numbers[-1], numbers[0], f"DISTINCT rowid >> {_NAME_BITS}")}
        return [number for number in numbers if number in there]

    async def _number(self, before: str | None) -> int:
        """The number below which those of older jobs are; the job itself may be gone."""
        if before is None:
            return _NEWEST
        found = await self._run("SELECT number FROM document WHERE job_id = :before", before=before)
        if not found:
            sql = "SELECT number + 1 FROM document WHERE job_id < :before ORDER BY job_id DESC LIMIT 1"
            found = await self._run(sql, before=before)
        return int(found[0][0]) if found else 0

    async def _excerpts(self, numbers: Sequence[int], wanted: Sequence[str]) -> dict[str, list[Excerpt]]:
        """The first places in the text of each of these jobs (the newest first), of the most telling terms that are there."""
        places: dict[int, list[int]] = {number: [] for number in numbers}
        for term in wanted:
            if not (lacking := [number for number, known in places.items() if len(known) < EXCERPTS]):
                break
            for place in await self._places(term, lacking):
                known = places[place >> _NAME_BITS]
                if place not in known and len(known) < EXCERPTS:
                    known.append(place)
        told = await self._run(
            f"""SELECT segment.job_id, chunk, "index", start, "end", text FROM json_each(:places)
                JOIN document ON number = value >> {_NAME_BITS}
                JOIN segment ON segment.job_id = document.job_id AND chunk = ((value & {_IN_TEXT}) >> {_INDEX_BITS}) - 1
                    AND "index" = value & {(1 << _INDEX_BITS) - 1}
                ORDER BY value""",
            places=_json([place for known in places.values() for place in known]),
        )
        excerpts: dict[str, list[Excerpt]] = {}
        for job_id, chunk, index, start, end, text in told:
            excerpts.setdefault(job_id, []).append(Excerpt(chunk, index, start, end, search_terms.excerpt(text, wanted)))
        return excerpts

    async def _places(self, term: str, numbers: Sequence[int]) -> list[int]:
        """The first places in the text of each of these jobs (the newest first): of jobs that lie together in one walk, of others one
        by one, because a walk passes what was found in all the jobs between them."""
        table, q = _table(term), search_terms.match(term)
        among = f"FROM {table} WHERE {table} MATCH :q AND rowid > :first AND rowid < :end"
        if numbers[0] - numbers[-1] > SPARSE * len(numbers):
            found = [
                await self._run(
                    f"SELECT rowid {among} ORDER BY rowid LIMIT {EXCERPTS}",
                    q=q,
                    first=number << _NAME_BITS,
                    end=(number + 1) << _NAME_BITS,
                )
                for number in numbers
            ]
            return [row[0] for rows_of_job in found for row in rows_of_job]
        walked = await self._run(
            f"SELECT place FROM (SELECT rowid AS place, row_number() OVER (PARTITION BY rowid >> {_NAME_BITS} ORDER BY rowid) AS nth"
            f" {among} AND rowid & {_IN_TEXT})"
            f" WHERE nth <= {EXCERPTS} AND place >> {_NAME_BITS} IN (SELECT value FROM json_each(:numbers))",
            q=q,
            first=numbers[-1] << _NAME_BITS,
            end=(numbers[0] + 1) << _NAME_BITS,
            numbers=_json(numbers),
        )
        return [row[0] for row in walked]

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[None]:
        """A turn, and a transaction: all that is read inside is of one moment."""
        async with self._turn:
            with CancelScope(shield=True), database.explained(self._path):
                await self._connection.execute("BEGIN")
                try:
                    yield
                finally:
                    await self._connection.rollback()

    async def _run(self, sql: str, **parameters: Any) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(sql, parameters))


class _Walk:
    """Blocks that are found once, and can be gone through again from the first."""

    def __init__(self, source: AsyncIterator[list[int]]) -> None:
        self._source = source
        self._known: list[list[int]] = []

    async def blocks(self) -> AsyncIterator[list[int]]:
        """All of them, in order."""
        for block in self._known:
            yield block
        async for block in self._source:
            self._known.append(block)
            yield block


def _table(term: str) -> str:
    return "gram" if search_terms.is_short(term) else "trigram"


def _json(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"
