"""Read the file names that clients send in any encoding, and write file names that every disk takes. Pure."""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header
from itertools import accumulate
from pathlib import PurePath
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_BYTES: Final = 255
"""Bytes of a file name in UTF-8: the limit of ext4, XFS, Btrfs and APFS. NTFS and exFAT take as many characters."""

_ILLEGAL: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
"""Characters that Windows takes in no name, and control characters."""
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?=\.|$)", re.IGNORECASE)
"""Names of devices. Windows takes them for the device with any ending, too."""
_ENDING: Final = re.compile(r"\.(?=[a-z0-9]*[a-z])[a-z0-9]{1,8}", re.IGNORECASE)
"""The ending of a recording, like `.mp3`. The end of `Talk 1.2` is none."""
_ENCODED_WORD: Final = re.compile(r"\s*=\?[\w*-]+\?[bq]\?[^?]*\?=(?:\s*=\?[\w*-]+\?[bq]\?[^?]*\?=)*\s*", re.IGNORECASE)
"""A name as mail programs write it (RFC 2047)."""
_PARAMETER: Final = re.compile(r';\s*([\w!#$&+.^`|~*-]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)', re.DOTALL)
_EXTENDED: Final = re.compile(r"([\w.:-]*)'[^']*'(.*)", re.DOTALL)
_WESTERN: Final = frozenset(b"\x80\x85\x8a\x8c\x8e\x91\x92\x93\x94\x96\x97\x99\x9a\x9c\x9e\x9f")
"""Bytes below 0xA0 that names in Windows-1252 contain: the euro, dashes, quotes, and letters like œ and š."""

_ODD: Final = re.compile(r"[ß-öø-ÿ][À-ÖØ-Þ]|[^\W\d_][¢-¦¨¬\xad¯±µ¶¸¼-¾×÷]")
"""What Western names do not contain: a small letter before a capital one, both with accents; some signs in a word."""


def decode_name(raw: bytes) -> str:
    """Return a text whose encoding is not stated: UTF-8, else GBK, else Windows-1252 (which contains Latin-1).

    Bytes that are no UTF-8 count as GBK if most of their pairs are among the 3,755 most frequent Chinese characters or
    Chinese marks, or if no Western name would look like them: letters are followed by other signs or change their case.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        chinese = raw.decode("gbk")
    except UnicodeDecodeError:
        return _western(raw)
    pairs = [c.encode("gbk") for c in chinese if not c.isascii()]
    frequent = sum(0xA1 <= first <= 0xD7 and second >= 0xA1 for first, second in pairs)
    foreign = any(0x80 <= byte < 0xA0 and byte not in _WESTERN for byte in raw)
    odd = _ODD.search(raw.decode("latin-1")) is not None
    return chinese if 2 * frequent > len(pairs) or foreign or odd else _western(raw)


def _western(raw: bytes) -> str:
    return "".join(bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in raw)


def disposition_parameters(header: bytes) -> dict[str, str]:
    """Return the parameters of a Content-Disposition header, like `name` and `filename`.

    `filename*` (RFC 5987) wins over `filename`, and its value stands under `filename`. Values that no standard allows
    but clients send are read as well: other encodings, encoded words of mail, a path before the name.
    """
    found: dict[str, str] = {}
    extended: dict[str, str] = {}
    for name, value in _PARAMETER.findall(header.decode("latin-1")):
        key = name.lower()
        if not key.endswith("*"):
            found.setdefault(key, _plain(value))
        elif (text := _from_extended(_unquoted(value))) is not None:
            extended.setdefault(key[:-1], text)
    return found | extended


def _plain(value: str) -> str:
    """Return the value of a parameter without a star: quoted as browsers or as older programs do."""
    text = _unquoted(value)
    if _ENCODED_WORD.fullmatch(text):
        try:
            return "".join(decode_part(part, charset) for part, charset in decode_header(text.strip()))
        except HeaderParseError:
            pass
    for escape, character in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):  # the escapes of browsers
        text = text.replace(escape, character).replace(escape.lower(), character)
    return decode_name(text.encode("latin-1"))


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) < 2 or value[0] != '"':
        return value
    value = value[1:-1]
    if re.match(r"[a-z]:\\|\\\\", value, re.IGNORECASE):  # the path of a file on Windows: its backslashes stay
        return value
    return re.sub(r'\\(["\\])', r"\1", value)


def _from_extended(value: str) -> str | None:
    """Return the text of a value like `UTF-8''%E4%BC%9A`. None: that is not its form."""
    parts = _EXTENDED.fullmatch(value)
    if parts is None:
        return None
    return decode_part(unquote_to_bytes(parts[2].encode("latin-1")), parts[1])


def decode_part(part: bytes | str, charset: str | None) -> str:
    """Return bytes as text in a stated encoding; as `decode_name` does if there is none or if it does not fit."""
    if isinstance(part, str):
        return part
    try:
        return part.decode(charset or "ascii")
    except (LookupError, UnicodeError):
        return decode_name(part)


def stem_of(recording: str) -> str:
    """Return the name of a recording without its ending. The end of `Talk 1.2` stays: it is no ending."""
    path = PurePath(recording)
    return path.stem if _ENDING.fullmatch(path.suffix) else path.name


def portable_name(stem: str, extension: str = "", *, room: int = MAX_BYTES) -> str:
    """Return a file name that every common disk and system takes, of at most `room` bytes with its extension.

    Characters that Windows forbids become `_`, the name of a device gets one, and spaces and dots at the end go.
    """
    ending = f".{extension}" if extension else ""
    plain = _ILLEGAL.sub("_", unicodedata.normalize("NFC", stem)).strip()
    plain = _DEVICE.sub(lambda found: f"{found[1]}_", plain) if _DEVICE.match(plain) else plain
    return (shortened(plain, room - len(ending.encode())).rstrip(". ") or "transcript") + ending


def portable_recording(name: str) -> str:
    """Return the name of a recording, with its ending, as a file name that every common disk takes."""
    stem = stem_of(name)
    return portable_name(stem, name[len(stem) + 1 :] if name.startswith(f"{stem}.") else "")


def shortened(text: str, most: int) -> str:
    """Return the beginning of a text that takes at most `most` bytes in UTF-8, without half a character."""
    sizes = accumulate(len(character.encode(errors="surrogateescape")) for character in text)
    cut = text[: sum(size <= most for size in sizes)]
    return text if cut == text else cut.rstrip("\u200d\ufe0f")  # what joins the parts of an emoji
