"""The media actors as the scheduler sees them: which actor decodes which recording.

Turns the steps of a plan into commands. Reads and writes nothing in the store, and decides nothing. Actors may be on
machines of a cluster (`cluster.far_decodes`): they get the same commands.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from whisper_service.config.schema import MediaSettings, StorageSettings, SupervisionSettings
from whisper_service.core.domain import ActorState, Channels, Job, Problem
from whisper_service.core.files import draft_of
from whisper_service.scheduler.views import MediaActorView
from whisper_service.storage.data_dir import DataDir
from whisper_service.supervision.messages.base import Cancel
from whisper_service.supervision.messages.media import Decode
from whisper_service.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

FEWEST: Final = 2
"""One for long recordings and one for short ones."""
FAR_DECODER: Final = "cluster-media"
"""How the names of media actors on other machines begin."""
MOST: Final = 16
"""Decodes 110 chunks a second, at 7 a second and actor: as many as the store writes."""


def workers_for(cores: int) -> int:
    """Return how many media actors feed the devices of a machine. They start as they are needed.

    Two feed a CPU. A fast GPU with a small model needs eight; its machine has as many cores.
    """
    return min(MOST, max(FEWEST, cores // 2))


class FarDecoding(Protocol):
    """The machines of a cluster, as far as they decode."""

    @property
    def decoders(self) -> int:
        """How many media actors they have room for."""

    @property
    def decoding_problem(self) -> Problem | None:
        """Why they decode nothing although they are meant to. None: they do, or there are none."""


class MediaActors:
    """The media actors. Each decodes one recording at a time. `far_actors` are on the machines of `cluster`."""

    def __init__(
        self,
        actors: Sequence[Supervisor],
        data: DataDir,
        media: MediaSettings,
        limits: SupervisionSettings,
        storage: StorageSettings,
        *,
        far_actors: Sequence[Supervisor] = (),
        cluster: FarDecoding | None = None,
    ) -> None:
        self.storage = storage  # says whether listening copies are made, and what they leave free on the disk
        self.local = {actor.name: actor for actor in actors}
        self.far = {actor.name: actor for actor in far_actors}
        self.actors = {**self.local, **self.far}
        self._cluster = cluster
        self._data = data
        self._media = media
        self._stall_s = limits.decode_stall_s
        self._jobs: dict[str, str] = {}  # actor -> job

    def view(self) -> tuple[MediaActorView, ...]:
        """Return the actors as the planner sees them.

        An actor that was never started counts as idle, because work starts it. It does not while another actor is
        starting, which will be ready sooner. One on another machine is there when it is ready.
        """
        starting = any(actor.state is ActorState.STARTING for actor in self.local.values())

        def idle(name: str, actor: Supervisor) -> bool:
            startable = actor.state is ActorState.IDLE and not starting
            return name not in self._jobs and (bool(actor.ready_generation) or startable)

        far = (
            MediaActorView(name, name not in self._jobs, far=True)
            for name, actor in self.far.items()
            if actor.ready_generation
        )
        return (*(MediaActorView(name, idle(name, actor)) for name, actor in self.local.items()), *far)

    def follow_cluster(self, *, work: bool) -> None:
        """Let as many media actors be on other machines as there is room for. Start them if there is `work`."""
        room = self._cluster.decoders if self._cluster is not None else 0
        for number, actor in enumerate(self.far.values()):
            if number >= room and actor.state is ActorState.PENDING:
                actor.go_idle()
            elif number < room and work:
                actor.start()

    @property
    def far_problem(self) -> Problem | None:
        """Why the machines of the cluster decode nothing. None: they do, or they are not meant to."""
        return self._cluster.decoding_problem if self._cluster is not None else None

    @property
    def obstacle(self) -> Problem | None:
        """Why no recording is decoded: every actor that was started died too often. None: recordings are decoded."""
        started = [actor for actor in self.local.values() if actor.state is not ActorState.IDLE]
        started += [actor for actor in self.far.values() if actor.ready_generation]
        return started[0].problem if started and all(actor.broken for actor in started) else None

    def reset(self) -> None:
        """Start the actors that died too often."""
        for actor in self.actors.values():
            if actor.broken:
                actor.reset()

    def decodes(self, name: str | None, job_id: str) -> bool:
        """Return whether this actor decodes the recording of this job."""
        return self._jobs.get(name or "") == job_id

    def start(self, job: Job, name: str, *, limit_s: float | None = None) -> bool:
        """Give a recording, or its first `limit_s` seconds, to an actor. False: the actor has to start first.

        Raises `OSError` when there is no room for the samples. The files that the actor writes are created here: an
        actor that hears late of a cancelled job must not create them again.
        """
        actor = self.actors[name]
        if not actor.ready_generation:
            actor.start()
            return False
        spool, peaks = self._data.spool_of(job.id), self._data.peaks_of(job.id)
        fine_peaks = self._data.fine_peaks_of(job.id)
        channels = Channels.MIX if limit_s is not None else job.options.channels
        apart = [] if channels is Channels.MIX else [self._data.channels_of(job.id)]
        for path in (spool, peaks, fine_peaks, *apart):
            path.touch()
        self._jobs[name] = job.id
        command = Decode(
            job_id=job.id,
            source=str(self._data.source_of(job.id)),
            spool=str(spool),
            peaks=str(peaks),
            fine_peaks=str(fine_peaks),
            max_duration_s=self._media.max_duration_s,
            max_expansion=self._media.max_expansion,
            limit_s=limit_s,
            begin_s=job.options.begin_s or 0.0,
            end_s=job.options.end_s,
            track=job.options.track,
            language=job.options.language,
            name=job.name,
            copy=self._copy_of(job, limit_s),
            spare_bytes=self.storage.min_free_bytes,
            channels=channels,
            apart="".join(map(str, apart)),
        )
        actor.send(command, generation=actor.ready_generation, within_s=self._stall_s, key=job.id)
        self._start_spare()
        return True

    def cancel(self, name: str, job_id: str) -> None:
        """Let the actor stop decoding this recording. The actor is free at once."""
        if self._release(name, job_id):
            self.actors[name].send(Cancel(job_id=job_id), generation=self.actors[name].ready_generation)

    def on_progress(self, name: str, job_id: str) -> None:
        """Start the deadline of the actor anew."""
        if self.decodes(name, job_id):
            self.actors[name].set_deadline(job_id, self._stall_s, generation=self.actors[name].ready_generation)

    def on_end(self, name: str, job_id: str) -> None:
        """Record that the actor is done with this recording, unless it has another one by now."""
        self.actors[name].mark_useful(generation=self.actors[name].ready_generation)
        self._release(name, job_id)

    def on_died(self, name: str) -> str | None:
        """Record the death of an actor, and return the job whose recording it decoded."""
        return self._jobs.pop(name, None)

    def _copy_of(self, job: Job, limit_s: float | None) -> str:
        """Return where the listening copy goes, and create its draft. Empty: none is wanted, or it has no room."""
        is_part = limit_s is not None or job.options.begin_s or job.options.end_s
        if not self.storage.listening_copy or is_part:  # a copy of a part would be at other times
            return ""
        copy = self._data.copy_of(job.id)
        try:
            if not copy.exists():
                draft_of(copy).touch()
        except OSError as error:  # the text does not need the copy
            facts = {"action": "listening_copy_failed", "job": job.id}
            logger.warning("There is no place for a listening copy: %s", error, extra=facts)
            return ""
        return str(copy)

    def _start_spare(self) -> None:
        """Start one more actor here if none is free, so that the next recording does not wait for a start.

        An idle actor takes 35 MB of memory, and its start 0.2 s of CPU time.
        """
        free = [actor for name, actor in self.local.items() if name not in self._jobs]
        if free and all(actor.state is ActorState.IDLE for actor in free):
            free[0].start()

    def _release(self, name: str, job_id: str) -> bool:
        """Free the actor. False: it does not decode this recording."""
        if not self.decodes(name, job_id):
            return False
        del self._jobs[name]
        self.actors[name].clear_deadline(job_id)
        return True
