"""Reads the audio of a chunk from the spool, and turns its recognition into segments."""

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

HINT = "Retry the job. The service then decodes the recording again."


class UnreadableChunk(Exception):
    """The audio of one chunk cannot be read. Other chunks may be readable."""

    def __init__(self, code: str, message: str, chunk: ChunkInput, detail: str = "") -> None:
        super().__init__(message)
        params: dict[str, object] = {"at_s": round(chunk.span.start, 3)}
        if detail:
            params["detail"] = detail
        self.problem = Problem(code, message, HINT, params)


def read_audio(chunk: ChunkInput) -> npt.NDArray[np.float32]:
    """Return the audio of a chunk, 16 kHz mono, -1..1. Raises `UnreadableChunk` unless all of it is in the spool."""
    span = chunk.span
    try:
        pcm = np.fromfile(chunk.spool, dtype="<i2", count=span.samples, offset=2 * span.start_sample)
    except FileNotFoundError:
        message = "The decoded sound of the recording is no longer on the disk."
        raise UnreadableChunk("spool_missing", message, chunk) from None
    except OSError as error:
        message = "The decoded sound of the recording cannot be read."
        raise UnreadableChunk("spool_unreadable", message, chunk, error.strerror or str(error)) from error
    if len(pcm) < span.samples:
        message = f"The decoded sound of the recording ends before {span.end:.1f} s."
        raise UnreadableChunk("spool_short", message, chunk, f"{len(pcm)} of {span.samples} samples")
    return pcm.astype(np.float32) / np.float32(32768)


def segments_of(recognition: Recognition, span: Span, word_timestamps: bool) -> tuple[Segment, ...]:
    """Return the sentences of a chunk as segments, with times from the beginning of the recording."""
    segments: list[Segment] = []
    for sentence in recognition.sentences:
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
                language=sentence.language,
                avg_logprob=sentence.avg_logprob,
                no_speech_prob=sentence.no_speech_prob,
                compression_ratio=sentence.compression_ratio,
            )
        )
    return tuple(segments)
