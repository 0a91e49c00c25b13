"""Write what is found of the speakers of jobs, then publish it. `Ledger` inherits all of this."""

from __future__ import annotations

from anyio import to_thread

from whisper_service.core.domain import Job, Problem, Status
from whisper_service.core.errors import NotFound
from whisper_service.core.speaker_count import Wanted, wanted
from whisper_service.core.timecode import hms, milliseconds
from whisper_service.editing.carried_speakers import carried, chosen
from whisper_service.editing.speakers import Attribution
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.run_ledger import RunLedger
from whisper_service.scheduler.run_speakers import RunSpeakers
from whisper_service.storage.speaker_identity import FoundSpeaker
from whisper_service.storage.speakers import SegmentTurns
from whisper_service.storage.transcript_edits import Edit
from whisper_service.supervision.messages.speakers import Assigned

UNAVAILABLE = "speakers_unavailable"
"""The note of a job that ended without its speakers."""
INCOMPLETE = "speakers_incomplete"
"""The note of a job some of whose text has no speaker of its own."""

CARRIER = "Speakers"
"""The author of edits that take over what people chose in another transcript."""


class SpeakersLedger(RunLedger):
    """The changes that concern the speakers of jobs."""

    async def speakers_of(self, run: Run, *, spooled: bool) -> RunSpeakers | None:
        """Return what is left to do for the speakers of a job. None: they are not told apart, or their channels are.

        A count that a person asked for later holds for the text that a retry adds, too.
        """
        job_id = run.job.id
        if run.job.channels or (asked := wanted(run.job.options)) is None:
            return None
        latest = await self._store.speakers.wanted(job_id)
        chunks, unheard = await self._store.chunks(job_id), await self._store.speakers.unheard(job_id)
        return RunSpeakers.resume(latest or asked, chunks, unheard, spooled=spooled)

    async def store_voices(self, job_id: str, index: int, voices: bytes) -> None:
        """Store what was heard in a chunk. The job may be paused."""
        await self._store.speakers.put_voices(job_id, index, voices)
        self._finish_voices(job_id, index)

    async def give_up_voices(self, run: Run, index: int, problem: Problem) -> None:
        """Record that a chunk cannot be heard. Its text stays."""
        await self._store.speakers.put_voices(run.job.id, index, None)
        await self.note_unheard(run, index, problem)
        self._finish_voices(run.job.id, index)

    async def note_unheard(self, run: Run, index: int, problem: Problem) -> None:
        """Add to the history of a job that a chunk was not heard. One such note is enough."""
        if run.speakers is None or INCOMPLETE in {note.code for note in run.job.history}:
            return
        span = run.speakers.ready.get(index) or run.speakers.unspooled[index]
        place = f"The voices from {hms(milliseconds(span.start))} to {hms(milliseconds(span.end))} could not be heard"
        message = (
            f"{place}: {problem.message} This text has no speaker of its own. Choose its speaker by hand, or transcribe"
            " the recording again."
        )
        params = {"cause": problem.code, "start": span.start, "end": span.end}
        await self.add_note(run, Problem("speakers_incomplete", message, params=params))

    async def note_unavailable(self, run: Run, problem: Problem) -> None:
        """Add to the history of a job that it ends without its speakers, in place of what was said before a retry."""
        *before, note = self._history_with(run, problem)
        history = (*(each for each in before if each.code != UNAVAILABLE), note)
        await self.update(run, history=history)

    async def store_speakers(self, report: Assigned, counted: Wanted) -> None:
        """Store the speakers of a job, and who says what. Raises `NotFound`."""
        found = [FoundSpeaker(speaker.name, speaker.seconds, speaker.centroid) for speaker in report.speakers]
        turns = [SegmentTurns(row.chunk, row.index, row.turns) for row in report.segments]
        written = await self._store.speakers.assign(report.job_id, found, turns, counted)
        job = self._publish(written)
        run = self.runs.get(report.job_id)
        if run is not None and run.speakers is not None:
            run.speakers.named = True
        await self._forget_note(job, UNAVAILABLE)

    async def carry_speakers(self, run: Run) -> None:
        """Give lines the speakers that people chose in the transcript whose recording a job transcribes again.

        An end that is repeated makes one edit. After a retry more chunks are done: their lines get their own.
        """
        job = run.job
        if job.of is None or run.speakers is None or not run.speakers.named:
            return
        try:
            await self._store.job(job.of)
        except NotFound:  # it was deleted
            return
        edits, speakers = self._store.edits, self._store.speakers
        choices = chosen(await edits.lines(job.of), await speakers.speakers(job.of))
        if not choices:
            return
        people = await speakers.speakers(job.id)
        told = Attribution(await speakers.timeline(job.id), people)
        lines = await edits.lines(job.id)
        if operations := await to_thread.run_sync(carried, lines, told, people, choices):  # ten hours take a moment
            await self.make_edit(job, Edit(f"speakers.{job.chunks_done}", operations, author=CARRIER))

    async def _forget_note(self, job: Job, code: str) -> None:
        """Take back a note that is no longer true."""
        history = tuple(note for note in job.history if note.code != code)
        if len(history) < len(job.history) and job.status is Status.PROCESSING:
            self._publish_if(await self._store.update(job.id, expected=job.status, history=history))

    def _finish_voices(self, job_id: str, index: int) -> None:
        run = self.runs.get(job_id)
        if run is not None and run.speakers is not None:
            run.speakers.finish(index)
