"""Write Chinese in the script that a reader wants: simplified or traditional, whatever the model wrote. Pure.

The conversion is OpenCC's and knows phrases. So whole segments are converted, then cut into their words again. Text and
words stay equal, and no time changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Script, Segment, Transcript

CHINESE: Final = frozenset(["zh", "yue"])
"""Languages that are converted. Japanese shares the characters but is not converted."""
_HAN: Final = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_COMMON_HAN: Final = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF))
_BETWEEN_HAN: Final = re.compile(rf"(?<={_HAN})[ \u3000]+(?={_HAN})")
_TRADITIONAL: Final = frozenset(["hant", "tw", "hk", "mo"])
_SIMPLIFIED: Final = frozenset(["hans", "cn", "sg", "my"])
"""Scripts and regions of language tags (BCP 47), in lower case."""


def script_of(tag: str) -> Script | None:
    """Return the script that a language tag asks for, like `zh-TW` or `zh_Hans`. None: no Chinese, or no script."""
    code, *details = tag.strip().lower().replace("_", "-").split("-")
    if code not in {*CHINESE, "cmn", "zho", "chi"}:
        return None
    for detail in details:  # the script comes before the region: zh-Hans-HK is simplified
        if detail in _TRADITIONAL:
            return Script.TRADITIONAL
        if detail in _SIMPLIFIED:
            return Script.SIMPLIFIED
    return None


def written(segments: Iterable[Segment], script: Script | None) -> tuple[Segment, ...]:
    """Return the segments as people write Chinese: in one script, and without spaces between Han characters.

    Without a script Mandarin is simplified, because Whisper mixes both scripts in one recording. Cantonese then stays
    as the model writes it.
    """
    return tuple(
        without_spaces(convert_segment(segment, wanted) if wanted else segment)
        if segment.language in CHINESE
        else segment
        for segment in segments
        for wanted in [script or (Script.SIMPLIFIED if segment.language == "zh" else None)]
    )


def without_spaces(segment: Segment) -> Segment:
    """Return a segment without spaces between Han characters. Whisper writes some in place of marks, some anywhere."""
    if not _BETWEEN_HAN.search(segment.text):
        return segment
    whole = "".join(word.word for word in segment.words)
    doomed = {at for found in _BETWEEN_HAN.finditer(whole) for at in range(*found.span())}
    bounds = [0, *accumulate(len(word.word) for word in segment.words)]
    words = tuple(
        replace(word, word="".join(whole[at] for at in range(first, last) if at not in doomed))
        for word, (first, last) in zip(segment.words, pairwise(bounds), strict=True)
    )
    return replace(segment, text=_BETWEEN_HAN.sub("", segment.text), words=words)


def convert(transcript: Transcript, script: Script) -> Transcript:
    """Return a transcript with its Chinese segments in a script. A segment without a language has the transcript's."""
    return replace(transcript, segments=convert_all(transcript.segments, script, transcript.language))


def convert_all(segments: Iterable[Segment], script: Script, language: str | None = None) -> tuple[Segment, ...]:
    """Return the segments with the Chinese ones in a script. `language` is that of segments without one."""
    return tuple(
        convert_segment(segment, script) if (segment.language or language) in CHINESE else segment
        for segment in segments
    )


def convert_segment(segment: Segment, script: Script) -> Segment:
    """Return a segment in a script, whatever its language is."""
    if script is Script.RECOGNIZED:
        return segment
    to_script = _converter(script)
    before = [word.word for word in segment.words]
    whole = "".join(before)
    converted = to_script(whole)
    if len(converted) == len(whole):
        bounds = [0, *accumulate(map(len, before))]
        after = [converted[first:last] for first, last in pairwise(bounds)]
    else:  # it is unknown which word became longer: each is converted alone, without phrases
        after = [to_script(word) for word in before]
    words = tuple(replace(word, word=text) for word, text in zip(segment.words, after, strict=True))
    trimmed = segment.text.strip()
    if trimmed and whole.strip() == trimmed:
        text = segment.text.replace(trimmed, "".join(after).strip())
    else:  # the text was edited, or there are no words
        text = to_script(segment.text)
    return replace(segment, text=text, words=words)


@lru_cache
def variants() -> dict[int, str]:
    """Return the traditional characters that have a simplified form each, with that form, for `str.translate`.

    By character, without phrases: enough to find a text in either script. Rare characters beyond the basic plane are
    left out, so that a text keeps its length also where characters are counted in UTF-16.
    """
    known = [chr(code) for first, last in _COMMON_HAN for code in range(first, last + 1)]
    simplified = _converter(Script.SIMPLIFIED)("\n".join(known)).split("\n")
    return {ord(one): other for one, other in zip(known, simplified, strict=True) if one != other <= "\uffff"}


@lru_cache
def _converter(script: Script) -> Callable[[str], str]:
    from opencc import OpenCC  # loads dictionaries for 25 ms, so only where a script is wanted

    to_script: Callable[[str], str] = OpenCC("t2s" if script is Script.SIMPLIFIED else "s2t").convert
    return to_script
