"""Requests to addresses that somebody else named: they must not become a way into this machine or its network.

The name is resolved here, every address is checked, and the connection goes to the one that was checked, so that another
answer of the DNS a moment later changes nothing. Proxies of the environment are not used.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import urljoin

import anyio
import httpcore

from whisper_service.integrations.address_policy import Network, NotAllowed, Unreachable, parsed, permitted, plain

logger = logging.getLogger(__name__)

REDIRECTS: Final = 10
_REDIRECT: Final = frozenset({301, 302, 303, 307, 308})


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Sequence[Network],
    timeout_s: float,
    trust: ssl.SSLContext | None = None,
) -> int:
    """Send and return the status; nothing else of the answer is read, and redirects are not followed. Raises `NotAllowed` or
    `Unreachable`."""
    try:
        with anyio.fail_after(timeout_s), _reported():
            async with (
                _pool(allowed, trust) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as answer,
            ):
                return answer.status
    except TimeoutError:
        raise Unreachable(f"No answer within {timeout_s:g} s.") from None


class Answer:
    """What an address answered."""

    def __init__(self, url: str, response: httpcore.Response) -> None:
        self.url = url  # after all redirects
        self.status = response.status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        self._response = response

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `Unreachable` if it breaks off."""
        with _reported():
            async for block in self._response.aiter_stream():
                yield block


@asynccontextmanager
async def get(
    url: str,
    headers: Mapping[str, str],
    *,
    allowed: Sequence[Network],
    timeout_s: float,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Answer]:
    """What is at this address, or where it leads on to. `timeout_s` is for each step: to connect, and without a single byte.

    Raises `NotAllowed` or `Unreachable`.
    """
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
    async with _pool(allowed, trust) as pool:
        for _ in range(REDIRECTS + 1):
            if not url.startswith(("http://", "https://")):
                raise NotAllowed("it leads to something that is no address of the web")
            async with AsyncExitStack() as stack:
                with _reported():
                    request = pool.stream("GET", url, headers=list(headers.items()), extensions={"timeout": timeouts})
                    answer = Answer(url, await stack.enter_async_context(request))
                if answer.status not in _REDIRECT or not (further := answer.headers.get("location")):
                    yield answer
                    return
            url = plain(urljoin(url, further.encode("latin-1").decode("utf-8", "replace")))
    raise Unreachable("it leads on and on to other addresses")


def _pool(allowed: Sequence[Network], trust: ssl.SSLContext | None) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        network_backend=_CheckedBackend(allowed), ssl_context=trust or ssl.create_default_context(), retries=0
    )


@contextmanager
def _reported() -> Iterator[None]:
    """Everything that can go wrong on the way is `Unreachable`, with the reason."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise Unreachable("no answer came in time") from error
    except (OSError, UnicodeError, httpcore.ConnectError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise Unreachable(str(error) or type(error).__name__) from error


class _CheckedBackend(httpcore.AsyncNetworkBackend):
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
            logger.warning("%s leads to %s", host, ", ".join(addresses), extra={"action": "request_refused"})
            raise NotAllowed(f"{host} leads to an address where nothing may be sent.")
        for address in good[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(good[-1], port, timeout, local_address, socket_options)
