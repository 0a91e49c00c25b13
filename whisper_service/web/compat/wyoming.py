"""Serve the Wyoming protocol, through which Home Assistant has speech transcribed. Every utterance is an ordinary job.

Clients connect by TCP. `describe` gets the models. `transcribe`, `audio-start`, `audio-chunk`... and `audio-stop` get a
`transcript`. The protocol has no key: everybody who reaches the port may use it.
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
from whisper_service.app.edits import Version
from whisper_service.app.service import Service
from whisper_service.core import languages
from whisper_service.core.domain import Options
from whisper_service.core.errors import InvalidRequest, ServiceError
from whisper_service.core.speaker_count import OFF
from whisper_service.core.text import quoted
from whisper_service.export.plain_text import plain_text
from whisper_service.storage.uploads import Receiver
from whisper_service.web.compat.raw_pcm import header
from whisper_service.web.http.dialects import sentence

logger = logging.getLogger(__name__)

MAX_HEAD: Final = 64 * 1024
"""Bytes of the first line of an event, and of its data."""
MAX_PAYLOAD: Final = 1 << 20
"""Bytes of sound in one event: half a minute."""
IDLE_S: Final = 300.0
"""Seconds without an event after which a connection is closed."""
ERROR_S: Final = 1.0
"""Seconds that a client has to read why its connection is closed."""
CONNECTIONS: Final = 64
NAME: Final = "voice.wav"
_FORMATS: Final = {"rate": range(4_000, 384_001), "width": (2, 3, 4), "channels": range(1, 9)}
_DEFAULT: Final = {"rate": 16_000, "width": 2, "channels": 1}
_DISCONNECTED: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    TimeoutError,
)
_WHISPER: Final = Attribution(name="OpenAI Whisper", url="https://github.com/openai/whisper")


class _Head(msgspec.Struct):
    """The first line of an event."""

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
        """Return the next event.

        Raises `InvalidRequest` if the bytes are not an event, `TimeoutError`, and what anyio raises at the end.
        """
        with anyio.fail_after(IDLE_S):
            try:
                head = msgspec.json.decode(await self._in.receive_until(b"\n", MAX_HEAD), type=_Head)
                more = await self._exactly(head.data_length, MAX_HEAD)
                data = head.data | (msgspec.json.decode(more, type=dict[str, Any]) if more else {})
                return Event(head.type, data, await self._exactly(head.payload_length, MAX_PAYLOAD))
            except (msgspec.DecodeError, RecursionError, anyio.DelimiterNotFound) as error:
                hint = "An event is a line of JSON, then its data and its payload."
                raise InvalidRequest(f"This is not an event of the Wyoming protocol: {error}.", hint=hint) from error

    async def write(self, message: Eventable) -> None:
        """Send one event."""
        event = message.event()
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
    limiter = anyio.CapacityLimiter(CONNECTIONS)

    async def answer(stream: SocketStream) -> None:
        """Serve one connection. An error ends only this connection."""
        try:
            async with limiter, stream:
                await _converse(service, WyomingConnection(stream))
        except Exception:
            logger.exception("A connection failed.", extra={"action": "wyoming_failed"})

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


async def _converse(service: Service, connection: WyomingConnection) -> None:
    """Answer the events of one connection until it ends. An error is sent to the client and ends the connection."""
    language: str | None = None
    try:
        while True:
            event = await connection.read()
            if Describe.is_type(event.type):
                await connection.write(await _info(service))
            elif Ping.is_type(event.type):
                await connection.write(Pong(text=event.data.get("text")))
            elif Transcribe.is_type(event.type):
                language = _language(event.data.get("language"))
            elif AudioStart.is_type(event.type):
                await connection.write(await _transcribe(service, connection, event, language))
            elif AudioStop.is_type(event.type):  # without a start
                await connection.write(Transcript(text=""))
    except ServiceError as error:
        logger.warning("%s", error.message, extra={"action": "wyoming_refused", "code": error.problem.code})
        with suppress(*_DISCONNECTED), anyio.move_on_after(ERROR_S):
            await connection.write(Error(text=sentence(error.problem), code=error.problem.code))
    except _DISCONNECTED:
        pass


async def _transcribe(
    service: Service, connection: WyomingConnection, start: Event, language: str | None
) -> Transcript:
    """Return the text of an utterance, which ends with `audio-stop`. Nothing is kept of one that breaks off."""
    async with service.uploads.receive(NAME) as receiver:
        if not await _record(connection, start, receiver):
            return Transcript(text="")
        received = await receiver.finish()
    preset = service.config.speech.preset
    job = await calls.submit(service, received, Options(language=language, preset=preset, speakers=OFF))
    await calls.finished(service, job.id)
    transcript = await service.jobs.transcript(job.id, Version.MACHINE)
    return Transcript(text=plain_text(transcript.segments), language=transcript.language)


async def _record(connection: WyomingConnection, start: Event, receiver: Receiver) -> bool:
    """Write the sound of an utterance as a WAV file. Return whether there was any."""
    begun = False
    head = header(*(_number(start, name, allowed) for name, allowed in _FORMATS.items()))
    while not AudioStop.is_type((event := await connection.read()).type):
        if AudioChunk.is_type(event.type) and event.payload:
            await receiver.write(event.payload if begun else head + event.payload)
            begun = True
    return begun


def _number(start: Event, name: str, allowed: Sequence[int]) -> int:
    value = start.data.get(name, _DEFAULT[name])
    if not isinstance(value, int) or value not in allowed:
        message = f"Sound with {name} {quoted(str(value), 40)} is not accepted."
        raise InvalidRequest(message, hint="Send 16-bit mono at 16000 Hz.", field=name)
    return value


def _language(wanted: object) -> str | None:
    """Return the code of the language that Home Assistant is set to. None: unknown, so the language is detected."""
    return languages.known_code(wanted) if isinstance(wanted, str) else None


async def _info(service: Service) -> Info:
    """Return the models on this machine. The first is the one that is used."""
    models = [
        AsrModel(
            name=name,
            attribution=_WHISPER,
            installed=True,
            description=f"Whisper {name}",
            version=None,
            languages=sorted(languages.LANGUAGES),
        )
        for name in await service.models.installed()
    ]
    program = AsrProgram(
        name="whisper_service",
        attribution=_WHISPER,
        installed=True,
        description="Speech transcription with Whisper",
        version=__version__,
        models=models,
    )
    return Info(asr=[program])
