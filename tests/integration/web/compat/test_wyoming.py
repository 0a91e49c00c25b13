"""The Wyoming port with the protocol's own client, as Home Assistant uses it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import anyio
import pytest
from anyio.abc import SocketAttribute
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Eventable
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

from testkit.scripted_actors import script, text_of
from testkit.service import open_service
from whisper_service.app.service import Service
from whisper_service.config import schema as config
from whisper_service.core.domain import Status
from whisper_service.core.errors import InvalidConfig
from whisper_service.web import server
from whisper_service.web.compat import wyoming
from whisper_service.web.compat.raw_pcm import header
from whisper_service.web.server import AddressUnavailable

pytestmark = pytest.mark.anyio


class Port(NamedTuple):
    """A service and its Wyoming port."""

    service: Service
    number: int


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    async with open_service(tmp_path) as service:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        async with wyoming.serving(service, listener):
            yield Port(service, listener.extra(SocketAttribute.local_port))


@asynccontextmanager
async def connected(port: Port) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient("127.0.0.1", port.number) as client:
        yield client


async def say(client: AsyncTcpClient, *events: Eventable) -> None:
    for event in events:
        await client.write_event(event.event())


def utterance(sound: bytes) -> list[Eventable]:
    """Send sound like Home Assistant, in pieces of a tenth of a second."""
    pieces = [sound[at : at + 3_200] for at in range(0, len(sound), 3_200)]
    chunks = [AudioChunk(rate=16_000, width=2, channels=1, audio=piece) for piece in pieces]
    return [AudioStart(rate=16_000, width=2, channels=1), *chunks, AudioStop()]


SOUND = script(chunks=2).ljust(10_000)


async def test_describe_says_what_there_is(port: Port) -> None:
    async with connected(port) as client:
        await say(client, Describe())
        event = await client.read_event()
        assert event is not None
        (program,) = Info.from_event(event).asr
    assert program.installed
    assert "model" in [model.name for model in program.models]
    assert {"en", "zh"} <= set(program.models[0].languages)


async def test_an_utterance_becomes_a_text_and_a_job(port: Port) -> None:
    async with connected(port) as client:
        for language, code in [("de-DE", "de"), ("klingon", None)]:
            await say(client, Transcribe(language=language), *utterance(SOUND))
            event = await client.read_event()
            assert event is not None
            said = Transcript.from_event(event)
            assert said.text == f"{text_of(0)} {text_of(1)}"
            job = (await port.service.parts.store.jobs())[0]
            assert (job.status, job.options.language, job.options.speakers) == (Status.COMPLETED, code, "off")
        await say(client, Ping(text="still there?"))
        event = await client.read_event()
        assert event is not None
        assert Pong.from_event(event).text == "still there?"
    assert (port.service.uploads.root / job.id).read_bytes() == header() + SOUND


async def test_nothing_said_is_no_text_and_no_job(port: Port) -> None:
    async with connected(port) as client:
        await say(client, *utterance(b""), AudioStop())
        for _ in range(2):
            event = await client.read_event()
            assert event is not None
            assert Transcript.from_event(event).text == ""
    assert await port.service.parts.store.jobs() == []
    assert list(port.service.uploads.root.iterdir()) == []


async def test_who_breaks_off_leaves_nothing(port: Port) -> None:
    async with connected(port) as client:
        await say(client, *utterance(SOUND)[:-1])
    async with connected(port) as other:  # other connections still get answers
        await say(other, Ping())
        assert await other.read_event() is not None
    with anyio.fail_after(10):
        while list(port.service.uploads.root.iterdir()):  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(0.01)
    assert await port.service.parts.store.jobs() == []


async def test_what_cannot_be_heard_is_an_error_and_the_end(port: Port) -> None:
    async with connected(port) as client:
        await say(client, *utterance(b"no script"))
        event = await client.read_event()
        assert event is not None
        assert Error.from_event(event).code == "not_media"
        assert await client.read_event() is None


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"type": "audio-start", "data_length": 99999999}\n',
        b'{"type": "audio-chunk", "payload_length": -1}\n',
        b'{"type": "audio-start", "data": {"rate": "fast"}}\n',
        b'{"type": "audio-start", "data": {"width": 1}}\n',
        b'{"type": "describe", "data_length": 2}\n[]',
        b"x" * 70_000,
    ],
)
async def test_nonsense_is_told_and_hurts_nobody(port: Port, said: bytes) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port.number) as stream:
        await stream.send(said)
        answer = b""
        with anyio.fail_after(10):
            try:
                while True:
                    answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
    assert b'"type": "error"' in answer or len(said) > 60_000, "it may hang up on what is far too long"
    async with connected(port) as client:
        await say(client, Ping())
        assert await client.read_event() is not None


async def test_the_port_is_off_unless_it_is_wanted_and_says_what_is_in_its_way(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanting(**fields: object) -> Any:
        return SimpleNamespace(config=config.Config(wyoming=config.WyomingSettings(**fields)))  # type: ignore[arg-type]

    async with server._wyoming(wanting()):
        pass
    with pytest.raises(AddressUnavailable) as taken:
        await server._wyoming(wanting(enabled=True, port=port.number)).__aenter__()
    assert "wyoming.port" in taken.value.advice
    monkeypatch.setitem(sys.modules, "whisper_service.web.compat.wyoming", None)
    monkeypatch.delattr("whisper_service.web.compat.wyoming")
    with pytest.raises(InvalidConfig, match="not installed"):
        await server._wyoming(wanting(enabled=True, port=0)).__aenter__()
