"""Who may come in: the tokens, the sessions of browsers, and how often a wrong token may be tried.

A program sends a token with every request; a browser sends it once and gets a cookie that is signed with it. Nothing of this
is stored: a session ends by its time, by logging out, or with its token.
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
TRIES: Final = 10
"""Different wrong tokens that an address may send within `WINDOW_S`."""
WINDOW_S: Final = 60.0
MOST_ADDRESSES: Final = 4096
_SESSION: Final = b"whisper_service session 1"


class Tokens:
    """The tokens that open the door, as digests, and what is signed with them."""

    def __init__(self, tokens: Iterable[str], clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        self._digests = [_digest(token) for token in tokens]
        self._clock = clock

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, token: str) -> bool:
        """Whether this is a token. Takes as long for a wrong one as for a right one."""
        given = _digest(token)
        return any(hmac.compare_digest(given, digest) for digest in self._digests)

    def session(self, token: str) -> str:
        """The value of a cookie for somebody who has this token."""
        said = f"{int(self._clock()) + SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{said}.{_signature(_digest(token), said)}"

    def admit(self, cookie: str) -> bool:
        """Whether this is a session that has not ended."""
        said, _, signature = cookie.rpartition(".")
        given = signature.encode("utf-8", "replace")
        valid = any(hmac.compare_digest(given, _signature(digest, said).encode()) for digest in self._digests)
        until = said.partition(".")[0]
        return valid and int(until) > self._clock()


class LoginLimit:
    """Wrong tokens by address. One that is sent again and again teaches nobody anything, and counts once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise `TooManyTries` if this address has to wait, whatever it sends."""
        wrong = self._recent(address)
        if len(wrong) >= TRIES:
            wait = min(wrong.values()) + WINDOW_S - self._clock()
            raise TooManyTries(retry_after_s=max(1, math.ceil(wait)))

    def note(self, address: str, token: str) -> None:
        """Remember a wrong one."""
        wrong = self._recent(address)
        if (digest := _digest(token)) not in wrong:
            logger.warning("a wrong token came from %s", address, extra={"action": "wrong_token", "address": address})
            wrong[digest] = self._clock()
        self._wrong[_network(address)] = wrong
        self._wrong.move_to_end(_network(address))
        while len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> dict[bytes, float]:
        since = self._clock() - WINDOW_S
        return {digest: at for digest, at in self._wrong.get(_network(address), {}).items() if at > since}


class Access:
    """Asks who is there. Without keys it stands open."""

    def __init__(self, keys: Tokens, tries: LoginLimit | None = None, *, path: str = "/") -> None:
        """`path` is what browsers send the cookie to."""
        self.keys = keys
        self.path = path
        self._tries = tries or LoginLimit()

    def ask(self, address: str, authorization: list[str], cookies: list[str]) -> None:
        """Raise `Unauthorized` or `TooManyTries`, unless one of these headers says who is there."""
        if not self.keys or self.knows(cookies):
            return
        scheme, _, token = authorization[0].strip().partition(" ") if len(authorization) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthorized
        self.try_token(address, token.strip())

    def knows(self, cookies: list[str]) -> bool:
        """Whether one of these headers holds a session."""
        return any(self.keys.admit(value) for value in _cookies(cookies))

    def try_token(self, address: str, token: str) -> None:
        """Raise `Unauthorized` or `TooManyTries` unless it is right."""
        self._tries.check(address)
        if not self.keys.fit(token):
            self._tries.note(address, token)
            raise Unauthorized("This token is not the right one.")


def _cookies(headers: Iterable[str]) -> Iterator[str]:
    """Every value of our cookie; browsers send several if it was set for several paths."""
    for pair in ";".join(headers).split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            yield value


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _signature(digest: bytes, said: str) -> str:
    key = hmac.digest(digest, _SESSION, "sha256")
    return hmac.new(key, said.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _network(address: str) -> str:
    """What counts as one address: of IPv6, a whole /64 belongs to one subscriber."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
