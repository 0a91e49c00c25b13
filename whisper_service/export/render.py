"""Write a transcript as a file. Pure: `Transcript` in, bytes out.

Gaps appear in their place as a cue or line of their own, so that a reader does not take a gap for silence.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from whisper_service.core.chinese import convert
from whisper_service.core.domain import Transcript
from whisper_service.export import documents, subtitles
from whisper_service.export.layout import STYLE, Layout
from whisper_service.export.word_file import DOCX_TYPE

_CAPTIONS: Final = (*STYLE, "script", "bom")
_NAMED: Final = (*_CAPTIONS, "speakers")


class Exporter(NamedTuple):
    """How a format is written, and the options of `Layout` that it has."""

    media_type: str
    write: Callable[[Transcript, Layout], str | bytes]
    options: tuple[str, ...]


class Format(StrEnum):
    """What a transcript can be exported as. The value is the name of the format and the extension of its files."""

    exporter: Exporter  # a new format is one entry below and its writer

    JSON = "json", Exporter("application/json", documents.to_json, ("speakers", "script"))
    TXT = "txt", Exporter("text/plain; charset=utf-8", documents.to_txt, ("speakers", "script", "bom"))
    SRT = "srt", Exporter("application/x-subrip; charset=utf-8", subtitles.to_srt, _NAMED)
    VTT = "vtt", Exporter("text/vtt; charset=utf-8", subtitles.to_vtt, (*_NAMED, "word_times"))
    TSV = "tsv", Exporter("text/tab-separated-values; charset=utf-8", documents.to_tsv, ("speakers", "script", "bom"))
    LRC = "lrc", Exporter("text/x-lrc; charset=utf-8", subtitles.to_lrc, _CAPTIONS)
    ASS = "ass", Exporter("text/x-ssa; charset=utf-8", subtitles.to_ass, _NAMED)
    MD = "md", Exporter("text/markdown; charset=utf-8", documents.to_md, ("times", "speakers", "script", "bom"))
    DOCX = "docx", Exporter(DOCX_TYPE, documents.to_docx, ("times", "speakers", "script", "author"))

    def __new__(cls, name: str, exporter: Exporter | None = None) -> Format:
        assert exporter is not None, "Only the entries above come here: Format(name) looks up one of them."
        member = str.__new__(cls, name)
        member._value_ = name
        member.exporter = exporter
        return member


def render(transcript: Transcript, format: Format, layout: Layout | None = None) -> bytes:
    """Return the whole file. Text is UTF-8, lines end with a line feed. Options of other formats are ignored."""
    layout = layout or Layout()
    if layout.script is not None:
        transcript = convert(transcript, layout.script)
    written = format.exporter.write(transcript, layout)
    if isinstance(written, bytes):
        return written
    return written.encode("utf-8-sig" if layout.bom and "bom" in format.exporter.options else "utf-8")
