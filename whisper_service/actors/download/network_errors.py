"""From an exception of a download to the problem behind it. No request is sent, and no secret gets into a text.

The network is examined before the answer of the hub: a name that cannot be resolved is one problem on a machine with a
network, and another on a machine without.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from whisper_service.actors.download.hub_problems import HubError, problem
from whisper_service.core.domain import Problem
from whisper_service.core.files import is_disk_full

_STATUS: Final = {
    401: "token_refused",
    403: "access_denied",
    404: "repo_not_found",
    407: "proxy_password",
    429: "rate_limited",
}
_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_A_HUB: Final = frozenset(
    {"FileMetadataError", "JSONDecodeError", "TooManyRedirects", "UnsupportedProtocol", "InvalidURL", "SSLError"}
)
_CUT_OFF: Final = frozenset({"RemoteProtocolError", "NetworkError", "ConnectionError", "DecodingError"})
_USERINFO: Final = re.compile(r"(?<=://)[^/?#@\s]*@")
_QUERY: Final = re.compile(r"(?<=\?)[^\s'\"<>]+")  # signed addresses of files carry their signature there
_DETAIL_CHARS: Final = 300


def explain(
    error: BaseException,
    *,
    endpoint: str,
    proxy: str | None,
    repo: str,
    secrets: Collection[str] = (),
    connected: Callable[[], bool] | None = None,
) -> Problem:
    """Return the problem behind an exception of `huggingface_hub` or of a library below it.

    `proxy` is the proxy of the failed request (`proxy_for`). `secrets` do not appear in the problem. `connected` tells
    whether this machine has a network; None: `has_route` tells.

    Exceptions of the libraries are recognised by the names of their classes: the HTTP library changes between versions.
    """
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, HubError):
            return cause.problem
    names = {base.__name__ for cause in chain for base in type(cause).__mro__}
    host = _asked_host(chain) or host_of(endpoint)  # a hub redirects to other hosts for large files
    about: dict[str, Any] = {"host": host, "endpoint": public(endpoint), "repo": repo}
    detail = redact(_detail(chain), secrets).rstrip(".")[:_DETAIL_CHARS]  # cut last: half a secret is not recognised
    if proxy is not None:
        about["proxy"] = host_of(proxy)
    return (
        _local(chain, about, detail)
        or _transport(chain, names, about, detail, connected or has_route)
        or _answer(chain, names, about, detail)
        or problem("download_failed", **about, detail=detail)
    )


def _local(chain: list[BaseException], about: dict[str, Any], detail: str) -> Problem | None:
    """Return the problem of this machine; None: a request was sent."""
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in _READ_ONLY and cause.filename is not None:
            return problem("not_writable", **about, detail=detail)
        if type(cause).__name__ == "HFValidationError":
            return problem("repo_invalid", **about)
        if type(cause).__name__ == "OfflineModeIsEnabled":  # HF_HUB_OFFLINE in the environment
            return problem("offline", **about)
    return None


def _transport(
    chain: list[BaseException], names: set[str], about: dict[str, Any], detail: str, connected: Callable[[], bool]
) -> Problem | None:
    """Return the problem of the connection; None: the hub answered, or the connection broke later."""
    if _status(chain) is not None:
        return None
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        return problem("tls_not_trusted", **about, detail=detail)
    if "ProxyError" in names:
        password = any(str(cause).startswith("407") for cause in chain)
        return problem("proxy_password" if password else "proxy_refused", **{"proxy": "", **about}, detail=detail)
    if any("proxy" in str(cause).lower() for cause in chain if isinstance(cause, ValueError | ImportError)) or (
        "proxy" in about and names & {"UnsupportedProtocol", "InvalidURL"}
    ):
        return problem("proxy_invalid", **about, detail=detail)
    code = None
    for cause in chain:
        if isinstance(cause, socket.gaierror):
            code = "name_not_resolved"
        elif getattr(cause, "errno", None) in _UNREACHABLE:
            code = "unreachable"
        elif isinstance(cause, ConnectionRefusedError):
            code = "connection_refused"
    if code in ("name_not_resolved", "unreachable") and not is_local(about["host"]) and not connected():
        return problem("no_network", **about)
    if code is None and ("ConnectTimeout" in names or {"ConnectError", "TimeoutError"} <= names):
        code = "timeout"
    if code is None and "ConnectError" in names and "SSLError" not in names:
        code = "unreachable"
    if code is not None and "proxy" in about:  # the connection was one to the proxy
        return problem("proxy_refused", **about, detail=detail)
    return None if code is None else problem(code, **about, detail=detail)


def _answer(chain: list[BaseException], names: set[str], about: dict[str, Any], detail: str) -> Problem | None:
    """Return the problem that the hub reports, or the way in which its answer broke off; None: unknown."""
    status = _status(chain)
    if "GatedRepoError" in names:
        return problem("gated", **about)
    if "RevisionNotFoundError" in names:
        return problem("revision_not_found", **about, revision="main")
    if status is not None and (code := "server_error" if status >= 500 else _STATUS.get(status)):
        if code == "proxy_password":
            about = {"proxy": "", **about}
        return problem(code, **about, status=status)
    if names & _NOT_A_HUB:
        return problem("not_a_hub", **about, detail=detail)
    if names & {"TimeoutException", "TimeoutError"}:
        return problem("timeout", **about)
    if names & _CUT_OFF or "Consistency check failed" in detail:
        return problem("cut_off", **about, detail=detail)
    return None


def _status(chain: list[BaseException]) -> int | None:
    for cause in chain:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _asked_host(chain: list[BaseException]) -> str | None:
    """Return the host of the failed request: the endpoint, or a host that it redirected to."""
    for cause in chain:
        try:
            return host_of(str(cause.request.url))  # type: ignore[attr-defined]
        except (AttributeError, RuntimeError):  # RuntimeError: the request of the exception was never set
            continue
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, then each exception that the one before was raised from or while handling."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _detail(chain: list[BaseException]) -> str:
    """Return one line about the exception, from the deepest cause that has a text."""
    for cause in reversed(chain):
        if verdict := getattr(cause, "verify_message", None):  # of a certificate
            return str(verdict)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    for cause in reversed(chain):
        if lines := str(cause).strip().splitlines():
            return lines[0]
    return type(chain[0]).__name__


def redact(text: str, secrets: Collection[str] = ()) -> str:
    """Return the text without these secrets, and its addresses without user, password and query."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _QUERY.sub("***", _USERINFO.sub("", text))


def secrets_of(token: str | None, *addresses: str | None) -> set[str]:
    """Return the token and the passwords in these addresses. A user without password counts: it may be a token."""
    found = {token or ""}
    for address in filter(None, addresses):
        parts = urlsplit(address if "://" in address else f"x://{address}")
        secret = parts.password or parts.username or ""
        found |= {secret, unquote(secret)}
    return found - {""}


def disk_is_full(error: BaseException) -> bool:
    """Return whether a full disk is among the causes of the exception."""
    return any(map(is_disk_full, _causes(error)))


def public(address: str) -> str:
    """Return the address without user, password, query and "/" at its end."""
    return redact(address).rstrip("/")


def host_of(address: str) -> str:
    """Return the host of an address, with its port if the address has one; never a user or a password."""
    netloc = urlsplit(address if "://" in address else f"x://{address}").netloc
    return netloc.rpartition("@")[2] or public(address)


def is_local(host: str) -> bool:
    """Return whether this host (perhaps with a port) is this machine, which can be reached without a network."""
    name = urlsplit(f"//{host}").hostname or host
    return name == "localhost" or name.startswith("127.") or name == "::1"


def proxy_for(endpoint: str, configured: str | None) -> str | None:
    """Return the proxy of requests to this endpoint: the configured one, else that of the environment.

    None: there is none, or the environment (NO_PROXY) excepts the host.
    """
    scheme = urlsplit(endpoint).scheme
    host = urlsplit(endpoint).hostname or ""
    known = getproxies()
    proxy = configured or known.get(scheme) or known.get("all")
    return None if proxy is None or proxy_bypass(host) else proxy


def has_route() -> bool:
    """Return whether this machine has a route to other networks.

    Sends nothing: to connect a datagram socket only looks at the routing table. The addresses are reserved for
    examples.
    """
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 53))
        except OSError:
            continue
        return True
    return False
