"""Print on terminals and into pipes of any encoding. Nothing that is printed ends the program."""

from __future__ import annotations

import codecs
import io
import sys
from typing import Final

_HANDLER: Final = "whisper_service.substitute"
_ESCAPED: Final = range(0xDC80, 0xDD00)
"""How Python keeps the bytes of a file name that is not in the encoding of the system (PEP 383)."""


def print_anything() -> None:
    """Print a `?` for a character that standard output or standard error cannot show, instead of failing.

    File names that are in no valid encoding are printed with the bytes that they have on the disk.
    """
    codecs.register_error(_HANDLER, _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def write_bytes(data: bytes) -> None:
    """Write to standard output as it is, whatever the encoding of texts there is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(data.decode())


def shown(name: str) -> str:
    """Return a file name for a line of text: a `?` for each character that would move the cursor or break the line."""
    return "".join(c if c.isprintable() or ord(c) in _ESCAPED else "?" for c in name)


def _substitute(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    odd = error.object[error.start : error.end]
    return b"".join(bytes([ord(c) & 0xFF]) if ord(c) in _ESCAPED else b"?" for c in odd), error.end
