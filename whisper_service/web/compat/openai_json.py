"""Read a recording inside JSON, `{model, input_audio: {data: base64, format}}`, as OpenRouter and Open WebUI send it.

The only request that is in memory as a whole, so its size is limited.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, Final

import msgspec
from anyio import to_thread

from whisper_service.core.errors import InvalidRequest, TooLarge
from whisper_service.storage.uploads import Received, Uploads
from whisper_service.web.compat.form_values import invalid
from whisper_service.web.http.errors import Incoming
from whisper_service.web.http.multipart import Fields
from whisper_service.web.http.request_bodies import read_at_most, refuse_compressed

MAX_BYTES: Final = 64 * 1024**2
"""Bytes of the whole body. That is 48 MiB of sound."""


async def read(request: Incoming) -> tuple[Fields, bytes, str]:
    """Return the fields of the JSON as form fields, the sound, and its name. Raises `InvalidRequest` or `TooLarge`."""
    refuse_compressed(request)
    hint = "Send the recording as a form with a part named file. A form has no such limit."
    too_large = TooLarge("The JSON is larger than this address accepts.", hint=hint, limit=MAX_BYTES)
    return await to_thread.run_sync(_parse, await read_at_most(request, MAX_BYTES, too_large))


async def store(uploads: Uploads, sound: bytes, name: str) -> Received:
    """Write the sound to stable storage."""
    async with uploads.receive(name, expected=len(sound)) as receiver:
        await receiver.write(sound)
        return await receiver.finish()


def _parse(body: bytes) -> tuple[Fields, bytes, str]:
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        hint = "Send a form with a part named file."
        raise InvalidRequest(f"The body is not a JSON object: {error}.", hint=hint) from error
    audio = given.pop("input_audio", None)
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        hint = "Send {data: base64, format} as input_audio, or a form with a part named file."
        raise invalid("input_audio", "The JSON has no input_audio.data.", hint, "missing_required_parameter")
    try:
        sound = b64decode(audio["data"].rpartition(",")[2], validate=True)  # the data may be a data URL
    except (binascii.Error, ValueError) as error:
        hint = "Encode the bytes of the file as base64."
        raise invalid("input_audio", "input_audio.data is not base64.", hint) from error
    kind = str(audio.get("format") or "wav")
    return {name: _texts(value) for name, value in given.items()}, sound, f"audio.{kind[:16]}"


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if value is None or isinstance(value, dict):
        return []
    return [str(value).lower() if isinstance(value, bool) else str(value)]
