"""Define how a job changes its status: (status, cause) -> status. Pure. The store refuses all other changes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from whisper_service.core.domain import Status
from whisper_service.core.errors import IllegalTransition


class Cause(StrEnum):
    """Why a job changes its status."""

    CLAIM = "claim"  # the service begins to work on it
    FINISH = "finish"  # the last chunk is done
    FAULT = "fault"  # it cannot continue by itself
    RECOVER = "recover"  # the service that worked on it ended
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    FRONT = "front"  # moves to the front of the queue
    SOONER = "sooner"  # changes places with the job before it in the queue
    LATER = "later"  # changes places with the job after it in the queue


_S = Status
TRANSITIONS: Final[dict[tuple[Status, Cause], Status]] = {
    (_S.PENDING, Cause.CLAIM): _S.PROCESSING,
    (_S.PENDING, Cause.FAULT): _S.FAILED,
    (_S.PENDING, Cause.PAUSE): _S.PAUSED,
    (_S.PENDING, Cause.CANCEL): _S.CANCELLED,
    (_S.PENDING, Cause.FRONT): _S.PENDING,
    (_S.PENDING, Cause.SOONER): _S.PENDING,
    (_S.PENDING, Cause.LATER): _S.PENDING,
    (_S.PROCESSING, Cause.FINISH): _S.COMPLETED,
    (_S.PROCESSING, Cause.FAULT): _S.FAILED,
    (_S.PROCESSING, Cause.RECOVER): _S.PENDING,
    (_S.PROCESSING, Cause.PAUSE): _S.PAUSED,
    (_S.PROCESSING, Cause.CANCEL): _S.CANCELLED,
    (_S.PROCESSING, Cause.FRONT): _S.PROCESSING,
    (_S.PAUSED, Cause.RESUME): _S.PENDING,
    (_S.PAUSED, Cause.CANCEL): _S.CANCELLED,
    (_S.FAILED, Cause.RETRY): _S.PENDING,
    (_S.CANCELLED, Cause.RETRY): _S.PENDING,
    (_S.COMPLETED, Cause.RETRY): _S.PENDING,  # the store allows it only while there are gaps
}

TERMINAL: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
"""A job in one of these states changes only on request."""

OPEN: Final = frozenset(Status) - TERMINAL


def advance(status: Status, cause: Cause) -> Status:
    """Return the status that follows. Raises `IllegalTransition`, which names what is allowed."""
    try:
        return TRANSITIONS[status, cause]
    except KeyError:
        allowed = sorted(c.value for s, c in TRANSITIONS if s is status)
        raise IllegalTransition(
            f"A job that is {status.value} cannot {cause.value}.",
            hint=f"It can: {', '.join(allowed)}." if allowed else "",
            status=status.value,
            cause=cause.value,
            allowed=allowed,
        ) from None
