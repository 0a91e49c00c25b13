"""Counts the work for a chunk, and limits it where the language is in doubt. Pure.

The unit is the work to encode a second of audio, so the limits are the same on every machine. A chunk in a wrong
language may cost three times what it costs in the right one. So a text has a length at which it is cut off, and a
search that may lead beyond the bound does not begin. docs/adr/0020-language-per-chunk.md has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whisper_service.actors.speech.engine import MAX_TOKENS, padded_s

TOKEN_S: Final = 0.5
BEAM_TOKEN_S: Final = 0.7
"""A token costs as much as encoding so many seconds; measured with base on two processors."""
USUAL_TOKENS_PER_S: Final = 2.3
"""Tokens of a second of calm speech. Measured: 2.0 to 6.2 in seven languages."""
LEAST_TOKENS: Final = 24
TOKENS_PER_S: Final = 6.0
"""More tokens than these of a window are no speech, at first sight: a longer text is cut off, and looked at again only
if its language is not in doubt. Measured: at most 71 tokens in 11.3 s."""
BOUND: Final = 3.0
"""Work for a chunk in a doubtful language, in multiples of its least work. That a right language is in doubt happens:
telephone Spanish has 0.26. So a text that ends still gets a beam at full width."""


def most_tokens(seconds: float, beam_size: int = 1) -> int:
    """Return the length at which the text of so much audio is cut off.

    With a beam only windows of equal limits are searched together. So these limits are those of the widths.
    """
    if beam_size > 1:
        seconds = padded_s(seconds)
    return min(MAX_TOKENS, LEAST_TOKENS + int(TOKENS_PER_S * seconds))


def token_s(beam_size: int) -> float:
    """Return the work for a token of a search."""
    return TOKEN_S if beam_size == 1 else BEAM_TOKEN_S


@dataclass(slots=True)
class Effort:
    """The work for one chunk."""

    least: float  # in the right language
    done: float = 0.0
    in_doubt: bool = False  # a window is hardly in the language it was decoded in

    @classmethod
    def of(cls, seconds: float, *, wide: bool, beam_size: int) -> Effort:
        """Return the effort of a chunk without any work. `wide` and `beam_size` are those of its first search."""
        return cls(padded_s(seconds, wide=wide) + USUAL_TOKENS_PER_S * seconds * token_s(beam_size))

    def allows(self, work: float) -> bool:
        """Return whether more work may be done."""
        return not self.in_doubt or self.done + work <= BOUND * self.least


def greedy_s(seconds: float) -> float:
    """Return the most work of a greedy search in so much audio, with encoding."""
    return padded_s(seconds) + most_tokens(seconds) * TOKEN_S
