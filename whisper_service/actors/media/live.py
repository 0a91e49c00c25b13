"""The live actor: follows the recordings of all live sessions while they grow.

All sessions take turns in one process, a piece of sound each, and share one voice detector. A session that was
interrupted is followed again from its beginning; equal sound gives equal chunks.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing
from typing import Final

from whisper_service.actors.media.growing import GrowingRecording
from whisper_service.actors.vad import SpeechDetector
from whisper_service.core.domain import Problem
from whisper_service.core.errors import DiskFull, ServiceError
from whisper_service.core.files import is_disk_full
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind, classify
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.media import CutHere, Follow, Grow, HearAhead
from whisper_service.supervision.protocol import Command

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds after which the files of a cancelled session are closed at the latest."""


def run(inbox: Inbox, emit: Emit) -> None:
    """Follow sessions until `Shutdown`. This function is the entry of the process."""
    with closing(_Sessions(emit)) as sessions:
        emit(Ready(pid=os.getpid()))
        while True:
            sessions.drop(inbox.cancelled)
            command = inbox.get(sessions.wait_s)
            while command is not None:
                if isinstance(command, Shutdown):
                    return
                sessions.take(command)
                command = inbox.get(0)
            sessions.step(inbox.cancelled)


class _Sessions:
    """The sessions that are followed."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._detector = SpeechDetector()
        self._followed: dict[str, GrowingRecording] = {}

    @property
    def wait_s(self) -> float | None:
        """How long to wait for a command. None: for ever, nothing is followed."""
        if any(session.has_work for session in self._followed.values()):
            return 0
        return LOOK_S if self._followed else None

    def take(self, command: Command) -> None:
        """Carry out a command. Those about a session that is not followed are late."""
        match command:
            case Follow(job_id=job_id):
                self._close(job_id)
                self._guarded(job_id, lambda: self._begin(command))
            case Grow():
                for job_id, sound_bytes in command.sounds.items():
                    if session := self._followed.get(job_id):
                        session.grow(sound_bytes, ended=command.ended)
            case CutHere(job_id=job_id) if job_id in self._followed:
                self._guarded(job_id, lambda: self._when_taken_in(job_id, GrowingRecording.cut))
            case HearAhead(job_id=job_id) if job_id in self._followed:
                self._guarded(job_id, lambda: self._when_taken_in(job_id, GrowingRecording.hear_ahead))

    def step(self, cancelled: Callable[[str], bool]) -> None:
        """Let every session take in a piece of what has come."""
        for job_id, session in list(self._followed.items()):
            if session.has_work and not cancelled(job_id):
                self._guarded(job_id, lambda session=session: self._advance(session))  # type: ignore[misc]

    def drop(self, cancelled: Callable[[str], bool]) -> None:
        """Close the sessions that were cancelled."""
        for job_id in [job_id for job_id in self._followed if cancelled(job_id)]:
            self._close(job_id)

    def close(self) -> None:
        """Close the files of every session."""
        for job_id in list(self._followed):
            self._close(job_id)

    def _begin(self, command: Follow) -> None:
        self._followed[command.job_id] = GrowingRecording(command, self._detector)

    def _advance(self, session: GrowingRecording) -> None:
        if session.step(self._emit):
            self._close(session.job_id)

    def _when_taken_in(self, job_id: str, act: Callable[[GrowingRecording, Emit], None]) -> None:
        """Act when the session has taken in what has come, unless that was its end."""
        session = self._followed[job_id]
        while session.has_work:
            self._advance(session)
            if job_id not in self._followed:
                return
        act(session, self._emit)

    def _close(self, job_id: str) -> None:
        if (session := self._followed.pop(job_id, None)) is not None:
            session.close()

    def _guarded(self, job_id: str, act: Callable[[], None]) -> None:
        """Act for one session. Every exception becomes a fault of that session; none passes."""
        try:
            act()
        except ServiceError as error:
            self._fail(job_id, FaultKind.MEDIA, error.problem)
        except Exception as error:
            if is_disk_full(error):
                self._fail(job_id, FaultKind.DISK_FULL, DiskFull().problem)
                return
            logger.exception("A session failed with an unexpected error.", extra={"job": job_id})
            diagnosis = classify(f"{type(error).__name__}: {error}")
            self._fail(job_id, diagnosis.kind, diagnosis.problem)

    def _fail(self, job_id: str, kind: FaultKind, problem: Problem) -> None:
        try:
            self._close(job_id)
        except OSError:  # what is buffered cannot be written: the problem says so
            logger.warning("The files of a session could not be closed.", extra={"job": job_id})
        self._emit(Fault(scope="media", kind=kind.value, problem=problem, job_id=job_id))
