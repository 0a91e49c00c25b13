"""Decide which pending jobs are taken into work, and which recordings are read next. Pure.

Short, middle-sized and long recordings have places of their own, so that none waits for the others' work. Until a
recording is read, its length is what its file states, or its bytes are a guess. Short recordings are read first, and
one media actor is kept for them, unless long and middle-sized ones wait side by side. Few long recordings are claimed
ahead of the model: their spools fill the disk. Calls, and what users put at the front, have some places more.

Other machines read the recordings that are not short. Short ones are read here if an actor is idle: a caller may wait
for them, and the way to another machine takes time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from whisper_service.scheduler.lanes import SHORT_S, at_front, turn
from whisper_service.scheduler.speakers_plan import has_all_text
from whisper_service.scheduler.views import ClaimJob, Decoding, FollowSession, JobView, StartDecode, View, WaitingJob

LONG_S: Final = 3_600.0
"""A longer recording is a long one. Its spool takes 230 MB, and reading an hour takes 10 to 20 s."""
LONG_BYTES: Final = 48 * 1024**2
"""A larger file of unknown length counts as long: so much compressed speech is about an hour."""
SMALL_BYTES: Final = 2 * 1024**2
"""A file of unknown length counts as short up to this size: a minute as 16 kHz WAV, or as MP3 of 256 kbit/s."""
MAX_LONG: Final = 4
"""Long recordings in work."""
MAX_SHORT: Final = 64
"""Short recordings in work, and as many middle-sized ones. Their spools are small, and together they fill batches."""
MAX_TOGETHER: Final = MAX_SHORT + MAX_SHORT // 8
"""Short and middle-sized recordings in work. The difference is what each kind leaves to the other at least."""
MORE_AT_FRONT: Final = 2
"""Places of each kind that only calls have, and what users put at the front: a call does not wait for a place until one
of many recordings is complete."""
HEADS: Final = MAX_TOGETHER + MORE_AT_FRONT
"""Pending jobs of each length that the planner sees. No plan claims more."""
FAR_BYTES_PER_S: Final = 1024**2
"""Bytes per second of sound above which a recording is not sent to another machine, such as those of films: sending a
megabyte costs this machine 2 to 4 ms of CPU (docs/adr/0040), and decoding a second of sound 2 to 6."""
FAR_BYTES: Final = 512 * 1024**2
"""The same for a recording of unknown length: so much compressed speech is ten hours."""
MAX_WITHOUT_MODEL: Final = 64
"""Claimed jobs that do not count as in work: they wait for a model or for their recording, or have all their
text and wait for their speakers."""


class Length(IntEnum):
    """How long a recording is, as far as is known."""

    SHORT = 0
    MIDDLE = 1
    LONG = 2


def length_of(job: JobView | WaitingJob) -> Length:
    """Return the length by the seconds, and where they are unknown by the bytes."""
    amount, middle, long = (
        (job.bytes, SMALL_BYTES + 1, LONG_BYTES) if job.duration_s is None else (job.duration_s, SHORT_S, LONG_S)
    )
    return Length.LONG if amount > long else Length.MIDDLE if amount >= middle else Length.SHORT


def with_last(queue: tuple[WaitingJob, ...], job: WaitingJob) -> tuple[WaitingJob, ...]:
    """Return the first pending jobs of each length after one more came last."""
    length = length_of(job)
    return queue if sum(length_of(other) is length for other in queue) >= HEADS else (*queue, job)


def claim(view: View) -> Iterator[ClaimJob]:
    """Yield the claims of pending jobs for which there are places."""
    if not view.queue:
        return
    at_work: Counter[Length] = Counter()
    uncounted = MAX_WITHOUT_MODEL
    for work in view.jobs:
        if work.live:  # `live.max_sessions` limits them
            continue
        if (work.model_missing or work.away or (work.unassigned and has_all_text(work))) and uncounted:
            uncounted -= 1
        else:
            at_work[length_of(work)] += 1
    for job in view.queue:
        length = length_of(job)
        if _has_place(length, at_work, MORE_AT_FRONT if job.rank < 0 else 0):
            at_work[length] += 1
            yield ClaimJob(job.job_id)


def _has_place(length: Length, at_work: Counter[Length], more: int) -> bool:
    if length is Length.LONG:
        return at_work[length] < MAX_LONG + more
    together = at_work[Length.SHORT] + at_work[Length.MIDDLE]
    return at_work[length] < MAX_SHORT + more and together < MAX_TOGETHER + more


def decode(view: View) -> Iterator[StartDecode]:
    """Yield the recordings that the idle media actors read now."""
    idle = deque(actor.name for actor in view.media if actor.idle and not actor.far)
    far_idle = deque(actor.name for actor in view.media if actor.idle and actor.far)
    waiting = [
        job
        for job in view.jobs
        if job.decoding is Decoding.WAITING and not job.model_missing and not job.live and not job.away
    ]
    if not (idle or far_idle) or not waiting:
        return
    far = {actor.name for actor in view.media if actor.far}
    running = Counter(
        length_of(job) for job in view.jobs if job.decoding is Decoding.RUNNING and job.media_actor not in far
    )
    for job in sorted(waiting, key=_decode_turn):
        if not (idle or far_idle):
            return
        length = length_of(job)
        if far_idle and _may_go_far(job) and (length is not Length.SHORT or not idle):
            yield StartDecode(job.job_id, far_idle.popleft())
            continue
        if not idle:
            continue
        if length is not Length.SHORT:
            other = Length.MIDDLE if length is Length.LONG else Length.LONG
            if running[length] >= max(1, len(view.media) - len(far) - 1 - running[other]):
                continue
        running[length] += 1
        yield StartDecode(job.job_id, idle.popleft())


def follow(view: View) -> Iterator[FollowSession]:
    """Yield the live sessions that nobody follows yet."""
    for job in view.jobs:
        if job.live and job.decoding is Decoding.WAITING and not job.away:
            yield FollowSession(job.job_id)


def _may_go_far(job: JobView) -> bool:
    """Return whether another machine may decode a recording: to send the recording costs less than to decode it."""
    most = FAR_BYTES if job.duration_s is None else FAR_BYTES_PER_S * job.duration_s
    return not job.at_home and job.bytes <= most


def _decode_turn(job: JobView) -> tuple[bool, bool, tuple[int, float, int, int]]:
    """Return the sort key of decodes: jobs with priority, then short recordings, then the others."""
    return (not at_front(job), length_of(job) is not Length.SHORT, turn(job))
