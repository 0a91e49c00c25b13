"""The door: who may speak to a service on this machine, and headers that keep browsers strict. Plain ASGI around the app.

Two attacks come through the victim's own browser: a foreign page whose host name is rebound to 127.0.0.1 (stopped by the list
of host names), and a foreign page that posts here across sites (stopped by `Sec-Fetch-Site` and `Origin`).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from whisper_service.domain import Problem
from whisper_service.web import dialects

HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


class Guard:
    """`local`: the service listens on this machine only, so that its own names are the only ones to be called by."""

    def __init__(self, app: ASGIApp, *, local: bool) -> None:
        self.app = app
        self.local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}  # a page may be stricter, or need something of its own
                message["headers"] = [*message["headers"], *(header for header in HEADERS if header[0] not in own)]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, strict)
            return
        status, more, content = dialects.translate(scope["path"], *refusal)
        headers = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in more.items())]
        await strict({"type": "http.response.start", "status": status, "headers": headers})
        await strict({"type": "http.response.body", "body": msgspec.json.encode(content), "more_body": False})

    def _refusal(self, scope: Any) -> tuple[int, Problem] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        name = _HOST.fullmatch(host)
        if name is None or int(name[2] or 0) > 65535:
            hint = "Send the header as `Host: name:port`; every common client does."
            return 400, Problem(code="bad_request", message="The Host header of the request is not valid.", hint=hint)
        if self.local and not is_local(name[1]):
            hint = "Use http://localhost or http://127.0.0.1, or set server.host to an address that others may reach."
            return 421, Problem(code="host_not_allowed", message=f"This service does not answer to {name[1]}.", hint=hint)
        if scope["method"] not in SAFE and _foreign(host, headers.get(b"origin"), headers.get(b"sec-fetch-site")):
            hint = "Use the service's own page, or a program that is no browser."
            return 403, Problem(code="cross_site", message="Pages of other sites may not change anything here.", hint=hint)
        return None


def is_local(host: str) -> bool:
    """Whether this name or address always means the machine itself."""
    bare = host.strip("[]").lower()
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _foreign(host: str, origin: str | None, site: str | None) -> bool:
    """Whether a browser says that another site's page sent this. Programs send neither header. (As Fetch Metadata defines.)"""
    if site is not None and site != "none":
        return site != "same-origin"
    return origin is not None and origin.partition("://")[2].lower() != host.lower()
