"""Read and check the access tokens of the service."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

from whisper_service.config.schema import Config, SecuritySettings
from whisper_service.core.errors import InvalidConfig, TokenRequired
from whisper_service.core.text import quoted

MIN_LENGTH: Final = 16
"""Characters of a token. A shorter one can be guessed from a cookie."""
_HOW: Final = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
_NAME: Final = re.compile(r"\*|(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def is_local(host: str) -> bool:
    """Return whether a name or address always means the machine itself."""
    bare = host.strip("[]").removesuffix(".").lower()
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def read_tokens(security: SecuritySettings) -> tuple[str, ...]:
    """Return every token; (): no token is required. Raises `InvalidConfig`, which quotes no token."""
    found = [("security.token", security.token)] if security.token else []
    if security.token_file:
        found += [(security.token_file, line) for line in _lines(Path(security.token_file))]
    for where, token in found:
        if len(token) < MIN_LENGTH or not all("!" <= character <= "~" for character in token):
            message = (
                f"A token in {where} has fewer than {MIN_LENGTH} characters, or characters other than visible ASCII."
            )
            raise InvalidConfig(message, hint=_HOW)
    return tuple(dict.fromkeys(token for _, token in found))


def check_access(config: Config) -> None:
    """Raise `TokenRequired` or `InvalidConfig` if the service must not start with this configuration."""
    if not read_tokens(config.security) and not is_local(config.server.host) and not config.security.open:
        raise TokenRequired(
            f"The service would listen at {config.server.host or 'every address'} for other machines without a token.",
            host=config.server.host,
        )
    for name in config.security.allowed_hosts:
        if not _NAME.fullmatch(name):
            hint = (
                "Write a name without scheme and port: whisper.example.org, *.example.org, [2001:db8::1], or * for any."
            )
            raise InvalidConfig(f"security.allowed_hosts: {quoted(name)} is not the name of a host.", hint=hint)
    for proxy in config.security.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise InvalidConfig(
                f"security.trusted_proxies: {quoted(proxy)} is not an address or network.",
                hint="Write 127.0.0.1, ::1 or 172.16.0.0/12.",
            ) from error


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        hint = "Check security.token_file and who may read that file."
        raise InvalidConfig(f"The token file {file} cannot be read: {reason}.", hint=hint) from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise InvalidConfig(f"The token file {file} is empty.", hint=_HOW)
    return lines
