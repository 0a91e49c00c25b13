"""The sound of a realtime session on its way into the recording of a job.

The job begins with the first sound, and has the identifier of the session. What is stored is on stable storage.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Final

import anyio
from msgspec.structs import replace

from whisper_service.app.service import Service
from whisper_service.core.domain import LiveEnd, Options
from whisper_service.core.errors import InvalidRequest, LiveEnded, NotFound
from whisper_service.core.identifiers import identifier
from whisper_service.core.sound_format import form_of
from whisper_service.web.compat.realtime_settings import RealtimeSettings, Transcription, format_of

HELD_BYTES: Final = 4 << 20
"""Sound that is not stored yet. With more, the client waits until it is."""


class RealtimeSound:
    """The sound of one session, and its job."""

    def __init__(self, service: Service) -> None:
        self.id = identifier(time.time())
        self.begun = False  # there is a job
        self.stored = 0  # bytes of sound on stable storage
        self.news = anyio.Event()  # there is sound to store
        self._service = service
        self._told = Options()  # what the model of the job is told
        self._held = bytearray()  # sound behind the stored
        self._turn = anyio.Lock()
        self._bytes_per_s = 1

    @property
    def total_s(self) -> float:
        """Seconds of sound that have come."""
        return (self.stored + len(self._held)) / self._bytes_per_s

    @property
    def stored_s(self) -> float:
        """Seconds of sound that are on stable storage."""
        return self.stored / self._bytes_per_s

    async def resume(self, session_id: str, settings: RealtimeSettings) -> RealtimeSettings:
        """Go on with a session, and return its settings. One that is not there begins anew.

        Raises `InvalidRequest`, `LiveEnded` and `TooManySessions`.
        """
        try:
            job = await self._service.jobs.get(session_id)
        except NotFound:  # no sound had come, or it was deleted
            return settings
        form = None if job.live is None else format_of(job.live)
        if job.live is None or form is None:
            message, hint = "This session cannot be resumed here.", "Name a session that was begun at this address."
            raise InvalidRequest(message, hint=hint, field="session")
        status = await self._service.live.status(session_id)
        if status.ended is LiveEnd.SILENCE:
            await self._service.live.resume(session_id)
        elif status.ended is not None:
            raise LiveEnded(hint="Begin a new one.", ended=status.ended.value, offset=status.offset)
        said = Transcription(model=job.options.model, language=job.options.language, prompt=job.options.prompt)
        settings = replace(settings, format=form, transcription=said)
        self.id, self.begun, self.stored, self._told = session_id, True, status.offset, job.options
        self._set_speed(settings)
        return settings

    async def begin(self, settings: RealtimeSettings) -> None:
        """Make the job. Raises what `JobService.begin_live` raises, and `ModelUnavailable`."""
        wanted = await self._wanted(settings)
        self._told = (await self._service.jobs.begin_live(settings.live(), "", wanted, job_id=self.id)).options
        self.begun = True
        self._set_speed(settings)

    async def tells_otherwise(self, settings: RealtimeSettings) -> bool:
        """Return whether the job would be told something else. Raises `ModelUnavailable`."""
        asked, told = await self._wanted(settings), self._told
        return (asked.model, asked.language, asked.prompt) != (told.model, told.language, told.prompt)

    def take(self, sound: bytes) -> bool:
        """Take the next bytes. True: so many wait that they have to be stored before more come."""
        self._held += sound
        self.news.set()
        return len(self._held) > HELD_BYTES

    async def store(self) -> bool:
        """Store what has come. Half a sample waits for its rest. False: there was nothing to store.

        Raises what `LiveSessions.append` raises.
        """
        async with self._turn:
            self.news = anyio.Event()
            data = bytes(self._held)
            if not data:
                return False
            stored = await self._service.live.append(self.id, self.stored, _once(data))
            del self._held[: stored - self.stored]
            self.stored = stored
        return True

    async def _wanted(self, settings: RealtimeSettings) -> Options:
        options = settings.call(self._service.config.speech.preset).options
        return replace(options, model=await self._service.models.resolve(options.model))

    def _set_speed(self, settings: RealtimeSettings) -> None:
        self._bytes_per_s = settings.format.hz * form_of(settings.live()).frame_bytes


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
