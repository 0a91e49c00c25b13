"""The live actor as the scheduler sees it: which sessions it follows, and how far.

Turns steps and news of sound into commands. Reads and writes nothing in the store, and decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import Job, Problem
from whisper_service.core.sound_format import form_of
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.live_sound import sound_bytes
from whisper_service.supervision.messages.base import Cancel
from whisper_service.supervision.messages.media import CutHere, Follow, Followed, Grow, HearAhead
from whisper_service.supervision.supervisor import Supervisor

TELL_S: Final = 5.0
"""Seconds between two events about how much sound has come. Each is a write with a sync, for every session."""
GATHER_S: Final = 0.05
"""Seconds between two commands about sound that has come. A command wakes the actor, which took the event loop 1.4 ms
with two cores: with 40 sessions, one for every piece of sound made a tenth of the loop's time."""


@dataclass(eq=False)
class _FollowedSession:
    """A session that the actor follows."""

    known: int  # bytes of its sound
    told: int  # of which the actor was told
    asked: bool = False  # the actor has something to take in, and a deadline
    ended: bool = False  # the actor was told of the end
    shown_at: float | None = None  # when clients were told how far it is


class LiveActor:
    """One actor for all live sessions. It ends when there is none."""

    def __init__(self, actor: Supervisor, data: DataDir, limits: SupervisionSettings) -> None:
        self.actor = actor
        self._data = data
        self._stall_s = limits.decode_stall_s
        self._sessions: dict[str, _FollowedSession] = {}
        self._told_at = -GATHER_S  # when the actor was told of sound
        self._timer: asyncio.TimerHandle | None = None  # to tell it more

    @property
    def obstacle(self) -> Problem | None:
        """Why no session is followed: the actor died too often. None: sessions are followed."""
        return self.actor.problem if self.actor.broken else None

    def reset(self) -> None:
        """Start the actor if it died too often."""
        if self.actor.broken:
            self.actor.reset()

    def follows(self, job_id: str) -> bool:
        """Return whether the actor follows this session."""
        return job_id in self._sessions

    def follow(self, job: Job, state: bytes = b"") -> bool:
        """Give a session to the actor, which goes on from `state`. False: the actor has to start first.

        Raises `OSError` when there is no room for the samples. The files that the actor writes are created here: an
        actor that hears late of a cancelled job must not create them again.
        """
        if job.live is None:
            raise ValueError("not a live session")
        if not self.actor.ready_generation:
            self.actor.start()
            return False
        source, form = self._data.source_of(job.id), form_of(job.live)
        files = (self._data.spool_of(job.id), self._data.peaks_of(job.id), self._data.fine_peaks_of(job.id))
        for path in files:
            path.touch()
        spool, peaks, fine_peaks = map(str, files)
        known, ended = sound_bytes(source, form), job.live.ended is not None
        self._forget(job.id)
        self._sessions[job.id] = _FollowedSession(known, known, ended=ended)
        self._send(Follow(job.id, str(source), spool, peaks, form, known, ended, fine_peaks, state))
        if known > 0 or ended:
            self._ask(job.id)
        return True

    def grow(self, job_id: str, known: int, *, ended: bool = False) -> None:
        """Tell the actor that a session has so many bytes of sound. A session that nobody follows is read later.

        The actor hears of an end at once, and of sound a moment later, together with that of other sessions. While
        it has sound of a session to take in, it is told of no more: a pipe that nobody reads would fill up.
        """
        session = self._sessions.get(job_id)
        if session is None or session.ended:
            return
        session.known = max(session.known, known)
        if ended:
            session.ended = True
            self._tell([job_id], ended=True)
        elif session.known > session.told and not session.asked:
            self._tell_soon()

    def cut(self, job_id: str) -> None:
        """Have the open chunk of a session ended now."""
        if self._tell_all(job_id):
            self._send(CutHere(job_id))

    def hear_ahead(self, job_id: str) -> bool:
        """Have a session heard up to its newest sound. False: nobody follows it now."""
        if told := self._tell_all(job_id):
            self._send(HearAhead(job_id))
        return told

    def cancel(self, job_id: str) -> None:
        """Let the actor stop following a session."""
        if job_id in self._sessions:
            self._send(Cancel(job_id))
            self._forget(job_id)
            self._rest()

    def on_followed(self, report: Followed) -> None:
        """Start the deadline of a session anew if there is more to take in, and tell the actor of newer sound."""
        session = self._sessions.get(report.job_id)
        if session is None:
            return
        self.actor.clear_deadline(report.job_id)
        session.asked = False
        if report.sound_bytes < session.told or session.ended:
            self._ask(report.job_id)
        elif session.known > session.told:
            self._tell_soon()

    def is_time_to_tell(self, job_id: str) -> bool:
        """Return whether clients should hear again how far a session is. True: they are told now."""
        session, now = self._sessions.get(job_id), time.monotonic()
        if session is None or (session.shown_at is not None and now - session.shown_at < TELL_S):
            return False
        session.shown_at = now
        return True

    def on_end(self, name: str, job_id: str) -> None:
        """Record that the actor (`name`) is done with a session."""
        self.actor.mark_useful(generation=self.actor.ready_generation)
        self._forget(job_id)
        self._rest()

    def on_died(self) -> list[str]:
        """Record the death of the actor, and return the sessions that it followed."""
        followed = list(self._sessions)
        for job_id in followed:
            self._forget(job_id)
        return followed

    def _tell_soon(self) -> None:
        """Tell the actor of all new sound: now, if it was told of some `GATHER_S` ago, else when that time is over."""
        if self._timer is not None:
            return
        wait_s = self._told_at + GATHER_S - time.monotonic()
        if wait_s > 0:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tell_new)
        else:
            self._tell_new()

    def _tell_new(self) -> None:
        self._timer = None
        new = [name for name, each in self._sessions.items() if each.known > each.told and not each.asked]
        if new:
            self._told_at = time.monotonic()
            self._tell(new)

    def _tell_all(self, job_id: str) -> bool:
        """Tell the actor at once of all sound of a session. False: the actor does not follow it."""
        session = self._sessions.get(job_id)
        if session is not None and session.known > session.told:
            self._tell([job_id])
        return session is not None

    def _tell(self, job_ids: Iterable[str], *, ended: bool = False) -> None:
        """Tell the actor how much sound there is of these sessions."""
        sounds = {}
        for job_id in job_ids:
            session = self._sessions[job_id]
            session.told = sounds[job_id] = session.known
        self._send(Grow(sounds, ended))
        for job_id in sounds:
            self._ask(job_id)

    def _ask(self, job_id: str) -> None:
        """Start the deadline for what the actor has to take in. One that runs is not extended."""
        session = self._sessions[job_id]
        if not session.asked:
            session.asked = True
            self.actor.set_deadline(job_id, self._stall_s, generation=self.actor.ready_generation)

    def _send(self, command: Follow | Grow | CutHere | HearAhead | Cancel) -> None:
        self.actor.send(command, generation=self.actor.ready_generation)

    def _rest(self) -> None:
        """End the actor if there is nothing to follow, which frees its memory."""
        if not self._sessions:
            self.actor.go_idle()

    def _forget(self, job_id: str) -> None:
        self.actor.clear_deadline(job_id)
        self._sessions.pop(job_id, None)
