"""A recording inside JSON, as OpenRouter takes it and Open WebUI can send it: `{model, input_audio: {data: base64, format}}`.

The only request that passes through memory whole, so it is limited.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, Final

import msgspec
from anyio import to_thread

from whisper_service.core.errors import InvalidRequest, TooLarge
from whisper_service.storage.uploads import Received, Uploads
from whisper_service.web.compat.form_values import wrong
from whisper_service.web.http.errors import Incoming
from whisper_service.web.http.multipart import Body, Fields, expected_length, refuse_compressed

MAX_BYTES: Final = 64 * 1024**2
"""Of the whole body: 48 MiB of sound."""


async def fields_of(request: Incoming) -> tuple[Fields, bytes, str]:
    """What the JSON says beside its sound, as form fields; the sound; what to call it. Raises `InvalidRequest` or `TooLarge`."""
    refuse_compressed(request)
    body = bytearray()
    if (expected_length(request) or 0) > MAX_BYTES:
        raise _too_large()
    async for data in Body(request.receive):
        body += data
        if len(body) > MAX_BYTES:
            raise _too_large()
    return await to_thread.run_sync(_read, bytes(body))


async def keep(intake: Uploads, sound: bytes, name: str) -> Received:
    """Put the sound on stable storage."""
    async with intake.receive(name, expected=len(sound)) as receiver:
        await receiver.write(sound)
        return await receiver.finish()


def _read(body: bytes) -> tuple[Fields, bytes, str]:
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"The body is no JSON object: {error}.", hint="Send a form with a part named file."
        ) from error
    audio = given.pop("input_audio", None)
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        hint = "Put the sound into it as {data: base64, format}, or send a form with a part named file."
        raise wrong("input_audio", "There is no input_audio.data in the JSON.", hint, "missing_required_parameter")
    try:
        sound = b64decode(audio["data"].rpartition(",")[2], validate=True)  # a data URL will do
    except (binascii.Error, ValueError) as error:
        raise wrong(
            "input_audio", "input_audio.data is not base64.", "Encode the bytes of the file as base64."
        ) from error
    kind = str(audio.get("format") or "wav")
    return {name: _texts(value) for name, value in given.items()}, sound, f"audio.{kind[:16]}"


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if value is None or isinstance(value, dict):
        return []
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _too_large() -> TooLarge:
    hint = "Send the recording as a form with a part named file: that may be as long as it likes."
    return TooLarge("The JSON is larger than this address takes.", hint=hint, limit=MAX_BYTES)
