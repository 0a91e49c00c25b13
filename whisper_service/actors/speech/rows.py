"""The two ends of recognition: from a row to its sound in the spool, and from what was heard to segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from whisper_service.actors.speech.words import text_of
from whisper_service.core.domain import Problem, Segment, Span
from whisper_service.supervision.protocol import ChunkInput

if TYPE_CHECKING:
    from whisper_service.actors.speech.recognition import Recognition

HINT = "Retry the job: the recording is decoded again."


class UnreadableChunk(Exception):
    """The sound of one row cannot be read; says nothing about other rows."""

    def __init__(self, code: str, message: str, row: ChunkInput, detail: str = "") -> None:
        super().__init__(message)
        params: dict[str, object] = {"at_s": round(row.span.start, 3)}
        if detail:
            params["detail"] = detail
        self.problem = Problem(code, message, HINT, params)


def sound_of(row: ChunkInput) -> npt.NDArray[np.float32]:
    """The sound of a row, 16 kHz mono, -1..1. Raises `UnreadableChunk` if it is not in the spool, whole."""
    try:
        pcm = np.fromfile(row.spool, dtype="<i2", count=row.span.samples, offset=2 * row.span.start_sample)
    except FileNotFoundError:
        raise UnreadableChunk(
            "spool_missing", "The decoded sound of the recording is no longer on the disk.", row
        ) from None
    except OSError as error:
        message = "The decoded sound of the recording cannot be read."
        raise UnreadableChunk("spool_unreadable", message, row, error.strerror or str(error)) from error
    if len(pcm) < row.span.samples:
        message = f"The decoded sound of the recording ends before {row.span.end:.1f} s."
        raise UnreadableChunk("spool_short", message, row, f"{len(pcm)} of {row.span.samples} samples")
    return pcm.astype(np.float32) / np.float32(32768)


def segments_of(heard: Recognition, span: Span, word_timestamps: bool) -> tuple[Segment, ...]:
    """Sentences of a chunk on the clock of the recording."""
    segments: list[Segment] = []
    for sentence in heard.sentences:
        words = tuple(
            replace(w, start=round(span.start + w.start, 3), end=round(span.start + w.end, 3)) for w in sentence.words
        )
        segments.append(
            Segment(
                chunk=span.index,
                index=len(segments),
                start=words[0].start,
                end=words[-1].end,
                text=text_of(sentence.words),
                words=words if word_timestamps else (),
                language=heard.language,
                avg_logprob=sentence.avg_logprob,
                no_speech_prob=sentence.no_speech_prob,
                compression_ratio=sentence.compression_ratio,
            )
        )
    return tuple(segments)
