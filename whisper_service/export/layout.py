"""How an exported file looks, and how a request chooses it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from whisper_service.core.domain import Script, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.text import quoted
from whisper_service.export.captions.style import Style


class Layout(Value, frozen=True, forbid_unknown_fields=True):
    """How an exported file looks. Each format has some of these options, see `render.Format`."""

    style: Style = Style()
    word_times: Annotated[bool, Meta(description="vtt: the time of every word, for players that highlight words.")] = (
        False
    )
    speakers: (
        Annotated[
            bool,
            Meta(
                description="Names of speakers, if there are two or more. Asked for, also in tsv, as a fourth column."
            ),
        ]
        | None
    ) = None
    times: Annotated[bool, Meta(description="md, docx: the time at which every paragraph begins.")] = True
    notes: Annotated[
        bool, Meta(description="md: bookmarks, highlights and notes at its end. docx: as comments and colours.")
    ] = False
    unchecked: Annotated[bool, Meta(description="txt, md, docx: a mark before each line that nobody checked.")] = False
    compare: Annotated[
        bool, Meta(description="docx: what people changed in the text of the model, as tracked changes.")
    ] = False
    script: Annotated[Script | None, Meta(description="Chinese in this script. Without it, as it is stored.")] = None
    author: Annotated[str, Meta(max_length=200, description="docx: its author. Without it, page.title.")] = (
        "whisper_service"
    )
    bom: Annotated[
        bool, Meta(description="A byte order mark before text, for programs on Windows that misread UTF-8 without it.")
    ] = False

    @property
    def reviewed(self) -> bool:
        """Whether the file says what people did with the text."""
        return self.notes or self.unchecked or self.compare


STYLE: Final = Style.__struct_fields__
OPTIONS: Final = (*STYLE, *Layout.__struct_fields__[1:])
"""The names that a request may use: the fields of `Style` and the other fields of `Layout`."""


def layout_of(style: Style, given: Mapping[str, Any]) -> Layout:
    """Return the layout of a request: the values `given` for any of `OPTIONS`, as text or typed, on top of a style.

    Raises `InvalidRequest` that names the field.
    """
    if unknown := sorted(given.keys() - set(OPTIONS)):
        hint = f"There are: {', '.join(OPTIONS)}."
        raise InvalidRequest(f"There is no option {quoted(unknown[0])}.", hint=hint, field=unknown[0][:80])
    of_style = {name: value for name, value in given.items() if name in STYLE}
    own = {name: value for name, value in given.items() if name not in STYLE}
    try:
        chosen = msgspec.convert(msgspec.structs.asdict(style) | of_style, Style, strict=False)
        return msgspec.structs.replace(msgspec.convert(own, Layout, strict=False), style=chosen)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`") or "min_s"  # the error of `Style` itself: min_s is more than max_s
        raise InvalidRequest(f"The option {name} is not valid: {what}.", field=name) from error
