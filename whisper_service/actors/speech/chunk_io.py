"""Reads the audio of a chunk from the spool, and turns its recognition into segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from whisper_service.actors.samples import read_channels, read_samples
from whisper_service.actors.speech import channels
from whisper_service.actors.speech.words import text_of
from whisper_service.core.domain import Segment, Span
from whisper_service.supervision.messages.speech import ChunkInput

if TYPE_CHECKING:
    from whisper_service.actors.speech.recognition import FindSpeech
    from whisper_service.actors.speech.windows import Recognition


def read_audio(chunk: ChunkInput, find_speech: FindSpeech) -> list[tuple[int, npt.NDArray[np.float32]]]:
    """Return the audio of a chunk, 16 kHz mono, -1..1, by channel with the number of each.

    Where the channels are not apart, channel 0 is all of it. Raises `UnreadableChunk` unless all is in the spool.
    """
    if not chunk.channels:
        return [(0, read_samples(chunk.spool, chunk.span))]
    return channels.spoken(read_channels(chunk.spool, chunk.span, chunk.channels), find_speech)


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
