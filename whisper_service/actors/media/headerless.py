"""Telephone sound without a header, told by the name of its file: nothing in such a file says what it is. No FFmpeg."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from whisper_service.core.domain import Value


class Headerless(Value, frozen=True):
    """How to read a file without a header: FFmpeg's name of the format, and the options that a header would hold."""

    format: str
    rate: int | None = None  # None: the format has only one

    @property
    def options(self) -> dict[str, str]:
        """The options for FFmpeg."""
        return {"sample_rate": str(self.rate), "ch_layout": "mono"} if self.rate else {}


_MULAW, _ALAW = Headerless("mulaw", 8_000), Headerless("alaw", 8_000)
FORMATS: Final = {
    **dict.fromkeys((".ulaw", ".ul", ".mulaw", ".mu", ".pcmu", ".pcm_mulaw"), _MULAW),
    **dict.fromkeys((".alaw", ".al", ".pcma", ".pcm_alaw"), _ALAW),
    **{f".sln{rate}": Headerless("s16le", rate * 1_000) for rate in (8, 12, 16, 24, 32, 48, 96, 192)},
    ".sln": Headerless("s16le", 8_000),
    ".slin": Headerless("s16le", 8_000),
    ".sln44": Headerless("s16le", 44_100),
    ".g722": Headerless("g722"),
    ".g723": Headerless("g723_1"),
    ".g723_1": Headerless("g723_1"),
    ".g729": Headerless("g729"),
    ".gsm": Headerless("gsm"),
}
"""By extension, with the names and rates of Asterisk and of FFmpeg."""
MARKS: Final = (b"RIFF", b"RF64", b"OggS", b"fLaC", b"ID3", b"FORM", b"caff", b".snd", b"\x1a\x45\xdf\xa3", b"#!")
"""How files begin that do have a header, whatever their name says."""
HEAD: Final = 512
"""Bytes to look at. Sound has some that no text has."""


def headerless(name: str, head: bytes) -> Headerless | None:
    """Return how to read a file with this name and these first bytes. None: its content says what it is."""
    found = FORMATS.get(PurePath(name).suffix.lower())
    if found is None or head.startswith(MARKS) or head[4:8] == b"ftyp" or head[:HEAD].isascii():
        return None
    return found
