"""Decides which addresses the service may send requests to when a client names the address. Pure.

Addresses inside this machine or its network are refused, unless the configuration allows them.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from whisper_service.core.errors import InvalidConfig, InvalidRequest
from whisper_service.core.text import quoted

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_URL_LENGTH: Final = 2_000
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """A name resolves to an address that must not get requests."""


class Unreachable(Exception):
    """An address gives no answer. The text says why."""


def parse_networks(listed: Sequence[str], setting: str) -> tuple[Network, ...]:
    """Return the networks of a setting. Raises `InvalidConfig`, which names the setting and the wrong network."""
    found = []
    for text in listed:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            message = f"{setting}: {quoted(text)} is not a network."
            raise InvalidConfig(message, hint="Write 127.0.0.1 or 192.168.1.0/24.") from error
    return tuple(found)


def to_ascii(url: str) -> str:
    """Return an address as it may have been pasted from a browser in ASCII, as requests need it.

    A text that is no address comes back unchanged; `check_url` refuses it.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", f":{parts.port}" if parts.port is not None else ""
        if "@" in parts.netloc or not host:
            return url
        name = f"[{host}]" if ":" in host else host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError):
        return url
    safe = "!$%&'()*+,/:;=?@~[]"  # "%": what is encoded already stays as it is
    return urlunsplit((parts.scheme, name + port, quote(parts.path, safe), quote(parts.query, safe), ""))


def check_url(url: str, allowed: Sequence[Network], *, field: str, setting: str) -> None:
    """Raise `InvalidRequest` if a request to this address can never be sent. Names are not resolved yet.

    `field` is the client's name of the address, `setting` the setting that allows more networks.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", None
    if (
        not host
        or parts is None
        or parts.scheme not in ("http", "https")
        or "@" in parts.netloc
        or len(url) > MAX_URL_LENGTH
    ):
        hint = "Give an http or https URL without name and password."
        raise InvalidRequest("The address is not valid.", hint=hint, field=field)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest("The address has characters that a URL cannot have.", hint="Encode them.", field=field)
    address = parse_address(host)
    if address is not None and not is_permitted(address, allowed):
        hint = f"If you want this, add the network of the address to {setting}."
        raise InvalidRequest("The address is inside this machine or its network.", hint=hint, field=field)


def is_permitted(address: Address, allowed: Iterable[Network]) -> bool:
    """Return whether a request may go to an address: one of the public internet, or of the networks in `allowed`."""
    target = _embedded(address)
    if any(target in network for network in allowed):
        return True
    return target.is_global and not target.is_multicast and not target.is_reserved


def parse_address(host: str) -> Address | None:
    """Return the address that `host` is, in any spelling that the system accepts. None: `host` is a name."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001, 2130706433: resolvers know these
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, UnicodeError):
        return None


def _embedded(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
    return address
