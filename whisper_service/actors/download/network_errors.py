"""What went wrong between this machine and a hub, named: one stable code per case, with the cure.

Owns the table of cases and the way from an exception to one of them. It looks at the network before it looks at what the
hub said: a name that is not resolved is one thing on a machine with a network and another on one without. Never sends a
request; never lets a secret into a text. docs/models.md explains every code, in English and Chinese.
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

from whisper_service.core.domain import Problem
from whisper_service.core.files import is_disk_full

CASES: Final[dict[str, tuple[str, str]]] = {
    # this machine
    "offline": (
        "{repo} is not on this machine, and the network is not to be used.",
        "Allow the network in the settings (HF_HUB_OFFLINE forbids it too), or copy the folder of the model to this machine.",
    ),
    "no_network": (
        "This machine has no network, so {host} cannot be reached.",
        "Connect it, or copy the folder of the model from another machine.",
    ),
    "disk_full": (
        "The disk has not enough room: {needed} bytes are needed, {have} are free.",
        "Free some space, or put the models on a larger disk; what has come so far is kept.",
    ),
    "not_writable": (
        "The folder of the models cannot be written to: {detail}.",
        "Correct its permissions, or choose another folder.",
    ),
    "target_occupied": (
        "{path} is there already and is not a complete model.",
        "Move that folder away; it is left alone because it may be somebody's.",
    ),
    # the way there
    "name_not_resolved": (
        "The name {host} could not be resolved.",
        "Check the spelling of the endpoint and the DNS of this machine, or set a proxy or another endpoint (mirror).",
    ),
    "connection_refused": (
        "{host} refused the connection.",
        "Check the address and the port of the endpoint, and whether a firewall is in between; or choose another endpoint.",
    ),
    "unreachable": (
        "There is a network, but no way to {host}: {detail}.",
        "Check firewall and routing, or set a proxy or another endpoint (mirror).",
    ),
    "timeout": (
        "{host} did not answer in time.",
        "The way there is blocked or very slow: try again, or set a proxy or another endpoint (mirror).",
    ),
    "tls_not_trusted": (
        "The certificate of {host} is not trusted: {detail}.",
        "If your organisation inspects traffic, make its certificate known: SSL_CERT_FILE names the file. Check the clock too.",
    ),
    # the proxy
    "proxy_refused": (
        "The proxy {proxy} cannot be reached, or does not let us through to {host}: {detail}.",
        "Check the address of the proxy and whether it allows this host.",
    ),
    "proxy_password": (
        "The proxy {proxy} wants a name and a password, or does not accept the ones it got.",
        "Set the proxy as http://name:password@host:port.",
    ),
    "proxy_invalid": (
        "The address of the proxy cannot be used: {detail}.",
        "Set the proxy as http://host:port or http://name:password@host:port.",
    ),
    # what the hub says
    "not_a_hub": (
        "{host} answers, but not as a hub does: {detail}.",
        "Check the address of the endpoint; on a guest network, a sign-in page may be in the way.",
    ),
    "token_refused": (
        "{host} does not let us at {repo} (401): either it is private, or there is no such model, or the token is not valid.",
        "Check the name of the model; if it is private, set a valid token.",
    ),
    "access_denied": (
        "{host} denies access to {repo} (403).",
        "Check what the token may do; if the hub is closed to your region or network, set another endpoint (mirror).",
    ),
    "gated": (
        "{repo} is open only to those who accepted its conditions on {host}.",
        "Accept them on the page of the model, and set the token of that account.",
    ),
    "repo_not_found": (
        "There is no model {repo} on {host} (404).",
        "Check its name, written as owner/name; a mirror may not have it, and an address that is no hub answers like this too.",
    ),
    "revision_not_found": (
        "{repo} on {host} has no revision {revision} (404).",
        "Leave the revision away to get the current one, or correct it.",
    ),
    "repo_invalid": (
        "{repo!r} cannot be the name of a model on a hub.",
        "Write it as owner/name.",
    ),
    "rate_limited": (
        "{host} wants fewer requests (429).",
        "Wait some minutes and try again; with a token more is allowed.",
    ),
    "server_error": (
        "{host} has a problem of its own ({status}).",
        "Try again later, or set another endpoint (mirror).",
    ),
    # what comes
    "cut_off": (
        "The download from {host} was cut off in the middle.",
        "Try again: it goes on where it stopped.",
    ),
    "hash_mismatch": (
        "{file} from {host} is not what the hub says it should be; it was thrown away.",
        "Try again; if it happens again, something on the way changes the data: choose another endpoint.",
    ),
    "not_a_model": (
        "{repo} is not a Whisper model in CTranslate2's format: it has no {missing}.",
        "Choose a conversion for faster-whisper, one with model.bin, config.json, tokenizer.json and vocabulary.",
    ),
    "download_failed": (
        "The download from {host} failed: {detail}.",
        "Try again; if it happens again, report it with the log of the download process.",
    ),
}
"""Code -> message, hint, in the order in which a download meets them: who got further knows more.

What stands in braces is in `params` too, for translations.
"""

_STATUS: Final = {
    401: "token_refused",
    403: "access_denied",
    404: "repo_not_found",
    407: "proxy_password",
    429: "rate_limited",
}
_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_USERINFO: Final = re.compile(r"(?<=://)[^/?#@\s]*@")
_QUERY: Final = re.compile(r"(?<=\?)[^\s'\"<>]+")  # signed addresses of files carry their signature there


class HubError(Exception):
    """A case that is known by its name already."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def problem(code: str, **params: Any) -> Problem:
    """The problem of this code. `params` fill its message."""
    message, hint = CASES[code]
    return Problem(code=code, message=message.format_map(params), hint=hint, params=params)


def explain(
    error: BaseException,
    *,
    endpoint: str,
    proxy: str | None,
    repo: str,
    revision: str | None = None,
    secrets: Collection[str] = (),
    connected: Callable[[], bool] | None = None,
) -> Problem:
    """Name the case behind an exception of `huggingface_hub` or of a library below it.

    `proxy` is the one that was in use (see `proxy_for`). `secrets` never appear in the problem. `connected` tells whether
    this machine has a network at all.
    """
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, HubError):
            return cause.problem
    names = {base.__name__ for cause in chain for base in type(cause).__mro__}
    host = _asked(chain) or host_of(endpoint)  # a hub sends us on to others for large files
    about: dict[str, Any] = {"host": host, "endpoint": public(endpoint), "repo": repo}
    detail = redact(_words(chain), secrets).rstrip(".")[
        :300
    ]  # shortened last: half a secret would not be known for one
    if proxy is not None:
        about["proxy"] = host_of(proxy)
    return (
        _local(chain, about, detail)
        or _transport(chain, names, about, detail, connected or has_route)
        or _answer(chain, names, about, revision, detail)
        or problem("download_failed", **about, detail=detail)
    )


def _local(chain: list[BaseException], about: dict[str, Any], detail: str) -> Problem | None:
    """The disk, and what is wrong before anything is sent."""
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
    """The way to the hub; None if it answered."""
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
    if code is not None and "proxy" in about:  # the proxy is what we connect to
        return problem("proxy_refused", **about, detail=detail)
    return None if code is None else problem(code, **about, detail=detail)


def _answer(
    chain: list[BaseException], names: set[str], about: dict[str, Any], revision: str | None, detail: str
) -> Problem | None:
    """What the hub said, or how it fell silent."""
    status = _status(chain)
    if "GatedRepoError" in names:
        return problem("gated", **about)
    if "RevisionNotFoundError" in names:
        return problem("revision_not_found", **about, revision=revision or "main")
    if status is not None and (code := "server_error" if status >= 500 else _STATUS.get(status)):
        if code == "proxy_password":
            about = {"proxy": "", **about}
        return problem(code, **about, status=status)
    if names & {
        "FileMetadataError",
        "JSONDecodeError",
        "TooManyRedirects",
        "UnsupportedProtocol",
        "InvalidURL",
        "SSLError",
    }:
        return problem("not_a_hub", **about, detail=detail)
    if names & {"TimeoutException", "TimeoutError"}:
        return problem("timeout", **about)
    if (
        names & {"RemoteProtocolError", "NetworkError", "ConnectionError", "DecodingError"}
        or "Consistency check failed" in detail
    ):
        return problem("cut_off", **about, detail=detail)
    return None


def _status(chain: list[BaseException]) -> int | None:
    for cause in chain:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _asked(chain: list[BaseException]) -> str | None:
    """The host that was asked last, which may be one that the endpoint sent us to."""
    for cause in chain:
        try:
            return host_of(str(cause.request.url))  # type: ignore[attr-defined]
        except (AttributeError, RuntimeError):  # RuntimeError: it has one, and it was never set
            continue
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what it was raised from or while handling."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _words(chain: list[BaseException]) -> str:
    """The most telling line: that of the cause furthest down which says anything."""
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
    """The text without these secrets, without names and passwords in addresses, and without what follows a "?" in them."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _QUERY.sub("***", _USERINFO.sub("", text))


def secrets_of(token: str | None, *addresses: str | None) -> set[str]:
    """What must not be told: the token, and the passwords in these addresses; a name without password may be a token too."""
    found = {token or ""}
    for address in filter(None, addresses):
        parts = urlsplit(address if "://" in address else f"x://{address}")
        secret = parts.password or parts.username or ""
        found |= {secret, unquote(secret)}
    return found - {""}


def disk_is_full(error: BaseException) -> bool:
    """Whether it was the disk."""
    return any(map(is_disk_full, _chain(error)))


def public(address: str) -> str:
    """An address without name and password, without "/" at its end."""
    return redact(address).rstrip("/")


def host_of(address: str) -> str:
    """Host and port, if one is given, of an address; never a name or a password."""
    netloc = urlsplit(address if "://" in address else f"x://{address}").netloc
    return netloc.rpartition("@")[2] or public(address)


def is_local(host: str) -> bool:
    """Whether this host (perhaps with a port) is this machine, which needs no network."""
    name = urlsplit(f"//{host}").hostname or host
    return name == "localhost" or name.startswith("127.") or name == "::1"


def proxy_for(endpoint: str, configured: str | None) -> str | None:
    """The proxy that requests to this endpoint take: the configured one, else the environment's, unless it excepts the host."""
    scheme = urlsplit(endpoint).scheme
    host = urlsplit(endpoint).hostname or ""
    known = getproxies()
    proxy = configured or known.get(scheme) or known.get("all")
    return None if proxy is None or proxy_bypass(host) else proxy


def has_route() -> bool:
    """Whether this machine has a way out at all. Sends nothing: to connect a datagram socket only asks the routing table."""
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 53))
        except OSError:
            continue
        return True
    return False
