"""The loop with several devices: each seat has its actor, its model and its failures, and they share the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.scheduler.scripted_loop import OOM, ScriptedActor, ScriptedLoop, heard, over, scripted_loop
from whisper_service.app import system
from whisper_service.core.domain import ActorState, Problem, Status
from whisper_service.core.fallback import Rung
from whisper_service.scheduler import requests
from whisper_service.supervision.faults import classify, diagnose
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Cancel, Fault, Ready
from whisper_service.supervision.messages.speech import Load, Loaded, Transcribe
from whisper_service.supervision.supervisor import Died

pytestmark = pytest.mark.anyio

TYPES = {"cpu": ["int8"], **{f"cuda:{n}": ["float16", "int8_float16", "int8"] for n in range(4)}}
NO_ROOM = Problem("no_device", "No machine has room.", "Add one.")
BROKEN = classify("Library libcublas.so.12 is not found or cannot be loaded")


def cards(count: int, **facts: Any) -> dict[str, Any]:
    return {"cpus": 3, "cuda_devices": count, "compute_types": TYPES, **facts}


async def load(scripted: ScriptedLoop, actor: ScriptedActor, seconds: float = 0.1) -> None:
    """The actor is ready, and has what it was told to load, if it was told."""
    if not actor.generation or not actor.ready_generation:
        scripted.say(actor, Ready(pid=2))
    await scripted.settled()
    if loads := actor.commands(Load, actor.generation):
        scripted.say(actor, Loaded(loads[-1].model, loads[-1].device, "float16", seconds))
    await scripted.settled()


async def working(scripted: ScriptedLoop, chunks: int, **options: Any) -> list[ScriptedActor]:
    """All seats have the model and a batch of the job, which may give large ones by now."""
    await scripted.submit(**options)
    await scripted.decoded(chunks=chunks)
    await load(scripted, scripted.speech)
    for actor in list(scripted.seats.values())[1:]:
        await load(scripted, actor)
    await finish(scripted, *in_work(scripted)[0])
    assert len(in_work(scripted)) == len(scripted.seats)
    return list(scripted.seats.values())


def in_work(scripted: ScriptedLoop) -> list[tuple[ScriptedActor, Transcribe]]:
    """Return the batches that actors have now, and which actor."""
    fleet = scripted.context.fleet
    return [
        (actor, batch)
        for actor in scripted.seats.values()
        for batch in actor.commands(Transcribe, actor.generation)
        if batch.batch in fleet.seat(actor.name).batches
    ]


def chunks_of(batch: Transcribe) -> list[int]:
    return [chunk.span.index for chunk in batch.chunks]


async def finish(scripted: ScriptedLoop, actor: ScriptedActor, batch: Transcribe) -> None:
    scripted.say(actor, *(heard(batch, row) for row in range(len(batch.chunks))), over(batch))
    await scripted.settled()


async def finish_all(scripted: ScriptedLoop) -> None:
    while work := in_work(scripted):
        await finish(scripted, *work[0])


async def test_every_card_gets_a_seat_and_they_share_a_recording(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(4)) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=30)
        await load(scripted, scripted.speech)
        assert list(scripted.seats) == ["speech", "speech-2", "speech-3", "speech-4"]
        for actor in list(scripted.seats.values())[1:]:
            await load(scripted, actor)
        while len(in_work(scripted)) < 4:
            await finish(scripted, *in_work(scripted)[0])
        devices = {name: actor.commands(Load)[0].device for name, actor in scripted.seats.items()}
        assert devices == {"speech": "cuda:0", "speech-2": "cuda:1", "speech-3": "cuda:2", "speech-4": "cuda:3"}
        numbers = [batch.batch for _, batch in in_work(scripted)]
        assert len(set(numbers)) == 4, "numbers of batches are the fleet's"
        await finish_all(scripted)
        assert (await scripted.job()).status is Status.COMPLETED
        assert await scripted.texts() == [f"chunk {n}" for n in range(30)]
        given = [
            index for actor in scripted.seats.values() for b in actor.commands(Transcribe) for index in chunks_of(b)
        ]
        assert sorted(given) == list(range(30)), "each chunk was given once"


@pytest.mark.parametrize(
    ("device", "devices"),
    [
        ("cuda:1, cpu", ["cuda:1", "cpu"]),
        ("cuda,cuda:0,cuda:2", ["cuda:0", "cuda:2"]),
        ("cuda:1", ["cuda:1"]),
        ("cuda", ["cuda"]),
    ],
)
async def test_a_list_of_devices_names_the_seats(tmp_path: Path, device: str, devices: list[str]) -> None:
    async with scripted_loop(tmp_path, facts=cards(4), device=device) as scripted:
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        assert [seat.device.name for seat in scripted.context.fleet.seats] == devices


async def test_one_card_is_one_seat_as_before(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(1)) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await load(scripted, scripted.speech)
        assert [actor.commands(Load)[0].device for actor in scripted.seats.values()] == ["cuda"]


async def test_a_dead_seat_gives_back_only_its_own_and_the_others_go_on(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        first, second = await working(scripted, chunks=20)
        run = scripted.context.ledger.runs["job"]
        given = run.given
        (_, mine), (_, others) = sorted(in_work(scripted), key=lambda work: work[0].name != "speech")
        scripted.die(first)
        await scripted.settled()
        assert run.given >= given, "batches do not start small again while another seat works"
        attempts = {chunk.span.index: chunk.attempts for chunk in await scripted.store.chunks("job")}
        assert {index for index, count in attempts.items() if count} == set(chunks_of(mine))
        assert (second, others) in in_work(scripted), "what the other seat has stays there"
        await finish_all(scripted)
        given_to_second = [index for batch in second.commands(Transcribe) for index in chunks_of(batch)]
        assert set(chunks_of(mine)) <= set(given_to_second)
        assert (await scripted.job()).status is Status.COMPLETED
        assert await scripted.texts() == [f"chunk {n}" for n in range(20)]


async def test_a_seat_that_lacks_memory_steps_down_alone_and_does_not_take_the_cpu(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        _, second = await working(scripted, chunks=40)
        batch = next(batch for actor, batch in in_work(scripted) if actor is second)
        scripted.say(second, Fault("batch", OOM.kind.value, OOM.problem, batch=batch.batch, fatal=True))
        scripted.die(second, "", 1)
        await load(scripted, second)
        seats = scripted.context.fleet.seats
        assert [seat.rung for seat in seats] == [Rung("cuda:0", "auto", 8, 1), Rung("cuda:1", "auto", 4, 1)]
        assert scripted.context.fleet.warnings == (OOM.problem,)
        assert [chunk.attempts for chunk in await scripted.store.chunks("job")] == [0] * 40
        for _ in range(9):
            seats[1].device.step_down(OOM.problem, 0.0, loading=False)
        assert seats[1].rung == Rung("cuda:1", "int8", 1, 1), (
            "the last rung is on the card: the other one does the work"
        )


async def test_what_one_card_learnt_holds_for_cards_of_its_size(tmp_path: Path) -> None:
    facts = cards(3, vram_total=[24, 24, 80])
    async with scripted_loop(tmp_path, facts=facts) as scripted:
        _, second, _ = await working(scripted, chunks=40)
        batch = next(batch for actor, batch in in_work(scripted) if actor is second)
        scripted.say(second, Fault("batch", OOM.kind.value, OOM.problem, batch=batch.batch, fatal=True))
        await scripted.settled()
    async with scripted_loop(tmp_path, facts=facts) as scripted:
        await scripted.submit("other")
        await scripted.decoded("other", chunks=40)
        for name in ("speech", "speech-2", "speech-3"):
            await load(scripted, scripted.seats[name])
        assert scripted.context.fleet.first.rung == Rung("cuda:0", "auto", 4, 1)
        assert scripted.context.fleet.seats[2].rung.batch == 8


async def test_a_card_that_cannot_be_used_leaves_the_work_to_the_others_and_comes_back(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(4)) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=60)
        await load(scripted, scripted.speech)
        broken, *others = list(scripted.seats.values())[1:]
        for actor in others:
            await load(scripted, actor)
        await finish(scripted, *in_work(scripted)[0])
        scripted.say(broken, Ready(pid=3))
        await scripted.settled()
        while not broken.commands(Load):
            await finish(scripted, *in_work(scripted)[0])
        scripted.say(broken, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        assert [load.device for load in broken.commands(Load)] == ["cuda:1"], "the CPU does not take its place"
        assert scripted.context.fleet.warnings == (BROKEN.problem,)
        assert not scripted.context.fleet.view(lambda *_: True)[1].ready
        job = await scripted.job()
        assert (job.status, job.problem) == (Status.PROCESSING, None)
        await finish_all(scripted)
        assert (await scripted.job()).status is Status.COMPLETED
        assert broken.commands(Transcribe) == []
        await scripted.context.ask(requests.reset)
        assert scripted.context.fleet.view(lambda *_: True)[1].ready
        assert scripted.context.fleet.warnings == ()


async def test_when_no_card_can_be_used_the_cpu_does_the_work(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=3)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        second = scripted.seats["speech-2"]
        scripted.say(second, Ready(pid=3))
        scripted.say(scripted.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        assert [command.device for command in second.commands(Load)] == ["cuda:1"]
        scripted.say(second, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        await load(scripted, second)
        assert [command.device for command in second.commands(Load)] == ["cuda:1", "cpu"]
        await finish_all(scripted)
        assert (await scripted.job()).status is Status.COMPLETED


async def test_a_model_is_missing_only_when_no_seat_can_load_it(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2), cpu_fallback=False) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=3)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        second = scripted.seats["speech-2"]
        scripted.say(second, Ready(pid=3))
        scripted.say(scripted.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        assert (await scripted.job()).problem is None
        scripted.say(second, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        assert (await scripted.job()).problem == BROKEN.problem
        await scripted.context.ask(requests.reset)
        await load(scripted, scripted.speech)
        assert (await scripted.job()).problem is None


async def test_a_model_that_works_on_one_seat_is_not_broken_because_another_cannot_load_it(tmp_path: Path) -> None:
    odd = Problem("model_broken", "The model cannot be loaded: a card is odd.")
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=20)
        await load(scripted, scripted.speech)
        second = scripted.seats["speech-2"]
        scripted.say(second, Ready(pid=3))
        while not second.commands(Load):
            await finish(scripted, *in_work(scripted)[0])
        scripted.say(second, Fault("model", "model_broken", odd))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, job.problem, job.error) == (Status.PROCESSING, None, None)
        assert scripted.context.models.problems == {}
        assert scripted.context.fleet.seats[1].trouble == odd
        await finish_all(scripted)
        assert (await scripted.job()).status is Status.COMPLETED
        assert len(second.commands(Load)) == 1, "it is not tried at once again"


async def test_a_job_is_cancelled_on_every_seat_that_has_some_of_it(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        first, second = await working(scripted, chunks=40)
        await scripted.context.ask(requests.delete, "job")
        assert [len(actor.commands(Cancel)) for actor in (first, second)] == [1, 1]


async def test_a_late_batch_is_cut_short_once_another_seat_has_done_its_chunks(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        first, second = await working(scripted, chunks=20)
        late = next(batch for actor, batch in in_work(scripted) if actor is first)
        while work := [batch for actor, batch in in_work(scripted) if actor is second]:
            await finish(scripted, second, work[0])
        scripted.context.fleet.first._late_at[late.batch] = 0.0
        await scripted.settled()
        ((_, again),) = [work for work in in_work(scripted) if work[0] is second]
        await finish(scripted, second, again)
        assert (await scripted.job()).status is Status.COMPLETED
        assert [command.job_id for command in first.commands(Cancel)] == ["job"]
        scripted.say(first, *(heard(late, row, "too late") for row in range(len(late.chunks))), over(late))
        await scripted.settled()
        assert await scripted.texts() == [f"chunk {n}" for n in range(20)]
        assert in_work(scripted) == []


async def test_all_seats_free_their_memory_after_the_idle_time(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2), unload_after_s=60.0) as scripted:
        await working(scripted, chunks=20)
        await finish_all(scripted)
        for seat in scripted.context.fleet.seats:
            assert seat.model is not None
            assert seat.idle_until is not None
            seat._used_at -= 61.0
        await scripted.settled()
        assert [seat.model for seat in scripted.context.fleet.seats] == [None, None]
        assert [actor.ready_generation for actor in scripted.seats.values()] == [0, 0]


async def test_a_late_batch_is_tried_on_another_seat_and_the_first_answer_counts(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        first, second = await working(scripted, chunks=20)
        late = next(batch for actor, batch in in_work(scripted) if actor is first)
        scripted.say(first, heard(late))
        while work := [batch for actor, batch in in_work(scripted) if actor is second]:
            await finish(scripted, second, work[0])
        await scripted.settled()
        assert in_work(scripted) == [(first, late)]
        seat = scripted.context.fleet.first
        seat._late_at[late.batch] = 0.0
        await scripted.settled()
        ((_, again),) = [work for work in in_work(scripted) if work[0] is second]
        assert chunks_of(again) == chunks_of(late)[1:], "what was answered is not given again"
        await scripted.settled()
        assert len(in_work(scripted)) == 2, "once is enough"
        scripted.say(first, heard(late, 1))
        await scripted.settled()
        scripted.die(first)
        await scripted.settled()
        attempts = [chunk.attempts for chunk in await scripted.store.chunks("job")]
        assert [attempts[index] for index in chunks_of(late)] == [0, 0] + [1] * (len(late.chunks) - 2)
        assert [batch for actor, batch in in_work(scripted)] == [again], "the second seat still has its chunks"
        await finish(scripted, second, again)
        assert (await scripted.job()).status is Status.COMPLETED
        assert await scripted.texts() == [f"chunk {n}" for n in range(20)]


async def lose(scripted: ScriptedLoop, actor: ScriptedActor) -> None:
    """The machine of the actor goes."""
    actor.state = ActorState.WAITING
    scripted.mailbox.deliver(Died(actor.name, actor.generation, diagnose(Exit(lost="The machine is gone.")), 0.1))
    await scripted.settled()


async def test_a_lost_machine_strikes_no_chunk_however_often(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        first, second = await working(scripted, chunks=40)
        kept = [batch for actor, batch in in_work(scripted) if actor is first]
        for _ in range(12):  # ten kills from outside would make a gap of a chunk
            await lose(scripted, second)
            assert [batch for actor, batch in in_work(scripted) if actor is first] == kept
            second.ready_generation = 0
            await load(scripted, second)
            assert [actor for actor, _ in in_work(scripted)] == [first, second]
        assert {(chunk.attempts, chunk.kills) for chunk in await scripted.store.chunks("job")} == {(0, 0)}
        await finish_all(scripted)
        job = await scripted.job()
        assert job.status is Status.COMPLETED
        assert await scripted.texts() == [f"chunk {n}" for n in range(40)]
        notes = [note for note in job.history if note.code == "lost"]
        assert "The machine is gone. This part is tried again." in notes[0].message


async def test_jobs_wait_with_a_problem_while_no_seat_has_a_machine(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        scripted.speech.obstacle = NO_ROOM
        await scripted.submit()
        await scripted.submit("next")
        await scripted.decoded(chunks=3)
        job = await scripted.job()
        assert job.problem == NO_ROOM
        assert job.message == "Waits: No machine has room. Add one."
        assert (await scripted.job("next")).problem == NO_ROOM, "pending jobs say so as well"
        assert system.readiness(scripted.context).problems == (NO_ROOM,)
        assert scripted.context.fleet.first.trouble == NO_ROOM
        scripted.speech.obstacle = None
        await load(scripted, scripted.speech)
        assert (await scripted.job()).problem is None
        await finish_all(scripted)
        assert (await scripted.job()).status is Status.COMPLETED


async def test_a_seat_that_waits_for_a_machine_keeps_no_other_from_working(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=cards(2)) as scripted:
        first, second = await working(scripted, chunks=20)
        await lose(scripted, second)
        second.obstacle, second.ready_generation = NO_ROOM, 0
        await finish_all(scripted)
        job = await scripted.job()
        assert job.status is Status.COMPLETED
        assert job.problem is None
        assert system.readiness(scripted.context).ready
        assert scripted.context.fleet.seats[1].trouble == NO_ROOM
        assert first.obstacle is None


async def test_jobs_wait_for_a_model_that_another_machine_lacks(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        missing = Problem("model_unavailable", "The machine box has no such folder.")
        scripted.context.fleet.first.far = True
        await scripted.submit()
        await scripted.decoded(chunks=5)
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.settled()
        (command,) = scripted.speech.commands(Load)
        scripted.say(scripted.speech, Fault("model", "model_unavailable", missing, model=command.model))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, job.problem) == (Status.PROCESSING, missing)
        assert scripted.context.models.problems == {}, "the files on this machine are not to blame"
        await scripted.mailbox.ask(requests.reset, scripted.context)
        await load(scripted, scripted.speech)
        await finish_all(scripted)
        assert (await scripted.job()).status is Status.COMPLETED
