"""Written Chinese in the script that its reader wants: simplified or traditional, whatever the model chose. Pure.

The conversion is OpenCC's and knows phrases, so it is made of whole segments and then given back to their words: text and words
stay the same text, and no time changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Script, Segment, Transcript

__all__ = ["CHINESE", "Script", "convert", "convert_all", "convert_segment"]


CHINESE: Final = frozenset(["zh", "yue"])
"""Languages that are converted. Japanese shares the characters, and is left alone."""


def convert(transcript: Transcript, script: Script) -> Transcript:
    """The transcript with its Chinese segments in this script; a segment without a language has that of the transcript."""
    return replace(transcript, segments=convert_all(transcript.segments, script, transcript.language))


def convert_all(segments: Iterable[Segment], script: Script, language: str | None = None) -> tuple[Segment, ...]:
    """These with the Chinese ones in this script; one without a language has the one that is given."""
    return tuple(
        convert_segment(segment, script) if (segment.language or language) in CHINESE else segment
        for segment in segments
    )


def convert_segment(segment: Segment, script: Script) -> Segment:
    """One segment, whatever its language, in this script."""
    turn = _converter(script)
    raw = [word.word for word in segment.words]
    whole = "".join(raw)
    turned = turn(whole)
    if len(turned) == len(whole):
        bounds = [0, *accumulate(map(len, raw))]
        parts = [turned[first:after] for first, after in pairwise(bounds)]
    else:  # nobody can say which word grew: each by itself, without the phrases
        parts = [turn(part) for part in raw]
    words = tuple(replace(word, word=part) for word, part in zip(segment.words, parts, strict=True))
    if whole.strip() == segment.text.strip():
        said = segment.text.strip()
        text = segment.text.replace(said, "".join(parts).strip()) if said else segment.text
    else:  # its text was edited since
        text = turn(segment.text)
    return replace(segment, text=text, words=words)


@lru_cache
def _converter(script: Script) -> Callable[[str], str]:
    # Only who asks for it pays for the dictionaries: 25 ms.
    from opencc import OpenCC

    turn: Callable[[str], str] = OpenCC("t2s" if script is Script.SIMPLIFIED else "s2t").convert
    return turn
