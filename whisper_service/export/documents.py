"""Write texts to read and edit: txt, tsv, json, md, docx. Pure.

A docx is a zip of a few small XML files. They are written here: the library for it needs an XML parser of 12 MB.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import msgspec

from whisper_service.core.domain import Transcript
from whisper_service.core.file_names import stem_of
from whisper_service.core.text import clean, wide_mark
from whisper_service.core.timecode import clock, hms, milliseconds
from whisper_service.export.layout import Layout
from whisper_service.export.speaker_names import WholeTranscript, names_shown, speaking_times

DOCX_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def to_json(transcript: Transcript, layout: Layout) -> str:
    """Write everything, with the field names of the API. `speakers` are left out where no names are shown."""
    whole = WholeTranscript(**msgspec.structs.asdict(transcript))
    if names_shown(transcript, layout):
        whole = msgspec.structs.replace(whole, speakers=speaking_times(transcript))
    elif layout.speakers is False:
        whole = msgspec.structs.replace(
            whole, segments=tuple(msgspec.structs.replace(segment, speaker=None) for segment in whole.segments)
        )
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"


def to_txt(transcript: Transcript, layout: Layout) -> str:
    """Write one line for each segment. It begins with the name of its speaker if another one spoke before."""
    named = names_shown(transcript, layout)
    lines, last = [], None
    for passage in passages(transcript):
        changed = named and not passage.gap and passage.speaker != last
        lines.append(f"{passage.label if changed else ''}{passage.text}\n")
        last = last if passage.gap else passage.speaker
    return "".join(lines)


def to_tsv(transcript: Transcript, layout: Layout) -> str:
    """Write start and end in whole milliseconds and the text, separated by tabs, like the original Whisper.

    If `layout` asks for speakers, their names are a fourth column.
    """
    rows: list[tuple[object, ...]] = [("start", "end", "text", "speaker")]
    rows += ((row.start, row.end, row.text, row.name) for row in passages(transcript))
    return "".join("\t".join(map(str, row if layout.speakers else row[:3])) + "\n" for row in rows)


def to_md(transcript: Transcript, layout: Layout) -> str:
    """Write Markdown (CommonMark): the name as heading, then paragraphs that begin with their time and speaker."""
    blocks = [f"# {_literal(clean(stem_of(transcript.name)))}".rstrip()]
    for paragraph in _paragraphs(transcript):
        marks = [f"**{_literal(mark)}**" for mark in paragraph.marks(layout)]
        text = _literal(paragraph.text)
        blocks.append(" ".join([*marks, text]) if marks else _LIST.sub(r"\1\\\2", text))
    return "\n\n".join(blocks) + "\n"


def to_docx(transcript: Transcript, layout: Layout) -> bytes:
    """Write Office Open XML: the name as title, then paragraphs as in `to_md`. Equal transcripts give equal bytes."""
    title = clean(stem_of(transcript.name))
    body = [_paragraph(title, style="Title")]
    body += (_paragraph(p.text, marks=p.marks(layout)) for p in _paragraphs(transcript))
    files = {
        "[Content_Types].xml": _CONTENT_TYPES,
        "_rels/.rels": _RELATIONS,
        "docProps/core.xml": _CORE.format(title=_xml(title), author=_xml(clean(layout.author))),
        "word/_rels/document.xml.rels": _DOCUMENT_RELATIONS,
        "word/styles.xml": _STYLES,
        "word/document.xml": _DOCUMENT.format(body="".join(body)),
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)  # with a fixed date
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text.encode())
    return written.getvalue()


class Passage(NamedTuple):
    """Text on one line from `start` to `end` in milliseconds, `end > start`."""

    start: int
    end: int
    text: str
    speaker: str | None = None
    gap: bool = False

    @property
    def name(self) -> str:
        """The name of the speaker on one line."""
        return clean(self.speaker or "")

    @property
    def label(self) -> str:
        """The name as it stands before the text."""
        return f"{self.name}: " if self.name else ""

    def marks(self, layout: Layout) -> list[str]:
        """Return what stands before the text in bold: time and speaker, as far as the layout shows them."""
        when = [hms(self.start)] if layout.times else []
        return [*when, f"{self.name}:"] if self.name and layout.speakers is not False else when


def passages(transcript: Transcript) -> Iterator[Passage]:
    """Yield segments and gaps in the order of time, without segments that have no text."""
    found = [(s.start, s.end, s.text, s.speaker, False) for s in transcript.segments]
    found += ((g.start, g.end, _gap(g.start, g.end, g.reason), None, True) for g in transcript.gaps)
    for start, end, text, speaker, gap in sorted(found, key=lambda item: item[0]):
        if text := clean(text):
            first = milliseconds(start)
            yield Passage(first, max(milliseconds(end), first + 1), text, speaker, gap)


def _gap(start: float, end: float, reason: str) -> str:
    first, last = (clock(milliseconds(at)) for at in (start, end))
    return f"[{first} - {last} not transcribed: {clean(reason)}]"


PAUSE_MS: Final = 2_000
"""A silence this long ends a paragraph."""
LONG: Final = 600
"""A paragraph with so many characters ends at the next end of a segment."""


def _paragraphs(transcript: Transcript) -> Iterator[Passage]:
    """Join passages of one speaker without a pause, until they are long."""
    held: Passage | None = None
    for passage in passages(transcript):
        if held is None:
            held = passage
        elif (
            held.gap
            or passage.gap
            or held.speaker != passage.speaker
            or passage.start - held.end >= PAUSE_MS
            or len(held.text) >= LONG
        ):
            yield held
            held = passage
        else:
            space = "" if wide_mark(held.text[-1]) else " "
            held = held._replace(end=max(held.end, passage.end), text=f"{held.text}{space}{passage.text}")
    if held is not None:
        yield held


_LIST: Final = re.compile(r"^(\d*)([-+.)])")  # at the beginning of a paragraph this would make a list
_SYNTAX: Final = re.compile(r"([\\`*_{}\[\]<>&~|#!$])")


def _literal(text: str) -> str:
    return _SYNTAX.sub(r"\\\1", text)


_NO_XML: Final = dict.fromkeys([*range(0xD800, 0xE000), 0xFFFE, 0xFFFF])


def _xml(text: str) -> str:
    return escape(text.translate(_NO_XML))


def _paragraph(text: str, *, marks: Iterable[str] = (), style: str = "Normal") -> str:
    rtl = _right_to_left(text)
    head = "".join(_run(f"{mark} ", "<w:b/>", rtl=False) for mark in marks)
    bidi = "<w:bidi/>" if rtl else ""
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/>{bidi}</w:pPr>{head}{_run(text, rtl=rtl)}</w:p>'


def _run(text: str, properties: str = "", *, rtl: bool) -> str:
    properties += "<w:rtl/>" if rtl else ""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{_xml(text)}</w:t></w:r>'


def _right_to_left(text: str) -> bool:
    """Return whether the first letter that has a direction runs from right to left."""
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"


_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_MAIN: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_CONTENT_TYPES: Final = (
    f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_WORD}.document.main+xml"/>'
    f'<Override PartName="/word/styles.xml" ContentType="{_WORD}.styles+xml"/>'
    '<Override PartName="/docProps/core.xml"'
    ' ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>'
)
_RELATIONS: Final = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
    f'<Relationship Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
    "</Relationships>"
)
_DOCUMENT_RELATIONS: Final = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
)
_CORE: Final = (
    f'{_HEAD}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:title>{title}</dc:title><dc:creator>{author}</dc:creator></cp:coreProperties>"
)
_STYLES: Final = (
    f"{_HEAD}<w:styles {_MAIN}><w:docDefaults><w:rPrDefault><w:rPr>"
    '<w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:eastAsia="Microsoft YaHei" w:cs="Arial"/>'
    '<w:sz w:val="22"/><w:szCs w:val="22"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr>'
    '<w:spacing w:after="160" w:line="276" w:lineRule="auto"/></w:pPr></w:pPrDefault></w:docDefaults>'
    '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/><w:basedOn w:val="Normal"/>'
    '<w:next w:val="Normal"/><w:rPr><w:sz w:val="40"/><w:szCs w:val="40"/></w:rPr></w:style></w:styles>'
)
_DOCUMENT: Final = f"{_HEAD}<w:document {_MAIN}><w:body>{{body}}<w:sectPr/></w:body></w:document>"
