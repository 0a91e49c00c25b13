"""Decide which jobs go before which, by lanes. Pure.

A user may put a job at the front. A call has a client that waits. A recording shorter than a minute has the lane of
calls, behind them. A call and a short recording leave their lane after some chunks and take turns like all the others:
the job whose last batch is longest ago is next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler.views import JobView

CALL_CHUNKS: Final = 8
"""Chunks for which a call or a short recording has priority: some minutes of sound."""
SHORT_S: Final = 60.0
"""Seconds of sound from which a recording is not short. A minute has about three chunks, and `CALL_CHUNKS` at most."""


class Lane(IntEnum):
    """Which jobs go before which."""

    FRONT = 0  # users put them there
    CALL = 1
    SHORT = 2
    TURNS = 3


def lane_of(job: JobView) -> Lane:
    """Return the lane of the job. A call or a short recording leaves its lane after some chunks."""
    rank = job.rank
    if rank < 0 and rank != CALL_RANK:
        return Lane.FRONT
    if job.live:  # somebody reads along, for as long as it lasts
        return Lane.CALL
    if job.given >= CALL_CHUNKS:
        return Lane.TURNS
    if rank == CALL_RANK:
        return Lane.CALL
    return Lane.SHORT if is_short(job) else Lane.TURNS


def is_short(job: JobView) -> bool:
    return job.duration_s is not None and job.duration_s < SHORT_S


def turn(job: JobView) -> tuple[int, float, int, int]:
    """Return the sort key of turns: by lane, then the job whose last batch is longest ago.

    The front is in the order of ranks, and short recordings in the order of their last batch or their claim: a new one
    does not go before the second chunk of another.
    """
    lane, within = lane_of(job), 0.0
    if lane is not Lane.TURNS:
        within = job.rank if lane is Lane.FRONT else job.waiting_since if lane is Lane.SHORT else 0.0
    return (lane, within, job.last_batch, job.order)


def at_front(job: JobView) -> bool:
    return lane_of(job) <= Lane.CALL


def is_urgent(job: JobView) -> bool:
    """Return whether the job is a call or a short recording that still has priority."""
    return is_urgent_in(job, lane_of(job))


def is_urgent_in(job: JobView, lane: Lane) -> bool:
    """Return whether a job is urgent whose lane is known."""
    if lane is not Lane.FRONT:
        return lane is not Lane.TURNS
    return is_short(job) and job.given < CALL_CHUNKS
