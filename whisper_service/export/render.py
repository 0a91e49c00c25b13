"""A transcript as a file: srt vtt ass lrc (`subtitles`), txt tsv json md docx (`documents`). Pure: `Transcript` in, bytes out.

Stretches that could not be transcribed appear in their place as a cue or line of their own, so that nobody takes a gap for
silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from whisper_service.core.chinese import convert
from whisper_service.core.domain import Script, Transcript, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.export import documents, subtitles
from whisper_service.export.captions import Style


class Format(StrEnum):
    """What a transcript can be exported as; the value is also the file's extension."""

    JSON = "json"
    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    LRC = "lrc"
    ASS = "ass"
    MD = "md"
    DOCX = "docx"


MEDIA_TYPES: Final[dict[Format, str]] = {
    Format.JSON: "application/json",
    Format.TXT: "text/plain; charset=utf-8",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.VTT: "text/vtt; charset=utf-8",
    Format.TSV: "text/tab-separated-values; charset=utf-8",
    Format.LRC: "text/x-lrc; charset=utf-8",
    Format.ASS: "text/x-ssa; charset=utf-8",
    Format.MD: "text/markdown; charset=utf-8",
    Format.DOCX: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


class Layout(Value, frozen=True, forbid_unknown_fields=True):
    """How it shall look, where a format has a choice."""

    style: Style = Style()  # captions: srt, vtt, ass, lrc
    word_times: bool = False  # vtt: the time of every word inside the cue, for karaoke and players that highlight
    times: bool = True  # md, docx: when every paragraph begins
    script: Script | None = None  # Chinese in this script, whatever is stored
    bom: bool = (
        False  # a byte order mark before text, for players on Windows that take UTF-8 for something else without it
    )


def render(transcript: Transcript, format: Format, layout: Layout | None = None) -> bytes:
    """The whole file. Text is UTF-8, without a byte order mark unless one is wanted, with `\\n` at the ends of lines."""
    layout = layout or Layout()
    if layout.script is not None:
        transcript = convert(transcript, layout.script)
    written = _WRITERS[format](transcript, layout)
    if isinstance(written, bytes):
        return written
    return written.encode("utf-8-sig" if layout.bom and format is not Format.JSON else "utf-8")


OWN: Final = ("word_times", "times", "script", "bom")
CHOICES: Final = (*Style.__struct_fields__, *OWN)
"""What a request may choose: the names of `Style` and of the other fields of `Layout`."""


def layout_of(style: Style, given: Mapping[str, Any]) -> Layout:
    """The layout of a request: what is `given` for any of `CHOICES`, as text or value, on top of a style.

    Raises `InvalidRequest` naming the field.
    """
    if unknown := sorted(given.keys() - set(CHOICES)):
        hint = f"There are: {', '.join(CHOICES)}."
        raise InvalidRequest(f"There is no option {unknown[0][:80]!r}.", hint=hint, field=unknown[0][:80])
    shape = {name: value for name, value in given.items() if name not in OWN}
    own = {name: value for name, value in given.items() if name in OWN}
    try:
        chosen = msgspec.convert(msgspec.structs.asdict(style) | shape, Style, strict=False)
        return msgspec.structs.replace(msgspec.convert(own, Layout, strict=False), style=chosen)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`") or "min_s"
        raise InvalidRequest(f"The option {name} is not valid: {what}.", field=name) from error


_WRITERS: Final[dict[Format, Callable[[Transcript, Layout], str | bytes]]] = {
    Format.JSON: lambda transcript, _: documents.to_json(transcript),
    Format.TXT: lambda transcript, _: documents.to_txt(transcript),
    Format.TSV: lambda transcript, _: documents.to_tsv(transcript),
    Format.MD: lambda transcript, layout: documents.to_md(transcript, times=layout.times),
    Format.DOCX: lambda transcript, layout: documents.to_docx(transcript, times=layout.times),
    Format.SRT: lambda transcript, layout: subtitles.to_srt(transcript, layout.style),
    Format.VTT: lambda transcript, layout: subtitles.to_vtt(transcript, layout.style, word_times=layout.word_times),
    Format.ASS: lambda transcript, layout: subtitles.to_ass(transcript, layout.style),
    Format.LRC: lambda transcript, layout: subtitles.to_lrc(transcript, layout.style),
}
