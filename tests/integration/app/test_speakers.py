"""Speakers in a whole service, whose actors follow a script: what is found, and that nothing of it costs text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from testkit.service import ended, log_of, open_service, placeholder_networks, send, texts, until
from whisper_service.app.service import Service
from whisper_service.core.domain import ActorState, Job, Options, Phase, Status
from whisper_service.core.errors import Conflict, DiskFull
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.core.speaker_count import Wanted
from whisper_service.editing.operations import NameSpeaker, SetSpeaker
from whisper_service.scheduler import requests, speakers_actor, speakers_work
from whisper_service.scheduler.speakers_ledger import INCOMPLETE, UNAVAILABLE
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio
AUTO = Options(language="en", speakers="auto")
OFF = Options(language="en", speakers="off")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    placeholder_networks(tmp_path)
    async with open_service(tmp_path) as service:
        yield service


async def told_apart(service: Service, job_id: str) -> tuple[list[str], list[tuple[float, str | None]]]:
    """Return the ids of the speakers, in order, and the timeline."""
    stored = service.parts.store.speakers
    return [each.id for each in await stored.speakers(job_id)], [*(await stored.timeline(job_id))]


def codes(job: Job) -> list[str]:
    return [note.code for note in job.history]


async def ended_again(service: Service, job_id: str) -> Job:
    """Wait until the second attempt of a job has ended. Return it."""
    return await until(service, job_id, lambda job: job.status in TERMINAL and job.attempts == 2)


async def phases(service: Service, job_id: str) -> list[str]:
    """Return the phases of a job in order, each once."""
    told = [msgspec.json.decode(c.payload, type=Job).phase for c in await log_of(service, job_id) if c.kind == "update"]
    return list(dict.fromkeys(phase.value for phase in told if phase is not None))


async def test_the_speakers_of_a_job_are_told_apart_after_its_text(service: Service) -> None:
    job = await ended(service, (await send(service, chunks=4, people="ABBA", options=AUTO)).id)
    assert (job.status, job.speakers, job.history) == (Status.COMPLETED, 2, ())
    ids, timeline = await told_apart(service, job.id)
    assert ids == ["s1", "s2"]
    assert timeline == [(0.0, "s1"), (10.5, "s2"), (32.5, "s1")]
    assert (await phases(service, job.id))[-1] == Phase.SPEAKERS
    kinds = [change.kind for change in await log_of(service, job.id)]
    assert kinds.index("speakers") > max(at for at, kind in enumerate(kinds) if kind == "segment")
    assert kinds.count("speakers") == 1


async def test_a_job_without_speakers_has_no_actor_and_no_rows(service: Service) -> None:
    job = await ended(service, (await send(service, chunks=3, options=OFF)).id)
    assert (job.status, job.speakers) == (Status.COMPLETED, None)
    assert await told_apart(service, job.id) == ([], [])
    assert service.parts.context.speakers.actor.state is ActorState.IDLE
    assert service.parts.context.speakers.actor.generation == 0
    assert not await service.parts.store.speakers.voices(job.id)
    assert Phase.SPEAKERS not in await phases(service, job.id)


async def test_text_is_the_same_with_speakers_and_told_before_the_first_voice_is_heard(service: Service) -> None:
    plays: dict[str, Any] = {"chunks": 5, "voice_delay": 0.2}
    without = await ended(service, (await send(service, options=OFF, **plays)).id)
    slow = await send(service, options=AUTO, **plays)
    job = await ended(service, slow.id)
    assert job.speakers == 2
    assert await texts(service, job.id) == await texts(service, without.id)
    log = [change.kind for change in await log_of(service, job.id)]
    assert log.index("segment") < log.index("speakers")
    # Speakers took a second; the text did not wait for them.
    at_text = await service.parts.store.speakers.voices(job.id)
    assert len(at_text) == 5


async def test_what_people_chose_for_lines_goes_into_another_transcript_of_the_recording(service: Service) -> None:
    job = await ended(service, (await send(service, chunks=4, people="ABBA", options=AUTO)).id)
    operations = (
        NameSpeaker("s1", "Anna"),
        NameSpeaker("li", "Li"),
        SetSpeaker(("c1.0",), "s1"),
        SetSpeaker(("c2.0",), "li"),
        SetSpeaker(("c3.0",), "s1"),  # as the voice says
    )
    await service.edits.apply(job.id, Edit("people", operations))
    again = await ended(service, (await service.jobs.submit_again(job.id, AUTO)).id)
    names = [segment.speaker for segment in (await service.jobs.transcript(again.id)).segments]
    assert names == ["Anna", "Anna", "Li", "Anna"]
    (edit,) = await service.edits.history(again.id, limit=10)
    assert (edit.author, edit.operations) == (
        "Speakers",
        (NameSpeaker("carried1", "Li"), SetSpeaker(("c1.0",), "s1"), SetSpeaker(("c2.0",), "carried1")),
    )
    await service.edits.undo(again.id, edit.number, Edit("undo", ()))
    names = [segment.speaker for segment in (await service.jobs.transcript(again.id)).segments]
    assert names == ["Anna", "Speaker 2", "Speaker 2", "Anna"]
    third = await ended(service, (await service.jobs.submit_again(again.id, OFF)).id)
    assert (third.speakers, third.edits) == (None, 0)


async def test_how_many_speakers_there_are_is_obeyed(service: Service) -> None:
    job = await ended(service, (await send(service, chunks=6, people="ABC", options=Options(speakers="2"))).id)
    assert job.speakers == 2
    assert await service.parts.store.speakers.wanted(job.id) == Wanted(2, 2)
    limited = Options(speakers="auto", max_speakers=1)
    job = await ended(service, (await send(service, chunks=6, people="ABC", name="x", options=limited)).id)
    assert job.speakers == 1


async def test_another_count_needs_no_recording_and_no_networks(service: Service, tmp_path: Path) -> None:
    job = await ended(service, (await send(service, chunks=6, people="ABC", options=AUTO)).id)
    assert job.speakers == 3
    await service.parts.context.ask(requests.remove_media, job.id)
    for file in (tmp_path / "data" / "models" / "speakers").iterdir():
        file.unlink()
    await speakers_work.recount(service.parts.context, job.id, Wanted(1, 2))
    assert (await service.jobs.get(job.id)).speakers == 2
    await speakers_work.recount(service.parts.context, job.id, Wanted(1, None))
    assert (await service.jobs.get(job.id)).speakers == 3


async def test_a_count_that_cannot_be_says_why(service: Service) -> None:
    job = await ended(service, (await send(service, chunks=2, options=OFF)).id)
    with pytest.raises(Conflict) as error:
        await speakers_work.recount(service.parts.context, job.id, Wanted(2, 2))
    assert error.value.params["cause"] == "no_voices"
    assert error.value.problem.hint
    busy = await send(service, chunks=20, delay=0.2, name="busy", options=AUTO)
    with pytest.raises(Conflict, match="in work"):
        await speakers_work.recount(service.parts.context, busy.id, Wanted(2, 2))


async def test_counts_that_are_asked_for_at_once_all_get_an_answer(service: Service) -> None:
    jobs = [(await send(service, chunks=3, people="ABC", name=f"{n}", options=AUTO)).id for n in range(3)]
    for job_id in jobs:
        await ended(service, job_id)
    answers: list[str] = []

    async def ask(job_id: str, most: int) -> None:
        try:
            await speakers_work.recount(service.parts.context, job_id, Wanted(1, most))
            answers.append("done")
        except Conflict as error:
            answers.append(error.params["cause"])

    async with anyio.create_task_group() as tasks:
        for job_id in jobs:
            tasks.start_soon(ask, job_id, 1)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(ask, jobs[0], 2)
    assert sorted(answers) in (["done"] * 4, ["done", "done", "done", "replaced"])
    assert (await service.jobs.get(jobs[0])).speakers == 2
    assert [(await service.jobs.get(job_id)).speakers for job_id in jobs[1:]] == [1, 1]


@pytest.mark.parametrize("fault", ["abort", "error"])
async def test_a_chunk_that_fails_twice_keeps_its_text_and_is_not_heard(service: Service, fault: str) -> None:
    play: dict[str, Any] = {"chunks": 4, "people": "ABBA", "voice_faults": {"1": fault}}
    job = await ended(service, (await send(service, options=AUTO, **play)).id)
    assert (job.status, job.gaps, job.speakers) == (Status.COMPLETED, (), 2)
    assert codes(job) == [INCOMPLETE]
    assert job.message == job.history[0].message
    assert "0:11" in job.message
    assert len(await texts(service, job.id)) == 4
    assert await service.parts.store.speakers.given_up(job.id) == [1]
    _, timeline = await told_apart(service, job.id)
    assert timeline == [(0.0, "s1"), (10.5, None), (21.5, "s2"), (32.5, "s1")]
    deaths = len(service.parts.context.speakers.actor.deaths)
    assert deaths == (2 if fault == "abort" else 0)


@pytest.mark.parametrize("fault", ["abort_once", "kill_once", "error_once"])
async def test_one_failure_of_a_chunk_or_of_the_naming_costs_nothing(
    service: Service, tmp_path: Path, fault: str
) -> None:
    play: dict[str, Any] = {"chunks": 3, "marks": str(tmp_path), "voice_faults": {"1": fault}}
    job = await ended(service, (await send(service, options=AUTO, **play)).id)
    assert (job.status, job.speakers, job.history) == (Status.COMPLETED, 2, ())
    assert await told_apart(service, job.id) == (["s1", "s2"], [(0.0, "s1"), (10.5, "s2"), (21.5, "s1")])


@pytest.mark.parametrize("fault", ["abort", "error", "model_broken", "model_unavailable"])
async def test_speakers_that_cannot_be_named_do_not_keep_a_job_from_its_end(service: Service, fault: str) -> None:
    play: dict[str, Any] = {"chunks": 3, "voice_faults": {"naming": fault}}
    job = await ended(service, (await send(service, options=AUTO, **play)).id)
    assert (job.status, job.speakers, codes(job)) == (Status.COMPLETED, None, [UNAVAILABLE])
    assert len(await texts(service, job.id)) == 3
    with pytest.raises(Conflict):
        await speakers_work.recount(service.parts.context, job.id, Wanted())


async def test_an_actor_that_never_starts_does_not_keep_a_job_from_its_end(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    limits = {"max_restarts": 2}
    async with open_service(tmp_path, speakers_actor="broken", supervision=limits) as service:
        job = await ended(service, (await send(service, chunks=3, options=AUTO)).id)
        assert (job.status, job.speakers, codes(job)) == (Status.COMPLETED, None, [UNAVAILABLE])
        assert "retry" in job.message
        assert "libcublas" in str(job.history[0].params)
        assert service.readiness().ready
        told = {actor.name: actor for actor in (await service.system()).actors}
        assert told["speakers"].state is ActorState.BROKEN
        assert told["speakers"].problem is not None


async def test_pause_and_resume_in_the_middle_change_nothing(service: Service) -> None:
    play: dict[str, Any] = {"chunks": 6, "people": "ABC", "voice_delay": 0.3}
    job = await send(service, options=AUTO, **play)
    for chunks in (2, 5):
        await until(service, job.id, lambda now, chunks=chunks: now.chunks_done >= chunks)
        await service.jobs.change(job.id, Cause.PAUSE)
        await anyio.sleep(0.4)
        await service.jobs.change(job.id, Cause.RESUME)
    done = await ended(service, job.id)
    assert (done.status, done.speakers, done.history) == (Status.COMPLETED, 3, ())
    undisturbed = await ended(service, (await send(service, chunks=6, people="ABC", name="u", options=AUTO)).id)
    assert await told_apart(service, job.id) == await told_apart(service, undisturbed.id)


async def test_cancel_while_only_speakers_are_left_and_retry(service: Service) -> None:
    job = await send(service, chunks=4, voice_delay=0.5, options=AUTO)
    await until(service, job.id, lambda now: now.phase is Phase.SPEAKERS)
    cancelled = await service.jobs.change(job.id, Cause.CANCEL)
    assert cancelled.status is Status.CANCELLED
    assert len(await texts(service, job.id)) == 4
    other = await ended(service, (await send(service, chunks=1, name="other", options=AUTO)).id)
    assert other.speakers == 1
    await service.jobs.change(job.id, Cause.RETRY)
    assert (await ended_again(service, job.id)).speakers == 2


async def test_a_deleted_job_leaves_no_voices(service: Service) -> None:
    job = await send(service, chunks=4, voice_delay=0.3, options=AUTO)
    await until(service, job.id, lambda now: now.phase is Phase.SPEAKERS)
    await service.jobs.delete(job.id)
    other = await ended(service, (await send(service, chunks=1, name="other", options=AUTO)).id)
    assert other.speakers == 1
    assert not await service.parts.store.speakers.voices(job.id)


async def test_a_lost_spool_is_read_again_for_the_speakers(service: Service, tmp_path: Path) -> None:
    job = await send(service, chunks=6, voice_delay=0.3, options=AUTO)
    await until(service, job.id, lambda now: now.phase is Phase.SPEAKERS)
    service.parts.data.spool_of(job.id).write_bytes(b"")
    done = await ended(service, job.id)
    assert (done.status, done.speakers, done.gaps, done.history) == (Status.COMPLETED, 2, (), ())
    assert not await service.parts.store.speakers.given_up(job.id)


async def test_a_retry_that_fills_gaps_hears_the_new_chunks(service: Service, tmp_path: Path) -> None:
    marks, play = tmp_path / "calm", {"chunks": 4, "people": "ABBA", "bad": [2]}
    job = await ended(service, (await send(service, calm=str(marks), options=AUTO, **play)).id)
    assert job.gaps == ()
    marks.touch()
    job = await ended(service, (await send(service, calm=str(marks), name="holes", options=AUTO, **play)).id)
    assert len(job.gaps) == 1
    assert len(await service.parts.store.speakers.voices(job.id)) == 3
    marks.unlink()
    await service.jobs.change(job.id, Cause.RETRY)
    job = await ended_again(service, job.id)
    assert (job.gaps, job.speakers) == ((), 2)
    assert (await told_apart(service, job.id))[1] == [(0.0, "s1"), (10.5, "s2"), (32.5, "s1")]


async def test_ten_jobs_at_once_are_heard_in_turns(service: Service) -> None:
    jobs = [(await send(service, chunks=8, name=f"{n}", voice_delay=0.05, options=AUTO)).id for n in range(10)]
    heard = [0] * 10
    with anyio.fail_after(30):
        while sum(heard) < 50:
            await anyio.sleep(0.02)
            heard = [len(await service.parts.store.speakers.voices(job_id)) for job_id in jobs]
    assert max(heard) - min(heard) <= 3, heard
    for job_id in jobs:
        job = await ended(service, job_id)
        assert (job.status, job.speakers) == (Status.COMPLETED, 2)


async def test_jobs_in_flight_when_the_service_ends_go_on_with_the_next(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=6, people="ABC", voice_delay=0.3, options=AUTO)
        await until(service, job.id, lambda now: now.phase is Phase.SPEAKERS)
        heard = len(await service.parts.store.speakers.voices(job.id))
        assert heard < 6
    async with open_service(tmp_path) as service:
        done = await ended(service, job.id)
        assert (done.status, done.speakers) == (Status.COMPLETED, 3)
        assert len(await service.parts.store.speakers.voices(job.id)) == 6


async def test_a_count_that_waits_when_the_service_ends_is_answered(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    refused: list[str] = []
    async with anyio.create_task_group() as tasks, open_service(tmp_path) as service:
        job = await ended(service, (await send(service, chunks=2, options=AUTO)).id)
        slow = await send(service, chunks=1, voice_delay=30, name="slow", options=AUTO)
        await until(service, slow.id, lambda now: now.phase is Phase.SPEAKERS)

        async def ask() -> None:
            with pytest.raises(Conflict) as error:
                await speakers_work.recount(service.parts.context, job.id, Wanted(1, 1))
            refused.append(error.value.params["cause"])

        tasks.start_soon(ask)
        await anyio.sleep(0.3)
    assert refused == ["shutting_down"]


async def test_voices_that_cannot_be_stored_cost_no_text(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any) -> None:
        raise DiskFull

    monkeypatch.setattr(service.parts.store.speakers, "put_voices", full)
    job = await ended(service, (await send(service, chunks=4, options=AUTO)).id)
    assert (job.status, job.gaps, codes(job)) == (Status.COMPLETED, (), [UNAVAILABLE])
    assert job.history[0].params["cause"] == "disk_full"
    assert len(await texts(service, job.id)) == 4
    monkeypatch.undo()
    await service.jobs.change(job.id, Cause.RETRY)
    again = await ended_again(service, job.id)
    assert (again.speakers, again.history, again.message) == (2, (), "")


async def test_speakers_that_cannot_be_stored_cost_no_text(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any) -> None:
        raise DiskFull

    monkeypatch.setattr(service.parts.store.speakers, "assign", full)
    job = await ended(service, (await send(service, chunks=2, options=AUTO)).id)
    assert (job.status, job.speakers, codes(job)) == (Status.COMPLETED, None, [UNAVAILABLE])
    with pytest.raises(Conflict) as error:
        await speakers_work.recount(service.parts.context, job.id, Wanted())
    assert error.value.params["cause"] == "disk_full"
    monkeypatch.undo()
    await speakers_work.recount(service.parts.context, job.id, Wanted())
    assert (await service.jobs.get(job.id)).speakers == 2


async def test_an_actor_that_hangs_is_replaced_and_the_chunk_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speakers_actor, "HEAR_S", 1.0)
    play: dict[str, Any] = {"chunks": 3, "voice_faults": {"1": "hang"}}
    job = await ended(service, (await send(service, options=AUTO, **play)).id)
    assert (job.status, job.speakers, codes(job)) == (Status.COMPLETED, 1, [INCOMPLETE])
    assert job.history[0].params["cause"] == "hung"
    assert len(await texts(service, job.id)) == 3


async def test_the_idle_actor_ends_and_starts_again_for_the_next_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speakers_actor, "REST_AFTER_S", 0.3)
    actor = service.parts.context.speakers.actor
    for generation in (1, 2):
        job = await ended(service, (await send(service, chunks=2, name=f"{generation}", options=AUTO)).id)
        assert (job.speakers, actor.generation) == (2, generation)
        with anyio.fail_after(10):
            while actor.state is not ActorState.IDLE:  # noqa: ASYNC110 - nobody tells the end of an idle actor
                await anyio.sleep(0.05)
    assert not actor.deaths


async def test_an_actor_that_died_too_often_works_again_once_its_cause_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    monkeypatch.setattr(speakers_actor, "REST_AFTER_S", 0.5)
    placeholder_networks(tmp_path)
    limits = {"max_restarts": 2, "probe_s": 1.0}
    async with open_service(tmp_path, speakers_actor="speakers_when_mended", supervision=limits) as service:
        job = await ended(service, (await send(service, chunks=1, options=AUTO)).id)
        assert codes(job) == [UNAVAILABLE]
        actor = service.parts.context.speakers.actor
        assert actor.broken
        await anyio.Path(tmp_path / "mended").touch()
        with anyio.fail_after(20):
            while actor.state is not ActorState.IDLE:  # noqa: ASYNC110 - it starts, has nothing to do, and rests
                await anyio.sleep(0.05)
        job = await ended(service, (await send(service, chunks=2, name="next", options=AUTO)).id)
        assert (job.speakers, job.history, actor.broken) == (2, (), False)
