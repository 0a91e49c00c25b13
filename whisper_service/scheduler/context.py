"""The parts of the scheduler, handed to every module of this folder as one value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

from whisper_service.core.domain import Problem
from whisper_service.scheduler.alignment_actor import AlignmentActor
from whisper_service.scheduler.fleet import Fleet
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.live_actor import LiveActor
from whisper_service.scheduler.live_drafts import LiveDrafts
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_downloads import ModelDownloads
from whisper_service.scheduler.model_states import ModelStates
from whisper_service.scheduler.recordings import Recordings
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speakers_actor import SpeakersActor
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.supervision.supervisor import Supervisor

T = TypeVar("T")
P = ParamSpec("P")


@dataclass
class Context:
    """What the scheduler works on. Only the scheduler's loop changes it."""

    mailbox: Mailbox
    store: Store
    data: DataDir
    ledger: Ledger
    fleet: Fleet
    media: MediaActors
    live: LiveActor
    speakers: SpeakersActor
    models: ModelStates
    downloads: ModelDownloads
    hub_tests: HubTests
    preload: bool  # load the default model before the first job
    gateway: Supervisor | None = None  # of a cluster; None: this machine does all the work
    alignment: AlignmentActor = field(default_factory=AlignmentActor)
    drafts: LiveDrafts = field(default_factory=LiveDrafts)
    recordings: Recordings | None = None  # None: every recording is on this machine
    run_task: Callable[..., object] = field(default=lambda *_: None)  # beside the loop, until the service ends
    unwritten: dict[str, Problem | None] = field(default_factory=dict)
    """Jobs that ended while the store could not be written: the cause, or None for those that start again."""

    @property
    def actors(self) -> tuple[Supervisor, ...]:
        """The supervisor of every actor."""
        others = (self.live.actor, self.speakers.actor, self.downloads.actor, self.hub_tests.actor)
        return (*self.transcribing_actors, *others, *((self.gateway,) if self.gateway else ()))

    @property
    def transcribing_actors(self) -> tuple[Supervisor, ...]:
        """The supervisors of the actors without which nothing is transcribed."""
        return (*self.fleet.actors, *self.media.actors.values())

    def actor(self, name: str) -> Supervisor:
        """Return the supervisor of this name."""
        return next(actor for actor in self.actors if actor.name == name)

    def runs_of_model(self, model: str | None) -> list[Run]:
        """Return the jobs in work that use this model. None: jobs whose model is not chosen yet."""
        return [run for run in self.ledger.runs.values() if run.job.model == model]

    async def ask(self, act: Callable[Concatenate[Context, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` on the scheduler's loop and return its result.

        Raises what `act` raises, and `Unavailable` when the service ends.
        """
        return await self.mailbox.ask(act, self, *args, **kwargs)
