"""Check every request before its body is read. Plain ASGI around the whole application.

Refuses a request that names the service by a foreign host name, that a page of another site sends, or that has no
token where one is required. Every address needs the token, apart from those listed here.

Two attacks come through a user's own browser. A foreign page whose host name is rebound to the address of this service
is stopped by the list of host names. A foreign page that sends requests here is stopped by `Sec-Fetch-Site` and
`Origin`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from whisper_service.config.schema import Config
from whisper_service.config.tokens import is_local
from whisper_service.core.domain import Problem
from whisper_service.core.errors import ServiceError
from whisper_service.web.http.dialects import Dialect, error_form
from whisper_service.web.http.errors import error_headers, status_of
from whisper_service.web.security.auth import Access
from whisper_service.web.security.headers import with_strict_headers

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN: Final = frozenset({"/", "/login", "/api/login", "/api/logout", "/api/health/live"})
"""Addresses that need no token."""
PAGE_ROUTES: Final = (
    "/t/{job_id:str}",
    "/models",
    "/system",
    "/settings",
    "/record",
    "/captions",
    "/captions/{job_id:str}",
)
"""Addresses of the page beside "/". Reading them needs no token, because the page holds no user's data."""
ASSET_ROUTE: Final = "/static/{file:path}"
SOCKETS: Final = ("/v1/realtime", "/openai/v1/realtime")
"""Addresses of WebSockets."""
TOKEN_PROTOCOL: Final = "openai-insecure-api-key."
"""Begins the name of a subprotocol that has the token, for pages, which can set no header (OpenAI's convention)."""
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_PORTS: Final = {"http": ":80", "https": ":443"}


def _pattern(*routes: str) -> re.Pattern[str]:
    """Return what the addresses of these routes look like."""
    segments = re.sub(r"\{\w+:str\}", r"[\\w-]+", "|".join(routes))
    return re.compile(re.sub(r"\{\w+:path\}", ".*", segments))


_PAGE: Final = _pattern(*PAGE_ROUTES, ASSET_ROUTE)


class Refusal(NamedTuple):
    """The answer to a request that does not pass."""

    status: int
    problem: Problem
    headers: Mapping[str, str] = MappingProxyType({})


class HostNames:
    """The names by which clients may call the service: its own and the allowed ones."""

    def __init__(self, allowed: Iterable[str], *, local: bool, token_required: bool) -> None:
        """`local`: the service listens on this machine only. `token_required`: a foreign name alone gains nothing."""
        self._allowed = {name.lower().removesuffix(".") for name in allowed}
        self._local = local
        self._any = "*" in self._allowed or (token_required and not local and not self._allowed)
        if not local:
            host = socket.gethostname().lower()
            self._allowed |= {host, f"{host.partition('.')[0]}.local"}

    def allow(self, host: str) -> bool:
        """Return whether `host`, a name or an address without port, is one of them."""
        name = host.removesuffix(".").lower()
        if self._any or is_local(host) or name in self._allowed:
            return True
        if not self._local and _is_address(name):  # only names can be rebound
            return True
        return any(name.endswith(allowed[1:]) for allowed in self._allowed if allowed.startswith("*."))


class Guard:
    """ASGI around an application that lets only allowed requests through."""

    def __init__(self, app: ASGIApp, access: Access, config: Config, dialects: Sequence[Dialect] = ()) -> None:
        self.app = app
        self.access = access
        self.dialects = dialects
        self.root_path = config.server.root_path
        local = is_local(config.server.host)
        self.names = HostNames(config.security.allowed_hosts, local=local, token_required=bool(access.tokens))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = with_strict_headers(send, self.root_path)
        path = self._set_paths(scope)
        refusal = self._refusal(scope, path)
        if refusal is None:
            await self.app(scope, receive, send)
            return
        answer = error_form(self.dialects, path)(refusal.status, refusal.problem)
        headers = {"content-type": "application/json", **refusal.headers, **answer.headers}
        body = msgspec.json.encode(answer.content)
        kind = "http.response"
        if scope["type"] == ScopeType.WEBSOCKET:
            kind = "websocket.http.response"
            headers |= {"content-length": str(len(body)), "connection": "close"}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        start: Any = {"type": f"{kind}.start", "status": answer.status, "headers": raw}
        rest: Any = {"type": f"{kind}.body", "body": body, "more_body": False}
        await send(start)
        await send(rest)

    def _set_paths(self, scope: Any) -> str:
        """Return the path below `root_path`, which a proxy may have cut. Write both into the scope as ASGI wants."""
        path: str = scope["path"]
        if self.root_path and (path + "/").startswith(self.root_path + "/"):
            path = path[len(self.root_path) :] or "/"
        scope["path"], scope["root_path"] = self.root_path + path, self.root_path
        return path

    def _refusal(self, scope: Any, path: str) -> Refusal | None:
        """Return why the request does not pass. None: it passes."""
        headers = Headers(scope["headers"])
        hosts = headers.getall("host", [])
        name = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if name is None or int(name[2] or 0) > 65535:
            message = "The Host header of the request is not valid."
            hint = "Send the header once, as `Host: name:port`. Every common client does."
            return Refusal(400, Problem("bad_request", message, hint))
        if not path.isprintable():
            hint = "Addresses have no control characters."
            return Refusal(404, Problem("not_found", "There is nothing at this address.", hint))
        if not self.names.allow(name[1]):
            message = f"This service does not answer to the name {name[1]}."
            hint = "Use http://localhost. If the name is this service's, add it to security.allowed_hosts."
            return Refusal(421, Problem("host_not_allowed", message, hint))
        method = scope.get("method", "POST")  # a WebSocket has none, and can do what a POST can
        if _is_cross_site(method, hosts[0], headers):
            message = "Pages of other sites may not use this service."
            hint = "Use the service's own page, or a program that is not a browser."
            return Refusal(403, Problem("cross_site", message, hint))
        is_socket = scope["type"] == ScopeType.WEBSOCKET
        if not is_socket and (path in OPEN or (method in SAFE and _PAGE.fullmatch(path))):
            return None
        try:
            client = scope["client"]
            address = client[0] if client else ""
            authorization = headers.getall("authorization", []) or _tokens_of_protocols(scope)
            self.access.check(address, authorization, headers.getall("cookie", []))
        except ServiceError as error:
            return Refusal(status_of(error), error.problem, error_headers(error))
        if is_socket and path not in SOCKETS:
            hint = f"WebSockets are served at {SOCKETS[0]}."
            return Refusal(404, Problem("not_found", "There is no WebSocket at this address.", hint))
        return None


def _tokens_of_protocols(scope: Any) -> list[str]:
    """Return the tokens that a WebSocket names as subprotocols, as values of `Authorization`."""
    offered = (name for name in scope.get("subprotocols", ()) if name.startswith(TOKEN_PROTOCOL))
    return [f"Bearer {name.removeprefix(TOKEN_PROTOCOL)}" for name in offered]


def _is_cross_site(method: str, host: str, headers: Headers) -> bool:
    """Return whether a browser says that a page of another site sent the request. Programs send none of these headers.

    Another site may link to this one. It may neither change anything nor load answers into a page of its own. The
    headers are those of Fetch Metadata.
    """
    site = headers.get("sec-fetch-site", "none")
    if method in SAFE:
        return site in ("cross-site", "same-site") and headers.getall("sec-fetch-mode", []) != ["navigate"]
    if site != "none":
        return site != "same-origin"
    return any(_origin_host(origin) != _without_port(host.lower(), origin) for origin in headers.getall("origin", []))


def _origin_host(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    return host.lower().removesuffix(_PORTS.get(scheme.lower(), "\0"))


def _without_port(host: str, origin: str) -> str:
    """Return the host without the default port of the origin's scheme."""
    return host.removesuffix(_PORTS.get(origin.partition("://")[0].lower(), "\0"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
