"""Make identifiers, and clean the file names that clients send."""

from __future__ import annotations

import re
import secrets
from typing import Final

MAX_NAME: Final = 300  # characters
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def identifier(now: float) -> str:
    """Return 26 characters that sort by time: a ULID (github.com/ulid/spec) in lower case.

    48 bits of milliseconds since 1970, then 80 random bits, in Crockford's base 32.
    """
    number = int(now * 1000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def clean_name(raw: str) -> str:
    """Return a file name to show: the last part of a path, without invisible characters, 1 to 300 characters long."""
    name = re.split(r"[/\\]", _UNSAFE.sub("", raw))[-1].strip()
    if name in ("", ".", ".."):
        return "recording"
    if len(name) > MAX_NAME:
        stem, dot, extension = name.rpartition(".")
        keep = dot + extension if stem and len(extension) <= 16 else ""
        name = name[: MAX_NAME - len(keep)] + keep
    return name
