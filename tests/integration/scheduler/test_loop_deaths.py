"""The loop when actors die: no chunk is lost, none counts twice, and reports of a dead actor change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.integration.scheduler.scripted_loop import heard, over, scripted_loop
from whisper_service.core.domain import CALL_RANK, SAMPLE_RATE, Problem, Span, Status
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import requests
from whisper_service.supervision.faults import classify
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.media import ChunkFound
from whisper_service.supervision.messages.speech import Load, Transcribe
from whisper_service.supervision.supervisor import Died, Reported

pytestmark = pytest.mark.anyio


async def test_what_was_heard_before_the_death_counts_although_the_next_child_is_there(tmp_path: Path) -> None:
    """ChunkDone, Died and the next Ready are in the mailbox together: the supervisor is a generation ahead."""
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        (first,) = scripted.batches()
        scripted.say(scripted.speech, heard(first))
        scripted.die(scripted.speech)
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.settled()
        assert await scripted.texts() == ["chunk 0"]
        assert [chunk.attempts for chunk in await scripted.store.chunks("job")] == [0, 0, 0]
        assert scripted.batches(2) == []  # it has no model yet
        assert len(scripted.speech.commands(Load, 2)) == 1
        await scripted.loaded()
        assert [row.span.index for row in scripted.batches(2)[0].chunks] == [1]


async def test_the_death_is_dealt_with_before_anything_is_given_to_the_next_child(tmp_path: Path) -> None:
    """The supervisor says READY already; the loop has not heard of the death and has something new to give."""
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=60)  # a shorter one would be as urgent as the call
        await scripted.loaded()
        scripted.speech.generation += 1
        call = replace(scripted.job_of("call"), rank=CALL_RANK)
        await scripted.mailbox.ask(scripted.context.ledger.add, call)
        await scripted.decoded("call", chunks=1)
        assert scripted.speech.commands(Transcribe)[-1].express
        assert {meant for meant, _ in scripted.speech.got} == {1}
        scripted.mailbox.deliver(Died("speech", 1, classify("", -11), 0.1))
        await scripted.settled()
        assert {meant for meant, _ in scripted.speech.got} == {1}
        scripted.mailbox.deliver(Reported("speech", 2, Ready(pid=3)))
        await scripted.loaded()
        assert [chunk.attempts for chunk in await scripted.store.chunks("job")] == [1, *[0] * 59]
        assert [chunk.attempts for chunk in await scripted.store.chunks("call")] == [
            1
        ]  # it was on its way to the dead one
        first, *rest = [type(command) for meant, command in scripted.speech.got if meant == 2]
        assert (first, {*rest}) == (Load, {Transcribe})


async def test_a_report_of_a_dead_child_that_comes_after_all_changes_nothing(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        (first,) = scripted.batches()
        scripted.die(scripted.speech)
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.loaded()
        (again,) = scripted.batches(2)
        assert again.chunks == first.chunks
        scripted.say(scripted.speech, heard(first, text="late"), over(first), generation=1)
        await scripted.settled()
        assert await scripted.texts() == []
        scripted.say(scripted.speech, heard(again), over(again))
        await scripted.settled()
        assert await scripted.texts() == ["chunk 0"]


async def test_a_chunk_that_is_in_two_batches_is_told_once_and_the_first_takes_nothing_from_the_second(
    tmp_path: Path,
) -> None:
    """Paused and resumed while its batch was at work: the chunk is given again in another slot."""
    async with scripted_loop(tmp_path, slots=2) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        (first,) = scripted.batches()
        await scripted.context.ask(requests.change, "job", Cause.PAUSE)
        await scripted.context.ask(requests.change, "job", Cause.RESUME)
        await scripted.settled()
        _, second = scripted.batches()
        scripted.say(scripted.speech, over(first))  # it had been cancelled there, say
        await scripted.settled()
        assert len(scripted.batches()) == 2
        scripted.say(scripted.speech, heard(second), heard(first, text="again"), over(second))
        await scripted.settled()
        assert await scripted.texts() == ["chunk 0"]
        assert (await scripted.job()).status is Status.COMPLETED


async def test_a_fault_of_a_batch_strikes_no_chunk_that_is_in_another_one_by_now(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=2) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        (first,) = scripted.batches()
        await scripted.context.ask(requests.change, "job", Cause.PAUSE)
        await scripted.context.ask(requests.change, "job", Cause.RESUME)
        await scripted.settled()
        problem = Problem("unknown", "Something unexpected happened.")
        scripted.say(scripted.speech, Fault("batch", "unknown", problem, batch=first.batch))
        await scripted.settled()
        assert [chunk.attempts for chunk in await scripted.store.chunks("job")] == [0]


async def test_work_that_nobody_has_in_hand_is_taken_up_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second line, should the first one have a hole."""
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        scripted.context.fleet.first._batches.clear()
        await scripted.settled()
        first, again = scripted.batches()
        assert again.chunks == first.chunks
        assert [vars(record)["job"] for record in caplog.records if vars(record).get("action") == "work_reclaimed"] == [
            "job"
        ]
        scripted.say(scripted.speech, heard(again), over(again))
        await scripted.settled()
        assert (await scripted.job()).status is Status.COMPLETED


async def test_a_chunk_that_is_never_answered_is_not_given_for_ever(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        for number in range(3):
            assert len(scripted.batches()) == number + 1
            scripted.say(scripted.speech, over(scripted.batches()[-1]))
            await scripted.settled()
        failed = await scripted.job()
        assert failed.error is not None
        assert (failed.status, failed.error.code, len(scripted.batches())) == (Status.FAILED, "unknown", 3)


async def test_a_job_hears_that_its_recording_is_read_again(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        scripted.say(scripted.media, Ready(pid=1))
        await scripted.settled()
        scripted.say(scripted.media, ChunkFound("job", Span(0, 0, SAMPLE_RATE, 0.0, 1.0)))
        await scripted.settled()
        scripted.die(scripted.media)
        await scripted.settled()
        (note,) = (await scripted.job()).history
        assert note.message.endswith("The recording is read again from its beginning.")
        assert note.params["change"] == {"kind": "decoded_again"}


async def test_a_chunk_is_given_up_for_the_tenth_kill_from_outside(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=2)
        await scripted.loaded()
        for kills in range(10):
            assert [(chunk.attempts, chunk.kills) for chunk in await scripted.store.chunks("job")] == [
                (0, kills),
                (0, 0),
            ]
            assert [row.span.index for row in scripted.batches()[-1].chunks] == [0]
            scripted.die(scripted.speech, "", -9)
            scripted.say(scripted.speech, Ready(pid=3))
            await scripted.loaded()
        job = await scripted.job()
        assert [gap.reason for gap in job.gaps] == ["The process was killed from outside."]
        assert [note.code for note in job.history] == ["killed"] * 10
        assert job.history[0].message == "At 00:00:00: The process was killed from outside. This part is tried again."
        assert job.history[-1].message.endswith("This part is left out.")
        assert job.history[-1].params == {"position_s": 1.0, "change": {"kind": "chunk_left_out"}}


async def test_an_actor_that_was_ended_before_it_said_ready_gets_nothing(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        actor = scripted.download
        actor.idle_generation = 1
        scripted.mailbox.deliver(Reported("download", 1, Ready(pid=1)))
        await scripted.settled()
        assert actor.ready_generation == 0
        await scripted.context.downloads.start("tiny")
        assert actor.got == []
        scripted.mailbox.deliver(Reported("download", 2, Ready(pid=2)))
        await scripted.settled()
        assert [(meant, command.model) for meant, command in actor.got] == [(2, "tiny")]  # type: ignore[union-attr]
