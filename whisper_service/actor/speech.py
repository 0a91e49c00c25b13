"""The speech actor: holds a Whisper model and turns batches of chunks into segments.

Owns the order of that work: which thread does what, what is reported when, what happens when it fails. What is heard is
the business of `recognition`. Each slot is a thread that handles one batch at a time from beginning to end.
"""

from __future__ import annotations

import numpy as np

from whisper_service.actor import cuda_libraries

cuda_libraries.preload()


from whisper_service.actor.chunker import FRAME, ChunkPolicy  # noqa: E402
from whisper_service.actor.coverage import Interval  # noqa: E402
from whisper_service.actor.engine import Sound  # noqa: E402
from whisper_service.actor.recognition import Heard, Utterance  # noqa: E402
from whisper_service.actor.vad import SpeechDetector  # noqa: E402
from whisper_service.actor.words import text_of  # noqa: E402
from whisper_service.domain import SAMPLE_RATE, Segment, Span  # noqa: E402
from whisper_service.protocol import (  # noqa: E402
    Row,
)


class SpeechIn:
    def __init__(self) -> None:
        self._detector = SpeechDetector()

    def __call__(self, sound: Sound) -> list[Interval]:
        policy = ChunkPolicy()
        self._detector.reset()
        pcm = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
        probabilities = self._detector.feed(pcm) + self._detector.finish()
        found: list[list[int]] = []
        speaking = False
        for frame, probability in enumerate(probabilities):
            speaking = probability >= (policy.offset if speaking else policy.onset)
            if not speaking:
                continue
            if found and found[-1][1] == frame:
                found[-1][1] = frame + 1
            else:
                found.append([frame, frame + 1])
        return [(a * FRAME / SAMPLE_RATE, b * FRAME / SAMPLE_RATE) for a, b in found]


def utterance(row: Row) -> Utterance:
    pcm = np.fromfile(row.spool, dtype="<i2", count=row.span.samples, offset=2 * row.span.start_sample)
    return Utterance(pcm.astype(np.float32) / 32768, row.language, row.task)


def segments_of(heard: Heard, span: Span, word_timestamps: bool) -> tuple[Segment, ...]:
    out = []
    for s in heard.sentences:
        out.append(Segment(chunk=span.index, index=len(out), start=span.start + s.words[0].start, end=span.start + s.words[-1].end, text=text_of(s.words), avg_logprob=s.avg_logprob, no_speech_prob=s.no_speech_prob))
    return tuple(out)
