"""What people may do with the text of a job: edit it, take edits back, and look at the log of edits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import ParamSpec

from whisper_service.app.wiring import Parts
from whisper_service.app.word_aligner import AlignmentState
from whisper_service.core.domain import Job
from whisper_service.editing.lines import Line, line_of
from whisper_service.editing.marks import Mark
from whisper_service.storage.edit_log import EditRecord
from whisper_service.storage.transcript_edits import Edit, EditResult, WrittenEdit

P = ParamSpec("P")


class Version(StrEnum):
    """Which text of a job is meant."""

    CURRENT = "current"  # as people edited it
    MACHINE = "machine"  # as the model wrote it


class EditService:
    """The edits of transcripts. Each is written and published on the scheduler's loop, as every change is."""

    def __init__(self, parts: Parts) -> None:
        self._mailbox = parts.context.mailbox
        self._store = parts.store
        self._feed = parts.feed
        self._wall = parts.uploads.wall
        self._aligner = parts.aligner

    async def lines(self, job_id: str, version: Version = Version.CURRENT) -> list[Line]:
        """Return the lines of a job, in order."""
        if version is Version.MACHINE:
            return list(map(line_of, await self._store.segments(job_id)))
        return await self._store.edits.lines(job_id)

    async def alignment(self, job: Job) -> AlignmentState | None:
        """Return which words that people wrote still have no exact times, and why. None: nothing waits."""
        return await self._aligner.state(job)

    async def deleted(self, job_id: str) -> list[str]:
        """Return the IDs of the lines that people deleted."""
        return await self._store.edits.deleted(job_id)

    async def marks(self, job_id: str) -> list[Mark]:
        """Return the bookmarks, highlights and notes of a job, the oldest first."""
        return await self._store.edits.marks(job_id)

    async def history(self, job_id: str, *, before: int | None = None, limit: int) -> list[EditRecord]:
        """Return the edits before the one with a number, the newest first."""
        return await self._store.edits.log.history(job_id, before=before, limit=limit)

    async def apply(self, job_id: str, edit: Edit) -> EditResult:
        """Make an edit. Sent twice, it is made once. Raises `NotFound`, `EditConflict` and `BadEdit`."""
        return await self._mailbox.ask(self._published, self._store.edits.apply, job_id, edit, self._wall())

    async def undo(self, job_id: str, number: int, edit: Edit) -> EditResult:
        """Take an edit back. Raises `NotFound`, `EditConflict` if its lines were changed since, and `BadEdit`."""
        return await self._mailbox.ask(self._published, self._store.edits.undo, job_id, number, edit, self._wall())

    async def restore(self, job_id: str, number: int, edit: Edit, newest: int) -> EditResult:
        """Set the text back to what it was after the edit `number`. 0: as the model wrote it.

        `newest` is the newest edit that the client knows. Raises `NotFound`, `BadEdit`, and `EditConflict` when there
        is a newer one.
        """
        return await self._mailbox.ask(
            self._published, self._store.edits.restore, job_id, number, edit, self._wall(), newest
        )

    async def _published(
        self, write: Callable[P, Awaitable[WrittenEdit]], *args: P.args, **kwargs: P.kwargs
    ) -> EditResult:
        written = await write(*args, **kwargs)
        self._feed.publish(written.changes)
        return written.result
