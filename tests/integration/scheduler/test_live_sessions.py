"""The loop with live sessions: jobs whose recording grows while they are in work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from tests.integration.scheduler.scripted_loop import ScriptedLoop, heard, scripted_loop
from whisper_service.core.domain import (
    CALL_RANK,
    SAMPLE_RATE,
    Encoding,
    LiveEnd,
    LiveSession,
    Phase,
    Problem,
    Span,
    Status,
)
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import Cause
from whisper_service.core.sound_format import form_of
from whisper_service.scheduler import live_actor, planner, requests
from whisper_service.supervision.messages.base import Cancel, Fault, Ready
from whisper_service.supervision.messages.media import (
    ChunkFound,
    CutHere,
    Decode,
    Decoded,
    Follow,
    Followed,
    Grow,
    SessionState,
)

pytestmark = pytest.mark.anyio
LIVE = LiveSession("microphone", 8_000, Encoding.MULAW)
SECOND = 8_000  # bytes


async def begin(scripted: ScriptedLoop, sound: bytes = b"", job_id: str = "job") -> None:
    """Begin a session that has some sound already."""
    source = anyio.Path(scripted.data.source_of(job_id))
    await source.write_bytes(form_of(LIVE).header(None) + sound)
    job = replace(scripted.job_of(job_id), live=LIVE, rank=CALL_RANK, bytes=0, sha256="")
    await scripted.mailbox.ask(scripted.context.ledger.add, job)
    await scripted.settled()


async def followed(scripted: ScriptedLoop) -> Follow:
    """The live actor is ready and follows the session."""
    scripted.say(scripted.live, Ready(pid=5))
    await scripted.settled()
    return scripted.live.commands(Follow)[-1]  # type: ignore[no-any-return]


async def found(scripted: ScriptedLoop, *indexes: int) -> None:
    """The actor has written the seconds of these chunks into the spool."""
    spool = anyio.Path(scripted.data.spool_of("job"))
    await spool.write_bytes(bytes(2 * SAMPLE_RATE * (max(indexes) + 1)))
    chunks = [ChunkFound("job", Span(n, n * SAMPLE_RATE, SAMPLE_RATE, float(n), n + 1.0)) for n in indexes]
    scripted.say(scripted.live, *chunks)
    await scripted.settled()


async def end(scripted: ScriptedLoop, cause: LiveEnd = LiveEnd.CLIENT, **fields: Any) -> None:
    """Write the end of the session, as `app.live_sessions` does."""
    live = replace((await scripted.job()).live or LIVE, ended=cause)
    await scripted.mailbox.ask(scripted.context.ledger.update_live, "job", live=live, **fields)


async def test_a_session_is_followed_by_the_live_actor_and_its_chunks_become_text_while_it_grows(
    tmp_path: Path,
) -> None:
    async with scripted_loop(tmp_path) as scripted:
        scripted.say(scripted.media, Ready(pid=1))
        await begin(scripted, bytes(2 * SECOND))
        job = await scripted.job()
        assert (job.status, job.phase, job.message) == (Status.PROCESSING, Phase.TRANSCRIBING, "Listening.")
        assert scripted.live.got == []  # it has to start first
        command = await followed(scripted)
        assert (command.form, command.sound_bytes, command.ended) == (form_of(LIVE), 2 * SECOND, False)
        assert scripted.media.commands(Decode) == []
        for path in (command.spool, command.peaks, command.fine_peaks):
            assert await anyio.Path(path).exists()
        await found(scripted, 0)
        await scripted.loaded()
        (batch,) = scripted.batches()
        assert batch.urgent
        scripted.say(scripted.speech, heard(batch))
        await scripted.settled()
        assert await scripted.texts() == ["chunk 0"]
        assert (await scripted.job()).status is Status.PROCESSING  # although nothing is left to do now


async def test_the_actor_hears_of_all_sound_and_of_the_end_and_then_the_job_ends(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted)
        await followed(scripted)
        live = scripted.context.live
        live.grow("job", SECOND)
        live.grow("job", SECOND)  # the answer was lost, and the client sent it again
        live.grow("unknown", SECOND)
        assert scripted.live.commands(Grow) == [Grow({"job": SECOND})]
        await end(scripted, bytes=SECOND + 58, sha256="5e")
        live.grow("job", 2 * SECOND, ended=True)
        live.grow("job", 2 * SECOND, ended=True)
        assert scripted.live.commands(Grow)[1:] == [Grow({"job": 2 * SECOND}, ended=True)]
        scripted.say(scripted.live, Decoded("job", 2.0))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, job.message, job.duration_s) == (Status.COMPLETED, "No speech was found.", 2.0)
        assert (job.bytes, job.sha256, job.growing) == (SECOND + 58, "5e", False)
        assert scripted.live.ready_generation == 0  # nothing is left to follow


async def test_the_actor_hears_of_newer_sound_when_it_has_taken_in_what_it_was_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an actor that does not read gets one command for each session, and its pipe never fills up."""
    monkeypatch.setattr(live_actor, "GATHER_S", 0.0)
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted)
        await begin(scripted, job_id="other")
        await followed(scripted)
        live = scripted.context.live
        for second in range(1, 50):
            live.grow("job", second * SECOND)
            live.grow("other", second * SECOND)
        assert scripted.live.commands(Grow) == [Grow({"job": SECOND}), Grow({"other": SECOND})]
        scripted.say(scripted.live, Followed("job", SECOND // 2, 0.5))  # there is more that it was told of
        await scripted.settled()
        assert len(scripted.live.commands(Grow)) == 2
        scripted.say(scripted.live, Followed("job", SECOND, 1.0))
        await scripted.settled()
        assert scripted.live.commands(Grow)[2:] == [Grow({"job": 49 * SECOND})]
        live.grow("other", 50 * SECOND)
        live.cut("other")  # what was said before is in the chunk
        assert [type(command) for _, command in scripted.live.got[-2:]] == [Grow, CutHere]
        assert scripted.live.commands(Grow)[3:] == [Grow({"other": 50 * SECOND})]
        live.grow("job", 51 * SECOND)
        live.grow("job", 51 * SECOND, ended=True)  # at once, whatever the actor does
        assert scripted.live.commands(Grow)[4:] == [Grow({"job": 51 * SECOND}, ended=True)]


async def test_sound_of_many_sessions_is_told_with_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_loop(tmp_path) as scripted:
        names = [f"job{n}" for n in range(5)]
        for name in names:
            await begin(scripted, job_id=name)
        await followed(scripted)
        live = scripted.context.live
        monkeypatch.setattr(live_actor, "GATHER_S", 0.2)
        live.grow(names[0], 1)
        for second in (1, 2):
            for name in names[1:]:
                live.grow(name, second * SECOND)
        for _ in range(2_000):
            if len(scripted.live.commands(Grow)) == 2:
                break
            await anyio.sleep(0.01)
        assert scripted.live.commands(Grow) == [Grow({names[0]: 1}), Grow(dict.fromkeys(names[1:], 2 * SECOND))]


async def test_sound_alone_needs_no_plan_and_a_chunk_or_a_reader_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[int] = []
    plan = planner.plan
    async with scripted_loop(tmp_path) as scripted:
        scripted.say(scripted.media, Ready(pid=1))
        await begin(scripted)
        await followed(scripted)
        await found(scripted, 0)
        monkeypatch.setattr(planner, "plan", lambda view, now: plans.append(1) or plan(view, now))  # type: ignore[func-returns-value]
        scripted.say(scripted.live, *(Followed("job", second * SECOND, float(second)) for second in range(1, 50)))
        await anyio.wait_all_tasks_blocked()
        scripted.say(scripted.live, SessionState("job", b"state"))  # stored when the reports before it are handled
        for _ in range(2_000):
            if await scripted.store.session_state("job") == b"state":
                break
            await anyio.sleep(0.01)
        assert await scripted.store.session_state("job") == b"state"
        assert plans == []
        scripted.say(scripted.live, ChunkFound("job", Span(1, SAMPLE_RATE, SAMPLE_RATE, 1.0, 2.0)))
        await scripted.settled()
        assert plans
        await scripted.settled()  # what was begun before is over
        with scripted.context.drafts.feed.reader("job"):
            await scripted.settled()
            plans.clear()
            scripted.say(scripted.live, Followed("job", 50 * SECOND, 50.0, speaking=True, speech=(48.0, 50.0)))
            await scripted.settled()
            assert plans


async def test_what_the_dead_actor_followed_is_followed_again_from_the_beginning(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted, bytes(3 * SECOND))
        await followed(scripted)
        await found(scripted, 0, 1)
        await scripted.loaded()
        scripted.say(scripted.speech, heard(scripted.batches()[0]))
        scripted.die(scripted.live)
        await scripted.settled()
        again = await followed(scripted)
        assert (again.sound_bytes, len(scripted.live.commands(Follow))) == (3 * SECOND, 2)
        await found(scripted, 0, 1, 2)
        assert [chunk.span.index for chunk in await scripted.store.chunks("job")] == [0, 1, 2]
        assert await scripted.texts() == ["chunk 0"]


async def test_a_session_is_followed_again_from_its_last_state(tmp_path: Path) -> None:
    """What the actor has of the spool then is ready at once; the state is that of stored chunks."""
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted, bytes(3 * SECOND))
        assert (await followed(scripted)).state == b""
        await found(scripted, 0, 1)
        scripted.say(scripted.live, SessionState("job", b"one"), SessionState("job", b"two"))
        await scripted.settled()
        await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.PAUSE)
        await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.RESUME)
        assert (await followed(scripted)).state == b"two"
        await scripted.loaded()
        assert scripted.batches() == []  # the spool may be another one
        scripted.say(scripted.live, Followed("job", 2 * SECOND, 1.0))
        await scripted.settled()
        assert [row.span.index for row in scripted.batches()[0].chunks] == [0]


async def test_a_state_of_a_session_that_nobody_follows_is_not_kept(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted, bytes(SECOND))
        await followed(scripted)
        await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.PAUSE)
        scripted.say(scripted.live, SessionState("job", b"late"))
        await scripted.settled()
        assert await scripted.store.session_state("job") == b""


async def test_a_session_that_was_ended_while_nobody_followed_it_is_read_to_its_end(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted, bytes(SECOND))
        await end(scripted)
        assert (await followed(scripted)).ended


async def test_clients_hear_now_and_then_how_much_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted)
        await followed(scripted)
        for seconds in (1, 2, 3):
            scripted.say(scripted.live, Followed("job", seconds * SECOND, float(seconds)))
        await scripted.settled()
        live = (await scripted.job()).live
        assert live is not None
        assert (live.received_bytes, (live.heard_at or 0) > 1e9) == (SECOND, True)
        monkeypatch.setattr(live_actor, "TELL_S", 0.0)
        scripted.say(scripted.live, Followed("job", 4 * SECOND, 4.0))
        await scripted.settled()
        job = await scripted.job()
        assert job.live is not None
        assert (job.live.received_bytes, job.position_s) == (4 * SECOND, 4.0)


async def test_pause_cancel_and_delete_stop_following_and_a_resumed_session_goes_on(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted, bytes(SECOND))
        await followed(scripted)
        context = scripted.context
        await scripted.mailbox.ask(requests.change, context, "job", Cause.PAUSE)
        assert scripted.live.commands(Cancel) == [Cancel("job")]
        context.live.grow("job", 2 * SECOND)  # it listens on: the bytes are in the file
        await scripted.mailbox.ask(requests.change, context, "job", Cause.RESUME)
        await scripted.settled()
        await followed(scripted)
        assert len(scripted.live.commands(Follow)) == 2
        await scripted.mailbox.ask(requests.change, context, "job", Cause.CANCEL)
        await begin(scripted, job_id="other")
        await followed(scripted)
        await scripted.mailbox.ask(requests.delete, context, "other")
        assert [cancel.job_id for cancel in scripted.live.commands(Cancel)] == ["job", "job", "other"]
        assert not context.live.follows("other")
        with pytest.raises(NotFound):
            await scripted.mailbox.ask(context.ledger.update_live, "other", message="")


async def test_a_fault_of_a_session_fails_its_job_alone(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted, bytes(SECOND))
        await begin(scripted, bytes(SECOND), job_id="other")
        await followed(scripted)
        problem = Problem("disk_full", "There is no space.", "Free some.")
        scripted.say(scripted.live, Fault("media", "disk_full", problem, job_id="job"))
        await scripted.settled()
        job, other = await scripted.job(), await scripted.job("other")
        assert (job.status, job.error, other.status) == (Status.FAILED, problem, Status.PROCESSING)
        assert (scripted.context.live.follows("job"), scripted.context.live.follows("other")) == (False, True)


async def test_a_cut_goes_to_the_actor_that_follows_the_session(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await begin(scripted)
        scripted.context.live.cut("job")
        await followed(scripted)
        scripted.context.live.cut("job")
        assert scripted.live.commands(CutHere) == [CutHere("job")]
