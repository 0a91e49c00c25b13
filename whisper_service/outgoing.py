"""A request to an address that somebody else named: it must not become a way into this machine or its network.

The name is resolved here, every address is checked, and the connection goes to the one that was checked, so that another
answer of the DNS a moment later changes nothing. Redirects are not followed, proxies of the environment are not used, and
nothing of the answer is read but its status.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpcore

from whisper_service.errors import InvalidRequest

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_URL: Final = 2_000
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """The name leads to an address that requests must not be sent to."""


class Unreachable(Exception):
    """There is no answer; the words say why."""


def check(url: str, allowed: Sequence[Network]) -> None:
    """Raise `InvalidRequest` if nothing can ever be sent there; what a name leads to is not looked up yet."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", None
    if parts is None or parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or len(url) > MOST_URL:
        raise InvalidRequest(
            "The address for the webhook is not valid.", hint="Give an http or https URL without name and password.", field="webhook"
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest("The address for the webhook is not plain ASCII.", hint="Encode it as a URL.", field="webhook")
    literal = _address(host)
    if literal is not None and not permitted(literal, allowed):
        raise InvalidRequest(
            "The address for the webhook is inside this machine or its network.",
            hint="If that is meant, add its network to webhooks.allowed_networks.",
            field="webhook",
        )


def permitted(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether a request may go there: to the public internet, or where the configuration says so."""
    inner = _inside(address)
    if any(inner in network for network in allowed):
        return True
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allowed: Sequence[Network], timeout_s: float, trust: ssl.SSLContext | None = None
) -> int:
    """Send and return the status. Raises `NotAllowed` or `Unreachable`."""
    try:
        with anyio.fail_after(timeout_s):
            async with (
                httpcore.AsyncConnectionPool(
                    network_backend=_Checked(allowed), ssl_context=trust or ssl.create_default_context(), retries=0
                ) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as answer,
            ):
                return answer.status
    except TimeoutError:
        raise Unreachable(f"No answer within {timeout_s:g} s.") from None
    except (OSError, UnicodeError, httpcore.ConnectError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise Unreachable(str(error) or type(error).__name__) from error


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are permitted, and to no other."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - its signature is given
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await anyio.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        good = [address for address in addresses if (parsed := _address(address)) and permitted(parsed, self._allowed)]
        if not good:
            logger.warning("%s leads to %s", host, ", ".join(addresses), extra={"action": "webhook_refused"})
            raise NotAllowed(f"{host} leads to an address where nothing may be sent.")
        for address in good[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(good[-1], port, timeout, local_address, socket_options)


def _address(host: str) -> Address | None:
    """The address that `host` is, in any of the spellings that the system takes for one; None: it is a name."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001, 2130706433: resolvers know them
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, UnicodeError):
        return None


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
    return address
