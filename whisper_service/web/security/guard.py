"""The one door of the service: plain ASGI around everything it serves.

Who calls it by a name that is not its own, sends something from another site's page, or has no token where one is wanted,
hears why, before anything of the request is read. What is open to everybody is listed here; all else is not.

Two attacks come through the victim's own browser: a foreign page whose host name is rebound to our address (stopped by the list
of host names), and a foreign page that posts here across sites (stopped by `Sec-Fetch-Site` and `Origin`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from whisper_service.config.schema import Config
from whisper_service.config.tokens import is_local
from whisper_service.core.domain import Problem
from whisper_service.core.errors import ServiceError
from whisper_service.web.http import error_dialects
from whisper_service.web.http.errors import advice, status_of
from whisper_service.web.security.auth import Access
from whisper_service.web.security.headers import strict

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN: Final = frozenset({"/", "/login", "/api/login", "/api/logout", "/api/health/live"})
"""Addresses that ask for no token, besides the files of the page and its own addresses: the page holds nothing of anybody."""
_PAGE = re.compile(r"/(static/.*|t/[\w-]+|models|system|settings)")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_PORTS: Final = {"http": ":80", "https": ":443"}

Refusal = tuple[int, Problem, dict[str, str]]


class HostNames:
    """What the service may be called: its own names, and those that are allowed. A name here never means another's machine."""

    def __init__(self, listed: Iterable[str], *, local: bool, asked: bool) -> None:
        """`local`: it listens on this machine only. `asked`: it asks for a token, so that a foreign name gains nothing."""
        self._listed = {name.lower().removesuffix(".") for name in listed}
        self._local = local
        self._any = "*" in self._listed or (asked and not local and not self._listed)
        if not local:
            host = socket.gethostname().lower()
            self._listed |= {host, f"{host.partition('.')[0]}.local"}

    def allow(self, host: str) -> bool:
        """Whether `host`, a name or address without port, is one of them."""
        name = host.removesuffix(".").lower()
        if self._any or is_local(host) or name in self._listed:
            return True
        if not self._local and _is_address(name):  # nobody can rebind an address
            return True
        return any(name.endswith(listed[1:]) for listed in self._listed if listed.startswith("*."))


class Guard:
    """See the module."""

    def __init__(self, app: ASGIApp, door: Access, config: Config) -> None:
        self.app = app
        self.door = door
        self.root_path = config.server.root_path
        local = is_local(config.server.host)
        self.names = HostNames(config.security.allowed_hosts, local=local, asked=bool(door.keys))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = strict(send, self.root_path)
        path = self._enter(scope)
        refusal = self._refusal(scope, path)
        if refusal is None:
            await self.app(scope, receive, sending)
            return
        status, problem, headers = refusal
        status, more, content = error_dialects.translate(path, status, problem)
        told = {"content-type": "application/json", **headers, **more}
        raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        await sending({"type": "http.response.start", "status": status, "headers": raw})
        await sending({"type": "http.response.body", "body": msgspec.json.encode(content), "more_body": False})

    def _enter(self, scope: Any) -> str:
        """The path below `root_path`, whether a proxy took that away or not; the application gets both, as ASGI has it."""
        path: str = scope["path"]
        if self.root_path and (path + "/").startswith(self.root_path + "/"):
            path = path[len(self.root_path) :] or "/"
        scope["path"], scope["root_path"] = self.root_path + path, self.root_path
        return path

    def _refusal(self, scope: Any, path: str) -> Refusal | None:
        headers = _Headers(scope["headers"])
        hosts = headers[b"host"]
        name = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if name is None or int(name[2] or 0) > 65535:
            hint = "Send the header once, as `Host: name:port`; every common client does."
            return (
                400,
                Problem(code="bad_request", message="The Host header of the request is not valid.", hint=hint),
                {},
            )
        if not path.isprintable():
            hint = "Addresses hold no control characters."
            return 404, Problem(code="not_found", message="There is nothing at this address.", hint=hint), {}
        if not self.names.allow(name[1]):
            hint = "Use http://localhost, or add the name to security.allowed_hosts if it is one of this service's."
            message = f"This service does not answer to {name[1]}."
            return 421, Problem(code="host_not_allowed", message=message, hint=hint), {}
        if _foreign(scope["method"], hosts[0], headers):
            hint = "Use the service's own page, or a program that is no browser."
            return 403, Problem(code="cross_site", message="Pages of other sites may do nothing here.", hint=hint), {}
        if path in OPEN or (scope["method"] in SAFE and _PAGE.fullmatch(path)):
            return None
        try:
            client = scope["client"]
            self.door.ask(client[0] if client else "", headers[b"authorization"], headers[b"cookie"])
        except ServiceError as error:
            return status_of(error), error.problem, advice(error)
        return None


class _Headers:
    """Every value of a header, as text."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = list(raw)

    def __getitem__(self, wanted: bytes) -> list[str]:
        return [value.decode("latin-1") for name, value in self._raw if name == wanted]


def _foreign(method: str, host: str, headers: _Headers) -> bool:
    """Whether a browser says that another site's page sent this. Programs send none of these headers. (As Fetch Metadata defines.)

    Another site may lead a browser here, but neither change anything nor draw our answers into a page of its own.
    """
    site = next(iter(headers[b"sec-fetch-site"]), "none")
    if method in SAFE:
        return site in ("cross-site", "same-site") and headers[b"sec-fetch-mode"] != ["navigate"]
    if site != "none":
        return site != "same-origin"
    return any(_origin_host(origin) != _bare(host.lower(), origin) for origin in headers[b"origin"])


def _origin_host(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    return host.lower().removesuffix(_PORTS.get(scheme.lower(), "\0"))


def _bare(host: str, origin: str) -> str:
    """`host` without the port that the scheme of `origin` stands for."""
    return host.removesuffix(_PORTS.get(origin.partition("://")[0].lower(), "\0"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
