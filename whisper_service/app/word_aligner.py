"""Finds out when words are said that people wrote: in the background, after their last edit.

This has the lowest priority: it is done while nothing else is to be done. What waits is in the table `alignment`.
`app.decoded_stretch` gets the sound, the loaded model says when the words are said, and `editing.aligning` says what of
that is taken over.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final

import anyio

from whisper_service.app.decoded_stretch import ActorFailed, DecodedStretch, decoded, range_of
from whisper_service.config.active import ActiveSettings
from whisper_service.core.domain import Chunk, Job, Problem, Value
from whisper_service.core.errors import (
    BadEdit,
    EditConflict,
    MediaRemoved,
    NotFound,
    ObjectStoreFailed,
    ServiceError,
    Unavailable,
)
from whisper_service.core.identifiers import identifier
from whisper_service.editing.aligning import AUTHOR, FoundWord, WordStretch, is_too_long, stretch, take_over
from whisper_service.scheduler import alignment_work
from whisper_service.scheduler.context import Context
from whisper_service.storage.alignments import EditedChunk
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.edit_log import EditKind
from whisper_service.storage.transcript_edits import Edit
from whisper_service.supervision.conversation import conversation
from whisper_service.supervision.messages.speech import Align
from whisper_service.supervision.orphans import OrphanList

logger = logging.getLogger(__name__)

AFTER_S: Final = 5.0
"""Seconds after the last edit of a chunk: until then people often write more."""
LOOK_S: Final = 1.0
"""Seconds between two looks at what waits, at least."""
BUSY_S: Final = 5.0
"""Seconds until the next look while jobs are in work."""
BLOCKED_S: Final = 30.0
"""Seconds until the next look while the loaded model cannot align what waits, and after the store refused."""
REST_S: Final = 60.0
"""Seconds without any alignment after an actor failed. Eight deaths in two minutes would stop the speech actor."""
TRIES: Final = 3
"""Failures of actors after which the words of a chunk stay as they are."""
UNALIGNABLE: Final = "unalignable"
"""The code of a problem of the text itself, which no other try solves."""
OFF: Final = Problem(
    "alignment_off", "The times of edited words are not looked for.", "Turn on speech.align_edits in the settings."
)
CHANNELS: Final = Problem(
    "alignment_channels",
    "The channels of this recording were transcribed one by one.",
    "Words that people write in it keep times in proportion to their length.",
)


class AlignmentState(Value, frozen=True):
    """What waits of a transcript, and why. `problem` None: its turn comes when nothing else is to be done."""

    chunks: int
    problem: Problem | None = None


class Interrupted(Exception):
    """Something else comes first, or the actor was ended. What was begun is begun again later."""


class WordAligner:
    """Aligns what people wrote, one chunk after the other."""

    def __init__(
        self,
        active: ActiveSettings,
        context: Context,
        feed: ChangeFeed,
        orphans: OrphanList,
        *,
        media_entry: str,
        wall: Callable[[], float],
    ) -> None:
        limits = active.config.supervision
        self._active = active
        self._context = context
        self._store = context.store
        self._feed = feed
        self._wall = wall
        self._talk = partial(
            conversation,
            "alignment-media",
            media_entry,
            None,
            logs=context.data.logs,
            limits=limits,
            within_s=limits.decode_stall_s,
            orphans=orphans,
        )
        self._rests_until = 0.0  # on the monotonic clock

    async def state(self, job: Job) -> AlignmentState | None:
        """Return what waits of a job. None: nothing."""
        if not (chunks := await self._store.alignments.waiting(job.id)):
            return None
        if not self._active.config.speech.align_edits:
            return AlignmentState(chunks, OFF)
        if job.media_removed:
            return AlignmentState(chunks, MediaRemoved().problem)
        if job.channels:
            return AlignmentState(chunks, CHANNELS)
        return AlignmentState(chunks, alignment_work.obstacle(self._context, job.language or job.options.language))

    async def run(self) -> None:
        """Align what waits, until the change feed is closed. Then whatever goes on is dropped at once."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_with_feed, tasks.cancel_scope)
            await self._align_all()
            tasks.cancel_scope.cancel()

    async def _end_with_feed(self, scope: anyio.CancelScope) -> None:
        with suppress(Closed):
            await self._feed.wait_closed()
        scope.cancel()

    async def _align_all(self) -> None:
        """Align what waits, until the service ends."""
        while True:
            seen = self._feed.head
            try:
                wait_s = await self._work()
            except Interrupted:
                wait_s = BUSY_S
            except Unavailable:  # the service ends
                return
            except (sqlite3.Error, OSError, ServiceError):
                logger.exception("Edited words could not be aligned.", extra={"action": "alignment_failed"})
                wait_s = BLOCKED_S
            await anyio.sleep(LOOK_S)
            with suppress(Closed), anyio.move_on_after(wait_s):
                await self._feed.wait_for(seen + 1)  # an edit, the end of a job, a changed setting

    async def _work(self) -> float | None:
        """Align what is due, and return the seconds until something may be. None: something has to change before.

        Raises `Interrupted`.
        """
        first = await self._store.alignments.first_edit()
        if first is None or not self._active.config.speech.align_edits:
            return None
        now = self._wall()
        if (left_s := max(first + AFTER_S - now, self._rests_until - time.monotonic())) > 0:
            return left_s
        await self._check()
        for due in await self._store.alignments.jobs(now - AFTER_S):
            if alignment_work.obstacle(self._context, due.language) is None and await self._align_job(due.job_id):
                return 0.0
        return BLOCKED_S

    async def _align_job(self, job_id: str) -> bool:
        """Align the chunks of a job that are due. False: the loaded model suits none of them. Raises `Interrupted`."""
        done = False
        try:
            job = await self._store.job(job_id)
            chunks = await self._store.chunks(job_id)
            waiting = await self._store.alignments.chunks(job_id, self._wall() - AFTER_S)
            async with AsyncExitStack() as stack:
                sound: DecodedStretch | None = None
                while waiting:
                    seen = await self._store.alignments.chunk(job_id, waiting[0])
                    wanted = None if seen is None else await self._stretch(seen, chunks)
                    if seen is None or wanted is None or not self._suits(job, wanted):
                        if seen is not None and wanted is None:
                            await self._store.alignments.finish(seen)
                            done = True
                        waiting.pop(0)
                        continue
                    done = True
                    if is_too_long(wanted):
                        await self._refuse(seen, wanted)
                        continue
                    if seen.edited_at > self._wall() - AFTER_S:
                        waiting.pop(0)
                        continue
                    try:
                        if sound is None or not sound.has(wanted):
                            await stack.aclose()
                            times = range_of(wanted, chunks, waiting)
                            sound = await stack.enter_async_context(
                                decoded(self._talk(), self._context, job, times, self._check)
                            )
                        await self._align(job, seen, wanted, sound)
                    except ActorFailed as failure:
                        await self._fail(seen, wanted, failure.problem)
                        return True
        except NotFound:  # the job was deleted meanwhile
            return True
        except ObjectStoreFailed as failure:
            self._rests_until = time.monotonic() + REST_S
            facts = {"action": "alignment_waits", "job": job_id, "cause": failure.code}
            logger.warning("Edited words wait for their recording: %s", failure.message, extra=facts)
            raise Interrupted from failure
        return done

    def _suits(self, job: Job, wanted: WordStretch) -> bool:
        """Return whether the loaded model can align these words."""
        return alignment_work.obstacle(self._context, _language(job, wanted)) is None

    async def _stretch(self, seen: EditedChunk, chunks: Sequence[Chunk]) -> WordStretch | None:
        """Return what of a chunk is to be aligned next. None: nothing."""
        heard = await self._store.segments(seen.job_id, first=seen.chunk, before=seen.chunk + 1)
        spans = [chunk.span for chunk in chunks if chunk.span.index == seen.chunk]
        return stretch(
            seen.lines,
            [word for segment in heard for word in segment.words],
            seen.tried,
            seen.bounds,
            (spans[0].start, spans[0].end) if spans else None,
        )

    async def _align(self, job: Job, seen: EditedChunk, wanted: WordStretch, sound: DecodedStretch) -> None:
        """Align a stretch, and write what is taken over. Raises `ActorFailed` and `Interrupted`."""
        span, language = sound.span_of(wanted), _language(job, wanted)
        asked = await self._context.ask(
            alignment_work.ask,
            lambda request: Align(request, span, str(sound.path), wanted.texts, language, job.options.task),
        )
        if asked is None:
            raise Interrupted
        while not asked.done.is_set():
            with anyio.move_on_after(LOOK_S):
                await asked.done.wait()
                break
            if await self._context.ask(alignment_work.is_lost, asked) and not asked.done.is_set():
                raise Interrupted
        if asked.words is None:
            problem = asked.problem or Problem("unknown", "The process of the model ended.")
            if problem.code != UNALIGNABLE:
                raise ActorFailed(problem)
            await self._refuse(seen, wanted)
            return
        found = [FoundWord(span.start + word.start, span.start + word.end, word.probability) for word in asked.words]
        await self._write(seen, wanted, found)

    async def _write(self, seen: EditedChunk, wanted: WordStretch, found: Sequence[FoundWord]) -> None:
        operations, refused = take_over(wanted, found)
        edit = Edit(identifier(self._wall()), operations, author=AUTHOR, kind=EditKind.ALIGN) if operations else None
        try:
            number = await self._context.ask(_settle, self._feed, seen, edit, refused, self._wall())
        except (BadEdit, EditConflict) as error:  # the lines cannot have these times
            await self._refuse(seen, wanted)
            number, refused = None, (error.problem.code,)
        facts = {"action": "words_aligned", "job": seen.job_id, "chunk": seen.chunk, "edit": number}
        logger.info("Edited words were compared with the sound.", extra={**facts, "refused": len(refused)})

    async def _refuse(self, seen: EditedChunk, wanted: WordStretch) -> None:
        """Leave the runs of a stretch as they are."""
        keys = tuple(run.key for run in wanted.runs)
        await self._context.ask(_settle, self._feed, seen, None, keys, self._wall())

    async def _fail(self, seen: EditedChunk, wanted: WordStretch, problem: Problem) -> None:
        """Count a failure. After too many the words stay as they are."""
        self._rests_until = time.monotonic() + REST_S
        facts = {"action": "alignment_failed", "job": seen.job_id, "chunk": seen.chunk, "cause": problem.code}
        logger.warning("Edited words could not be aligned: %s", problem.message, extra=facts)
        if await self._store.alignments.count_failure(seen) >= TRIES:
            await self._refuse(seen, wanted)

    async def _check(self) -> None:
        """Raise `Interrupted` if something else comes first."""
        if not await self._context.ask(alignment_work.is_idle) or not self._active.config.speech.align_edits:
            raise Interrupted


def _language(job: Job, wanted: WordStretch) -> str:
    """Return the language of lines: that of the first one that has any, else that of the job."""
    return next((line.language for line in wanted.lines if line.language), job.language or job.options.language) or "en"


async def _settle(
    context: Context, feed: ChangeFeed, seen: EditedChunk, edit: Edit | None, refused: Sequence[str], now: float
) -> int | None:
    """Write and publish what became of a chunk. Return the number of the edit. None: there is none."""
    written = await context.store.alignments.settle(seen, edit, refused, now)
    if written is None:
        return None
    feed.publish(written.changes)
    return written.result.number
