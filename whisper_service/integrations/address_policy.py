"""Where a request may go that somebody else asked for: not into this machine or its network. Pure."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from whisper_service.core.errors import InvalidConfig, InvalidRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_URL: Final = 2_000
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """The name leads to an address that requests must not be sent to."""


class Unreachable(Exception):
    """There is no answer; the words say why."""


def networks(listed: Sequence[str], setting: str) -> tuple[Network, ...]:
    """Raises `InvalidConfig`, naming the setting and the network that is wrong."""
    try:
        return tuple(map(ipaddress.ip_network, listed))
    except ValueError as error:
        raise InvalidConfig(f"{setting}: {error}.", hint="Write 127.0.0.1 or 192.168.1.0/24.") from error


def plain(url: str) -> str:
    """The same address in ASCII alone, as requests want it: people paste what their browser shows them. What is no address
    comes back as it was, for `check`."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", f":{parts.port}" if parts.port is not None else ""
        if "@" in parts.netloc or not host:
            return url
        name = f"[{host}]" if ":" in host else host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError):
        return url
    safe = "!$%&'()*+,/:;=?@~[]"  # what is encoded stays as it is
    return urlunsplit((parts.scheme, name + port, quote(parts.path, safe), quote(parts.query, safe), ""))


def check(url: str, allowed: Sequence[Network], *, field: str, setting: str) -> None:
    """Raise `InvalidRequest` if nothing can ever be sent there; what a name leads to is not looked up yet.

    `field` is what the client called the address, `setting` where more networks are allowed.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", None
    if parts is None or parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or len(url) > MOST_URL:
        raise InvalidRequest(
            "The address is not valid.", hint="Give an http or https URL without name and password.", field=field
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest("The address is not plain ASCII.", hint="Encode it as a URL.", field=field)
    literal = parsed(host)
    if literal is not None and not permitted(literal, allowed):
        raise InvalidRequest(
            "The address is inside this machine or its network.",
            hint=f"If that is meant, add its network to {setting}.",
            field=field,
        )


def permitted(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether a request may go there: to the public internet, or where the configuration says so."""
    inner = _inside(address)
    if any(inner in network for network in allowed):
        return True
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


def parsed(host: str) -> Address | None:
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
