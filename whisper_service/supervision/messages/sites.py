"""The messages of the site actor: recordings from web pages. Pure."""

from __future__ import annotations

from whisper_service.core.domain import Problem
from whisper_service.supervision.messages.base import Message


class FetchSite(Message, frozen=True):
    """Fetch the recording behind a web page.

    Answered by one `SiteFound`, `SiteProgress` every half second while bytes come, then by `SiteFetched`; or by
    `SiteFailed` at any time. An actor takes one such command, because it can write into one folder only. To cancel,
    kill the actor: the same command begins anew.
    """

    url: str
    folder: str  # an existing directory, the only one that the actor writes into
    allowed_networks: tuple[str, ...] = ()  # beside the public internet
    max_bytes: int = 0  # larger recordings are refused
    max_duration_s: float = 0.0  # longer ones too
    timeout_s: float = 30.0  # to connect, and without a single byte


class SiteFound(Message, frozen=True):
    """What a web page says of its recording, before the recording is fetched."""

    title: str  # empty: the page gives none
    duration_s: float | None = None  # None: unknown
    total: int | None = None  # bytes; None: unknown


class SiteProgress(Message, frozen=True):
    """How much of a recording has come."""

    bytes: int
    total: int | None = None  # None: unknown


class SiteFetched(Message, frozen=True):
    """The recording is complete and on stable storage."""

    path: str  # in the folder of the command
    bytes: int


class SiteFailed(Message, frozen=True):
    """The recording cannot be fetched."""

    problem: Problem
    again: bool = False  # another attempt may succeed
