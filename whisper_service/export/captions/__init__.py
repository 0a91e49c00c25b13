"""A transcript as captions that people can read: words -> cues. Pure, and always the same for the same words.

Cuts where a subtitler would: at the ends of sentences, then clauses, then pauses; into at most two balanced lines, with articles
and prepositions beside what they belong to. Every cue says words in their order and none is left out, so speech faster than the
reading speed stays faster: such a cue is shown as long as there is room, and no longer. Times are whole milliseconds.
"""

from __future__ import annotations

from whisper_service.core.text import clean, columns
from whisper_service.export.captions.pieces import Piece, line
from whisper_service.export.captions.style import Style
from whisper_service.export.captions.timing import FLICKER_MS, Cue, cues

__all__ = ["FLICKER_MS", "Cue", "Piece", "Style", "clean", "columns", "cues", "line"]
