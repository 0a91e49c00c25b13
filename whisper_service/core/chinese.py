"""Write Chinese in the script that a reader wants: simplified or traditional, whatever the model wrote. Pure.

The conversion is OpenCC's and knows phrases. So whole segments are converted, then cut into their words again. Text and
words stay equal, and no time changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Script, Segment, Transcript

CHINESE: Final = frozenset(["zh", "yue"])
"""Languages that are converted. Japanese shares the characters but is not converted."""


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
def _converter(script: Script) -> Callable[[str], str]:
    from opencc import OpenCC  # loads dictionaries for 25 ms, so only where a script is wanted

    to_script: Callable[[str], str] = OpenCC("t2s" if script is Script.SIMPLIFIED else "s2t").convert
    return to_script
