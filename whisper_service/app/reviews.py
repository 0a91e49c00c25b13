"""What people did with the text of a job, as exports show it: notes, checked lines, changes."""

from __future__ import annotations

from whisper_service.app.edits import Version
from whisper_service.app.jobs import JobService
from whisper_service.app.wiring import Parts
from whisper_service.core.domain import Transcript
from whisper_service.export.layout import Layout
from whisper_service.export.notes import Remark
from whisper_service.export.remarks import remarks_of
from whisper_service.export.review import Review


class ReviewService:
    """Reads what people did with transcripts."""

    def __init__(self, parts: Parts, jobs: JobService) -> None:
        self._edits = parts.store.edits
        self._jobs = jobs

    async def review(self, job_id: str, transcript: Transcript, layout: Layout) -> Review | None:
        """Return what the layout shows of the work on a transcript, or None if it shows nothing of it."""
        if not layout.reviewed:
            return None
        lines = await self._edits.lines(job_id)
        marks = await self._edits.marks(job_id) if layout.notes else []
        machine = await self._jobs.transcript(job_id, Version.MACHINE) if layout.compare else None
        checked = frozenset((line.chunk, line.index) for line in lines if line.checked)
        return Review(remarks_of(transcript, lines, marks), checked, machine)

    async def remarks(self, job_id: str) -> tuple[Transcript, tuple[Remark, ...]]:
        """Return a transcript and its marks in order of time. Raises `NotFound`."""
        transcript = await self._jobs.transcript(job_id)
        return transcript, remarks_of(transcript, await self._edits.lines(job_id), await self._edits.marks(job_id))
