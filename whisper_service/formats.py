"""A transcript as a file: json, txt, srt, vtt, tsv. Pure: `Transcript` in, text out.

Stretches that could not be transcribed appear in their place as a cue or line of their own, so that nobody takes a gap for
silence. Line breaking to reading speed and screen width is not done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from whisper_service.domain import Transcript


class Format(StrEnum):
    """What a transcript can be exported as; the value is also the file's extension."""

    JSON = "json"
    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"


MEDIA_TYPES: Final[dict[Format, str]] = {
    Format.JSON: "application/json",
    Format.TXT: "text/plain; charset=utf-8",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.VTT: "text/vtt; charset=utf-8",
    Format.TSV: "text/tab-separated-values; charset=utf-8",
}


class Cue(NamedTuple):
    """Text on screen from `start` to `end`, both in milliseconds, `end > start`; the lines are clean and not empty."""

    start: int
    end: int
    lines: tuple[str, ...]


def render(transcript: Transcript, format: Format) -> str:
    """The whole file as text; encode it as UTF-8 without a byte order mark."""
    return _WRITERS[format](transcript)


def to_json(transcript: Transcript) -> str:
    """Everything there is, with the field names of the API."""
    return msgspec.json.format(msgspec.json.encode(transcript), indent=2).decode() + "\n"


def to_txt(transcript: Transcript) -> str:
    """One line per segment."""
    return "".join(f"{' '.join(cue.lines)}\n" for cue in cues(transcript))


def to_srt(transcript: Transcript) -> str:
    """SubRip. It has no escapes: an arrow in the text, which parsers may take for a time line, becomes `→`."""
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_text(cue).replace('-->', '→')}\n\n"
        for number, cue in enumerate(cues(transcript), start=1)
    )


def to_vtt(transcript: Transcript) -> str:
    """WebVTT (W3C): `&`, `<` and `>` are escaped, which takes care of arrows in the text too."""
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_text(cue).translate(_VTT_ESCAPES)}\n"
        for cue in cues(transcript)
    )


def to_tsv(transcript: Transcript) -> str:
    """Start and end in whole milliseconds and the text, tab-separated, as the original Whisper writes it."""
    return "start\tend\ttext\n" + "".join(f"{cue.start}\t{cue.end}\t{' '.join(cue.lines)}\n" for cue in cues(transcript))


def cues(transcript: Transcript) -> Iterator[Cue]:
    """Segments and gaps in the order of time; segments without text are left out."""
    said = [(s.start, s.end, s.text) for s in transcript.segments]
    gaps = [(g.start, g.end, _gap(g.start, g.end, g.reason)) for g in transcript.gaps]
    for start, end, text in sorted(said + gaps, key=lambda item: item[0]):
        if lines := tuple(_lines(text)):
            first = _milliseconds(start)
            yield Cue(first, max(_milliseconds(end), first + 1), lines)


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ufeff]")
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _lines(text: str) -> Iterator[str]:
    """The lines that have something on them, on one kind of space; tabs and exotic line ends do not survive."""
    for line in _CONTROL.sub("", text).splitlines():
        if words := line.split():
            yield " ".join(words)


def _text(cue: Cue) -> str:
    return "\n".join(cue.lines)


def _gap(start: float, end: float, reason: str) -> str:
    first, last = (_clock(_milliseconds(at), ".") for at in (start, end))
    return f"[{first} - {last} not transcribed: {' '.join(_lines(reason))}]"


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(milliseconds: int, point: str) -> str:
    """`HH:MM:SS` and milliseconds; hours take more digits when they need them, and do not turn into days."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


_WRITERS: Final[dict[Format, Callable[[Transcript], str]]] = {
    Format.JSON: to_json,
    Format.TXT: to_txt,
    Format.SRT: to_srt,
    Format.VTT: to_vtt,
    Format.TSV: to_tsv,
}
