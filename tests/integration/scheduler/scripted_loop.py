"""The loop of the scheduler with a real store, and actors that do exactly what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.service import configuration
from whisper_service.config import schema
from whisper_service.core.domain import SAMPLE_RATE, ActorState, Job, Options, Problem, Segment, Span, Status
from whisper_service.core.errors import DiskFull
from whisper_service.host.machine import Machine
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.fleet import Fleet
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.live_actor import LiveActor
from whisper_service.scheduler.loop import Loop
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_downloads import ModelDownloads
from whisper_service.scheduler.model_states import ModelStates
from whisper_service.scheduler.speakers_actor import SpeakersActor
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.supervision.faults import classify
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.download import Hub
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, Load, Loaded, Transcribe
from whisper_service.supervision.protocol import Command, Report
from whisper_service.supervision.supervisor import Died, Reported, Supervisor


class ScriptedActor:
    """A supervisor whose actor is played by the test: keeps the commands, starts nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ActorState.IDLE
        self.generation = 0
        self.facts: dict[str, Any] = {}
        self.problem: Problem | None = None
        self.failures = 0
        self.idle_generation = self.ready_generation = 0
        self.broken = False
        self.obstacle: Problem | None = None  # why it waits for a machine
        self.got: list[tuple[int, Command]] = []  # with the generation that it was meant for

    def start(self) -> None: ...
    def clear_deadline(self, key: object) -> None: ...
    def set_deadline(self, key: object, within_s: float, *, generation: int | None = None) -> None: ...
    def mark_useful(self, *, generation: int | None = None) -> None: ...

    takes_command = Supervisor.takes_command

    def go_idle(self) -> None:
        self.ready_generation = 0

    def send(self, command: Command, *, generation: int, **deadline: Any) -> None:
        self.got.append((generation, command))

    def commands(self, kind: type, generation: int | None = None) -> list[Any]:
        return [command for meant, command in self.got if isinstance(command, kind) and generation in (None, meant)]


class ScriptedLoop:
    """A loop with its store, and its speech and media actor."""

    def __init__(self, store: Store, data: DataDir, catalog: Catalog, settings: schema.Config) -> None:
        self.store = store
        self.data = data
        self.mailbox = Mailbox()
        self.facts: dict[str, Any] = {"cpus": 1}
        self.seats: dict[str, ScriptedActor] = {}  # the speech actors, by name
        fleet = Fleet(self._make_speech, settings.speech, settings.supervision)  # type: ignore[arg-type]
        self.speech, self.media = self.seats["speech"], ScriptedActor("media-1")
        feed = ChangeFeed(store.change_log, 0)
        self.download, self.live = ScriptedActor("download"), ScriptedActor("live")
        self.speakers = ScriptedActor("speakers")
        models = ModelStates(store, feed, Inventory(catalog, Machine(cpus=2, memory_bytes=0)), fleet)
        self.context = Context(
            mailbox=self.mailbox,
            store=store,
            data=data,
            ledger=Ledger(store, feed, data),
            fleet=fleet,
            media=MediaActors(
                [self.media],  # type: ignore[list-item]
                data,
                settings.media,
                settings.supervision,
                settings.storage,
            ),
            live=LiveActor(self.live, data, settings.supervision),  # type: ignore[arg-type]
            speakers=SpeakersActor(self.speakers, catalog.target_of("speakers")),  # type: ignore[arg-type]
            models=models,
            downloads=ModelDownloads(self.download, models, Hub(()), spare_bytes=0),  # type: ignore[arg-type]
            hub_tests=HubTests(ScriptedActor("connection")),  # type: ignore[arg-type]
            preload=False,
        )
        self.loop = Loop(self.context)

    def _make_speech(self, name: str) -> ScriptedActor:
        self.seats[name] = ScriptedActor(name)
        return self.seats[name]

    def say(self, actor: ScriptedActor, *reports: Report, generation: int | None = None) -> None:
        """Deliver reports, all before the loop has its turn."""
        for report in reports:
            if isinstance(report, Ready):
                actor.generation, actor.state, actor.facts = actor.generation + 1, ActorState.READY, self.facts
            self.mailbox.deliver(Reported(actor.name, generation or actor.generation, report))

    def die(self, actor: ScriptedActor, text: str = "Segmentation fault", code: int = -11) -> None:
        """Let the actor die, and deliver the news."""
        actor.state = ActorState.WAITING
        self.mailbox.deliver(Died(actor.name, actor.generation, classify(text, code), 0.1))

    async def settled(self) -> None:
        """Wait until the loop has handled everything that arrived."""

        async def nothing() -> None: ...

        for _ in range(2):
            await self.mailbox.ask(nothing)

    def job_of(self, job_id: str, **options: Any) -> Job:
        return Job(
            job_id,
            "talk",
            Status.PENDING,
            Options(**{"language": "en", **options}),
            created_at=0.0,
            bytes=1,
            sha256="0",
        )

    async def submit(self, job_id: str = "job", **options: Any) -> None:
        job = self.job_of(job_id, **options)
        await self.mailbox.ask(self.context.ledger.add, job)
        await self.settled()

    async def decoded(self, job_id: str = "job", chunks: int = 3, warning: Problem | None = None) -> None:
        """The media actor has cut the recording."""
        if not self.media.generation:
            self.say(self.media, Ready(pid=1))
        await self.settled()
        (command,) = (c for c in self.media.commands(Decode)[-1:] if c.job_id == job_id)
        await anyio.Path(command.spool).write_bytes(bytes(2 * SAMPLE_RATE * chunks))
        found = [ChunkFound(job_id, Span(n, n * SAMPLE_RATE, SAMPLE_RATE, float(n), n + 1.0)) for n in range(chunks)]
        self.say(self.media, *found, Decoded(job_id, float(chunks), (warning,) if warning else ()))
        await self.settled()

    async def loaded(self) -> None:
        """The speech actor is ready and has what it was told to load."""
        if not self.speech.generation or self.speech.state is not ActorState.READY:
            self.say(self.speech, Ready(pid=2))
        await self.settled()
        load = self.speech.commands(Load)[-1]
        self.say(self.speech, Loaded(load.model, load.device, "int8", 0.1))
        await self.settled()

    def batches(self, generation: int | None = None) -> list[Transcribe]:
        return self.speech.commands(Transcribe, generation)

    async def texts(self, job_id: str = "job") -> list[str]:
        return [segment.text for segment in await self.store.segments(job_id)]

    async def job(self, job_id: str = "job") -> Job:
        return await self.store.job(job_id)


def heard(batch: Transcribe, row: int = 0, text: str = "") -> ChunkDone:
    what = batch.chunks[row]
    index = what.span.index
    segment = Segment(index, 0, what.span.start, what.span.end, text or f"chunk {index}")
    return ChunkDone(batch=batch.batch, job_id=what.job_id, index=index, segments=(segment,), language="en")


def over(batch: Transcribe) -> BatchDone:
    return BatchDone(batch=batch.batch, seconds=0.1, audio_s=1.0)


@asynccontextmanager
async def scripted_loop(
    tmp_path: Path, slots: int = 1, facts: dict[str, Any] | None = None, probe_s: float = 180.0, **speech: Any
) -> AsyncIterator[ScriptedLoop]:
    base = configuration(tmp_path)
    chosen = schema.Config(
        data_dir=base.data_dir,
        speech=schema.SpeechSettings(model=base.speech.model, slots=slots, **speech),
        supervision=schema.SupervisionSettings(probe_s=probe_s),
    )
    data = DataDir(chosen.data_dir)
    with data.hold():
        async with Store.open(data.database) as store:
            scripted = ScriptedLoop(store, data, Catalog(data.models, default=chosen.speech.model), chosen)
            scripted.facts = facts or scripted.facts
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(scripted.loop.run)
                    try:
                        yield scripted
                    finally:
                        scripted.mailbox.close()


OOM = classify("CUDA failed with error out of memory")
GPU = {"cpus": 3, "cuda_devices": 1, "compute_types": {"cpu": ["int8"], "cuda:0": ["float16", "int8_float16", "int8"]}}


def first_batch(scripted: ScriptedLoop) -> Transcribe:
    """The last one that begins with the first chunk."""
    return next(batch for batch in reversed(scripted.batches()) if batch.chunks[0].span.index == 0)


async def exits(scripted: ScriptedLoop, fault: Fault, text: str = "") -> None:
    """The speech actor says what happened, exits, and another takes its place."""
    scripted.say(scripted.speech, fault)
    scripted.die(scripted.speech, text, 1)
    scripted.say(scripted.speech, Ready(pid=3))
    await scripted.loaded()


def refuse(scripted: ScriptedLoop, monkeypatch: pytest.MonkeyPatch, *methods: str) -> Callable[[], None]:
    """The disk is full for these writes, until the answer is called."""
    for name in methods:

        async def full(*_: Any, **__: Any) -> Any:
            raise DiskFull

        monkeypatch.setattr(scripted.store, name, full)
    return monkeypatch.undo
