"""Sends requests to addresses that clients named, and keeps them out of this machine and its network.

A name is resolved here, every address of the name is checked, and the connection goes to a checked address. So a second
answer of the DNS changes nothing. Proxies of the environment are not used.
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

from whisper_service.core.address_policy import (
    Network,
    NotAllowed,
    Unreachable,
    is_permitted,
    parse_address,
    to_ascii,
)

logger = logging.getLogger(__name__)

MAX_REDIRECTS: Final = 10
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
    """Send a body and return the status. Read nothing else of the answer, and follow no redirect.

    Raises `NotAllowed` or `Unreachable`.
    """
    try:
        with anyio.fail_after(timeout_s), _errors_as_unreachable():
            async with (
                _pool(allowed, trust) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as answer,
            ):
                return answer.status
    except TimeoutError:
        raise Unreachable(f"There was no answer within {timeout_s:g} s.") from None


class Answer:
    """The answer of an address."""

    def __init__(self, url: str, response: httpcore.Response) -> None:
        self.url = url  # after all redirects
        self.status = response.status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        self._response = response

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises `Unreachable` if the connection breaks."""
        with _errors_as_unreachable():
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
    """Yield the answer of an address, after its redirects. Raises `NotAllowed` or `Unreachable`.

    `timeout_s` is the longest time to connect, and the longest time without a byte.
    """
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
    async with _pool(allowed, trust) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            if not url.startswith(("http://", "https://")):
                raise NotAllowed("a redirect leads to something that is not an address of the web")
            async with AsyncExitStack() as stack:
                with _errors_as_unreachable():
                    request = pool.stream("GET", url, headers=list(headers.items()), extensions={"timeout": timeouts})
                    answer = Answer(url, await stack.enter_async_context(request))
                if answer.status not in _REDIRECT or not (location := answer.headers.get("location")):
                    yield answer
                    return
            url = to_ascii(urljoin(url, location.encode("latin-1").decode("utf-8", "replace")))
    raise Unreachable("the address redirects too often")


def _pool(allowed: Sequence[Network], trust: ssl.SSLContext | None) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        network_backend=_CheckedBackend(allowed), ssl_context=trust or ssl.create_default_context(), retries=0
    )


@contextmanager
def _errors_as_unreachable() -> Iterator[None]:
    """Raise `Unreachable` with the reason instead of the errors of the network."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise Unreachable("no answer came in time") from error
    except (OSError, UnicodeError, httpcore.ConnectError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise Unreachable(str(error) or type(error).__name__) from error


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to permitted addresses only."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore gives the signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await anyio.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        good = [name for name in addresses if (known := parse_address(name)) and is_permitted(known, self._allowed)]
        if not good:
            facts = {"action": "request_refused", "host": host, "addresses": addresses}
            logger.warning("A request was refused because of its address.", extra=facts)
            raise NotAllowed(f"{host} is at an address that must not get requests.")
        for address in good[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(good[-1], port, timeout, local_address, socket_options)
