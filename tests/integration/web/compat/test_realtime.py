"""The Realtime API of OpenAI with its own client: sound in, events out, and what happens when something breaks."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import psutil
import pytest
import websockets
from anyio import from_thread, to_thread
from openai import AsyncOpenAI, OpenAI

from testkit.nginx import free_port
from testkit.service import Running, ended, running, until
from testkit.sounds import babble, join, silence
from whisper_service.app import live_sessions
from whisper_service.core.domain import ActorState, LiveEnd, Status
from whisper_service.core.sound_format import SoundFormat

pytestmark = pytest.mark.anyio

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
ABANDONED = int(os.environ.get("LIVE_ABANDONED", "30"))
"""Sessions that are abandoned. With 1,000 in the environment it takes two minutes."""
PIECE = 24_000
"""Bytes of half a second. Clients send pieces of 50 ms."""


def at_24_khz(*parts: Any) -> bytes:
    sound = join(*parts)
    places = np.arange(len(sound) * 3 // 2) / 1.5
    return np.interp(places, np.arange(len(sound)), sound).astype("<i2").tobytes()


QUIET = at_24_khz(silence(1))
TURNS = [at_24_khz(babble(3, seed=seed), silence(2)) for seed in (0, 1)]
SPEECH = QUIET + b"".join(TURNS)
"""Two turns in 11 s."""


class Conversation:
    """A socket of any client, and what came on it."""

    def __init__(self, send: Callable[[dict[str, Any]], Any]) -> None:
        self.send = send
        self.events: list[dict[str, Any]] = []
        self._more = anyio.Event()

    def put(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._more.set()
        self._more = anyio.Event()

    async def until(self, kind: str, number: int = 1, within_s: float = 30) -> list[dict[str, Any]]:
        """Wait until so many events of a kind came, and return those that came."""
        with anyio.fail_after(within_s):
            while len(self.of(kind)) < number:
                await self._more.wait()
        return self.of(kind)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def say(self, sound: bytes, piece: int = 2_400) -> None:
        for at in range(0, len(sound), piece):
            audio = base64.b64encode(sound[at : at + piece]).decode()
            await self.send({"type": "input_audio_buffer.append", "audio": audio})


@asynccontextmanager
async def talking(web: Running, query: str = "", **options: Any) -> AsyncIterator[Conversation]:
    """A plain socket. It is closed in order."""
    url = web.url.replace("http", "ws") + "/v1/realtime" + query
    async with websockets.connect(url, max_size=None, **options) as socket, anyio.create_task_group() as tasks:

        async def send(event: dict[str, Any]) -> None:
            await socket.send(json.dumps(event))

        talk = Conversation(send)

        async def read() -> None:
            with suppress(websockets.ConnectionClosedError):
                async for text in socket:
                    talk.put(json.loads(text))

        tasks.start_soon(read)
        yield talk
        await socket.close()
        tasks.cancel_scope.cancel()


async def say_turns(web: Running, talk: Conversation, created: str = "session.created") -> None:
    """Send `SPEECH`: each turn when what came before is heard, as of somebody who speaks."""
    session = (await talk.until(created))[0]["session"]["id"]
    await talk.say(QUIET)
    await heard(web, session)
    for number, turn in enumerate(TURNS, 1):
        await talk.say(turn)
        await talk.until("input_audio_buffer.speech_stopped", number)


async def heard(web: Running, session: str) -> None:
    """Wait until the service listens: its actor takes some seconds to start."""
    await true(lambda: session in web.service.parts.context.ledger.runs)
    await until(web.service, session, lambda job: job.live is not None and job.live.received_bytes > 0)


async def true(check: Callable[[], bool]) -> None:
    """Wait until something is so of which no event tells."""
    with anyio.fail_after(30):
        while not check():  # noqa: ASYNC110 - no event tells it
            await anyio.sleep(0.02)


def update(**fields: Any) -> dict[str, Any]:
    given = {"transcription": {"language": "en"}, **fields}
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": given}}}


def openai_client(web: Running, kind: Any) -> Any:
    sockets = web.url.replace("http", "ws") + "/v1"
    return kind(base_url=f"{web.url}/v1", api_key="any", websocket_base_url=sockets)


async def the_job(web: Running) -> Any:
    (job,) = (await web.client.get("/api/jobs")).json()["jobs"]
    return job


def stored(web: Running, job_id: str) -> bytes:
    return web.service.jobs.recording(job_id).read_bytes()


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, live={"max_sessions": 2}) as up:
        yield up


def check_turns(talk: Conversation, *, beta: bool = False) -> None:
    """Check what is told of each turn: in order, with deltas that joined are the text."""
    items = [event["item_id"] for event in talk.of("input_audio_buffer.committed")]
    assert len(items) >= 2
    assert len(set(items)) == len(items)
    previous = [event["previous_item_id"] for event in talk.of("input_audio_buffer.committed")]
    assert previous == [None, *items[:-1]]
    for item in items:
        own = [e for e in talk.events if item in (e.get("item_id"), e.get("item", {}).get("id"))]
        kinds = [event["type"] for event in own if event["type"] != DELTA]
        assert kinds == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            *(["conversation.item.created"] if beta else ["conversation.item.added", "conversation.item.done"]),
            COMPLETED,
        ]
        text = "".join(event["delta"] for event in own if event["type"] == DELTA)
        assert text == own[-1]["transcript"]
        assert text
        took_s = (own[-1]["usage"]["seconds"], own[-1]["usage"]["type"])
        begin, end = (next(e[name] for e in own if name in e) for name in ("audio_start_ms", "audio_end_ms"))
        assert took_s == (pytest.approx((end - begin) / 1000, abs=0.002), "duration")
    assert len({event["event_id"] for event in talk.events}) == len(talk.events)


@pytest.mark.parametrize("query", [{"intent": "transcription"}, {"model": "gpt-4o-transcribe"}])
async def test_openais_client_talks_and_reads(web: Running, query: dict[str, str]) -> None:
    client = openai_client(web, AsyncOpenAI)
    async with client, client.realtime.connect(extra_query=query) as connection:

        async def send(event: dict[str, Any]) -> None:
            await connection.send(event)

        talk = Conversation(send)

        async def read() -> None:
            async for event in connection:
                talk.put(event.to_dict())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            (created,) = await talk.until("session.created")
            session = created["session"]
            assert (session["object"], session["type"]) == ("realtime.transcription_session", "transcription")
            assert (session["received_ms"], session["expires_at"] > 1_700_000_000) == (0, True)
            await connection.session.update(session=update()["session"])
            (updated,) = await talk.until("session.updated")
            assert updated["session"]["audio"]["input"]["transcription"]["language"] == "en"
            await say_turns(web, talk)
            await talk.until(COMPLETED, 2)
            check_turns(talk)
            await connection.close()
            tasks.cancel_scope.cancel()
    job = await ended(web.service, session["id"])
    assert (job.status, job.live is not None and job.live.ended) == (Status.COMPLETED, LiveEnd.CLIENT)
    assert job.options.language == "en"
    form = SoundFormat(24_000)
    assert stored(web, job.id) == form.header(len(SPEECH)) + SPEECH, "the job has every byte"
    assert job.duration_s == pytest.approx(11, abs=0.01)


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")  # by how OpenAI's client calls websockets
async def test_openais_client_without_async(web: Running) -> None:
    talk = Conversation(lambda _: None)

    def converse() -> None:
        query = {"intent": "transcription"}
        with openai_client(web, OpenAI) as client, client.realtime.connect(extra_query=query) as connection:

            def say(sound: bytes) -> None:
                connection.input_audio_buffer.append(audio=base64.b64encode(sound).decode())

            def until(kind: str) -> Any:
                for event in connection:
                    talk.put(event.to_dict())
                    if event.type == kind:
                        return event
                pytest.fail("the socket was closed")

            session = until("session.created").session.id
            connection.session.update(session=update()["session"])
            say(QUIET)
            from_thread.run(heard, web, session)
            for turn in TURNS:
                say(turn)
                until(COMPLETED)

    await to_thread.run_sync(converse)
    check_turns(talk)


async def test_the_older_dialect(web: Running) -> None:
    client = openai_client(web, AsyncOpenAI)
    async with client, client.beta.realtime.connect(model="whisper-1") as connection:
        talk = Conversation(connection.send)

        async def read() -> None:
            async for event in connection:
                talk.put(event.to_dict())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await talk.until("transcription_session.created")
            await connection.transcription_session.update(
                session={
                    "input_audio_format": "pcm16",
                    "input_audio_transcription": {"model": "whisper-1", "language": "en"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                }
            )
            (updated,) = await talk.until("transcription_session.updated")
            assert updated["session"]["turn_detection"]["silence_duration_ms"] == 400
            await say_turns(web, talk, "transcription_session.created")
            await talk.until(COMPLETED, 2)
            check_turns(talk, beta=True)
            await connection.close()
            tasks.cancel_scope.cancel()


async def test_a_restart_in_a_turn_loses_nothing(tmp_path: Path) -> None:
    """OpenAI's client reconnects by itself after 1012, and the session says where to go on."""
    at, port = len(SPEECH) * 2 // 5 // 2 * 2, free_port()
    sections: dict[str, Any] = {"server": {"port": port}}
    wanted = update(transcription={"model": "gpt-4o-transcribe", "language": "en", "prompt": "Names"})
    talk, session, socket = Conversation(lambda _: None), "", None
    async with anyio.create_task_group() as tasks:
        async with running(tmp_path, **sections) as web:
            client = openai_client(web, AsyncOpenAI)

            def again(event: Any) -> Any:
                assert event.close_code == 1012
                return {"extra_query": {"intent": "transcription", "session": session}}

            async def read(task_status: anyio.abc.TaskStatus[Any]) -> None:
                query = {"intent": "transcription", "acks": "1"}
                manager = client.realtime.connect(
                    extra_query=query, on_reconnecting=again, max_retries=50, initial_delay=0.1, max_delay=0.5
                )
                async with manager as connection:
                    task_status.started(connection)
                    async for event in connection:
                        talk.put(event.to_dict())

            socket = await tasks.start(read)
            talk.send = socket.send
            session = (await talk.until("session.created"))[0]["session"]["id"]
            await talk.send(wanted)
            await talk.say(SPEECH[:at], 9_001)  # also in the middle of a sample
            with anyio.fail_after(30):
                while not any(event["audio_ms"] > 1_000 for event in talk.of("input_audio_buffer.persisted")):
                    await talk._more.wait()
        async with running(tmp_path, **sections) as web:
            created = (await talk.until("session.created", 2))[1]["session"]
            assert created["id"] == session
            received = created["received_bytes"]
            assert created["received_ms"] == received / 48
            assert 48_000 < received <= at
            await talk.send(wanted)
            await talk.say(SPEECH[received:])
            await talk.until(COMPLETED)
            assert len(talk.of("session.updated")) == 2, "the client names its model again"
            await talk.send(update(transcription={"language": "de"}))
            await talk.until("error")
            await socket.close()
            job = await ended(web.service, session)
            assert stored(web, job.id) == SoundFormat(24_000).header(len(SPEECH)) + SPEECH
            assert (await the_job(web))["id"] == session
            tasks.cancel_scope.cancel()


async def test_a_client_ends_its_turns_itself(web: Running) -> None:
    async with talking(web, "?intent=transcription") as talk:
        await talk.send(update(turn_detection=None))
        await talk.say(at_24_khz(babble(3)))
        await talk.send({"type": "input_audio_buffer.commit"})
        (done,) = await talk.until(COMPLETED)
        assert (done["usage"]["seconds"], done["transcript"]) == (3.0, "w0 w1 w2"), "up to its last moment"
        await talk.send({"type": "input_audio_buffer.commit", "event_id": "empty"})
        (error,) = await talk.until("error")
        assert error["error"] == error["error"] | {
            "type": "invalid_request_error",
            "code": "input_audio_buffer_commit_empty",
            "event_id": "empty",
            "param": None,
        }
        await talk.say(at_24_khz(babble(1, seed=3)))
        await talk.send({"type": "input_audio_buffer.clear"})
        await talk.until("input_audio_buffer.cleared")
        await talk.say(at_24_khz(babble(2, seed=4)))
        await talk.send({"type": "input_audio_buffer.commit"})
        done = (await talk.until(COMPLETED, 2))[1]
        assert done["usage"]["seconds"] == 2.0
        assert "w3" not in done["transcript"], "it was cleared"
        assert not talk.of("input_audio_buffer.speech_started")


async def test_what_is_wrong_is_told_and_the_session_goes_on(web: Running) -> None:
    async with talking(web) as talk:
        wrong: list[tuple[Any, str, str | None]] = [
            ({"type": "response.create"}, "invalid_value", "type"),
            ({"event_id": "e"}, "invalid_value", "type"),
            ({"type": "input_audio_buffer.append"}, "invalid_value", "audio"),
            ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
            ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
            (update(transcription={"model": "no-such-model"}), "model_not_found", "model"),
            (update(transcription={"language": "klingon"}), "invalid_value", "language"),
            ({"type": "session.update", "session": {"type": "realtime"}}, "invalid_value", "session.type"),
        ]
        for number, (event, code, field) in enumerate(wrong, 1):
            await talk.send(event)
            error = (await talk.until("error", number))[-1]["error"]
            assert (error["code"], error["message"] != "") == (code, True), event
            assert (error["param"] or "").endswith(field or ""), event
            assert error["event_id"] == event.get("event_id")
        await talk.send(update())
        await talk.until("session.updated")
    assert (await web.client.get("/api/jobs")).json()["jobs"] == [], "no sound, no job"


async def test_frames_that_are_no_events(web: Running) -> None:
    url = web.url.replace("http", "ws") + "/v1/realtime"
    async with websockets.connect(url) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        for frame in ("", "{", "[]", "5", b"\xff\xfe", '"x"'):
            await socket.send(frame)
            answer = json.loads(await socket.recv())
            assert (answer["type"], answer["error"]["code"]) == ("error", "invalid_value")
        await socket.send(json.dumps(update()).encode())
        assert json.loads(await socket.recv())["type"] == "session.updated"


@pytest.mark.parametrize(("kind", "encoding"), [("audio/pcmu", "mulaw"), ("audio/pcma", "alaw")])
async def test_sound_of_telephones(web: Running, kind: str, encoding: str) -> None:
    async with talking(web, "?acks=1") as talk:
        await talk.send(update(format={"type": kind}))
        await talk.say(bytes(range(256)) * 100, 8_000)
        with anyio.fail_after(30):
            while not any(event["audio_bytes"] == 25_600 for event in talk.of("input_audio_buffer.persisted")):
                await talk._more.wait()
        assert talk.of("input_audio_buffer.persisted")[-1]["audio_ms"] == 3_200
        await talk.send(update(format={"type": "audio/pcm", "rate": 24000}))
        assert (await talk.until("error"))[0]["error"]["param"] == "session"
    job = await the_job(web)
    assert (job["live"]["rate"], job["live"]["encoding"]) == (8_000, encoding)
    assert stored(web, job["id"])[-25_600:] == bytes(range(256)) * 100


async def test_a_piece_of_15_mebibytes(web: Running) -> None:
    most = 15 << 20
    async with talking(web, "?acks=1") as talk:
        await talk.send(update())
        audio = base64.b64encode(bytes(most + 2)).decode()
        await talk.send({"type": "input_audio_buffer.append", "audio": audio, "event_id": "large"})
        assert (await talk.until("error"))[0]["error"]["event_id"] == "large"
        await talk.say(bytes(most), most)
        assert (await talk.until("input_audio_buffer.persisted"))[-1]["audio_bytes"] == most


async def test_sessions_have_their_limit_and_their_end(web: Running) -> None:
    async with talking(web) as one, talking(web) as two:
        for talk in (one, two):
            await talk.say(SPEECH[:PIECE])
        await true(lambda: len(web.service.parts.context.ledger.runs) == 2)
        url = web.url.replace("http", "ws") + "/v1/realtime"
        async with websockets.connect(url) as third:
            await third.recv()
            audio = base64.b64encode(SPEECH[:PIECE]).decode()
            await third.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            error = json.loads(await third.recv())["error"]
            assert (error["code"], error["type"]) == ("too_many_sessions", "rate_limit_error")
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await third.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        (job, _) = (await web.client.get("/api/jobs")).json()["jobs"]
        assert (await web.client.post(f"/api/jobs/{job['id']}/cancel")).status_code == 200
        ids = {talk.of("session.created")[0]["session"]["id"]: talk for talk in (one, two)}
        await until(web.service, job["id"], lambda job: job.status is Status.CANCELLED)
        await ids[job["id"]].say(SPEECH[:PIECE])
        assert (await ids[job["id"]].until("error"))[0]["error"]["code"] == "live_ended"


async def test_a_socket_that_breaks_leaves_its_session_open(web: Running) -> None:
    url = web.url.replace("http", "ws") + "/v1/realtime?acks=1"
    socket = await websockets.connect(url)
    session = json.loads(await socket.recv())["session"]["id"]
    audio = base64.b64encode(SPEECH[:PIECE]).decode()
    await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    while json.loads(await socket.recv())["type"] != "input_audio_buffer.persisted":
        pass
    socket.transport.abort()
    async with talking(web, f"?session={session}") as talk:
        (created,) = await talk.until("session.created")
        assert (created["session"]["id"], created["session"]["received_bytes"]) == (session, PIECE)
        assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
        await talk.say(SPEECH[PIECE:])
    job = await ended(web.service, session)
    assert stored(web, job.id)[-len(SPEECH) :] == SPEECH


async def test_sessions_that_are_abandoned_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of them are sockets that break without a word, half begin without any sound."""
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, live={"max_sessions": 50, "silence_end_s": 1.0}) as web:
        process, context = psutil.Process(), web.service.parts.context
        url = web.url.replace("http", "ws") + "/v1/realtime?acks=1"
        audio = base64.b64encode(SPEECH[:PIECE]).decode()

        async def abandon() -> None:
            socket = await websockets.connect(url)
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            while json.loads(await socket.recv())["type"] != "input_audio_buffer.persisted":
                pass
            socket.transport.abort()

        async def abandoned(number: int) -> int:
            """Return how many files and sockets are open after so many sessions."""
            known = {path.name for path in web.service.uploads.root.iterdir()}
            async with anyio.create_task_group() as tasks:
                for _ in range(number // 2):
                    tasks.start_soon(abandon)
                    assert (await web.client.post("/api/live", json={})).status_code == 201
            ids = {path.name for path in web.service.uploads.root.iterdir()} - known
            assert len(ids) == number
            for job_id in ids:
                job = await ended(web.service, job_id)
                assert (job.status, job.live is not None and job.live.ended) == (Status.COMPLETED, LiveEnd.SILENCE)
            await true(lambda: not context.ledger.runs)
            await true(lambda: context.live.actor.state is not ActorState.READY)
            assert list(context.data.spool.iterdir()) == []
            assert not any(map(context.live.follows, ids))
            return process.num_fds()

        first = await abandoned(4)  # opens what stays open, and starts what goes on
        others = {each.pid for each in process.children(recursive=True)}
        for _ in range(ABANDONED // 30):
            await abandoned(30)
        await true(lambda: process.num_fds() < first + 10)
        await true(lambda: {each.pid for each in process.children(recursive=True)} <= others)


@pytest.mark.parametrize("kind", ["file", "ended", "other"])
async def test_what_cannot_be_resumed(web: Running, kind: str) -> None:
    if kind == "file":
        made = await web.client.post("/api/jobs", files={"file": ("a.wav", b"{}")})
    else:
        made = await web.client.post("/api/live", json={} if kind == "ended" else {"encoding": "f32le"})
    job_id = made.json()["id"]
    if kind == "ended":
        assert (await web.client.post(f"/api/live/{job_id}/end")).status_code == 200
    url = web.url.replace("http", "ws") + f"/v1/realtime?session={job_id}"
    async with websockets.connect(url) as socket:
        error = json.loads(await socket.recv())
        assert error["error"]["code"] == ("live_ended" if kind == "ended" else "invalid_value")
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    async with talking(web, "?session=01hzzzzzzzzzzzzzzzzzzzzzzz") as talk:
        (created,) = await talk.until("session.created")
        assert created["session"]["received_bytes"] == 0, "no sound had come, so it begins anew"


async def test_a_full_disk_is_told(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    url = web.url.replace("http", "ws") + "/v1/realtime"
    async with websockets.connect(url) as socket:
        await socket.recv()
        monkeypatch.setattr(web.service.uploads, "limits", web.service.uploads.limits._replace(min_free=1 << 60))
        audio = base64.b64encode(SPEECH[:PIECE]).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        assert json.loads(await socket.recv())["error"]["code"] == "disk_full"
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


_LIVEKIT_TURNS = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 600, "silence_duration_ms": 350}
LIVEKIT: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "today": (
        "?intent=transcription&model=gpt-4o-mini-transcribe",
        {},
        {
            "type": "session.update",
            "session": {
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24000},
                        "transcription": {"model": "gpt-4o-mini-transcribe", "prompt": "", "language": "en"},
                        "turn_detection": _LIVEKIT_TURNS,
                        "noise_reduction": {"type": "near_field"},
                    }
                },
            },
        },
    ),
    "before": (
        "?intent=transcription",
        {"OpenAI-Beta": "realtime=v1"},
        {
            "type": "transcription_session.update",
            "session": {
                "input_audio_format": "pcm16",
                "input_audio_transcription": {"model": "gpt-4o-mini-transcribe", "prompt": "", "language": "en"},
                "turn_detection": _LIVEKIT_TURNS,
            },
        },
    ),
}
"""What the speech-to-text of LiveKit's agents sends before sound in pieces of 50 ms: query, headers, event."""


@pytest.mark.parametrize("version", LIVEKIT)
async def test_livekits_messages_get_the_events_that_it_reads(web: Running, version: str) -> None:
    query, more, event = LIVEKIT[version]
    beta = version == "before"
    headers = {"User-Agent": "LiveKit Agents", "Authorization": "Bearer any", **more}
    async with talking(web, query, additional_headers=headers) as talk:
        await talk.send(event)
        await say_turns(web, talk, "transcription_session.created" if beta else "session.created")
        await talk.until(COMPLETED, 2)
        check_turns(talk, beta=beta)
        text = ""
        for event in talk.events:  # as the plugin does
            if event["type"] == DELTA and event["delta"]:
                text += event["delta"]
            elif event["type"] == COMPLETED:
                assert event["transcript"] == text
                text = ""
        assert not talk.of("error")
