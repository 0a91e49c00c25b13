"""Serve OpenAI's Realtime API, as far as it transcribes: sound and events over one WebSocket.

A socket is a client of `app.live_sessions`: its session is an ordinary job whose recording grows. The job begins with
the first sound, and has the identifier of the session. Sound is stored every half second. A socket that closes with
1000 ends its session; every other end leaves it open, and `?session=ID` goes on with it.
"""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
import time
from typing import Any, Final

import anyio
import msgspec
from anyio import CancelScope, to_thread
from litestar import Router, WebSocket, websocket

from whisper_service.app.draft_followers import DraftFollower
from whisper_service.app.service import Service
from whisper_service.core.domain import Problem
from whisper_service.core.drafts import Hearing
from whisper_service.core.errors import InvalidRequest, LiveEnded, ServiceError, TooManySessions, Unavailable
from whisper_service.core.job_states import TERMINAL
from whisper_service.web.compat.openai_errors import refusal
from whisper_service.web.compat.realtime_events import Event, SpokenTurns
from whisper_service.web.compat.realtime_settings import RealtimeSettings, Transcription
from whisper_service.web.compat.realtime_sound import RealtimeSound
from whisper_service.web.http.errors import status_of
from whisper_service.web.http.parameters import Served
from whisper_service.web.security.guard import SOCKETS

logger = logging.getLogger(__name__)

SYNC_S: Final = 0.5
"""Seconds of sound that are gathered before they are stored."""
MOST_BYTES: Final = 15 << 20
"""Bytes of sound in one event, as OpenAI has it."""
IN_THREAD: Final = 256 << 10
"""Characters of base64 from which a thread decodes them: about a millisecond."""
UNHEARD_S: Final = 0.8
"""Seconds of the newest sound that may wait for more before they are heard: a block of half a second, and the quarter
of a second that is resampled at once."""
EXACT_S: Final = 0.05
"""A place that is heard up to so much is heard: a resampler moves the end by some samples."""
STILL_S: Final = 1.0
"""Seconds without news after which the end of a commit is asked for again: the actor that was asked may have died."""
ASKS: Final = 30
"""Questions in vain after which what was heard is the turn."""
PROTOCOL: Final = "realtime"
DONE, TRY_LATER, REFUSED, LOST = 1000, 1013, 1008, 1006
"""Codes of closed sockets. OpenAI's client reconnects after `TRY_LATER` and `LOST`."""


class ClientGone(Exception):
    """The socket is closed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class RealtimeSocket:
    """One connection."""

    def __init__(self, socket: WebSocket[Any, Any, Any], service: Service) -> None:
        self._socket = socket
        self._service = service
        self._beta = socket.headers.get("openai-beta") == "realtime=v1"
        query = socket.query_params
        self._acks = query.get("acks") in ("1", "true")
        self._resumed = query.get("session") or ""
        self._settings = RealtimeSettings(transcription=Transcription(model=query.get("model")))
        self._turns = SpokenTurns(lambda: f"item_{secrets.token_hex(10)}", beta=self._beta)
        self._sound = RealtimeSound(service)
        self._telling = anyio.Lock()  # what belongs together is told together
        self._follower: DraftFollower | None = None
        self._heard = Hearing()  # the newest
        self._heard_more = anyio.Event()
        self._resumed_s = 0.0

    async def run(self) -> None:
        """Talk to the client until one of both ends it."""
        offered = self._socket.scope["subprotocols"]
        await self._socket.accept(subprotocols=PROTOCOL if PROTOCOL in offered else None)
        code = LOST
        try:
            if self._resumed:
                self._settings = await self._sound.resume(self._resumed, self._settings)
                self._resumed_s = self._sound.stored_s
            kind = "transcription_session.created" if self._beta else "session.created"
            await self._send({"type": kind, "session": self._told(created=True)})
            async with anyio.create_task_group() as tasks:
                try:
                    await self._read(tasks)
                finally:
                    tasks.cancel_scope.cancel()
        except* ClientGone as gone:
            code = next(_codes(gone))
        except* ServiceError as errors:
            code = await self._refuse(_first(errors))
        finally:
            with CancelScope(shield=True):
                await self._leave(code)

    # -- the client's events ------------------------------------------------------------------------------------------

    async def _read(self, tasks: anyio.abc.TaskGroup) -> None:
        if self._sound.begun:
            self._start(tasks)
        while True:
            message: Any = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise ClientGone(message.get("code") or LOST)
            if message["type"] != "websocket.receive":
                continue
            event_id: Any = None
            try:
                event = _decoded(message)
                event_id = event.get("event_id")
                await self._take(event, tasks)
            except InvalidRequest as error:
                await self._tell_error(error, event_id)

    async def _take(self, event: dict[str, Any], tasks: anyio.abc.TaskGroup) -> None:
        match event.get("type"):
            case "input_audio_buffer.append":
                await self._append(event.get("audio"), tasks)
            case "input_audio_buffer.commit":
                at_s = self._sound.total_s
                async with self._telling:
                    await self._send_all(self._turns.commit(at_s))
                tasks.start_soon(self._settle, at_s)
            case "input_audio_buffer.clear":
                async with self._telling:
                    await self._send_all(self._turns.clear(self._sound.total_s))
            case "session.update":
                await self._update(event.get("session"), beta=False)
            case "transcription_session.update":
                await self._update(event.get("session"), beta=True)
            case kind:
                name = kind if isinstance(kind, str) else ""
                message = f"{name[:80]} is no event that a transcription takes." if name else "The event has no type."
                hint = "Send session.update, or input_audio_buffer.append, .commit or .clear."
                raise InvalidRequest(message, hint=hint, field="type")

    async def _update(self, session: Any, *, beta: bool) -> None:
        settings = self._settings.updated(session, beta=beta)
        call = settings.call(self._service.config.speech.preset)
        if settings.transcription.model != self._settings.transcription.model:
            await self._check_model(call.options.model)
        is_new = settings.transcription != self._settings.transcription and self._sound.begun
        is_new = is_new and await self._sound.tells_otherwise(settings)  # a client that is back names its model again
        if self._sound.begun and (is_new or settings.format != self._settings.format):
            message = "Sound has come already: its format, model, language and prompt stay as they are."
            hint = "Change them before the first sound, or begin another session."
            raise InvalidRequest(message, hint=hint, field="session")
        self._settings, self._turns.detection = settings, settings.turn_detection
        self._beta = self._turns.beta = beta
        kind = "transcription_session.updated" if beta else "session.updated"
        await self._send({"type": kind, "session": self._told()})

    async def _check_model(self, name: str) -> None:
        try:
            await self._service.models.resolve(name)
        except ServiceError as error:
            field, problem = "session.audio.input.transcription.model", error.problem
            raise InvalidRequest(problem.message, hint=problem.hint, field=field, reason="model_not_found") from error

    async def _append(self, audio: Any, tasks: anyio.abc.TaskGroup) -> None:
        if not isinstance(audio, str):
            raise InvalidRequest("The event has no sound.", hint="Send base64 as `audio`.", field="audio")
        try:
            if len(audio) < IN_THREAD:
                sound = base64.b64decode(audio, validate=True)
            else:
                sound = await to_thread.run_sync(lambda: base64.b64decode(audio, validate=True))
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest("The sound is not base64.", hint="Send base64 as `audio`.", field="audio") from error
        if len(sound) > MOST_BYTES:
            message = f"The event has {len(sound)} bytes of sound."
            raise InvalidRequest(message, hint=f"Send up to {MOST_BYTES} bytes at once.", field="audio")
        if not sound:
            return
        if not self._sound.begun:
            await self._sound.begin(self._settings)
            self._start(tasks)
        if self._sound.take(sound):
            await self._store()

    # -- the session --------------------------------------------------------------------------------------------------

    def _start(self, tasks: anyio.abc.TaskGroup) -> None:
        tasks.start_soon(self._store_all)
        tasks.start_soon(self._follow)

    async def _store_all(self) -> None:
        """Store what comes, every half second."""
        while True:
            await self._sound.news.wait()
            await anyio.sleep(SYNC_S)
            await self._store()

    async def _store(self) -> None:
        """Store what has come, and tell it those who want to know. Raises `ServiceError`."""
        if await self._sound.store() and self._acks:
            facts = {"audio_ms": self._sound.stored_s * 1000, "audio_bytes": self._sound.stored}
            await self._send({"type": "input_audio_buffer.persisted", **facts})

    async def _follow(self) -> None:
        """Tell what is said."""
        caught_up = not self._resumed_s
        with self._service.live.follow(self._sound.id) as self._follower:
            while (heard := await self._follower.next()) is not None:
                self._heard = heard
                self._heard_more.set()
                self._heard_more = anyio.Event()
                if not caught_up:
                    caught_up = heard.heard_s >= self._resumed_s - UNHEARD_S
                    begin_s = self._resumed_s if heard.speech_begin_s is None else heard.speech_begin_s
                    self._turns.skip(min(begin_s, self._resumed_s))
                if caught_up:
                    await self._tell_words()
        try:
            job = await self._service.jobs.get(self._sound.id)
        except ServiceError as error:  # deleted
            why: Event | None = _error(error)
        else:
            if job.status not in TERMINAL:  # the service ends, and goes on with the session later
                return
            why = None if job.error is None else _told_problem(500, job.error)
        async with self._telling:
            await self._send_all(self._turns.finish(why))

    async def _tell_words(self) -> None:
        async with self._telling:
            await self._send_all(self._turns.take(self._heard))

    async def _settle(self, at_s: float) -> None:
        """Have the words up to a commit told, as soon as all of its sound is heard."""
        await self._store()
        asks = 0
        while self._heard.heard_s < at_s - EXACT_S and asks < ASKS:
            nearly = self._heard.heard_s >= at_s - UNHEARD_S
            if nearly and self._follower is not None:
                asks += self._follower.hear_ahead()
            with anyio.move_on_after(STILL_S if nearly else None):
                await self._heard_more.wait()
        self._turns.settle(self._heard.heard_s)
        if self._follower is not None:
            await self._follower.flush()
        await self._tell_words()

    async def _leave(self, code: int) -> None:
        """Store the last sound. End the session if the client closed the socket in order."""
        if not self._sound.begun:
            return
        try:
            await self._store()
            if code == DONE:
                await self._service.live.end(self._sound.id)
        except (ClientGone, LiveEnded):
            pass
        except ServiceError as error:
            facts = {"action": "realtime_left", "job": self._sound.id, "code": error.problem.code}
            logger.warning("The last sound of a realtime session could not be stored.", extra=facts)

    # -- the service's events -----------------------------------------------------------------------------------------

    def _told(self, *, created: bool = False) -> Event:
        told: Event = {"id": self._sound.id, **self._settings.told(beta=self._beta)}
        told["expires_at"] = int(time.time() + self._service.config.live.max_hours * 3600)
        if created:
            told |= {"received_ms": self._sound.stored_s * 1000, "received_bytes": self._sound.stored}
        return told

    async def _send_all(self, events: list[Event]) -> None:
        for event in events:
            await self._send(event)

    async def _send(self, event: Event) -> None:
        """Send an event. Raises `ClientGone`."""
        told = {"event_id": f"event_{secrets.token_hex(10)}", **event}
        try:
            await self._socket.send(
                {"type": "websocket.send", "text": msgspec.json.encode(told).decode(), "bytes": None}
            )
        except Exception as error:  # whatever the server raises for a socket that is closed
            raise ClientGone(1006) from error

    async def _tell_error(self, error: ServiceError, event_id: Any = None) -> None:
        event_id = event_id if isinstance(event_id, str) else None
        await self._send({"type": "error", "error": _error(error) | {"event_id": event_id}})

    async def _refuse(self, error: ServiceError) -> int:
        """Say why the service ends the conversation, and close the socket. Return the code."""
        passing = isinstance(error, (TooManySessions, Unavailable)) or status_of(error) in (503, 507)
        code = TRY_LATER if passing else REFUSED
        try:
            await self._tell_error(error)
            await self._socket.send({"type": "websocket.close", "code": code, "reason": error.problem.code})
        except Exception:
            logger.debug("A socket was closed before the service closed it.")
        return code


@websocket(list(SOCKETS))
async def talk(socket: WebSocket[Any, Any, Any], service: Served) -> None:
    """Transcribe what is said on one socket."""
    await RealtimeSocket(socket, service).run()


def _decoded(message: dict[str, Any]) -> dict[str, Any]:
    """Return the event in a frame. Raises `InvalidRequest`."""
    try:
        event = msgspec.json.decode(message.get("text") or message.get("bytes") or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("The frame is no JSON.", hint="Send each event as one JSON object.") from error
    if not isinstance(event, dict):
        raise InvalidRequest("The frame is no JSON object.", hint="Send each event as one JSON object.")
    return event


def _error(error: ServiceError) -> Event:
    return _told_problem(status_of(error), error.problem)


def _told_problem(status: int, problem: Problem) -> Event:
    answer: Any = refusal(status, problem).content
    told: Event = msgspec.to_builtins(answer.error)
    return told


def _first(group: BaseExceptionGroup[ServiceError]) -> ServiceError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _codes(group: BaseExceptionGroup[ClientGone]) -> Any:
    for found in group.exceptions:
        if isinstance(found, BaseExceptionGroup):
            yield from _codes(found)
        else:
            yield found.code


router: Final = Router("/", route_handlers=[talk])
