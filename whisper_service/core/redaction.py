"""Remove secrets from text before it is shown: known ones, and what looks like one. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

HIDDEN: Final = "***"
SHORT: Final = 4
"""Characters. A shorter secret would be found in too many ordinary words."""
_PATTERNS: Final = (
    (re.compile(r"\b(hf_|whsec_)[A-Za-z0-9+/=_-]{8,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic|token)([ =:]+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)(://)[^/\s:@]*:[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(?i)\b((?:set-)?cookie)(: ?)[^\r\n]+"), rf"\1\2{HIDDEN}"),
)


def redact(text: str, secrets: Collection[str]) -> str:
    """Return the text without these secrets, and without tokens, cookies and passwords in addresses."""
    for secret in sorted((secret for secret in secrets if len(secret) >= SHORT), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
