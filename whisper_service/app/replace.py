"""Replace words in many transcripts at once: first look, then replace what was looked at, then perhaps take it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from anyio import to_thread
from msgspec.structs import replace

from whisper_service.app.edits import EditService
from whisper_service.app.wiring import Parts
from whisper_service.core.chinese import variants
from whisper_service.core.domain import Job, Problem, Value
from whisper_service.core.errors import BadEdit, EditConflict, InvalidRequest, NotFound, ServiceError
from whisper_service.editing.matching import Phrase, excerpt, occurrences, with_replacement
from whisper_service.editing.operations import ChangeText
from whisper_service.storage.edit_log import EditKind
from whisper_service.storage.transcript_edits import Edit, LineText

MAX_JOBS: Final = 500
"""Transcripts that one replacement looks at."""
EXCERPTS: Final = 3
"""Excerpts that are shown of a job."""
PAGE: Final = 100


class Replacement(Value, frozen=True):
    """What is replaced, and by what."""

    phrase: Phrase
    replacement: str
    scripts: bool = False  # traditional characters count as simplified ones


class Expected(Value, frozen=True):
    """What a client was told of a job: the finds in it, and the number of its newest edit."""

    count: int
    edits: int


class ReplaceExcerpt(Value, frozen=True):
    """A line with finds. `parts` is its text in pieces; every second piece is a find. `start` in seconds."""

    id: str
    start: float
    parts: list[str]


class JobFinds(Value, frozen=True):
    """The finds in a job."""

    id: str
    name: str
    count: int
    lines: int
    edits: int  # the number of its newest edit
    excerpts: list[ReplaceExcerpt]


class ReplacedJob(Value, frozen=True):
    """A job in which words were replaced, by the edit with this number. An undo has a number of its own."""

    id: str
    name: str
    number: int


class LeftOut(Value, frozen=True):
    """A job that stays as it is, and why."""

    id: str
    name: str
    problem: Problem


class GroupResult(Value, frozen=True):
    """What became of a replacement in many jobs, or of its undo."""

    group: str
    count: int  # finds
    jobs: list[ReplacedJob]
    left_out: list[LeftOut]


class ReplaceService:
    """Replacements in many transcripts. Those of one act share a group."""

    def __init__(self, parts: Parts, edits: EditService) -> None:
        self._store = parts.store
        self._edits = edits

    async def look(
        self, wanted: Replacement, *, ids: Sequence[str] = (), query: str = ""
    ) -> tuple[list[JobFinds], bool]:
        """Return the jobs with finds, among those with these IDs or that a search finds, and whether these are all."""
        jobs, complete = await self._jobs(ids, query)
        found = []
        for job in jobs:
            texts = await self._store.edits.line_texts(job.id)
            if (finds := await to_thread.run_sync(partial(_finds, job, texts, wanted))).count:
                found.append(finds)
        return found, complete

    async def replace(self, wanted: Replacement, expected: Mapping[str, Expected], edit: Edit) -> GroupResult:
        """Replace words in these jobs, with one edit in each. The group is the batch of `edit`.

        A job that is not any more what the client was told is left out. Sent twice, it is made once.
        """
        group = edit.batch
        known = dict(await self._store.edits.log.of_group(group))
        result = GroupResult(group, 0, [], [])
        count = 0
        for job_id, told in expected.items():
            try:
                job = await self._store.job(job_id)
            except NotFound as error:
                gone = replace(error.problem, hint="It was deleted meanwhile.")
                result.left_out.append(LeftOut(job_id, "", gone))
                continue
            try:
                number = known.get(job_id) or await self._replace(job, told, wanted, edit)
            except (EditConflict, BadEdit) as error:
                result.left_out.append(LeftOut(job_id, job.name, _short(error)))
            else:
                result.jobs.append(ReplacedJob(job_id, job.name, number))
                count += told.count
        return GroupResult(group, count, result.jobs, result.left_out)

    async def undo(self, group: str, edit: Edit) -> GroupResult:
        """Take the edits of a group back. A job whose lines were changed since is left out.

        Raises `NotFound` if there is no such group.
        """
        members = await self._store.edits.log.of_group(group)
        if not members:
            raise NotFound("There is no such group of edits.", group=group)
        result = GroupResult(group, 0, [], [])
        for job_id, number in members:
            job = await self._store.job(job_id)
            try:
                undone = await self._edits.undo(job_id, number, edit)
            except EditConflict as error:
                result.left_out.append(LeftOut(job_id, job.name, _short(error)))
            else:
                result.jobs.append(ReplacedJob(job_id, job.name, undone.number))
        return result

    async def _replace(self, job: Job, told: Expected, wanted: Replacement, edit: Edit) -> int:
        """Replace words in a job and return the number of the edit. Raises `EditConflict` and `BadEdit`."""
        texts = await self._store.edits.line_texts(job.id)
        count, operations = await to_thread.run_sync(partial(_operations, texts, wanted))
        log = self._store.edits.log
        if count != told.count or job.edits < told.edits or await log.is_edited_since(job.id, told.edits):
            raise EditConflict("The transcript was changed meanwhile.", hint="Look at it again, then repeat.")
        made = Edit(edit.batch, operations, edit.client, edit.author, kind=EditKind.REPLACE, group=edit.batch)
        return (await self._edits.apply(job.id, made)).number

    async def _jobs(self, ids: Sequence[str], query: str) -> tuple[list[Job], bool]:
        """Return the jobs that are meant, and whether these are all."""
        if ids:
            return [await self._store.job(job_id) for job_id in dict.fromkeys(ids)], True
        if not query.strip():
            raise InvalidRequest("It is not said in which transcripts.", hint="Send `ids` or `q`.", field="ids")
        jobs: list[Job] = []
        while len(jobs) < MAX_JOBS:
            before = jobs[-1].id if jobs else None
            page = (await self._store.browser.jobs(q=query, before=before, limit=PAGE)).jobs
            jobs += page
            if len(page) < PAGE:
                return jobs, True
        return jobs, False


def _places(text: str, wanted: Replacement) -> list[tuple[int, int]]:
    return occurrences(text, wanted.phrase, variants() if wanted.scripts else None)


def _finds(job: Job, texts: Sequence[LineText], wanted: Replacement) -> JobFinds:
    found = [(line, places) for line in texts if (places := _places(line.text, wanted))]
    return JobFinds(
        id=job.id,
        name=job.name,
        count=sum(len(places) for _, places in found),
        lines=len(found),
        edits=job.edits,
        excerpts=[ReplaceExcerpt(line.id, line.start, excerpt(line.text, places)) for line, places in found[:EXCERPTS]],
    )


def _operations(texts: Sequence[LineText], wanted: Replacement) -> tuple[int, tuple[ChangeText, ...]]:
    """Return how many finds there are, and the operations that replace them."""
    found = [(line, places) for line in texts if (places := _places(line.text, wanted))]
    return sum(len(places) for _, places in found), tuple(
        ChangeText(id=line.id, v=line.version, text=with_replacement(line.text, places, wanted.replacement))
        for line, places in found
    )


def _short(error: ServiceError) -> Problem:
    """Return a problem without the lines that it is about."""
    params = {name: value for name, value in error.params.items() if name in ("author", "reason")}
    return Problem(error.problem.code, error.problem.message, error.problem.hint, params)
