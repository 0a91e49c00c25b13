"""Write captions as srt, vtt, ass and lrc. Pure.

Characters of a format's own syntax are escaped if the format has escapes, else replaced by similar characters. Text
that runs from right to left stays in logical order, as all four formats require. The player reverses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from whisper_service.core.domain import Transcript
from whisper_service.core.text import clean
from whisper_service.core.timecode import clock, hms
from whisper_service.export.captions.pieces import line
from whisper_service.export.captions.timing import Cue, cues
from whisper_service.export.layout import Layout
from whisper_service.export.speaker_names import names_shown


def to_srt(transcript: Transcript, layout: Layout) -> str:
    """Write SubRip. A caption begins with the name of its speaker if another one spoke before.

    SubRip has no escapes: an arrow, which parsers may take for a time line, becomes `→`.
    """
    return "".join(
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{_text(cue).replace('-->', '→')}\n\n"
        for number, cue in enumerate(cues(transcript, layout.style, named=names_shown(transcript, layout)), start=1)
    )


def to_vtt(transcript: Transcript, layout: Layout) -> str:
    """Write WebVTT (W3C). Speakers are voice spans. `&`, `<` and `>` are escaped, and arrows with them.

    With `layout.word_times`, the time at which a word begins stands before each word but the first.
    """
    parts = ["WEBVTT\n"]
    for cue in cues(transcript, layout.style):
        text = _timed_text(cue) if layout.word_times else _escaped(_text(cue))
        parts.append(f"\n{clock(cue.start)} --> {clock(cue.end)}\n{_voice(cue, layout)}{text}\n")
    return "".join(parts)


def to_ass(transcript: Transcript, layout: Layout) -> str:
    """Write Advanced SubStation Alpha. Times are hundredths of a second.

    Braces become `｛` and `｝`: players do not agree on how to escape them.
    """
    parts = [_ASS_HEAD.format(title=clean(transcript.name))]
    for cue in cues(transcript, layout.style):
        start, end = _ass_clock(cue.start), _ass_clock(max(cue.end, cue.start + 10))
        parts.append(f"Dialogue: 0,{start},{end},Default,{_ass_name(cue, layout)},0,0,0,,{_ass_text(cue)}\n")
    return "".join(parts)


def to_lrc(transcript: Transcript, layout: Layout) -> str:
    """Write lyrics: a line for each cue, and an empty line where the screen is dark for a second.

    Brackets of times and tags in the text become wide ones.
    """
    head = [f"[ti:{clean(transcript.name)}]\n", "[re:whisper_service]\n"]
    return "".join([*head, *_lyrics(cues(transcript, layout.style))])


_VTT_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# A word joiner, which has no width, stands after a backslash. Without it `\N` in the text would end a line.
_ASS_ESCAPES: Final = str.maketrans({"{": "｛", "}": "｝", "\\": "\\\u2060"})
_LRC_SYNTAX: Final = re.compile(r"[\[\]]|<(?=\d+:\d)")
_DARK_MS: Final = 1000
_ASS_HEAD: Final = """[Script Info]
Title: {title}
ScriptType: v4.00+
WrapStyle: 2
ScaledBorderAndShadow: yes
PlayResX: 1920
PlayResY: 1080

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,64,&H00FFFFFF,&H0000FFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,60,60,50,-1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""  # Encoding -1: each line runs in the direction of its first letter


def _text(cue: Cue) -> str:
    return "\n".join(cue.lines)


def _name(cue: Cue, layout: Layout) -> str:
    return "" if layout.speakers is False else clean(cue.speaker or "")


def _escaped(text: str) -> str:
    return text.translate(_VTT_ESCAPES)


def _voice(cue: Cue, layout: Layout) -> str:
    name = _escaped(_name(cue, layout))
    return f"<v {name}>" if name else ""


def _timed_text(cue: Cue) -> str:
    last = cue.start
    rows = []
    for row in cue.rows:
        parts = []
        for at, piece in enumerate(row):
            space = " " if piece.space and at else ""
            tag = ""
            if last < piece.start < cue.end:
                tag = f"<{clock(piece.start)}>"
                last = piece.start
            parts.append(f"{space}{tag}{_escaped(piece.text)}")
        rows.append("".join(parts))
    return "\n".join(rows)


def _ass_clock(milliseconds: int) -> str:
    """Write at least one digit of hours."""
    return f"{hms(milliseconds).removeprefix('0')}.{milliseconds % 1000 // 10:02}"


def _ass_name(cue: Cue, layout: Layout) -> str:
    return clean(_name(cue, layout).replace(",", " "))


def _ass_text(cue: Cue) -> str:
    return "\\N".join(text.translate(_ASS_ESCAPES) for text in cue.lines)


def _lyrics(all_cues: list[Cue]) -> Iterator[str]:
    for cue, after in zip_longest(all_cues, all_cues[1:]):
        text = line([piece for row in cue.rows for piece in row])
        yield f"[{_lrc_clock(cue.start)}]{_LRC_SYNTAX.sub(lambda bracket: chr(ord(bracket[0]) + 0xFEE0), text)}\n"
        if after is None or after.start - cue.end >= _DARK_MS:
            yield f"[{_lrc_clock(cue.end)}]\n"


def _lrc_clock(milliseconds: int) -> str:
    """Write minutes, also above 59."""
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes:02}:{rest // 1000:02}.{rest % 1000 // 10:02}"
