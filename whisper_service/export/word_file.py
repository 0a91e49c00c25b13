"""Write Office Open XML, what Word opens. Pure.

A docx is a zip of a few small XML files. They are written here: the library for it needs an XML parser of 12 MB.
"""

from __future__ import annotations

import io
import unicodedata
import zipfile
from typing import Final
from xml.sax.saxutils import escape

DOCX_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def word_file(title: str, body: str, *, author: str, comments: str = "") -> bytes:
    """Return the file: a title, then the paragraphs of `body`. Equal texts give equal bytes.

    `body` and `comments` are XML; `comments` "": there are none.
    """
    noted = bool(comments)
    files = {
        "[Content_Types].xml": _CONTENT_TYPES.format(comments=_COMMENTS_TYPE if noted else ""),
        "_rels/.rels": _RELATIONS,
        "docProps/core.xml": _CORE.format(title=xml(title), author=xml(author)),
        "word/_rels/document.xml.rels": _DOCUMENT_RELATIONS.format(comments=_COMMENTS_RELATION if noted else ""),
        "word/styles.xml": _STYLES,
        "word/document.xml": _DOCUMENT.format(body=paragraph(run(title), title, style="Title") + body),
        **({"word/comments.xml": f"{_HEAD}<w:comments {_MAIN}>{comments}</w:comments>"} if noted else {}),
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)  # with a fixed date
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text.encode())
    return written.getvalue()


def paragraph(runs: str, text: str, *, style: str = "Normal", mark: str = "") -> str:
    """Return a paragraph of these runs. `text` says in which direction it runs, `mark` what is known of its end."""
    bidi = "<w:bidi/>" if right_to_left(text) else ""
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/>{bidi}{mark}</w:pPr>{runs}</w:p>'


def run(text: str, properties: str = "", *, tag: str = "w:t") -> str:
    """Return a run of text in one direction with `properties`, which are XML."""
    properties += "<w:rtl/>" if right_to_left(text) else ""
    return f'<w:r><w:rPr>{properties}</w:rPr><{tag} xml:space="preserve">{xml(text)}</{tag}></w:r>'


_NO_XML: Final = dict.fromkeys([*range(0xD800, 0xE000), 0xFFFE, 0xFFFF])


def xml(text: str) -> str:
    """Return a text as it stands in XML."""
    return escape(text.translate(_NO_XML))


def right_to_left(text: str) -> bool:
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
    ' ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>{comments}</Types>'
)
_COMMENTS_TYPE: Final = f'<Override PartName="/word/comments.xml" ContentType="{_WORD}.comments+xml"/>'
_COMMENTS_RELATION: Final = f'<Relationship Id="rId2" Type="{_OFFICE}/comments" Target="comments.xml"/>'
_RELATIONS: Final = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
    f'<Relationship Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
    "</Relationships>"
)
_DOCUMENT_RELATIONS: Final = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/styles" Target="styles.xml"/>{{comments}}</Relationships>'
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
