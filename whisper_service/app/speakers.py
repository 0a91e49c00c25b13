"""What people may ask about the speakers of a job: who there are, who speaks when, and another count of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from anyio import to_thread
from msgspec.structs import replace

from whisper_service.app.edits import EditService
from whisper_service.app.wiring import Parts
from whisper_service.core import speaker_count
from whisper_service.core.domain import Options, Problem, Value
from whisper_service.core.errors import Conflict, InvalidRequest, NotFound
from whisper_service.core.identifiers import identifier
from whisper_service.core.job_states import TERMINAL
from whisper_service.core.speaker_count import Wanted
from whisper_service.editing.operations import JoinSpeakers, NameSpeaker, Operation
from whisper_service.editing.speakers import Attribution, Speaker, Spoken, Timeline
from whisper_service.scheduler import speakers_work
from whisper_service.storage.transcript_edits import Edit, EditResult

_IN_WORK: Final = Problem(
    Conflict.code,
    "The speakers of a job in work cannot be counted anew.",
    "Wait until the job has ended, or cancel it.",
)


class SpeakerOverview(Value, frozen=True):
    """The speakers of a job."""

    speakers: tuple[Speaker, ...]  # in order, with those that were merged into others
    timeline: Timeline  # from when on, in seconds, which speaker speaks; null: nobody knows
    wanted: Wanted | None  # how many were asked for; null: speakers are not told apart
    can_recount: bool  # another count is possible, without the recording
    why_not: Problem | None = None


class SpeakerService:
    """The speakers of transcripts."""

    def __init__(self, parts: Parts, edits: EditService) -> None:
        self._context = parts.context
        self._store = parts.store
        self._edits = edits
        self._wall = parts.uploads.wall

    async def overview(self, job_id: str) -> SpeakerOverview:
        """Return the speakers of a job. Raises `NotFound`."""
        job, store = await self._store.job(job_id), self._store.speakers
        timeline, lines = await store.timeline(job_id), await self._store.edits.lines(job_id)
        speakers = await store.speakers(job_id)
        heard = await to_thread.run_sync(with_seconds, speakers, Attribution(timeline, speakers), lines)
        why_not = None
        if job.status not in TERMINAL:
            why_not = _IN_WORK
        elif not await store.has_voices(job_id):
            why_not = speakers_work.NO_VOICES
        wanted = await store.wanted(job_id) or speaker_count.wanted(job.options)
        return SpeakerOverview(heard, timeline, wanted, why_not is None, why_not)

    async def attribution(self, job_id: str) -> tuple[list[Speaker], Attribution]:
        """Return the speakers of a job, and which words are whose."""
        speakers = await self._store.speakers.speakers(job_id)
        return speakers, Attribution(await self._store.speakers.timeline(job_id), speakers)

    async def change(
        self, job_id: str, speaker_id: str, *, name: str | None, merge: bool, into: str | None
    ) -> EditResult:
        """Give a speaker another name, unless it is None, and with `merge` join it with `into`, as one edit.

        Raises `NotFound` and `BadEdit`.
        """
        await self._store.job(job_id)
        if speaker_id not in {speaker.id for speaker in await self._store.speakers.speakers(job_id)}:
            raise NotFound("This transcript has no such speaker.", id=job_id)
        operations: list[Operation] = [NameSpeaker(speaker_id, name)] if name is not None else []
        if merge:
            operations.append(JoinSpeakers(speaker_id, into))
        return await self._edits.apply(job_id, Edit(identifier(self._wall()), tuple(operations)))

    async def recount(self, job_id: str, options: Options) -> SpeakerOverview:
        """Tell the speakers of a job that has ended apart again, from what is stored of their voices.

        `options` say how many there are. Raises `NotFound`, `InvalidRequest`, and `Conflict` if that is not possible.
        """
        wanted = speaker_count.wanted(speaker_count.decided(options, speaker_count.AUTO))
        if wanted is None:
            raise InvalidRequest("This is no number of speakers.", hint="Send auto, or 1 to 20.", field="speakers")
        await speakers_work.recount(self._context, job_id, wanted)
        return await self.overview(job_id)


def with_seconds(speakers: Iterable[Speaker], attribution: Attribution, lines: Iterable[Spoken]) -> tuple[Speaker, ...]:
    """Return speakers with the seconds that they speak in the text as it is now. Merged ones have none of their own."""
    seconds = attribution.seconds(lines)
    return tuple(replace(speaker, seconds=round(seconds.get(speaker.id, 0.0), 3)) for speaker in speakers)
