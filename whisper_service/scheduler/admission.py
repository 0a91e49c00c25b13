"""Decide which pending jobs are taken into work, and which recordings are read next. Pure.

A short recording does not wait until long ones are read. How long it is is not known then, so its bytes count. Small
files are decoded first. One media actor is kept for them, unless long and middle-sized recordings wait side by side.
Some places for jobs in work are kept for them, too. Few long recordings are claimed ahead of the model: their spools
fill the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from whisper_service.scheduler.lanes import at_front, turn
from whisper_service.scheduler.views import ClaimJob, Decoding, JobView, StartDecode, View

LONG_BYTES: Final = 48 * 1024**2
"""A larger file is a long recording. So much compressed speech is about an hour, and decodes in about a second."""
SMALL_BYTES: Final = 2 * 1024**2
"""A file up to this size may be a short recording: a minute as 16 kHz WAV, or as MP3 of 256 kbit/s. Decoded soon."""
MAX_LONG: Final = 4
"""Long recordings in work."""
MAX_SHORT: Final = 64
"""Recordings in work that are not long. Their spools are small, and together they fill batches. Small files may be an
eighth more."""
MAX_WITHOUT_MODEL: Final = 64
"""Claimed jobs that wait for the download of a model and do not count as in work."""


def claim(view: View) -> Iterator[ClaimJob]:
    long, short, uncounted = 0, 0, MAX_WITHOUT_MODEL
    for work in view.jobs:
        if work.model_missing and uncounted:
            uncounted -= 1
        elif work.bytes > LONG_BYTES:
            long += 1
        else:
            short += 1
    for job in view.queue:
        if job.bytes > LONG_BYTES:
            if long < MAX_LONG:
                long += 1
                yield ClaimJob(job.job_id)
        elif short < MAX_SHORT + (MAX_SHORT // 8 if job.bytes <= SMALL_BYTES else 0):
            short += 1
            yield ClaimJob(job.job_id)


def decode(view: View) -> Iterator[StartDecode]:
    idle = deque(actor.name for actor in view.media if actor.idle)
    running = [job.bytes for job in view.jobs if job.decoding is Decoding.RUNNING]
    long = sum(size > LONG_BYTES for size in running)
    middle = sum(SMALL_BYTES < size <= LONG_BYTES for size in running)
    for job in sorted(view.jobs, key=_decode_turn):
        if job.decoding is not Decoding.WAITING or job.model_missing or not idle:
            continue
        if job.bytes > LONG_BYTES:
            if long >= max(1, len(view.media) - 1 - middle):
                continue
            long += 1
        elif job.bytes > SMALL_BYTES:
            if middle >= max(1, len(view.media) - 1 - long):
                continue
            middle += 1
        yield StartDecode(job.job_id, idle.popleft())


def _decode_turn(job: JobView) -> tuple[bool, bool, tuple[int, float, int, int]]:
    """Return the sort key of decodes: jobs with priority, then small files, then the others."""
    return (not at_front(job), job.bytes > SMALL_BYTES, turn(job))
