"""The service loop against actors that do exactly what a test says, in the order that only happens on a bad day."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from testkit.service import configuration
from testkit.weights import weights
from whisper_service.config import schema
from whisper_service.core.domain import (
    CALL_RANK,
    SAMPLE_RATE,
    ActorState,
    Job,
    Options,
    Phase,
    Problem,
    Segment,
    Span,
    Status,
)
from whisper_service.core.errors import DiskFull, IllegalTransition, StoreBusy
from whisper_service.core.fallback import Rung
from whisper_service.core.job_states import Cause
from whisper_service.host.machine import Machine
from whisper_service.models.catalog import Catalog
from whisper_service.models.hubs import Hub
from whisper_service.models.inventory import Inventory
from whisper_service.scheduler import loop as dispatch
from whisper_service.scheduler import model_actions, requests
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.loop import Loop
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_downloads import ModelDownloads
from whisper_service.scheduler.model_states import ModelStates
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.supervision.faults import classify
from whisper_service.supervision.protocol import (
    BatchDone,
    Cancel,
    ChunkDone,
    ChunkFound,
    Command,
    Decode,
    Decoded,
    Fault,
    Load,
    Loaded,
    Ready,
    Report,
    Transcribe,
)
from whisper_service.supervision.supervisor import Died, Reported

pytestmark = pytest.mark.anyio


class Actor:
    """Stands where a supervisor stands; the test plays the child."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ActorState.IDLE
        self.generation = 0
        self.facts: dict[str, Any] = {}
        self.problem: Problem | None = None
        self.failures = 0
        self.idle_generation = 0
        self.broken = False
        self.got: list[tuple[int, Command]] = []  # with the generation that it was meant for

    def start(self) -> None: ...
    def go_idle(self) -> None: ...
    def clear_deadline(self, key: object) -> None: ...
    def set_deadline(self, key: object, within_s: float, *, generation: int | None = None) -> None: ...
    def mark_useful(self, *, generation: int | None = None) -> None: ...

    def send(self, command: Command, *, generation: int, **deadline: Any) -> None:
        self.got.append((generation, command))

    def commands(self, kind: type, generation: int | None = None) -> list[Any]:
        return [command for meant, command in self.got if isinstance(command, kind) and generation in (None, meant)]


class Stage:
    """A loop with its store, and the two children."""

    def __init__(self, store: Store, data: DataDir, catalog: Catalog, settings: schema.Config) -> None:
        self.store = store
        self.data = data
        self.mailbox = Mailbox()
        self.facts: dict[str, Any] = {"cpus": 1}
        self.speech, self.media = Actor("speech"), Actor("media-1")
        speech = SpeechActor(self.speech, settings.speech, settings.supervision)  # type: ignore[arg-type]
        feed = ChangeFeed(store.change_log, 0)
        self.download = Actor("download")
        models = ModelStates(store, feed, Inventory(catalog, Machine(cpus=2, memory_bytes=0)), speech)
        self.context = Context(
            mailbox=self.mailbox,
            store=store,
            data=data,
            ledger=Ledger(store, feed, data),
            speech=speech,
            media=MediaActors([self.media], data, stall_s=60, max_duration_s=1e6, max_expansion=1e6),  # type: ignore[list-item]
            models=models,
            downloads=ModelDownloads(self.download, models, Hub(), spare_bytes=0),  # type: ignore[arg-type]
            hub_tests=HubTests(Actor("connection")),  # type: ignore[arg-type]
            preload=False,
        )
        self.loop = Loop(self.context)

    def say(self, actor: Actor, *reports: Report, generation: int | None = None) -> None:
        """Reports arrive, all before the loop has its turn."""
        for report in reports:
            if isinstance(report, Ready):
                actor.generation, actor.state, actor.facts = actor.generation + 1, ActorState.READY, self.facts
            self.mailbox.deliver(Reported(actor.name, generation or actor.generation, report))

    def die(self, actor: Actor, text: str = "Segmentation fault", code: int = -11) -> None:
        """The child is gone, and the news of it is on its way."""
        actor.state = ActorState.WAITING
        self.mailbox.deliver(Died(actor.name, actor.generation, classify(text, code), 0.1))

    async def settled(self) -> None:
        """Everything that arrived is dealt with."""

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
        await self.context.ask(requests.submit, job)
        await self.settled()

    async def decoded(self, job_id: str = "job", chunks: int = 3, warning: Problem | None = None) -> None:
        """The media actor has cut the recording."""
        if not self.media.generation:
            self.say(self.media, Ready(pid=1))
        await self.settled()
        (command,) = (c for c in self.media.commands(Decode)[-1:] if c.job_id == job_id)
        await anyio.Path(command.spool).write_bytes(bytes(2 * SAMPLE_RATE * chunks))
        found = [ChunkFound(job_id, Span(n, n * SAMPLE_RATE, SAMPLE_RATE, float(n), n + 1.0)) for n in range(chunks)]
        self.say(self.media, *found, Decoded(job_id, float(chunks), chunks, (warning,) if warning else ()))
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
async def staged(
    tmp_path: Path, slots: int = 1, facts: dict[str, Any] | None = None, probe_s: float = 180.0, **speech: Any
) -> AsyncIterator[Stage]:
    base = configuration(tmp_path)
    chosen = schema.Config(
        data_dir=base.data_dir,
        speech=schema.SpeechSettings(model=base.speech.model, slots=slots, **speech),
        supervision=schema.SupervisionSettings(probe_s=probe_s),
    )
    data = DataDir(chosen.data_dir)
    with data.hold():
        async with Store.open(data.database) as store:
            stage = Stage(store, data, Catalog(data.models, default=chosen.speech.model), chosen)
            stage.facts = facts or stage.facts
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(stage.loop.run)
                    try:
                        yield stage
                    finally:
                        stage.mailbox.close()


async def test_what_was_heard_before_the_death_counts_although_the_next_child_is_there(tmp_path: Path) -> None:
    """ChunkDone, Died and the next Ready are in the mailbox together: the supervisor is a generation ahead."""
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        (first,) = stage.batches()
        stage.say(stage.speech, heard(first))
        stage.die(stage.speech)
        stage.say(stage.speech, Ready(pid=3))
        await stage.settled()
        assert await stage.texts() == ["chunk 0"]
        assert [chunk.attempts for chunk in await stage.store.chunks("job")] == [0, 0, 0]
        assert stage.batches(2) == []  # it has no model yet
        assert len(stage.speech.commands(Load, 2)) == 1
        await stage.loaded()
        assert [row.span.index for row in stage.batches(2)[0].chunks] == [1]


async def test_the_death_is_dealt_with_before_anything_is_given_to_the_next_child(tmp_path: Path) -> None:
    """The supervisor says READY already; the loop has not heard of the death and has something new to give."""
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=60)  # a shorter one would be as urgent as the call
        await stage.loaded()
        stage.speech.generation += 1
        call = replace(stage.job_of("call"), rank=CALL_RANK)
        await stage.context.ask(requests.submit, call)
        await stage.decoded("call", chunks=1)
        assert stage.speech.commands(Transcribe)[-1].express
        assert {meant for meant, _ in stage.speech.got} == {1}
        stage.mailbox.deliver(Died("speech", 1, classify("", -11), 0.1))
        await stage.settled()
        assert {meant for meant, _ in stage.speech.got} == {1}
        stage.mailbox.deliver(Reported("speech", 2, Ready(pid=3)))
        await stage.loaded()
        assert [chunk.attempts for chunk in await stage.store.chunks("job")] == [1, *[0] * 59]
        assert [chunk.attempts for chunk in await stage.store.chunks("call")] == [
            1
        ]  # it was on its way to the dead one
        first, *rest = [type(command) for meant, command in stage.speech.got if meant == 2]
        assert (first, {*rest}) == (Load, {Transcribe})


async def test_a_report_of_a_dead_child_that_comes_after_all_changes_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        (first,) = stage.batches()
        stage.die(stage.speech)
        stage.say(stage.speech, Ready(pid=3))
        await stage.loaded()
        (again,) = stage.batches(2)
        assert again.chunks == first.chunks
        stage.say(stage.speech, heard(first, text="late"), over(first), generation=1)
        await stage.settled()
        assert await stage.texts() == []
        stage.say(stage.speech, heard(again), over(again))
        await stage.settled()
        assert await stage.texts() == ["chunk 0"]


async def test_a_chunk_that_is_in_two_batches_is_told_once_and_the_first_takes_nothing_from_the_second(
    tmp_path: Path,
) -> None:
    """Paused and resumed while its batch was at work: the chunk is given again in another slot."""
    async with staged(tmp_path, slots=2) as stage:
        await stage.submit()
        await stage.decoded(chunks=1)
        await stage.loaded()
        (first,) = stage.batches()
        await stage.context.ask(requests.change, "job", Cause.PAUSE)
        await stage.context.ask(requests.change, "job", Cause.RESUME)
        await stage.settled()
        _, second = stage.batches()
        stage.say(stage.speech, over(first))  # it had been cancelled there, say
        await stage.settled()
        assert len(stage.batches()) == 2
        stage.say(stage.speech, heard(second), heard(first, text="again"), over(second))
        await stage.settled()
        assert await stage.texts() == ["chunk 0"]
        assert (await stage.job()).status is Status.COMPLETED


async def test_a_fault_of_a_batch_strikes_no_chunk_that_is_in_another_one_by_now(tmp_path: Path) -> None:
    async with staged(tmp_path, slots=2) as stage:
        await stage.submit()
        await stage.decoded(chunks=1)
        await stage.loaded()
        (first,) = stage.batches()
        await stage.context.ask(requests.change, "job", Cause.PAUSE)
        await stage.context.ask(requests.change, "job", Cause.RESUME)
        await stage.settled()
        problem = Problem("unknown", "Something unexpected happened.")
        stage.say(stage.speech, Fault("batch", "unknown", problem, batch=first.batch))
        await stage.settled()
        assert [chunk.attempts for chunk in await stage.store.chunks("job")] == [0]


async def test_actors_hear_of_the_end_of_a_job_before_its_spool_goes(tmp_path: Path) -> None:
    """Rows of it may be queued in a batch with those of others, who must not suffer from a spool that is gone."""
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        spool = stage.data.spool_of("job")
        seen: list[bool] = []
        send = stage.speech.send

        def watch(command: Command, **rest: Any) -> None:
            if isinstance(command, Cancel):
                seen.append(spool.exists())
            send(command, **rest)

        stage.speech.send = watch  # type: ignore[method-assign]
        await stage.context.ask(requests.change, "job", Cause.CANCEL)
        assert seen == [True]
        assert not spool.exists()


async def test_a_job_that_cannot_be_cancelled_is_not(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=0)
        assert (await stage.job()).status is Status.COMPLETED
        with pytest.raises(IllegalTransition):
            await stage.context.ask(requests.change, "job", Cause.CANCEL)


async def test_a_step_that_fails_takes_nothing_of_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the sound of a recording with waiting chunks; the same plan has a batch of another recording."""
    async with staged(tmp_path) as stage:
        await stage.submit("whole")
        await stage.decoded("whole", chunks=1)
        await stage.submit("half")
        stage.say(stage.media, ChunkFound("half", Span(0, 0, SAMPLE_RATE, 0.0, 1.0)))
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()

        def full(*_: Any, **__: Any) -> bool:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(stage.context.media, "start", full)
        stage.die(stage.media)
        stage.say(stage.media, Ready(pid=3))
        load = stage.speech.commands(Load)[-1]
        stage.say(stage.speech, Loaded(load.model, load.device, "int8", 0.1))
        await stage.settled()
        failed = await stage.job("half")
        assert failed.error is not None
        assert (failed.status, failed.error.code) == (Status.FAILED, "disk_full")
        (batch,) = stage.batches()
        assert [row.job_id for row in batch.chunks] == ["whole"]
        stage.say(stage.speech, heard(batch), over(batch))
        await stage.settled()
        assert (await stage.job("whole")).status is Status.COMPLETED


async def test_a_batch_of_a_paused_job_does_not_outlive_the_model_that_is_unloaded(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=1)
        await stage.loaded()
        await stage.context.ask(requests.change, "job", Cause.PAUSE)
        name = stage.context.speech.model
        assert name is not None
        await stage.context.ask(model_actions.unload, name)
        await stage.context.ask(requests.change, "job", Cause.RESUME)
        stage.say(stage.speech, Ready(pid=3))
        await stage.loaded()
        again = stage.batches()[-1]
        assert len(stage.batches()) == 2
        stage.say(stage.speech, heard(again), over(again))
        await stage.settled()
        assert (await stage.job()).status is Status.COMPLETED


async def test_a_job_is_not_failed_because_its_download_cannot_be_written_down_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "RETRY_S", 0.01)
    async with staged(tmp_path) as stage:
        tell, refused = stage.store.service_state.log_model, 0

        async def busy(*given: Any, **rest: Any) -> Any:
            nonlocal refused
            refused += 1
            if refused <= 3:
                raise StoreBusy
            return await tell(*given, **rest)

        stage.store.service_state.log_model = busy  # type: ignore[method-assign]
        await stage.submit(model="tiny")
        while (job := await stage.job()).phase is not Phase.DOWNLOADING_MODEL:
            assert job.status is not Status.FAILED, job.error
            await anyio.sleep(0.01)


async def test_work_that_nobody_has_in_hand_is_taken_up_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second line, should the first one have a hole."""
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=1)
        await stage.loaded()
        stage.context.speech._batches.clear()
        await stage.settled()
        first, again = stage.batches()
        assert again.chunks == first.chunks
        assert [vars(record)["job"] for record in caplog.records if vars(record).get("action") == "work_reclaimed"] == [
            "job"
        ]
        stage.say(stage.speech, heard(again), over(again))
        await stage.settled()
        assert (await stage.job()).status is Status.COMPLETED


OOM = classify("CUDA failed with error out of memory")
GPU = {"cpus": 3, "cuda_devices": 1, "compute_types": {"cpu": ["int8"], "cuda:0": ["float16", "int8_float16", "int8"]}}


@pytest.mark.parametrize(("free", "batch"), [(80_000_000_000, 32), (4_000_000_000, 8), (1_000_000, 1), (None, 8)])
async def test_batches_are_as_large_as_the_gpu_has_room_for(tmp_path: Path, free: int | None, batch: int) -> None:
    """From what the actor saw of the card, and what the files of the model say of its shape."""
    async with staged(tmp_path, slots=4, facts=GPU | {"vram_free": [free]}) as stage:
        (tmp_path / "model" / "model.bin").write_bytes(weights(width=512, layers=6))
        await stage.submit()
        await stage.decoded(chunks=1)
        await stage.loaded()
        assert stage.context.speech.rung == Rung("cuda", "auto", batch, 4)


def first_batch(stage: Stage) -> Transcribe:
    """The last one that begins with the first chunk."""
    return next(batch for batch in reversed(stage.batches()) if batch.chunks[0].span.index == 0)


async def exits(stage: Stage, fault: Fault, text: str = "") -> None:
    """The speech actor says what happened, exits, and another takes its place."""
    stage.say(stage.speech, fault)
    stage.die(stage.speech, text, 1)
    stage.say(stage.speech, Ready(pid=3))
    await stage.loaded()


async def test_memory_that_ran_out_makes_batches_smaller_before_it_is_a_chunks_fault(tmp_path: Path) -> None:
    async with staged(tmp_path, slots=2) as stage:
        await stage.submit()
        await stage.decoded(chunks=4)
        await stage.loaded()
        for expected in ([0, 0, 0, 0],) * 4 + ([1, 0, 0, 0],):  # 8 -> 4 -> 2 -> 1 -> one slot, then it is to blame
            batch = first_batch(stage)
            await exits(stage, Fault("batch", OOM.kind.value, OOM.problem, batch=batch.batch, fatal=True))
            assert [chunk.attempts for chunk in await stage.store.chunks("job")] == expected
        history = (await stage.job()).history
        assert [note.code for note in history] == ["oom"] * 5
        assert [note.message.rpartition("work. ")[2] for note in history] == [
            *(f"The service continues with batches of {size}." for size in (4, 2, 1)),
            "The service continues with one batch at a time.",
            "This part is tried again.",
        ]
        assert [note.params["change"] for note in history] == [
            *({"kind": "batch", "to": size} for size in (4, 2, 1)),
            {"kind": "slots", "to": 1},
            {"kind": "chunk_retried"},
        ]
        assert stage.speech.commands(Load)[-1].slots == 1
        assert stage.context.speech.warnings == (OOM.problem,)
    async with staged(tmp_path, slots=2) as stage:  # the next service starts where this one stood
        await stage.submit("other")
        await stage.decoded("other", chunks=4)
        await stage.loaded()
        assert (stage.speech.commands(Load)[0].slots, len(stage.batches())) == (1, 1)
    async with staged(tmp_path, slots=2, compute_type="float32") as stage:  # unless it is set otherwise
        await stage.submit("third")
        await stage.decoded("third", chunks=4)
        await stage.loaded()
        assert stage.speech.commands(Load)[0].slots == 2


@pytest.mark.parametrize(
    "text",
    ["CUDA failed with error unspecified launch failure", "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"],
)
async def test_a_death_that_says_why_in_its_last_words_alone_is_understood(tmp_path: Path, text: str) -> None:
    async with staged(tmp_path, facts=GPU) as stage:
        await stage.submit()
        await stage.decoded(chunks=4)
        await stage.loaded()
        stage.die(
            stage.speech,
            f"terminate called after throwing an instance of 'std::runtime_error'\n  what():  {text}\n",
            -6,
        )
        stage.say(stage.speech, Ready(pid=3))
        await stage.loaded()
        (note,) = (await stage.job()).history
        assert note.message.endswith("The service continues with batches of 4.")
        blame = 0 if "ALLOC" in text else 1  # an error of the GPU may be the chunk's fault as well
        assert (await stage.store.chunks("job"))[0].attempts == blame


async def test_a_model_that_does_not_fit_the_gpu_is_loaded_smaller_and_at_last_on_the_cpu(tmp_path: Path) -> None:
    async with staged(tmp_path, facts=GPU) as stage:
        await stage.submit()
        await stage.decoded(chunks=4)
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        for _ in range(3):
            stage.say(stage.speech, Fault("model", OOM.kind.value, OOM.problem, fatal=True))
            stage.die(stage.speech, "", 1)
            stage.say(stage.speech, Ready(pid=3))
            await stage.settled()
        loads = stage.speech.commands(Load)
        assert [(load.device, load.compute_type) for load in loads] == [
            ("cuda", "auto"),
            ("cuda", "int8_float16"),
            ("cuda", "int8"),
            ("cpu", "auto"),
        ]
        await stage.loaded()
        job = await stage.job()
        assert (job.status, len(stage.batches())) == (Status.PROCESSING, 1)
        assert [note.message.rpartition("work. ")[2] for note in job.history] == [
            "The service continues with the compute type int8_float16.",
            "The service continues with the compute type int8.",
            "The service continues with the CPU.",
        ]


@pytest.mark.parametrize(
    "text", ["Library libcublas.so.12 is not found or cannot be loaded", "CUDA driver version is insufficient"]
)
@pytest.mark.parametrize("dies", [False, True])
async def test_a_gpu_that_cannot_be_used_leaves_the_work_to_the_cpu(tmp_path: Path, text: str, dies: bool) -> None:
    async with staged(tmp_path, facts=GPU) as stage:
        await stage.submit()
        await stage.decoded(chunks=4)
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        why = classify(text)
        if dies:  # it did not even come to say so
            stage.die(stage.speech, text, -6)
            stage.say(stage.speech, Ready(pid=3))
        else:
            stage.say(stage.speech, Fault("model", why.kind.value, why.problem))
        await stage.loaded()
        loads = stage.speech.commands(Load)
        assert [(load.device, load.compute_type) for load in loads] == [("cuda", "auto"), ("cpu", "auto")]
        assert stage.context.speech.warnings == (why.problem,)
        (note,) = (await stage.job()).history
        assert (note.code, note.message.endswith("The service continues with the CPU.")) == (why.problem.code, True)
        assert (
            await stage.store.service_state.fallback("cuda", loads[0].model) is None
        )  # with the library there it is as before


BROKEN = classify("Library libcublas.so.12 is not found or cannot be loaded")


async def test_a_model_that_cannot_be_loaded_in_any_way_keeps_its_jobs_waiting_and_no_others(tmp_path: Path) -> None:
    other = tmp_path / "data" / "models" / "other"
    async with staged(tmp_path, facts=GPU, cpu_fallback=False, probe_s=1.5) as stage:
        other.mkdir(parents=True)
        for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
            (other / name).write_text("{}")
        await stage.submit()
        await stage.decoded(chunks=2)
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        stage.say(stage.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await stage.settled()
        job = await stage.job()
        assert (job.status, job.error, job.problem) == (Status.PROCESSING, None, BROKEN.problem)
        assert job.message == f"Waits: {BROKEN.problem.message} {BROKEN.problem.hint}"
        await stage.submit("second", model="other")
        await stage.decoded("second", chunks=1)
        await stage.loaded()
        assert [Path(load.path).name for load in stage.speech.commands(Load)] == ["model", "other"]
        (batch,) = stage.batches()
        stage.say(stage.speech, heard(batch), over(batch))
        await stage.settled()
        assert (await stage.job("second")).status is Status.COMPLETED
        while len(stage.speech.commands(Load)) < 3:  # noqa: ASYNC110 - by itself, without any event
            await anyio.sleep(0.01)
        stage.say(stage.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await stage.settled()
        assert (await stage.job()).problem == BROKEN.problem
        await stage.context.ask(requests.change, "job", Cause.RETRY)
        await stage.loaded()
        assert len(stage.speech.commands(Load)) == 4
        job = await stage.job()
        assert (job.problem, job.message, len(stage.batches())) == (None, "Transcribing.", 2)


async def test_with_nothing_lighter_left_a_model_that_does_not_fit_waits_for_memory(tmp_path: Path) -> None:
    async with staged(tmp_path, batch_size=1) as stage:
        await stage.submit()
        await stage.decoded(chunks=2)
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        stage.say(stage.speech, Fault("model", OOM.kind.value, OOM.problem, fatal=True))
        stage.die(stage.speech, "", 1)
        stage.say(stage.speech, Ready(pid=3))
        await stage.settled()
        assert len(stage.speech.commands(Load)) == 1
        assert ((await stage.job()).status, (await stage.job()).problem) == (Status.PROCESSING, OOM.problem)
        await stage.context.ask(requests.reset)
        await stage.loaded()
        assert len(stage.batches()) == 1


async def test_whoever_mended_the_gpu_has_it_tried_again(tmp_path: Path) -> None:
    async with staged(tmp_path, facts=GPU) as stage:
        await stage.submit()
        await stage.decoded(chunks=2)
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        stage.say(stage.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await stage.loaded()
        (batch,) = stage.batches()
        await stage.context.ask(requests.reset)
        stage.say(stage.speech, heard(batch), over(batch))
        await stage.loaded()
        assert [load.device for load in stage.speech.commands(Load)] == ["cuda", "cpu", "cuda"]
        assert stage.context.speech.warnings == ()


async def test_a_library_that_is_missed_only_at_work_is_no_fault_of_the_chunks(tmp_path: Path) -> None:
    async with staged(tmp_path, facts=GPU) as stage:
        await stage.submit()
        await stage.decoded(chunks=2)
        await stage.loaded()
        (batch,) = stage.batches()
        stage.say(stage.speech, Fault("batch", BROKEN.kind.value, BROKEN.problem, batch=batch.batch))
        await stage.loaded()
        assert [load.device for load in stage.speech.commands(Load)] == ["cuda", "cpu"]
        assert [chunk.attempts for chunk in await stage.store.chunks("job")] == [0, 0]
        assert len(stage.batches()) == 2


async def test_after_a_stretch_of_success_it_climbs_and_falls_back_for_longer(tmp_path: Path) -> None:
    async with staged(tmp_path, climb_after_s=0.2) as stage:
        await stage.submit()
        await stage.decoded(chunks=9)
        await stage.loaded()
        model = stage.speech.commands(Load)[0].model
        fault = {"scope": "batch", "kind": OOM.kind.value, "problem": OOM.problem, "fatal": True}
        await exits(stage, Fault(**fault, batch=stage.batches()[-1].batch))
        standing = await stage.store.service_state.fallback("cpu", model)
        assert standing is not None
        assert (standing.rung.batch, standing.climbed, standing.climb_after_s) == (4, False, 0.2)
        await anyio.sleep(0.25)
        stage.say(stage.speech, heard(stage.batches()[-1]), over(stage.batches()[-1]))
        await stage.settled()
        standing = await stage.store.service_state.fallback("cpu", model)
        assert standing is not None
        assert (standing.rung.batch, standing.climbed) == (8, True)
        note = (await stage.job()).history[-1]
        assert note.message == "The work went well for a while. The service continues with batches of 8."
        assert note.params == {"change": {"kind": "batch", "to": 8}}
        await exits(stage, Fault(**fault, batch=stage.batches()[-1].batch))
        standing = await stage.store.service_state.fallback("cpu", model)
        assert standing is not None
        assert (standing.rung.batch, standing.climbed, standing.climb_after_s) == (4, False, 0.4)
        for _ in range(2):
            await anyio.sleep(0.45)
            stage.say(stage.speech, heard(stage.batches()[-1]), over(stage.batches()[-1]))
            await stage.settled()
        assert await stage.store.service_state.fallback("cpu", model) is None
        assert stage.context.speech.warnings == ()


async def test_other_numbers_are_tried_again_once_the_present_batch_has_ended(tmp_path: Path) -> None:
    async with staged(tmp_path, slots=2, facts=GPU, batch_size=1, climb_after_s=0.2) as stage:
        await stage.submit()
        await stage.decoded(chunks=9)
        await stage.loaded()
        for _ in range(2):  # one at a time, then smaller numbers
            await exits(stage, Fault("batch", OOM.kind.value, OOM.problem, batch=stage.batches()[-1].batch, fatal=True))
        assert [(load.compute_type, load.slots) for load in stage.speech.commands(Load)] == [
            ("auto", 2),
            ("auto", 1),
            ("int8_float16", 1),
        ]
        (one,) = stage.batches(3)
        await anyio.sleep(0.25)
        stage.say(stage.speech, heard(one), over(one))
        await stage.settled()
        assert [(load.compute_type, load.slots) for load in stage.speech.commands(Load)][3:] == [("auto", 1)]
        assert len(stage.batches(3)) == 1
        await stage.loaded()
        assert len(stage.batches(3)) == 2


def refuse(stage: Stage, monkeypatch: pytest.MonkeyPatch, *methods: str) -> Callable[[], None]:
    """The disk is full for these writes, until the answer is called."""
    for name in methods:

        async def full(*_: Any, **__: Any) -> Any:
            raise DiskFull

        monkeypatch.setattr(stage.store, name, full)
    return monkeypatch.undo


async def test_a_full_disk_fails_the_job_and_the_loop_lives_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        (first,) = stage.batches()
        free = refuse(stage, monkeypatch, "checkpoint")
        stage.say(stage.speech, heard(first), over(first))
        await stage.settled()
        free()
        failed = await stage.job()
        assert failed.error is not None
        assert (failed.status, failed.error.code) == (Status.FAILED, "disk_full")
        await stage.submit("next")
        await stage.decoded("next", chunks=0)
        assert (await stage.job("next")).status is Status.COMPLETED


async def test_a_job_whose_failure_cannot_be_written_fails_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "RETRY_S", 0.05)
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        (first,) = stage.batches()
        with monkeypatch.context() as patch:
            refuse(stage, patch, "checkpoint", "move", "update", "count_attempts", "add_chunk", "fail_chunk")
            stage.say(stage.speech, heard(first), over(first))
            await anyio.sleep(0.3)
            await stage.settled()
            assert (await stage.job()).status is Status.PROCESSING
        while (await stage.job()).status is not Status.FAILED:  # noqa: ASYNC110 - by itself, without any event
            await anyio.sleep(0.01)
        error = (await stage.job()).error
        assert error is not None
        assert error.code == "disk_full"


async def test_a_job_that_can_neither_be_taken_up_nor_failed_does_not_keep_the_loop_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "RETRY_S", 0.05)
    async with staged(tmp_path) as stage:
        with monkeypatch.context() as patch:
            refuse(stage, patch, "move")
            await stage.submit()
            await stage.submit("other")
            assert (await stage.job()).status is Status.PENDING
        while (await stage.job()).status is Status.PENDING:  # noqa: ASYNC110 - by itself, without any event
            await anyio.sleep(0.01)
        error = (await stage.job()).error
        assert error is not None
        assert error.code == "disk_full"


async def test_a_strike_that_cannot_be_written_loses_no_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        with monkeypatch.context() as patch:
            refuse(stage, patch, "count_attempts")
            stage.die(stage.speech)
            await stage.settled()
        stage.say(stage.speech, Ready(pid=3))
        await stage.loaded()
        assert [row.span.index for row in stage.batches(2)[0].chunks] == [0]


async def test_a_model_directory_that_cannot_be_read_fails_the_job_and_not_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:

        def denied(*_: Any) -> Any:
            raise PermissionError(13, "Permission denied", "model.bin")

        monkeypatch.setattr(Catalog, "locate", denied)
        await stage.submit()
        await stage.decoded()
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        failed = await stage.job()
        assert failed.error is not None
        assert (failed.status, "Permission denied" in failed.error.params["detail"]) == (Status.FAILED, True)
        await stage.settled()


async def test_a_chunk_that_is_never_answered_is_not_given_for_ever(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=1)
        await stage.loaded()
        for number in range(3):
            assert len(stage.batches()) == number + 1
            stage.say(stage.speech, over(stage.batches()[-1]))
            await stage.settled()
        failed = await stage.job()
        assert failed.error is not None
        assert (failed.status, failed.error.code, len(stage.batches())) == (Status.FAILED, "unknown", 3)


async def test_nothing_is_begun_once_the_end_was_asked_for(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        (first,) = stage.batches()
        stage.say(stage.speech, heard(first), over(first))
        stage.mailbox.close()
    assert len(stage.batches()) == 1


async def test_a_job_hears_that_its_recording_is_read_again(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        stage.say(stage.media, Ready(pid=1))
        await stage.settled()
        stage.say(stage.media, ChunkFound("job", Span(0, 0, SAMPLE_RATE, 0.0, 1.0)))
        await stage.settled()
        stage.die(stage.media)
        await stage.settled()
        (note,) = (await stage.job()).history
        assert note.message.endswith("The recording is read again from its beginning.")
        assert note.params["change"] == {"kind": "decoded_again"}


async def test_a_chunk_is_given_up_for_the_tenth_kill_from_outside(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=2)
        await stage.loaded()
        for kills in range(10):
            assert [(chunk.attempts, chunk.kills) for chunk in await stage.store.chunks("job")] == [(0, kills), (0, 0)]
            assert [row.span.index for row in stage.batches()[-1].chunks] == [0]
            stage.die(stage.speech, "", -9)
            stage.say(stage.speech, Ready(pid=3))
            await stage.loaded()
        job = await stage.job()
        assert [gap.reason for gap in job.gaps] == ["The process was killed from outside."]
        assert [note.code for note in job.history] == ["killed"] * 10
        assert job.history[0].message == "At 00:00:00: The process was killed from outside. This part is tried again."
        assert job.history[-1].message.endswith("This part is left out.")
        assert job.history[-1].params == {"position_s": 1.0, "change": {"kind": "chunk_left_out"}}


async def test_a_retry_gives_only_what_is_a_gap(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=3)
        await stage.loaded()
        while (await stage.job()).status is Status.PROCESSING:
            batch = stage.batches()[-1]
            for number, row in enumerate(batch.chunks):
                odd = Problem("unknown", "Something unexpected happened.")
                broken = Fault("batch", "unknown", odd, batch=batch.batch, job_id="job", index=1)
                stage.say(stage.speech, broken if row.span.index == 1 else heard(batch, number))
            stage.say(stage.speech, over(batch))
            await stage.settled()
        assert [(gap.start, gap.end) for gap in (await stage.job()).gaps] == [(1.0, 2.0)]
        before = len(stage.batches())
        await stage.context.ask(requests.change, "job", Cause.RETRY)
        await stage.decoded(chunks=3)
        (again,) = stage.batches()[before:]
        assert [row.span.index for row in again.chunks] == [1]
        stage.say(stage.speech, heard(again), over(again))
        await stage.settled()
        assert ((await stage.job()).status, (await stage.job()).gaps) == (Status.COMPLETED, ())
        assert await stage.texts() == ["chunk 0", "chunk 1", "chunk 2"]


async def test_a_driver_without_a_card_to_use_is_a_warning(tmp_path: Path) -> None:
    seen = {"cpus": 1, "cuda_devices": 0, "cuda_driver": (12, 2)}
    async with staged(tmp_path, facts=seen) as stage:
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        (warning,) = stage.context.speech.warnings
        assert (warning.code, "CUDA 12.2" in warning.message) == ("device_unusable", True)
    async with staged(tmp_path, facts=seen, device="cpu") as stage:
        stage.say(stage.speech, Ready(pid=2))
        await stage.settled()
        assert stage.context.speech.warnings == ()


async def test_what_comes_late_for_a_paused_job_moves_its_progress(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=4)
        await stage.loaded()
        (first,) = stage.batches()
        await stage.context.ask(requests.change, "job", Cause.PAUSE)
        assert (await stage.job()).progress == 0.0
        stage.say(stage.speech, heard(first), over(first))
        await stage.settled()
        job = await stage.job()
        assert (job.status, job.progress, job.position_s, job.speed) == (Status.PAUSED, 0.25, 1.0, None)


async def test_what_comes_late_for_a_deleted_job_is_nothing_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=4)
        await stage.loaded()
        (first,) = stage.batches()
        await stage.context.ask(requests.delete, "job")
        stage.say(stage.speech, heard(first), over(first))
        await stage.settled()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_warning_of_the_decode_outlives_the_service(tmp_path: Path) -> None:
    warning = Problem("truncated", "The file ends too early.", params={"at_s": 1.0})
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded(chunks=1, warning=warning)
    async with Store.open(stage.data.database) as store:
        await store.recover()
    async with staged(tmp_path) as stage:
        await stage.loaded()
        (batch,) = stage.batches()
        stage.say(stage.speech, heard(batch), over(batch))
        await stage.settled()
        job = await stage.job()
        assert (job.status, job.message) == (Status.COMPLETED, "The file ends too early.")
        assert [(note.code, note.params) for note in job.history] == [("truncated", {"at_s": 1.0})]


async def test_what_came_before_the_end_is_kept(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.submit()
        await stage.decoded()
        await stage.loaded()
        stage.say(stage.speech, heard(stage.batches()[0]))
        stage.mailbox.close()
    async with Store.open(stage.data.database) as store:
        assert [segment.text for segment in await store.segments("job")] == ["chunk 0"]
