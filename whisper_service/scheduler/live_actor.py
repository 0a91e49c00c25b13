"""The live actor as the scheduler sees it: which sessions it follows, and how far.

Turns steps and news of sound into commands. Reads and writes nothing in the store, and decides nothing.
"""

from __future__ import annotations

import time
from typing import Final

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import Job, Problem
from whisper_service.core.sound_format import form_of
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.live_sound import sound_bytes
from whisper_service.supervision.messages.base import Cancel
from whisper_service.supervision.messages.media import CutHere, Follow, Followed, Grow
from whisper_service.supervision.supervisor import Supervisor

TELL_S: Final = 5.0
"""Seconds between two events about how much sound has come. Each is a write with a sync, for every session."""


class LiveActor:
    """One actor for all live sessions. It ends when there is none."""

    def __init__(self, actor: Supervisor, data: DataDir, limits: SupervisionSettings) -> None:
        self.actor = actor
        self._data = data
        self._stall_s = limits.decode_stall_s
        self._known: dict[str, int] = {}  # bytes of sound that the actor was told of, by session
        self._ended: set[str] = set()  # sessions whose end the actor was told of
        self._asked: set[str] = set()  # sessions with a deadline
        self._told_at: dict[str, float] = {}

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
        return job_id in self._known

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
        self._known[job.id] = known
        command = Follow(job.id, str(source), spool, peaks, form, known, ended, fine_peaks, state)
        self._send(command, works=known > 0 or ended)
        if ended:
            self._ended.add(job.id)
        return True

    def grow(self, job_id: str, known: int, *, ended: bool = False) -> None:
        """Tell the actor that a session has so many bytes of sound. A session that nobody follows is read later."""
        news = known > self._known.get(job_id, known) or ended
        if not news or job_id not in self._known or job_id in self._ended:
            return
        self._known[job_id] = known
        if ended:
            self._ended.add(job_id)
        self._send(Grow(job_id, known, ended), works=True)

    def cut(self, job_id: str) -> None:
        """Have the open chunk of a session ended now."""
        if job_id in self._known:
            self._send(CutHere(job_id), works=False)

    def cancel(self, job_id: str) -> None:
        """Let the actor stop following a session."""
        if job_id in self._known:
            self._send(Cancel(job_id), works=False)
            self._forget(job_id)
            self._rest()

    def on_followed(self, report: Followed) -> None:
        """Start the deadline of a session anew if there is more to take in."""
        job_id = report.job_id
        if job_id not in self._known:
            return
        self.actor.clear_deadline(job_id)
        self._asked.discard(job_id)
        if report.sound_bytes < self._known[job_id] or job_id in self._ended:
            self._asked.add(job_id)
            self.actor.set_deadline(job_id, self._stall_s, generation=self.actor.ready_generation)

    def is_time_to_tell(self, job_id: str) -> bool:
        """Return whether clients should hear again how far a session is. True: they are told now."""
        now = time.monotonic()
        if now - self._told_at.get(job_id, now - TELL_S) < TELL_S:
            return False
        self._told_at[job_id] = now
        return True

    def on_end(self, name: str, job_id: str) -> None:
        """Record that the actor (`name`) is done with a session."""
        self.actor.mark_useful(generation=self.actor.ready_generation)
        self._forget(job_id)
        self._rest()

    def on_died(self) -> list[str]:
        """Record the death of the actor, and return the sessions that it followed."""
        followed = list(self._known)
        for job_id in followed:
            self._forget(job_id)
        return followed

    def _send(self, command: Follow | Grow | CutHere | Cancel, *, works: bool) -> None:
        """Send a command. The first that gives the actor work starts the deadline; those behind it do not extend it."""
        generation = self.actor.ready_generation
        if works and command.job_id not in self._asked:
            self._asked.add(command.job_id)
            self.actor.send(command, generation=generation, within_s=self._stall_s, key=command.job_id)
        else:
            self.actor.send(command, generation=generation)

    def _rest(self) -> None:
        """End the actor if there is nothing to follow, which frees its memory."""
        if not self._known:
            self.actor.go_idle()

    def _forget(self, job_id: str) -> None:
        self.actor.clear_deadline(job_id)
        self._asked.discard(job_id)
        self._ended.discard(job_id)
        self._known.pop(job_id, None)
        self._told_at.pop(job_id, None)
