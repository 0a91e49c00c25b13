"""Check who sends a request: access tokens, sessions of browsers, and a limit on wrong tokens.

A program sends a token with every request. A browser sends it once and gets a cookie, signed with the token. Nothing
is stored: a session ends by its time, by logging out, or when its token is removed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from whisper_service.core.errors import TooManyTries, Unauthorized

logger = logging.getLogger(__name__)

SESSION_S: Final = 30 * 86_400
COOKIE: Final = "whisper_service"
MAX_WRONG: Final = 10
"""Different wrong tokens that an address may send within `WINDOW_S`."""
WINDOW_S: Final = 60.0
MAX_ADDRESSES: Final = 4096
"""Addresses with wrong tokens that are kept in memory."""
_PURPOSE: Final = b"whisper_service session 1"


class Tokens:
    """The access tokens, as digests, and the sessions that are signed with them."""

    def __init__(self, tokens: Iterable[str], clock: Callable[[], float] = time.time) -> None:
        """`clock` returns Unix seconds."""
        self._digests = [_digest(token) for token in tokens]
        self._clock = clock

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, token: str) -> bool:
        """Return whether this is a token. A wrong token takes as long as a right one."""
        given = _digest(token)
        return any(hmac.compare_digest(given, digest) for digest in self._digests)

    def new_session(self, token: str) -> str:
        """Return the value of a cookie for a browser that sent this token."""
        content = f"{int(self._clock()) + SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{content}.{_signature(_digest(token), content)}"

    def accept_session(self, cookie: str) -> bool:
        """Return whether this is a session that has not ended."""
        content, _, signature = cookie.rpartition(".")
        given = signature.encode("utf-8", "replace")
        valid = any(hmac.compare_digest(given, _signature(digest, content).encode()) for digest in self._digests)
        until = content.partition(".")[0]
        return valid and int(until) > self._clock()


class LoginLimit:
    """Wrong tokens by address. The same wrong token counts once, because repeating it tells a guesser nothing new."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise `TooManyTries` if this address must wait, whatever it sends."""
        wrong = self._recent(address)
        if len(wrong) >= MAX_WRONG:
            wait = min(wrong.values()) + WINDOW_S - self._clock()
            raise TooManyTries(retry_after_s=max(1, math.ceil(wait)))

    def add(self, address: str, token: str) -> None:
        """Count a wrong token."""
        wrong = self._recent(address)
        if (digest := _digest(token)) not in wrong:
            logger.warning("A wrong token came from %s.", address, extra={"action": "wrong_token", "address": address})
            wrong[digest] = self._clock()
        self._wrong[_network(address)] = wrong
        self._wrong.move_to_end(_network(address))
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> dict[bytes, float]:
        since = self._clock() - WINDOW_S
        return {digest: at for digest, at in self._wrong.get(_network(address), {}).items() if at > since}


class Access:
    """Checks requests for a token or a session. Without tokens, every request passes."""

    def __init__(self, tokens: Tokens, limit: LoginLimit | None = None, *, path: str = "/") -> None:
        """`path`: browsers send the cookie to addresses below it."""
        self.tokens = tokens
        self.path = path
        self._limit = limit or LoginLimit()

    def check(self, address: str, authorization: list[str], cookies: list[str]) -> None:
        """Raise `Unauthorized` or `TooManyTries`, unless one of these headers has a token or a session."""
        if not self.tokens or self.has_session(cookies):
            return
        scheme, _, token = authorization[0].strip().partition(" ") if len(authorization) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthorized
        self.check_token(address, token.strip())

    def has_session(self, cookies: list[str]) -> bool:
        """Return whether one of these headers has a session."""
        return any(self.tokens.accept_session(value) for value in _cookies(cookies))

    def check_token(self, address: str, token: str) -> None:
        """Raise `Unauthorized` or `TooManyTries` unless the token is right."""
        self._limit.check(address)
        if not self.tokens.accept(token):
            self._limit.add(address, token)
            raise Unauthorized("This token is not the right one.")


def _cookies(headers: Iterable[str]) -> Iterator[str]:
    """Yield every value of this service's cookie. A browser sends several if the cookie was set for several paths."""
    for pair in ";".join(headers).split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            yield value


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _signature(digest: bytes, content: str) -> str:
    key = hmac.digest(digest, _PURPOSE, "sha256")
    return hmac.new(key, content.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _network(address: str) -> str:
    """Return what counts as one address. An IPv6 subscriber usually has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
