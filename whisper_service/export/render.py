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
from whisper_service.export.review import Review, notes_section, reviewed_docx, with_unchecked
from whisper_service.export.word_file import DOCX_TYPE

_CAPTIONS: Final = (*STYLE, "script", "bom")
_NAMED: Final = (*_CAPTIONS, "speakers")


_READ: Final = ("times", "speakers", "notes", "unchecked", "script", "bom")
_WORD: Final = ("times", "speakers", "notes", "unchecked", "compare", "script", "author")


class Exporter(NamedTuple):
    """How a format is written, and the options of `Layout` that it has."""

    media_type: str
    write: Callable[[Transcript, Layout], str | bytes]
    options: tuple[str, ...]


class Format(StrEnum):
    """What a transcript can be exported as. The value is the name of the format and the extension of its files."""

    exporter: Exporter  # a new format is one entry below and its writer

    JSON = "json", Exporter("application/json", documents.to_json, ("speakers", "script"))
    TXT = "txt", Exporter("text/plain; charset=utf-8", documents.to_txt, ("speakers", "unchecked", "script", "bom"))
    SRT = "srt", Exporter("application/x-subrip; charset=utf-8", subtitles.to_srt, _NAMED)
    VTT = "vtt", Exporter("text/vtt; charset=utf-8", subtitles.to_vtt, (*_NAMED, "word_times"))
    TSV = "tsv", Exporter("text/tab-separated-values; charset=utf-8", documents.to_tsv, ("speakers", "script", "bom"))
    LRC = "lrc", Exporter("text/x-lrc; charset=utf-8", subtitles.to_lrc, _CAPTIONS)
    ASS = "ass", Exporter("text/x-ssa; charset=utf-8", subtitles.to_ass, _NAMED)
    MD = "md", Exporter("text/markdown; charset=utf-8", documents.to_md, _READ)
    DOCX = "docx", Exporter(DOCX_TYPE, documents.to_docx, _WORD)

    def __new__(cls, name: str, exporter: Exporter | None = None) -> Format:
        assert exporter is not None, "Only the entries above come here: Format(name) looks up one of them."
        member = str.__new__(cls, name)
        member._value_ = name
        member.exporter = exporter
        return member


def render(transcript: Transcript, format: Format, layout: Layout | None = None, review: Review | None = None) -> bytes:
    """Return the whole file. Text is UTF-8, lines end with a line feed. Options of other formats are ignored.

    `review` is for layouts that are `reviewed`.
    """
    layout = layout or Layout()
    if layout.script is not None:
        transcript = convert(transcript, layout.script)
    if review is not None and format is Format.DOCX and layout.reviewed:
        return reviewed_docx(transcript, layout, review)
    notes = ""
    if review is not None and layout.unchecked and "unchecked" in format.exporter.options:
        transcript = with_unchecked(transcript, review)
    if review is not None and layout.notes and format is Format.MD:
        notes = notes_section(transcript, review)
    written = format.exporter.write(transcript, layout)
    if isinstance(written, bytes):
        return written
    written += notes
    return written.encode("utf-8-sig" if layout.bom and "bom" in format.exporter.options else "utf-8")
