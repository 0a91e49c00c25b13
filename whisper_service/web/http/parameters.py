"""Define what several API modules share: parameters of handlers, and the identifier of the process."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final
from urllib.parse import unquote_to_bytes

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from whisper_service.app.service import Service
from whisper_service.core.file_names import decode_name

MAX_ID: Final = 64
"""Characters of an identifier. Those that the service makes are shorter."""

Served = NamedDependency[SkipValidation[Service]]
JobId = Annotated[str, PathParameter(description="The identifier of a job.", max_length=MAX_ID)]

BOOT: Final = secrets.token_hex(8)
"""Differs after each restart of the process, so that clients notice one."""


def name_in_query(request: Request[Any, Any, Any], parameter: str) -> str:
    """Return the file name in a parameter of the query, whatever its encoding. "": the parameter is missing."""
    for pair in reversed(bytes(request.scope["query_string"]).split(b"&")):
        key, _, value = pair.partition(b"=")
        if key == parameter.encode():
            return decode_name(unquote_to_bytes(value.replace(b"+", b" ")))
    return ""
