"""The media actors as the service loop sees them: who decodes what.

Turns plans into commands. It neither reads nor writes the store, and it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whisper_service.core.domain import ActorState, Problem
from whisper_service.scheduler import planner
from whisper_service.storage.data_dir import DataDir
from whisper_service.supervision.protocol import Cancel, Decode
from whisper_service.supervision.supervisor import Supervisor


class MediaActors:
    """A handful of media actors, one recording each."""

    def __init__(
        self,
        actors: Sequence[Supervisor],
        data: DataDir,
        *,
        stall_s: float,
        max_duration_s: float,
        max_expansion: float,
    ) -> None:
        self.actors = {actor.name: actor for actor in actors}
        self._data = data
        self._stall_s = stall_s
        self._max_duration_s = max_duration_s
        self._max_expansion = max_expansion
        self._generations: dict[str, int] = {}  # of actors that take commands, as far as the loop has heard
        self._jobs: dict[str, str] = {}  # actor -> job

    def spool_of(self, job_id: str) -> Path:
        """Where the samples of a job are."""
        return self._data.spool_of(job_id)

    def view(self) -> tuple[planner.MediaSeat, ...]:
        """These actors as the planner sees them. One that was never started counts as idle, for giving it work starts it;
        but not while another is starting, which will be ready sooner."""
        starting = any(actor.state is ActorState.STARTING for actor in self.actors.values())
        return tuple(
            planner.MediaSeat(
                name,
                idle=name not in self._jobs
                and (name in self._generations or (actor.state is ActorState.IDLE and not starting)),
            )
            for name, actor in self.actors.items()
        )

    @property
    def obstacle(self) -> Problem | None:
        """Why no recording is read: every actor that was started died too often."""
        started = [actor for actor in self.actors.values() if actor.state is not ActorState.IDLE]
        return started[0].problem if started and all(actor.broken for actor in started) else None

    def reset(self) -> None:
        """Somebody says that the cause is gone."""
        for actor in self.actors.values():
            if actor.broken:
                actor.reset()

    def generation_of(self, worker: str) -> int:
        """The child that takes commands there; 0: none."""
        return self._generations.get(worker, 0)

    def reads(self, worker: str | None, job_id: str) -> bool:
        """Whether this actor is at this job."""
        return self._jobs.get(worker or "") == job_id

    def on_ready(self, worker: str, generation: int) -> None:
        """A child takes commands."""
        self._generations[worker] = generation

    def start(self, job_id: str, worker: str, *, limit_s: float | None = None) -> bool:
        """Give a recording, or its first `limit_s` seconds, to an actor; False if that must start first. Raises `OSError` if
        there is no room for its sound.

        The files that it writes are made here: an actor that hears late that a job is cancelled must not make them anew.
        """
        actor = self.actors[worker]
        if (generation := self.generation_of(worker)) == 0:
            actor.start()
            return False
        for path in (self._data.spool_of(job_id), self._data.peaks_of(job_id)):
            path.touch()
        self._jobs[worker] = job_id
        command = Decode(
            job_id=job_id,
            source=str(self._data.source_of(job_id)),
            spool=str(self._data.spool_of(job_id)),
            peaks=str(self._data.peaks_of(job_id)),
            max_duration_s=self._max_duration_s,
            max_expansion=self._max_expansion,
            limit_s=limit_s,
        )
        actor.send(command, generation=generation, within_s=self._stall_s, key=job_id)
        return True

    def alive(self, worker: str, job_id: str) -> None:
        """It reported progress: the deadline starts anew."""
        if self._jobs.get(worker) == job_id:
            self.actors[worker].set_deadline(job_id, self._stall_s, generation=self.generation_of(worker))

    def release(self, worker: str, job_id: str) -> None:
        """It has come to an end with this recording, unless it has been given another already."""
        self.actors[worker].mark_useful(generation=self.generation_of(worker))
        if self._jobs.get(worker) == job_id:
            del self._jobs[worker]
            self.actors[worker].clear_deadline(job_id)

    def on_died(self, worker: str) -> str | None:
        """The child is gone; returns the job it was at."""
        self._generations.pop(worker, None)
        return self._jobs.pop(worker, None)

    def cancel(self, worker: str, job_id: str) -> None:
        """Stop at once; the actor is free for another."""
        if self._jobs.get(worker) == job_id:
            del self._jobs[worker]
            self.actors[worker].clear_deadline(job_id)
            self.actors[worker].send(Cancel(job_id=job_id), generation=self.generation_of(worker))
