"""The Wyoming protocol, by which Home Assistant's voice assistants have speech transcribed. Every utterance is an ordinary job.

One TCP connection after the other, or many: `describe` is answered with what there is, and `transcribe`, `audio-start`,
`audio-chunk`... `audio-stop` with a `transcript`. The protocol has no key: whoever reaches the port may speak.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import MultiListener
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.ping import Ping, Pong

from whisper_service import __version__
from whisper_service.app import calls
from whisper_service.app.service import Service
from whisper_service.core import languages
from whisper_service.core.domain import Options
from whisper_service.core.errors import InvalidRequest, ServiceError
from whisper_service.export.plain_text import plain_text
from whisper_service.storage.uploads import Receiver
from whisper_service.web.compat.raw_pcm import header

logger = logging.getLogger(__name__)

MAX_HEAD: Final = 64 * 1024
"""Bytes of the lines and data of an event."""
MAX_PAYLOAD: Final = 1 << 20
"""Bytes of sound in one event: half a minute."""
IDLE_S: Final = 300.0
"""A connection that says nothing for this long is closed."""
LAST_WORD_S: Final = 1.0
"""For a client to take the reason why it is sent away."""
CONNECTIONS: Final = 64
NAME: Final = "voice.wav"
_GONE: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    TimeoutError,
)
_SELF: Final = Attribution(name="OpenAI Whisper", url="https://github.com/openai/whisper")


class _Head(msgspec.Struct):
    """The line that begins an event."""

    type: str
    data: dict[str, Any] = {}
    data_length: int | None = None
    payload_length: int | None = None


class WyomingConnection:
    """One connection: events in, events out."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._in = BufferedByteReceiveStream(stream)

    async def read(self) -> Event:
        """The next event. Raises what anyio raises at the end, `TimeoutError`, and `InvalidRequest` for what is no event."""
        with anyio.fail_after(IDLE_S):
            try:
                head = msgspec.json.decode(await self._in.receive_until(b"\n", MAX_HEAD), type=_Head)
                more = await self._exactly(head.data_length, MAX_HEAD)
                data = head.data | (msgspec.json.decode(more, type=dict[str, Any]) if more else {})
                return Event(head.type, data, await self._exactly(head.payload_length, MAX_PAYLOAD))
            except (msgspec.DecodeError, RecursionError, anyio.DelimiterNotFound) as error:
                hint = "An event is a line of JSON, then its data and its payload."
                raise InvalidRequest(f"This is no event of the Wyoming protocol: {error}.", hint=hint) from error

    async def write(self, said: Eventable) -> None:
        """Send one event."""
        event = said.event()
        data = json.dumps(event.data, ensure_ascii=False).encode()
        head = {"type": event.type, "version": __version__, "data_length": len(data)}
        await self._stream.send(json.dumps(head).encode() + b"\n" + data)

    async def _exactly(self, length: int | None, most: int) -> bytes:
        if not length:
            return b""
        if not 0 < length <= most:
            raise InvalidRequest(f"A part of an event has {length} bytes.", hint=f"It may have {most}.")
        return await self._in.receive_exactly(length)


@asynccontextmanager
async def serving(service: Service, listener: MultiListener[SocketStream]) -> AsyncIterator[None]:
    """Answer on this listener inside the block."""
    places = anyio.CapacityLimiter(CONNECTIONS)

    async def answer(stream: SocketStream) -> None:
        """The border: whatever goes wrong with one connection, the others go on."""
        try:
            async with places, stream:
                await _talk(service, WyomingConnection(stream))
        except Exception:
            logger.exception("a connection failed", extra={"action": "wyoming_failed"})

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


async def _talk(service: Service, wire: WyomingConnection) -> None:
    """One connection to its end. Errors are told, and end it."""
    language: str | None = None
    try:
        while True:
            event = await wire.read()
            if Describe.is_type(event.type):
                await wire.write(await _info(service))
            elif Ping.is_type(event.type):
                await wire.write(Pong(text=event.data.get("text")))
            elif Transcribe.is_type(event.type):
                language = _language(event.data.get("language"))
            elif AudioStart.is_type(event.type):
                await wire.write(await _utterance(service, wire, event, language))
            elif AudioStop.is_type(event.type):  # of nothing
                await wire.write(Transcript(text=""))
    except ServiceError as error:
        logger.warning("%s", error.message, extra={"action": "wyoming_refused", "code": error.problem.code})
        problem = error.problem
        with suppress(*_GONE), anyio.move_on_after(LAST_WORD_S):
            await wire.write(Error(text=f"{problem.message} {problem.hint}".strip(), code=problem.code))
    except _GONE:
        pass


async def _utterance(service: Service, wire: WyomingConnection, start: Event, language: str | None) -> Transcript:
    """What is said until `audio-stop`. Nothing is kept of an utterance that breaks off."""
    async with service.uploads.receive(NAME) as receiver:
        if not await _record(wire, start, receiver):
            return Transcript(text="")
        received = await receiver.finish()
    preset = service.config.speech.preset
    job = await calls.submit(service, received, Options(language=language, preset=preset))
    await calls.finished(service, job.id)
    transcript = await service.jobs.transcript(job.id)
    return Transcript(text=plain_text(transcript.segments), language=transcript.language)


async def _record(wire: WyomingConnection, start: Event, receiver: Receiver) -> bool:
    """Write the sound as a WAV file; whether there was any."""
    begun = False
    head = header(*(_number(start, name, allowed) for name, allowed in _FORMAT.items()))
    while not AudioStop.is_type((event := await wire.read()).type):
        if AudioChunk.is_type(event.type) and event.payload:
            await receiver.write(event.payload if begun else head + event.payload)
            begun = True
    return begun


_FORMAT: Final = {"rate": range(4_000, 384_001), "width": (2, 3, 4), "channels": range(1, 9)}
_USUAL: Final = {"rate": 16_000, "width": 2, "channels": 1}


def _number(start: Event, name: str, allowed: Sequence[int]) -> int:
    value = start.data.get(name, _USUAL[name])
    if not isinstance(value, int) or value not in allowed:
        raise InvalidRequest(
            f"Sound with {name} {value!r:.40} cannot be taken.", hint="Send 16-bit mono at 16000 Hz.", field=name
        )
    return value


def _language(said: object) -> str | None:
    """What Home Assistant is set to; what nobody knows is found out."""
    try:
        return languages.find_code(said) if isinstance(said, str) else None
    except InvalidRequest:
        return None


async def _info(service: Service) -> Info:
    """What there is, the model that will be used first."""
    names = await service.models.installed()
    models = [
        AsrModel(
            name=name,
            attribution=_SELF,
            installed=True,
            description=f"Whisper {name}",
            version=None,
            languages=sorted(languages.LANGUAGES),
        )
        for name in names
    ]
    program = AsrProgram(
        name="whisper_service",
        attribution=_SELF,
        installed=True,
        description="Speech transcription with Whisper",
        version=__version__,
        models=models,
    )
    return Info(asr=[program])
