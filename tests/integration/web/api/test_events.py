"""Event streams on a real port: their events, how a client resumes, and how streams end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from testkit.event_stream import Event, collect, events
from testkit.scripted_actors import script, text_of
from testkit.service import Running, log_of, running
from whisper_service.core.domain import Change
from whisper_service.web.api import events as module
from whisper_service.web.server import serving

pytestmark = pytest.mark.anyio

AUDIO = {"content-type": "audio/wav"}
QUICK = script(chunks=3)
SLOW = script(chunks=3, delay=30.0)


async def posted(web: Running, data: bytes) -> str:
    answer = await web.client.post("/api/jobs", content=data, headers=AUDIO)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def finished(web: Running) -> str:
    job_id = await posted(web, QUICK)
    await collect(web.client, f"/api/jobs/{job_id}/events")
    return job_id


@asynccontextmanager
async def watching(web: Running, path: str) -> AsyncIterator[AsyncGenerator[Event, None]]:
    """Yield a stream as an iterator of events."""
    async with web.client.stream("GET", path) as response, aclosing(events(response)) as stream:
        yield stream


async def until(true: Callable[[], bool]) -> None:
    """Wait for a state that no event announces."""
    with anyio.fail_after(10):
        while not true():  # noqa: ASYNC110 - see above
            await anyio.sleep(0.01)


async def take(response: httpx.Response, count: int) -> list[Event]:
    """Return the next events of a stream that does not end."""
    taken: list[Event] = []
    async with aclosing(events(response)) as stream:
        async for event in stream:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


def segments(said: list[Event]) -> list[str]:
    return [event.data["segment"]["text"].strip() for event in said if event.kind == "segment"]


ALL = [text_of(n) for n in range(3)]


async def test_a_job_live_from_the_first_update_to_the_end(web: Running) -> None:
    job_id = await posted(web, QUICK)
    async with web.client.stream("GET", f"/api/jobs/{job_id}/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        said = [event async for event in events(response)]
    updates = [event.data for event in said if event.kind == "update"]
    assert updates[0]["status"] == "pending"
    assert updates[-1]["status"] == "completed"
    assert {update["id"] for update in updates} == {job_id}
    assert [update["progress"] for update in updates] == sorted(update["progress"] for update in updates)
    assert segments(said) == ALL
    assert said[-1][:2] == ("end", "done")
    assert said[-2].data == (await web.client.get(f"/api/jobs/{job_id}")).json()
    ids = [event.id for event in said[:-1]]
    assert ids == sorted(set(ids), key=int)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/api/jobs/{}/events", "/api/stream/{}"])
async def test_a_late_client_sees_everything(web: Running, path: str) -> None:
    job_id = await finished(web)
    said = await collect(web.client, path.format(job_id))
    assert segments(said) == ALL
    assert [event.data["status"] for event in said if event.kind == "update"][-1] == "completed"
    assert said[-1].kind == "end"


async def test_a_client_that_comes_back_gets_the_rest_once(web: Running) -> None:
    job_id = await finished(web)
    path = f"/api/jobs/{job_id}/events"
    whole = await collect(web.client, path)
    assert len(whole) > 3
    for event in whole[:-2]:
        rest = await collect(web.client, path, headers={"Last-Event-ID": str(event.id)})
        assert [e[:2] for e in rest] == [e[:2] for e in whole[whole.index(event) + 1 :]]
    strange = await collect(web.client, path, headers={"Last-Event-ID": "x;y"})
    assert strange == whole


@pytest.mark.parametrize("path", ["/api/jobs/{}/events", "/api/stream/{}"])
async def test_a_client_that_has_all_of_a_finished_job_is_told_to_stay_away(web: Running, path: str) -> None:
    job_id = await finished(web)
    whole = await collect(web.client, path.format(job_id))
    last = {"Last-Event-ID": str(whole[-2].id)}
    answer = await web.client.get(path.format(job_id), headers=last)
    assert (answer.status_code, answer.content) == (204, b"")
    await web.service.jobs.rename(job_id, "another")
    assert [event.kind for event in await collect(web.client, path.format(job_id), headers=last)] == ["update", "end"]


async def test_pruned_history_is_told_from_the_store(web: Running) -> None:
    job_id = await finished(web)
    other = await posted(web, SLOW)  # one change must be the newest
    await web.service.parts.store.change_log.prune(1)
    web.service.events._ring.clear()
    said = await collect(web.client, f"/api/jobs/{job_id}/events")
    assert [event.kind for event in said] == ["update", "segment", "segment", "segment", "end"]
    assert said[0].data["status"] == "completed"
    assert segments(said) == ALL
    assert [event.id for event in said[:3]] == [None, None, None]
    assert said[3].id is not None
    async with web.client.stream("GET", f"/api/jobs/{other}/events") as response:
        (now,) = await take(response, 1)
        assert now.data["id"] == other


async def test_a_client_of_another_database_starts_again(web: Running) -> None:
    job_id = await finished(web)
    said = await collect(web.client, f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": "99999999"})
    assert [event.kind for event in said] == ["update", "segment", "segment", "segment", "end"]


async def test_a_retried_job_goes_on_after_its_first_end(web: Running) -> None:
    job_id = await posted(web, SLOW)
    await web.client.post(f"/api/jobs/{job_id}/cancel")
    await web.client.post(f"/api/jobs/{job_id}/retry")
    said = []
    async with watching(web, f"/api/jobs/{job_id}/events") as stream:
        async for event in stream:
            said.append(event.data["status"] if event.kind == "update" else event.kind)
            if "cancelled" in said and said[-1] == "pending":
                await web.client.post(f"/api/jobs/{job_id}/cancel")
    assert said[-2:] == ["cancelled", "end"]
    assert said.count("cancelled") == 2


async def test_deleting_a_job_ends_its_streams(web: Running) -> None:
    job_id = await posted(web, SLOW)
    async with watching(web, f"/api/jobs/{job_id}/events") as stream:
        assert (await anext(stream)).kind == "update"
        await web.client.delete(f"/api/jobs/{job_id}")
        rest = [event.kind async for event in stream]
    assert rest[-2:] == ["deleted", "end"]


async def test_everything_begins_with_hello_and_now(web: Running) -> None:
    await finished(web)
    state = (await web.client.get("/api/state")).json()
    async with watching(web, "/api/events") as stream:
        hello = await anext(stream)
        same = {name: state[name] for name in ("seq", "boot", "ui_version")}
        said = {**same, "version": state["system"]["version"], "heartbeat_s": web.service.config.server.heartbeat_s}
        assert hello == Event("hello", said, None)
        job_id = await posted(web, SLOW)
        first = await anext(stream)
    assert first.kind == "update"
    assert first.data["id"] == job_id
    assert first.id is not None
    assert first.id > state["seq"]


def told(rows: list[Change]) -> list[tuple[int, str]]:
    """Return what a client is told of rows that come together: each once, and only the newest update of a job."""
    updates = {(row.job_id, row.kind): row.seq for row in rows if row.kind == "update"}
    return [(row.seq, row.kind) for row in rows if updates.get((row.job_id, row.kind), row.seq) == row.seq]


@pytest.mark.parametrize("how", ["query", "header"])
async def test_everything_since_a_place_is_every_later_row_once(web: Running, how: str) -> None:
    await finished(web)
    await finished(web)
    log = await log_of(web.service)
    for since in (0, log[0].seq, log[len(log) // 2].seq, log[-2].seq):
        later = told([row for row in log if row.seq > since])
        place: dict[str, Any] = (
            {"params": {"since": since}}
            if how == "query"
            else {"params": {"since": 1}, "headers": {"Last-Event-ID": str(since)}}
        )
        async with web.client.stream("GET", "/api/events", **place) as response:
            said = await take(response, len(later) + 1)
        assert [(event.id, event.kind) for event in said[1:]] == later


async def test_a_client_that_comes_back_misses_no_segment_and_has_the_newest_of_each_job(
    web: Running,
) -> None:
    """Whichever of the events was its last: also one in the middle of what came together."""
    jobs = [await finished(web) for _ in range(2)]
    log = await log_of(web.service)
    whole = told(log)
    for place in [0, *(seq for seq, _ in whole[:-1])]:
        later = [row for row in log if row.seq > place]
        async with web.client.stream("GET", "/api/events", params={"since": place}) as response:
            said = (await take(response, len(told(later)) + 1))[1:]
        assert [event.id for event in said if event.kind == "segment"] == [
            row.seq for row in later if row.kind == "segment"
        ]
        newest = {event.data["id"]: event.data for event in said if event.kind == "update"}
        assert newest[jobs[1]] == (await web.client.get(f"/api/jobs/{jobs[1]}")).json()
        assert said[-1].id == log[-1].seq


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "", "9" * 40, "٣"])
async def test_an_odd_place_means_the_beginning(web: Running, since: str) -> None:
    await finished(web)
    later = told(await log_of(web.service))
    assert [kind for _, kind in later if kind != "model"][:3] == ["segment"] * 3
    async with web.client.stream("GET", "/api/events", params={"since": since}) as response:
        said = await take(response, len(later) + 1)
    assert [(event.id, event.kind) for event in said[1:]] == later


async def test_reset_when_the_log_does_not_reach_back(web: Running) -> None:
    await finished(web)
    await web.service.parts.store.change_log.prune(1)
    web.service.events._ring.clear()
    head = web.service.events.head
    for since in (1, head + 1_000):
        async with watching(web, f"/api/events?since={since}") as stream:
            assert (await anext(stream)).kind == "hello"
            reset = await anext(stream)
            assert (reset.kind, reset.data) == ("reset", {"seq": reset.id})
            assert reset.id is not None
            assert reset.id >= head
            job_id = await posted(web, SLOW)
            async for event in stream:  # an earlier job may still change
                if event.data.get("id") == job_id:
                    break


async def test_silence_is_told_by_an_event_that_scripts_can_see(tmp_path: Path) -> None:
    async with running(tmp_path, server={"heartbeat_s": 0.05}) as web, watching(web, "/api/events") as stream:
        hello, seq, pings = await anext(stream), 0, 0
        while pings < 3:
            event = await anext(stream)
            if event.kind == "model":  # a model is loaded meanwhile
                seq = event.id or 0
                continue
            assert (event.kind, event.data) == ("ping", {"seq": max(seq, hello.data["seq"])})
            pings += 1


async def test_the_heartbeat_of_one_job_is_a_comment_with_one_newline(tmp_path: Path) -> None:
    async with running(tmp_path, server={"heartbeat_s": 0.05}) as web:
        job_id = await posted(web, SLOW)
        async with web.client.stream("GET", f"/api/jobs/{job_id}/events") as response:
            data = b""
            async for part in response.aiter_raw():
                data += part
                if data.count(b": ping\n") >= 3:
                    break
        assert b"\n\n\n" not in data.replace(b": ping\n", b"")


async def test_open_streams_are_counted_while_they_are_open(web: Running) -> None:
    async def counted() -> int:
        return int((await web.client.get("/api/system")).json()["subscribers"])

    job_id = await posted(web, SLOW)
    assert await counted() == 0
    async with watching(web, "/api/events") as one, watching(web, f"/api/jobs/{job_id}/events") as other:
        await anext(one)
        await anext(other)
        assert await counted() == 2
    await until(lambda: web.service.events.subscribers == 0)
    assert await counted() == 0


async def test_nothing_is_lost_between_hello_and_the_first_change(web: Running) -> None:
    """Check that a client that has read only `hello` gets every change after its `seq`."""
    stream = module.stream_all(web.service, None)
    async with aclosing(stream):  # type: ignore[type-var]
        hello = await anext(stream)
        await posted(web, SLOW)
        assert b"event: update" in await anext(stream)
    assert b"event: hello" in hello


async def test_streams_end_when_the_service_goes(tmp_path: Path) -> None:
    ended: list[str] = []
    async with running(tmp_path) as web:
        job_id = await posted(web, SLOW)
        async with anyio.create_task_group() as group:
            ready = [anyio.Event() for _ in range(6)]

            async def watch(path: str, up: anyio.Event) -> None:
                async with web.client.stream("GET", path) as response:
                    async for event in events(response):
                        up.set()
                        ended.append(event.kind)
                ended.append("closed")

            for n, up in enumerate(ready):
                group.start_soon(watch, "/api/events" if n % 2 else f"/api/jobs/{job_id}/events", up)
            for up in ready:
                await up.wait()
            web.service.events.close()
            await until(lambda: ended.count("closed") == 6)
    assert "end" not in ended  # the job is not over; the client comes back later


async def test_stopping_the_server_does_not_wait_for_streams(web: Running) -> None:
    async with httpx.AsyncClient(timeout=20) as client, anyio.create_task_group() as group:
        async with serving(web.service) as url:
            up = anyio.Event()

            async def watch() -> None:
                async with client.stream("GET", f"{url}/api/events") as response:
                    async for _ in events(response):
                        up.set()

            group.start_soon(watch)
            await up.wait()
            began = anyio.current_time()
        assert anyio.current_time() - began < 4  # far more than a stop takes


async def test_a_client_that_left_costs_nothing(web: Running) -> None:
    """Check that its generator is closed and does not spin."""
    live = [0]

    class Counted:
        def __init__(self, stream: AsyncIterator[bytes]) -> None:
            self.stream = stream

        async def run(self) -> AsyncIterator[bytes]:
            live[0] += 1
            try:
                async for block in self.stream:
                    yield block
            finally:
                live[0] -= 1

    original = module.stream_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "stream_all", lambda *a: Counted(original(*a)).run())
        async with web.client.stream("GET", "/api/events") as response:
            await take(response, 1)
            assert live == [1]
        await until(lambda: not live[0])
