"""The drafts of all live sessions: which are wanted, which a speech actor has, and how fast they may follow. No I/O.

One batch of drafts is under way at a time. Sessions are drafted together, so all of them slow down alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from whisper_service.config.schema import LiveSettings
from whisper_service.scheduler.draft_feed import DraftFeed
from whisper_service.scheduler.drafts import SessionDraft, Sound
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.scheduler.views import DraftsView, DraftView

CRASHES: Final = 3
"""Deaths of actors, or failures, after which a session is not drafted for a while."""
REST_S: Final = 600.0
"""How long that is, and for how long a death counts."""


@dataclass(eq=False)
class GivenDrafts:
    """A batch of drafts that the speech actor of a seat has."""

    request: int
    seat: SpeechActor
    generation: int  # of the actor
    sounds: dict[str, Sound]  # by session

    @property
    def key(self) -> tuple[str, int]:
        """The key of its deadline."""
        return ("draft", self.request)

    @property
    def lost(self) -> bool:
        """Whether its actor was ended, so that no answer comes."""
        return self.seat.actor.ready_generation != self.generation


class LiveDrafts:
    """What is drafted. Called on the scheduler's loop."""

    def __init__(
        self,
        settings: Callable[[], LiveSettings] = LiveSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.feed = DraftFeed()
        self.given: GivenDrafts | None = None
        self._settings = settings
        self._clock = clock
        self._sessions: dict[str, SessionDraft] = {}
        self._crashes: dict[str, list[float]] = {}  # when the actor died that had a draft of the session
        self._began_at = -1e9
        self._took_s = 0.0  # the last batch
        self._last_request = 0

    @property
    def known(self) -> frozenset[str]:
        """The sessions with a draft, or with readers."""
        return frozenset(self._sessions) | self.feed.read

    @property
    def interval_s(self) -> float:
        """Seconds from one batch to the next, while other work waits."""
        settings = self._settings()
        return max(settings.cadence_s, self._took_s / settings.share)

    def session(self, job_id: str) -> SessionDraft:
        """Return the draft of a session, a new one at first."""
        if job_id not in self._sessions:
            self._sessions[job_id] = SessionDraft(job_id)
        return self._sessions[job_id]

    def find(self, job_id: str) -> SessionDraft | None:
        """Return the draft of a session. None: it has none."""
        return self._sessions.get(job_id)

    def show(self, job_id: str) -> None:
        """Show the draft of a session as it is now."""
        session = self._sessions[job_id]
        self.feed.show(session.draft(), session.hearing())

    def end(self, job_id: str) -> None:
        """Forget a session that is over."""
        session = self._sessions.pop(job_id, None)
        if session is not None:
            self.feed.show(SessionDraft(job_id).draft(), session.hearing())
        self.feed.end(job_id)
        self._crashes.pop(job_id, None)

    def may_be_due(self, job_id: str) -> bool:
        """Return whether a draft of this session may be made now, or at a time that no plan knows of."""
        session = self._sessions.get(job_id)
        waits = job_id in self.feed.read and session is not None and session.wants_pass
        return waits and (self.given is None or self.given.lost)

    def view(self, models: Callable[[str], str | None]) -> DraftsView:
        """Return what the planner sees. `models`: the model of a session, None: it is not to be drafted now."""
        now, settings, seen = self._clock(), self._settings(), []
        self._forget_lost()
        for job_id in sorted(self.feed.read):
            session, model = self._sessions.get(job_id), models(job_id)
            crashes = self._recent_crashes(job_id, now)
            if session is None or model is None or not session.wants_pass or crashes >= CRASHES:
                continue
            seen.append(DraftView(job_id, model, session.passed_s, session.settles, crashes > 0))
        return DraftsView(
            sessions=tuple(seen),
            under_way=self.given is not None,
            began_at=self._began_at,
            took_s=self._took_s,
            cadence_s=settings.cadence_s,
            share=settings.share,
        )

    def give(self, seat: SpeechActor, sounds: dict[str, Sound]) -> GivenDrafts:
        """Record that the actor of a seat gets these drafts."""
        self._last_request += 1
        self._began_at = self._clock()
        self.given = GivenDrafts(self._last_request, seat, seat.actor.ready_generation, sounds)
        return self.given

    def take_back(self, request: int | None) -> GivenDrafts | None:
        """Record that the batch with this number has ended, and return it. None: it is not under way."""
        given = self.given
        if given is None or given.request != request:
            return None
        self.given, self._took_s = None, self._clock() - self._began_at
        return given

    def count_crash(self, given: GivenDrafts) -> bool:
        """Count a death of the actor against its drafts. False: all of them have too many already."""
        now = self._clock()
        fresh = [job_id for job_id in given.sounds if self._recent_crashes(job_id, now) < CRASHES]
        for job_id in fresh:
            self._crashes.setdefault(job_id, []).append(now)
        return bool(fresh)

    def fail(self, job_ids: Iterable[str]) -> None:
        """Record that drafts have no result."""
        for job_id in job_ids:
            if (session := self._sessions.get(job_id)) is not None:
                session.fail()

    def _forget_lost(self) -> None:
        if self.given is not None and self.given.lost:
            given, self.given = self.given, None
            self.fail(given.sounds)

    def _recent_crashes(self, job_id: str, now: float) -> int:
        """Return how many deaths count against a session. They count until `REST_S` after the last one."""
        times = self._crashes.get(job_id, [])
        if times and now - times[-1] >= REST_S:
            del self._crashes[job_id]
            return 0
        return len(times)
