"""The speakers actor as the scheduler sees it: which command the actor has, and who asked for another count.

The actor gets one command at a time. It starts when a chunk has text and its job wants speakers, and ends when it has
had nothing to do for a while. Reads and writes nothing in the store, and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from whisper_service.core.domain import ActorState, Problem, Segment, Span
from whisper_service.core.speaker_count import Wanted
from whisper_service.scheduler.run_speakers import Failures
from whisper_service.scheduler.views import SpeakersView
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.speakers import Assign, Assigned, Heard, Listen
from whisper_service.supervision.supervisor import Supervisor

HEAR_S: Final = 120.0
"""Seconds for one chunk. It takes 0.8 s of one core; the process is a nice one, and others may need all cores."""
NAME_S: Final = 120.0
"""Seconds to name the speakers of a job, and `NAME_CHUNK_S` more for each chunk. Ten hours take 20 to 40 s."""
NAME_CHUNK_S: Final = 0.5
REST_AFTER_S: Final = 60.0
"""Seconds without work after which the actor ends. It holds 110 MB of networks, and its start takes half a second."""


@dataclass(frozen=True)
class Work:
    """A command that the actor has. `index` None: to name the speakers of the job."""

    number: int
    job_id: str
    wanted: Wanted
    index: int | None = None
    recount: bool = False  # a client waits for it

    @property
    def key(self) -> tuple[str, int]:
        return ("speakers", self.number)


@dataclass(eq=False)
class Recount:
    """A request for another count of speakers of a job that has ended, and its result."""

    job_id: str
    wanted: Wanted
    failures: Failures = field(default_factory=Failures)
    problem: Problem | None = None  # why it failed
    done: anyio.Event = field(default_factory=anyio.Event)

    def end(self, problem: Problem | None = None) -> None:
        """Let the client hear the result."""
        self.problem = problem
        self.done.set()


class SpeakersActor:
    """The speakers actor and its work. Called on the scheduler's loop."""

    def __init__(self, actor: Supervisor, networks: Path) -> None:
        self.actor = actor
        self.networks = networks  # the folder that has both networks, or will have them
        self.recounts: dict[str, Recount] = {}  # by job, in the order in which they were asked for
        self._work: Work | None = None
        self._number = 0
        self._used_at = time.monotonic()

    @property
    def work(self) -> Work | None:
        """What the actor does."""
        return self._work

    @property
    def is_broken(self) -> bool:
        """Whether the actor died too often and does not run now. One that is started for a probe gets work."""
        return self.actor.state is ActorState.BROKEN

    def view(self, *, fetching: bool) -> SpeakersView:
        """Return the actor as the planner sees it. `fetching`: its networks are being downloaded."""
        return SpeakersView(
            ready=bool(self.actor.ready_generation),
            busy=self._work is not None,
            broken=self.is_broken,
            fetching=fetching,
            recounts=tuple(self.recounts),
            rest_at=self._used_at + REST_AFTER_S,
        )

    @property
    def rest_at(self) -> float | None:
        """When the actor may end if it gets no work until then. None: it works, does not run, or that time is over."""
        if not self.actor.ready_generation or self._work is not None:
            return None
        at = self._used_at + REST_AFTER_S
        return at if at > time.monotonic() else None

    def has(self, job_id: str) -> bool:
        """Return whether the actor has a command for this job."""
        return self._work is not None and self._work.job_id == job_id

    def reset(self) -> None:
        """Start the actor if it died too often, because a person says that the cause is gone."""
        if self.actor.broken:
            self.actor.reset()

    # -- commands -----------------------------------------------------------------------------------------------------

    def may_start(self) -> bool:
        """Return whether the actor takes a command now, or would if it were started."""
        return bool(self.actor.ready_generation) or self.actor.state is ActorState.IDLE

    def is_ready(self) -> bool:
        """Return whether the actor takes a command now. Start it if not."""
        if not self.actor.ready_generation:
            self.actor.start()
            return False
        return self._work is None

    def hear(self, job_id: str, wanted: Wanted, span: Span, spool: Path, segments: Sequence[Segment]) -> int:
        """Send a chunk with its text. Return the number of the command."""
        work = self._begin(job_id, wanted, span.index)
        command = Listen(job_id, span, str(spool), str(self.networks), tuple(segments))
        self.actor.send(command, generation=self.actor.ready_generation, within_s=HEAR_S, key=work.key)
        return work.number

    def name(self, job_id: str, wanted: Wanted, voices: Sequence[tuple[int, bytes]]) -> int:
        """Send the voices of a job, to name its speakers. Return the number of the command."""
        work = self._begin(job_id, wanted, None, recount=job_id in self.recounts)
        command = Assign(job_id, work.number, tuple(voices), wanted.least, wanted.most)
        within_s = NAME_S + NAME_CHUNK_S * len(voices)
        self.actor.send(command, generation=self.actor.ready_generation, within_s=within_s, key=work.key)
        return work.number

    def cancel(self, job_id: str) -> None:
        """Drop the work on a job. The actor takes the next command at once."""
        if self._work is not None and self._work.job_id == job_id:
            self.actor.send(Cancel(job_id=job_id), generation=self.actor.ready_generation)
            self._end()

    def rest(self) -> None:
        """Let the actor end until there is work."""
        self.actor.go_idle()
        self._work = None

    # -- reports ------------------------------------------------------------------------------------------------------

    def on_heard(self, report: Heard) -> bool:
        """Record that a chunk is heard. False: the actor does something else by now."""
        self.actor.mark_useful(generation=self.actor.ready_generation)
        work = self._work
        return work is not None and (work.job_id, work.index) == (report.job_id, report.index) and bool(self._end())

    def on_assigned(self, report: Assigned) -> Work | None:
        """Record that the speakers of a job are found, and return the work. None: nobody waits for them any more."""
        self.actor.mark_useful(generation=self.actor.ready_generation)
        work = self._work
        return self._end() if work is not None and work.number == report.request else None

    def on_fault(self, report: Fault) -> Work | None:
        """Record that a command failed, and return the work. None: it was dropped meanwhile."""
        work = self._work
        same = work is not None and (work.job_id, work.index) == (report.job_id, report.index)
        return self._end() if same else None

    def on_died(self) -> Work | None:
        """Record the death of the actor, and return what it had."""
        return self._end()

    def end_recount(self, job_id: str, problem: Problem | None = None) -> None:
        """Let the client hear that the count is done or, with a problem, why it failed."""
        if (recount := self.recounts.pop(job_id, None)) is not None:
            recount.end(problem)

    def end_recounts(self, problem: Problem) -> None:
        """Let every client hear why no count will be done."""
        for job_id in list(self.recounts):
            self.end_recount(job_id, problem)

    def _begin(self, job_id: str, wanted: Wanted, index: int | None, *, recount: bool = False) -> Work:
        self._number += 1
        self._work = Work(self._number, job_id, wanted, index, recount)
        return self._work

    def _end(self) -> Work | None:
        work, self._work = self._work, None
        self._used_at = time.monotonic()
        if work is not None:
            self.actor.clear_deadline(work.key)
        return work
