"""Drafts of live sessions over HTTP: words before their segments, for those who read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.event_stream import Event, collect, events
from testkit.scripted_actors import DRAFT_FAULT
from testkit.service import Running, ended, running, until
from testkit.sounds import babble, join, silence
from whisper_service.core.domain import ChunkState, Status

pytestmark = pytest.mark.anyio
SECOND = 32_000
TALK = join(babble(12), silence(4), babble(4, seed=1)).tobytes()
"""A chunk of 12 s, and 4 s behind it that are no chunk before the session ends."""
WAIT_S = 60.0


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    """A service whose speech actor is scripted: it hears a word in each second."""
    async with running(tmp_path, live={"cadence_s": 0.05}) as web:
        yield web


async def begin(web: Running) -> str:
    answer = await web.client.post("/api/live", json={"language": "en"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def send(web: Running, job_id: str, sound: bytes, begin_at: int = 0, *, last: bool = False) -> None:
    headers = {"upload-offset": str(begin_at), "content-type": "application/offset+octet-stream"}
    answer = await web.client.patch(f"/api/live/{job_id}", content=sound, headers=headers)
    assert answer.status_code == 204, answer.text
    if last:
        assert (await web.client.post(f"/api/live/{job_id}/end")).status_code == 200


def words(draft: dict[str, Any]) -> str:
    return "".join(word["word"] for word in (*draft["stable"], *draft["tentative"]))


async def test_the_events_of_a_session_have_its_drafts_without_ids(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, TALK[: 8 * SECOND])
    seen: list[Event] = []
    with anyio.fail_after(WAIT_S):
        async with (
            web.client.stream("GET", f"/api/jobs/{job_id}/events") as response,
            aclosing(events(response)) as all_,
        ):
            async for event in all_:
                seen.append(event)
                if event.kind == "draft" and words(event.data).endswith("w7"):
                    break
            await send(web, job_id, TALK[8 * SECOND :], 8 * SECOND)
            async for event in all_:
                seen.append(event)
                if event.kind == "draft" and event.data["from_s"] > 10 and words(event.data).endswith("w19"):
                    break
            await send(web, job_id, b"", len(TALK), last=True)
            seen += [event async for event in all_]
    drafts = [event.data for event in seen if event.kind == "draft"]
    first, last = next(draft for draft in drafts if words(draft).endswith("w7")), drafts[-1]
    assert first["job_id"] == job_id
    assert words(first) == "".join(f" w{n}" for n in range(8))
    assert first["stable"][0] == {"start": 0.0, "end": 0.5, "word": " w0"}
    assert {"from_s", "heard_s", "speaking"} < first.keys()
    behind = next(draft for draft in drafts if draft["from_s"] > 10 and words(draft).endswith("w19"))
    assert " w5" not in words(behind)  # its segment is there
    kinds = [event.kind for event in seen]
    assert kinds[-1] == "end"
    assert kinds.count("segment") == 2
    assert last["heard_s"] <= 20.5
    numbered = [event for event in seen if event.kind != "draft"]
    again = await collect(web.client, f"/api/jobs/{job_id}/events")
    assert [(e.kind, e.data) for e in again if e.kind == "segment"] == [
        (e.kind, e.data) for e in numbered if e.kind == "segment"
    ]
    assert [e.kind for e in again if e.kind == "draft"] == []  # drafts are not kept


async def test_a_stream_goes_on_behind_its_last_id_as_if_there_were_no_drafts(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, TALK[: 8 * SECOND])
    with anyio.fail_after(WAIT_S):
        async with (
            web.client.stream("GET", f"/api/jobs/{job_id}/events") as response,
            aclosing(events(response)) as all_,
        ):
            async for event in all_:
                if event.kind == "draft":
                    break
    place = event.id
    assert place is not None  # of the update before it
    await send(web, job_id, TALK[8 * SECOND :], 8 * SECOND, last=True)
    await ended(web.service, job_id)
    path = f"/api/jobs/{job_id}/events"
    rest = await collect(web.client, path, headers={"last-event-id": str(place)})
    everything = await collect(web.client, path)
    behind = [event for event in everything if event.id is not None and event.id > place]
    assert [(e.kind, e.id) for e in rest[:-1]] == [(e.kind, e.id) for e in behind if e.kind != "end"]


async def test_a_stream_without_drafts_has_none_and_makes_none(web: Running) -> None:
    job_id = await begin(web)
    with anyio.fail_after(WAIT_S):
        path = f"/api/jobs/{job_id}/events?drafts=false"
        async with web.client.stream("GET", path) as response, aclosing(events(response)) as all_:
            await send(web, job_id, TALK)
            kinds: list[str] = []
            async for event in all_:
                kinds.append(event.kind)
                if event.kind == "segment":
                    break
            assert "draft" not in kinds
            assert web.service.parts.context.drafts.feed.read == frozenset()
            assert web.service.parts.context.drafts._last_request == 0


async def test_the_drafts_alone_are_a_stream_that_ends_with_the_session(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, TALK[: 6 * SECOND])
    with anyio.fail_after(WAIT_S):
        path = f"/api/live/{job_id}/drafts"
        async with web.client.stream("GET", path) as response, aclosing(events(response)) as all_:
            async for event in all_:
                assert (event.kind, event.id) == ("draft", None)
                if words(event.data).endswith("w5"):
                    break
            async with web.client.stream("GET", path) as other, aclosing(events(other)) as late:
                assert words((await anext(late)).data) == words(event.data)  # the newest, at once
            await send(web, job_id, TALK[6 * SECOND :], 6 * SECOND, last=True)
            rest = [event async for event in all_]
    assert rest[-1] == Event("end", "done", None)
    assert {event.kind for event in rest[:-1]} <= {"draft"}
    assert await collect(web.client, f"/api/live/{job_id}/drafts") == [Event("end", "done", None)]
    upload = await web.client.post("/api/live/unknown/drafts")
    assert upload.status_code in (404, 405)
    unknown = await web.client.get("/api/live/unknown/drafts")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_a_slow_reader_gets_the_newest_draft_only(web: Running) -> None:
    job_id = await begin(web)
    with web.service.live.follow(job_id) as quick, web.service.live.follow(job_id) as slow:
        seen = 0
        with anyio.fail_after(WAIT_S):
            for second in range(1, 9):
                await send(web, job_id, TALK[(second - 1) * SECOND : second * SECOND], (second - 1) * SECOND)
            while (hearing := await quick.next()) is not None:
                seen += 1
                if [word.word for word in (*hearing.words, *hearing.tentative)][-1:] == [" w7"]:
                    break
            late = await slow.next()
    assert seen > 1
    assert late is not None
    assert [word.word for word in (*late.words, *late.tentative)][-1] == " w7"
    assert late.before == 0


async def test_a_follower_hears_every_word_once_and_that_nobody_speaks(web: Running) -> None:
    job_id = await begin(web)
    sound = join(babble(6), silence(2)).tobytes()
    said: list[str] = []
    with anyio.fail_after(WAIT_S), web.service.live.follow(job_id) as follower:
        await send(web, job_id, sound)
        while (hearing := await follower.next()) is not None:
            said += [word.word for word in hearing.words[len(said) - hearing.before :]]
            if hearing.pause_s > 1 and hearing.settled_s > hearing.speech_end_s:
                break
        assert hearing is not None
        assert hearing.speech_begin_s is not None
        assert hearing.speech_begin_s < 1
        assert 5 < hearing.speech_end_s < 7
        assert said[:6] == [f" w{n}" for n in range(6)]
        await follower.flush()
        await send(web, job_id, b"", len(sound), last=True)
        while (hearing := await follower.next()) is not None:
            said += [word.word for word in hearing.words[len(said) - hearing.before :]]
    assert len(said) == len(set(said))
    with web.service.live.follow(job_id) as late:
        assert await late.next() is None


async def test_drafts_that_crash_their_actor_three_times_rest_and_chunks_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick = tmp_path / "sick"
    monkeypatch.setenv(DRAFT_FAULT, str(sick))
    talk = join(babble(11), silence(4), babble(20, seed=1), silence(4), babble(40, seed=2), silence(4)).tobytes()
    async with running(tmp_path, live={"cadence_s": 0.05}) as web, anyio.create_task_group() as tasks:
        deaths = web.service.parts.context.fleet.first.actor.deaths
        job_id, seen = await begin(web), dict[str, list[Event]]()
        sick.write_text(job_id)

        async def read(session: str) -> None:
            async with (
                web.client.stream("GET", f"/api/jobs/{session}/events") as response,
                aclosing(events(response)) as all_,
            ):
                async for event in all_:
                    seen.setdefault(session, []).append(event)

        def drafted(session: str) -> bool:
            return any(event.kind == "draft" and words(event.data) for event in seen.get(session, ()))

        tasks.start_soon(read, job_id)
        place = 0
        with anyio.fail_after(WAIT_S):
            while len(deaths) < 3:  # each draft hears newer sound
                await send(web, job_id, talk[place : place + SECOND], place)
                place = min(len(talk), place + SECOND)
                for _ in range(20):
                    await anyio.sleep(0.05)
                    if len(deaths) == 3:
                        break
        assert place < len(talk) - 20 * SECOND, "there is more to say"
        well = await begin(web)
        tasks.start_soon(read, well)
        for start in range(place, len(talk), 2 * SECOND):  # somebody speaks and is read, and no draft is made
            await send(web, job_id, talk[start : start + 2 * SECOND], start)
            await anyio.sleep(0.02)
        await send(web, well, talk[: 8 * SECOND])
        with anyio.fail_after(WAIT_S):
            while not drafted(well):  # noqa: ASYNC110 - the reader tells it
                await anyio.sleep(0.05)
        for session in (job_id, well):
            assert (await web.client.post(f"/api/live/{session}/end")).status_code == 200
        job = await ended(web.service, job_id)
        assert (job.status, job.gaps, job.duration_s) == (Status.COMPLETED, (), len(talk) / SECOND)
        chunks = await web.service.parts.store.chunks(job_id)
        assert len(chunks) >= 4
        assert [(chunk.attempts, chunk.state) for chunk in chunks] == [(0, ChunkState.DONE)] * len(chunks)
        assert not drafted(job_id)
        assert len(deaths) == 3
        assert (await ended(web.service, well)).status is Status.COMPLETED
        tasks.cancel_scope.cancel()


async def test_the_settings_of_drafts_are_changed_while_the_service_runs(web: Running) -> None:
    answer = await web.client.patch("/api/settings", json={"live.cadence_s": 2.5, "live.share": 0.25})
    assert answer.status_code == 200
    assert web.service.parts.context.drafts.interval_s == 2.5
    refused = await web.client.patch("/api/settings", json={"live.share": 1.5})
    assert refused.status_code == 422


async def test_drafts_of_a_paused_session_stay_and_a_cancelled_one_ends_them(web: Running) -> None:
    job_id = await begin(web)
    with anyio.fail_after(WAIT_S):
        async with (
            web.client.stream("GET", f"/api/live/{job_id}/drafts") as response,
            aclosing(events(response)) as all_,
        ):
            await send(web, job_id, TALK[: 6 * SECOND])
            async for event in all_:
                if words(event.data).endswith("w5"):
                    break
            await web.client.post(f"/api/jobs/{job_id}/pause")
            await until(web.service, job_id, lambda job: job.status == "paused")
            await web.client.post(f"/api/jobs/{job_id}/cancel")
            rest = [event async for event in all_]
    assert [event.kind for event in rest][-1] == "end"
    assert words(rest[-2].data) == ""
