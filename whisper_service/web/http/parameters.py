"""Define what several API modules share: parameters of handlers, and the identifier of the process."""

from __future__ import annotations

import secrets
from typing import Annotated, Final

from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from whisper_service.app.service import Service

MAX_ID: Final = 64
"""Characters of an identifier. Those that the service makes are shorter."""

Served = NamedDependency[SkipValidation[Service]]
JobId = Annotated[str, PathParameter(description="The identifier of a job.", max_length=MAX_ID)]

BOOT: Final = secrets.token_hex(8)
"""Differs after each restart of the process, so that clients notice one."""
