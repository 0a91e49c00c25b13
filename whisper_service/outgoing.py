"""A request to an address that somebody else named: it must not become a way into this machine or its network.

The name is resolved here, every address is checked, and the connection goes to the one that was checked, so that another
answer of the DNS a moment later changes nothing. Redirects are not followed, proxies of the environment are not used, and
nothing of the answer is read but its status.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anyio
import httpcore

from whisper_service.addresses import Network, NotAllowed, Unreachable, parsed, permitted

logger = logging.getLogger(__name__)

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
        good = [address for address in addresses if (known := parsed(address)) and permitted(known, self._allowed)]
        if not good:
            logger.warning("%s leads to %s", host, ", ".join(addresses), extra={"action": "webhook_refused"})
            raise NotAllowed(f"{host} leads to an address where nothing may be sent.")
        for address in good[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(good[-1], port, timeout, local_address, socket_options)
