"""The service with real processes and a scripted model: scheduling, the actions of users, the deaths of actors."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from testkit.scripted_actors import text_of
from testkit.service import ended, log_of, open_service, placeholder_model, send, texts, until
from whisper_service.app.service import Service
from whisper_service.core.domain import ActorState, Change, ChunkState, Job, Options, Phase, Status
from whisper_service.core.errors import DataDirectoryInUse, IllegalTransition, NotFound, ServiceError
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import admission
from whisper_service.scheduler.speech_device import BATCH

pytestmark = pytest.mark.anyio
AUTO = Options()


def expected(count: int) -> list[str]:
    return [text_of(n) for n in range(count)]


def jobs_in(changes: list[Change]) -> list[Job]:
    return [msgspec.json.decode(change.payload, type=Job) for change in changes if change.kind == "update"]


def files_of(data_dir: Path) -> set[str]:
    """Return every file of a job in the data directory."""
    folders = ("media", "spool", "peaks", "fine_peaks")
    return {f"{folder}/{path.name}" for folder in folders for path in (data_dir / folder).iterdir()}


def files_left(job: Job) -> set[str]:
    """Return the files that stay when a job has ended: its recording and its waveforms."""
    return {f"media/{job.id}", f"peaks/{job.id}", f"fine_peaks/{job.id}"}


async def started(service: Service, job: Job, chunks: int = 1) -> Job:
    """Return the job once it has this many chunks done."""
    return await until(service, job.id, lambda j: j.chunks_done >= chunks)


async def test_a_recording_becomes_a_transcript_and_leaves_only_itself(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=5)
        done = await ended(service, job.id)
        assert done.status is Status.COMPLETED
        assert (done.progress, done.chunks_done, done.chunks_total) == (1.0, 5, 5)
        assert done.duration_s == pytest.approx(55.0)
        assert await texts(service, job.id) == expected(5)
        assert files_of(tmp_path / "data") == files_left(job)


async def test_the_log_tells_the_whole_story_in_order(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=4, delay=0.01, decode_delay=0.01)
        await ended(service, job.id)
        changes = await log_of(service, job.id)
        seen = jobs_in(changes)
        assert [c.seq for c in changes] == sorted({c.seq for c in changes})
        assert [j.progress for j in seen] == sorted(j.progress for j in seen)
        assert sum(c.kind == "segment" for c in changes) == 4
        phases = [j.phase for j in seen if j.status is Status.PROCESSING]
        assert phases[0] is Phase.DECODING
        assert Phase.TRANSCRIBING in phases
        assert seen[0].status is Status.PENDING
        assert seen[-1].status is Status.COMPLETED
        assert any(j.speed and j.eta_s is not None for j in seen)


async def test_the_language_is_learnt_from_the_first_chunk_and_given_to_the_rest(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, options=AUTO, chunks=6)
        assert (await ended(service, job.id)).language == "en"
        assert await texts(service, job.id) == expected(6)


async def test_an_unsure_language_is_asked_again_and_then_taken(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, options=AUTO, chunks=6, sure=0.2)
        done = await ended(service, job.id)
        assert done.language == "en"
        learnt = next(j for j in jobs_in(await log_of(service, job.id)) if j.language)
        assert learnt.chunks_done == 3


async def test_a_short_clip_overtakes_a_long_recording(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        film = await send(service, name="film", chunks=60, delay=0.03)
        await started(service, film, 4)
        clip = await send(service, name="clip", chunks=1)
        await ended(service, clip.id)
        assert (await service.parts.store.job(film.id)).status is Status.PROCESSING
        assert (await ended(service, film.id)).status is Status.COMPLETED


async def test_many_clips_share_batches_and_all_end(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        jobs = [await send(service, name=f"clip{n}", chunks=1 + n % 3) for n in range(20)]
        for n, job in enumerate(jobs):
            assert (await ended(service, job.id)).status is Status.COMPLETED
            assert await texts(service, job.id) == expected(1 + n % 3)


async def test_pause_keeps_what_is_done_and_resume_goes_on(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=30, delay=0.02)
        await started(service, job, 2)
        paused = await service.jobs.change(job.id, Cause.PAUSE)
        assert paused.status is Status.PAUSED
        assert paused.phase is None
        await anyio.sleep(0.5)  # what was in flight comes back, and then nothing
        still = await service.parts.store.job(job.id)
        assert still.status is Status.PAUSED
        assert still.chunks_done < 30
        await service.jobs.change(job.id, Cause.RESUME)
        assert (await ended(service, job.id)).status is Status.COMPLETED
        assert await texts(service, job.id) == expected(30)


async def test_pause_while_decoding_decodes_again(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=10, decode_delay=0.05)
        await started(service, job)
        await service.jobs.change(job.id, Cause.PAUSE)
        await service.jobs.change(job.id, Cause.RESUME)
        assert (await ended(service, job.id)).chunks_done == 10
        assert await texts(service, job.id) == expected(10)


async def test_cancel_keeps_the_text_so_far_and_retry_takes_up_from_there(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=30, delay=0.02)
        before = await started(service, job, 3)
        cancelled = await service.jobs.change(job.id, Cause.CANCEL)
        assert cancelled.status is Status.CANCELLED
        kept = await texts(service, job.id)
        assert len(kept) >= before.chunks_done
        assert files_of(tmp_path / "data") == files_left(job)
        await service.jobs.change(job.id, Cause.RETRY)
        assert (await ended_again(service, job.id)).status is Status.COMPLETED
        assert await texts(service, job.id) == expected(30)


async def ended_again(service: Service, job_id: str) -> Job:
    """Return the job once it has ended after its retry."""
    with anyio.fail_after(60):
        cursor = service.events.cursor(service.events.head, job_id)
        while (job := await service.parts.store.job(job_id)).status not in (Status.COMPLETED, Status.FAILED):
            await cursor.read()
        return job


async def test_delete_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=50, delay=0.02, decode_delay=0.02)
        await started(service, job)
        await service.jobs.delete(job.id)
        with pytest.raises(NotFound):
            await service.parts.store.job(job.id)
        assert [c.kind for c in await log_of(service, job.id)] == ["deleted"]
        other = await send(service, chunks=2)
        assert (await ended(service, other.id)).status is Status.COMPLETED
        assert files_of(tmp_path / "data") == files_left(other)


async def test_front_goes_before_those_that_came_earlier(tmp_path: Path) -> None:
    async with open_service(tmp_path, speech={"batch_size": 1}) as service:
        jobs = [await send(service, name=f"job{n}", chunks=20, delay=0.02) for n in range(4)]
        await started(service, jobs[0], 2)
        await service.jobs.change(jobs[3].id, Cause.FRONT)
        await ended(service, jobs[3].id)
        others = [await service.parts.store.job(job.id) for job in jobs[:3]]
        assert all(job.status is not Status.COMPLETED for job in others)


async def test_what_is_not_in_the_table_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=1)
        await ended(service, job.id)
        before = await log_of(service)
        for cause in (Cause.PAUSE, Cause.RESUME, Cause.CANCEL, Cause.FRONT, Cause.RETRY):
            with pytest.raises(IllegalTransition):
                await service.jobs.change(job.id, cause)
        with pytest.raises(NotFound):
            await service.jobs.change("nothing", Cause.PAUSE)
        assert await log_of(service) == before


async def test_reuse_goes_on_with_the_job_that_has_the_same_bytes(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        first = await send(service, chunks=30, delay=0.02)
        await started(service, first, 2)
        await service.jobs.change(first.id, Cause.CANCEL)
        again = await send(service, chunks=30, delay=0.02, reuse=True)
        assert again.id == first.id
        assert (await ended_again(service, first.id)).status is Status.COMPLETED
        other = await send(service, options=Options(language="de"), chunks=30, delay=0.02, reuse=True)
        assert other.id != first.id
        await service.jobs.delete(other.id)
        assert files_of(tmp_path / "data") == files_left(first)


async def test_a_file_that_is_no_recording_fails_with_the_cause(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, decode_fault="not_media")
        failed = await ended(service, job.id)
        assert failed.status is Status.FAILED
        assert failed.error is not None
        assert failed.error.code == "not_media"
        assert files_of(tmp_path / "data") == files_left(job)


async def test_a_model_that_is_not_there_fails_the_job_and_not_the_service(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, options=Options(model="large-v9", language="en"))
        failed = await ended(service, job.id)
        assert failed.error is not None
        assert failed.error.code == "model_unavailable"
        good = await send(service, chunks=1)
        assert (await ended(service, good.id)).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("fault", "counted"), [("abort_once", 1), ("kill_once", 0), ("oom_once", 0), ("error_once", 1)]
)
async def test_an_actor_that_dies_costs_only_what_was_in_its_hands(tmp_path: Path, fault: str, counted: int) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=20, faults={"7": fault}, marks=str(tmp_path))
        done = await ended(service, job.id)
        assert done.status is Status.COMPLETED
        assert done.gaps == ()
        assert await texts(service, job.id) == expected(20)
        assert [note.code for note in done.history] == [
            {"abort_once": "crashed", "kill_once": "killed", "oom_once": "oom", "error_once": "unknown"}[fault]
        ]
        attempts = [chunk.attempts for chunk in await service.parts.store.chunks(job.id)]
        assert max(attempts) == counted
        assert sum(attempts) <= 2 * BATCH  # two slots


async def test_a_chunk_that_always_kills_its_actor_becomes_a_gap_and_retry_tries_it_again(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=12, faults={"5": "abort"})
        innocent = await send(service, name="innocent", chunks=6)
        done = await ended(service, job.id)
        assert done.status is Status.COMPLETED
        assert [(gap.start, gap.end) for gap in done.gaps] == [(55.0, 65.0)]
        assert done.gaps[0].reason
        assert await texts(service, job.id) == [text for n, text in enumerate(expected(12)) if n != 5]
        assert (await ended(service, innocent.id)).gaps == ()
        chunks = await service.parts.store.chunks(job.id)
        assert [chunk.span.index for chunk in chunks if chunk.state is ChunkState.FAILED] == [5]
        assert {chunk.attempts for chunk in chunks if chunk.span.index != 5} <= {0, 1, 2}
        assert chunks[5].attempts == (await speech_deaths(service)) == 3
        assert [note.message.rpartition(": ")[2] for note in done.history] == [
            *["The process ended with an abort inside a native library. This part is tried again."] * 2,
            "The process ended with an abort inside a native library. This part is left out.",
        ]
        retried = await service.jobs.change(job.id, Cause.RETRY)
        assert retried.gaps == ()
        assert retried.progress == pytest.approx(1 - 10 / 132, abs=1e-3)
        assert retried.position_s == 55.0
        assert len((await ended_again(service, job.id)).gaps) == 1


async def speech_deaths(service: Service) -> int:
    """Return how many speech actors have died."""
    return next(actor.generation for actor in (await service.system()).actors if actor.name == "speech") - 1


async def test_a_job_of_gaps_alone_fails_and_can_be_tried_again(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=1, faults={"0": "abort"})
        failed = await ended(service, job.id)
        assert failed.status is Status.FAILED
        assert failed.error is not None
        assert failed.error.code == "crashed"
        assert len(failed.gaps) == 1
        again = await service.jobs.change(job.id, Cause.RETRY)
        assert (again.status, again.gaps, again.error, again.progress) == (Status.PENDING, (), None, 0.0)
        assert (await ended_again(service, job.id)).status is Status.FAILED


async def test_a_chunk_with_bad_data_is_a_gap_at_once_and_its_neighbours_are_not_counted(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=6, bad=[2])
        done = await ended(service, job.id)
        assert (done.status, [gap.reason for gap in done.gaps]) == (Status.COMPLETED, ["This chunk cannot be read."])
        assert [chunk.attempts for chunk in await service.parts.store.chunks(job.id)] == [0] * 6
        assert await texts(service, job.id) == [text for n, text in enumerate(expected(6)) if n != 2]


@pytest.mark.parametrize("loss", ["gone", "short"])
async def test_a_spool_that_is_lost_in_the_middle_is_decoded_again(tmp_path: Path, loss: str) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=30, delay=0.02)
        await until(service, job.id, lambda j: j.decoded and j.chunks_done > 3)
        spool = tmp_path / "data" / "spool" / f"{job.id}.pcm"
        spool.unlink() if loss == "gone" else os.truncate(spool, 1000)
        done = await ended(service, job.id)
        assert (done.status, done.gaps) == (Status.COMPLETED, ())
        assert await texts(service, job.id) == expected(30)


@pytest.mark.parametrize("loss", ["gone", "short"])
async def test_a_spool_that_is_lost_between_two_runs_is_decoded_again(tmp_path: Path, loss: str) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=30, delay=0.03)
        await until(service, job.id, lambda j: j.decoded and j.chunks_done > 3)
        await service.jobs.change(job.id, Cause.PAUSE)
    spool = tmp_path / "data" / "spool" / f"{job.id}.pcm"
    spool.unlink() if loss == "gone" else os.truncate(spool, 1000)
    async with open_service(tmp_path) as service:
        await service.jobs.change(job.id, Cause.RESUME)
        done = await ended_again(service, job.id)
        assert (done.status, done.gaps) == (Status.COMPLETED, ())
        assert await texts(service, job.id) == expected(30)


async def test_a_spool_that_is_lost_every_time_fails_the_job(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=30, delay=0.02)
        cursor = service.events.cursor(0, job.id)
        spool = tmp_path / "data" / "spool" / f"{job.id}.pcm"
        while (await service.parts.store.job(job.id)).status not in (Status.COMPLETED, Status.FAILED):
            await cursor.read()
            spool.unlink(missing_ok=True)
        failed = await service.parts.store.job(job.id)
        assert failed.error is not None
        assert (failed.status, failed.error.code, failed.gaps) == (Status.FAILED, "spool_missing", ())


@pytest.mark.parametrize("ending", ["pause", "cancel", "gap"])
async def test_a_job_that_another_chunker_goes_on_with_has_every_stretch_once(tmp_path: Path, ending: str) -> None:
    """The next version of the service goes on with a job of this one, and cuts in other places."""
    old = [(n * 10.0, n * 10.0 + 9.0) for n in range(20)]
    new = [(n * 15.0, n * 15.0 + 14.0) for n in range(14)]  # the last one begins within what is known and ends beyond
    async with open_service(tmp_path) as service:
        play = {"cuts": old, "recuts": new, "marks": str(tmp_path), "delay": 0.01, "decode_delay": 0.02}
        job = await send(service, **play, faults={"3": "kill"} if ending == "gap" else {})
        if ending == "gap":
            await ended(service, job.id)
            await service.jobs.change(job.id, Cause.RETRY)
        else:
            await started(service, job, 4)
            await service.jobs.change(job.id, Cause.PAUSE if ending == "pause" else Cause.CANCEL)
            await service.jobs.change(job.id, Cause.RESUME if ending == "pause" else Cause.RETRY)
        done = await ended_again(service, job.id)
        assert done.status is Status.COMPLETED
        assert done.chunks_done + len(done.gaps) == done.chunks_total
        spans = [chunk.span for chunk in await service.parts.store.chunks(job.id)]
        kept = [span for span in spans if (span.start, span.end) in old]
        assert len(kept) >= 4
        assert all(a.end <= b.start for a, b in pairwise(spans))
        reach = kept[-1].end
        if ending == "gap":  # it had been decoded to its end: nothing is added
            assert spans == kept
        else:
            behind = [(max(start, reach), end) for start, end in new if end > reach]
            assert [(span.start, span.end) for span in spans[len(kept) :]] == behind
        told = [f"{span.start:g}-{span.end:g}" for span in spans]
        assert await texts(service, job.id) == [text for n, text in enumerate(told) if ending != "gap" or n != 3]


async def test_a_hung_actor_is_replaced(tmp_path: Path) -> None:
    async with open_service(tmp_path, supervision={"batch_timeout_s": 1.0}) as service:
        job = await send(service, chunks=4, faults={"2": "hang_once"}, marks=str(tmp_path))
        done = await ended(service, job.id)
        assert (done.gaps, [note.code for note in done.history]) == ((), ["hung"])
        assert await texts(service, job.id) == expected(4)


async def test_a_recording_that_kills_its_media_actor_once_is_decoded_again(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=3, decode_fault="kill_once", marks=str(tmp_path))
        done = await ended(service, job.id)
        assert (done.status, [note.code for note in done.history]) == (Status.COMPLETED, ["killed"])
        assert "read again" in done.history[0].message


async def test_a_recording_that_makes_its_media_actor_spin_fails_after_three(tmp_path: Path) -> None:
    async with open_service(tmp_path, supervision={"decode_stall_s": 0.5}) as service:
        job = await send(service, chunks=3, decode_fault="spin")
        failed = await ended(service, job.id)
        assert failed.error is not None
        assert (failed.status, failed.error.code) == (Status.FAILED, "decode_failed")
        assert [note.code for note in failed.history] == ["hung", "hung"]
    logs = "".join(log.read_text() for log in (tmp_path / "data" / "logs").glob("media-*"))
    assert logs.count("in _end") == 3  # its stacks, each time


async def test_a_recording_that_always_kills_its_media_actor_fails_alone(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        bad = await send(service, name="bad", decode_fault="abort")
        good = await send(service, name="good", chunks=3)
        failed = await ended(service, bad.id)
        assert failed.error is not None
        assert failed.error.code == "decode_failed"
        assert (await ended(service, good.id)).status is Status.COMPLETED


async def test_an_actor_that_cannot_start_is_told_and_the_job_waits(tmp_path: Path) -> None:
    async with open_service(tmp_path, speech_actor="broken") as service:
        job = await send(service, chunks=2)
        with anyio.fail_after(30):
            while service.readiness().ready:  # noqa: ASYNC110 - nothing is published about actors
                await anyio.sleep(0.05)
        (problem,) = service.readiness().problems
        assert problem.code == "library_missing"
        assert problem.hint
        assert (await service.parts.store.job(job.id)).status is Status.PROCESSING


async def test_a_speech_engine_that_cannot_start_keeps_the_jobs_waiting_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    monkeypatch.setattr(admission, "MAX_TOGETHER", 2)
    patience = {"max_restarts": 2}
    async with open_service(tmp_path, speech_actor="broken_until_mended", supervision=patience) as service:
        jobs = [await send(service, name=f"job{n}", chunks=2) for n in range(4)]  # two of them are not even taken up
        for job in jobs:
            waits = await until(service, job.id, lambda job: job.problem is not None)
            assert waits.problem is not None
            assert (waits.problem.code, waits.error) == ("library_missing", None)
            assert waits.message == f"Waits: {waits.problem.message} {waits.problem.hint}"
        assert {(await service.parts.store.job(job.id)).status for job in jobs} == {Status.PENDING, Status.PROCESSING}
        (problem,) = service.readiness().problems
        assert (problem.code, bool(problem.hint)) == ("library_missing", True)
        speech = (await service.system()).actors[0]
        assert (speech.name, speech.state, speech.problem) == ("speech", ActorState.BROKEN, problem)
        late = await send(service, name="late", chunks=1)
        assert (await until(service, late.id, lambda job: job.problem is not None)).status is Status.PENDING
        cancelled = await service.jobs.change(late.id, Cause.CANCEL)
        assert (cancelled.status, cancelled.problem) == (Status.CANCELLED, None)
        generation = speech.generation
        (tmp_path / "mended").touch()
        assert (await service.jobs.change(jobs[0].id, Cause.RETRY)).status is Status.PROCESSING
        for job in jobs:
            done = await ended(service, job.id)
            assert (done.status, done.problem, done.message) == (Status.COMPLETED, None, "")
        assert service.readiness().ready
        assert (await service.system()).actors[0].generation == generation + 1


async def test_media_actors_that_cannot_start_keep_the_jobs_waiting_too(tmp_path: Path) -> None:
    async with open_service(
        tmp_path, media_actor="broken", media={"workers": 2}, supervision={"max_restarts": 2}
    ) as service:
        job = await send(service, chunks=2)
        waits = await until(service, job.id, lambda job: job.problem is not None)
        assert waits.problem is not None
        assert (waits.status, waits.problem.code) == (Status.PROCESSING, "library_missing")
        assert not service.readiness().ready
        states = {actor.name: actor.state for actor in (await service.system()).actors}
        assert (states["media-1"], states["media-2"]) == (ActorState.BROKEN, ActorState.BROKEN)
        assert (await service.jobs.change(job.id, Cause.CANCEL)).problem is None


async def test_killing_actors_from_outside_changes_nothing_in_the_result(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        jobs = [await send(service, name=f"job{n}", chunks=40, delay=0.01, decode_delay=0.005) for n in range(3)]
        for round_ in range(4):
            await started(service, jobs[0], 1 + 3 * round_)
            for actor in (await service.system()).actors:
                if actor.pid:
                    os.kill(actor.pid, signal.SIGKILL)
        for job in jobs:
            done = await ended(service, job.id)
            assert (done.status, done.gaps) == (Status.COMPLETED, ())
            assert await texts(service, job.id) == expected(40)


async def test_a_service_that_ends_in_the_middle_goes_on_by_itself(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=40, delay=0.02)
        waiting = await send(service, name="next", chunks=2)
        before = await started(service, job, 5)
    async with open_service(tmp_path) as service:
        done = await ended_again(service, job.id)
        assert done.status is Status.COMPLETED
        assert done.attempts == before.attempts + 1
        assert await texts(service, job.id) == expected(40)
        assert (await ended_again(service, waiting.id)).status is Status.COMPLETED
        progress = [j.progress for j in jobs_in(await log_of(service, job.id))]
        assert progress == sorted(progress)


async def test_requests_in_the_moment_of_the_end_are_all_answered(tmp_path: Path) -> None:
    answers: list[str] = []

    async def front(service: Service, job: Job) -> None:
        try:
            answers.append((await service.jobs.change(job.id, Cause.FRONT)).status.value)
        except ServiceError as error:
            answers.append(error.code)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            async with open_service(tmp_path) as service:
                job = await send(service, chunks=100, delay=0.05)
                await started(service, job)
                for _ in range(50):
                    tasks.start_soon(front, service, job)
                await checkpoint()
                for _ in range(50):
                    tasks.start_soon(front, service, job)
            tasks.start_soon(front, service, job)
    assert len(answers) == 101
    assert set(answers) == {"processing", "shutting_down"}


async def test_files_nobody_knows_are_swept_at_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=1)
        await ended(service, job.id)
    for stray in ("media/stray", f"spool/{job.id}.pcm", "peaks/stray", "fine_peaks/stray"):
        data.joinpath(stray).write_bytes(b"x")
    async with open_service(tmp_path):
        assert files_of(data) == files_left(job)


async def test_the_log_is_kept_as_short_as_the_configuration_says(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        job = await send(service, chunks=40)
        await ended(service, job.id)
        before = await log_of(service)
        assert len(before) > 40
    async with open_service(tmp_path, storage={"keep_changes": 20, "keep_changes_s": 0.0}) as service:  # at start
        with anyio.fail_after(10):
            while len(kept := await log_of(service)) > 20:  # noqa: ASYNC110 - no event tells when
                await anyio.sleep(0.01)
        assert kept == before[-20:]
        job = await send(service, chunks=40)  # and while it grows
        assert (await ended_again(service, job.id)).chunks_done == 40
        with anyio.fail_after(10):
            while len(await log_of(service)) > 22:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        _, newest = await service.parts.store.change_log.bounds()
        assert [change.seq for change in await log_of(service)][-20:] == list(range(newest - 19, newest + 1))
        assert await texts(service, job.id) == expected(40)


@pytest.mark.parametrize(("entry", "model"), [("speech", "small"), ("speech_with_gpu", "large-v3-turbo")])
async def test_auto_is_the_best_model_for_the_device_that_the_actor_finds(
    tmp_path: Path, entry: str, model: str
) -> None:
    """The job comes before the actor can report its device."""
    for name in ("small", "large-v3-turbo"):
        placeholder_model(tmp_path / "data" / "models" / name)
    async with open_service(tmp_path, speech_actor=entry, speech={"model": "auto", "preload": False}) as service:
        job = await send(service, chunks=3)
        done = await ended(service, job.id)
        assert (done.status, done.model) == (Status.COMPLETED, model)
        assert (await service.system()).model == model
        seen = [j for j in jobs_in(await log_of(service, job.id)) if j.status is Status.PROCESSING]
        assert {model} <= {j.model for j in seen} <= {None, model}


async def test_one_service_per_data_directory(tmp_path: Path) -> None:
    async with open_service(tmp_path):
        with pytest.raises(DataDirectoryInUse):
            async with open_service(tmp_path):
                pass
    async with open_service(tmp_path):
        pass
