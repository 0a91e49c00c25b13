"""Finds the stretches of speech in audio that is complete, from the probabilities that `vad` gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whisper_service.actors.speech.coverage import Interval
from whisper_service.actors.vad import FRAME, OFFSET, ONSET, SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE


class SpeechFinder:
    """A function from audio to its speech. Not for two threads at once, because the detector has a state."""

    def __init__(self) -> None:
        self._detector = SpeechDetector()

    def __call__(self, audio: npt.NDArray[np.float32]) -> list[Interval]:
        """Return the stretches of speech in order, in seconds from the beginning.

        `audio` is 16 kHz mono, -1..1. Stretches begin and end at whole frames of 32 ms.
        """
        self._detector.reset()
        pcm = np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16)
        probabilities = self._detector.feed(pcm) + self._detector.finish()
        found: list[list[int]] = []
        speaking = False
        for frame, probability in enumerate(probabilities):
            speaking = probability >= (OFFSET if speaking else ONSET)
            if not speaking:
                continue
            if found and found[-1][1] == frame:
                found[-1][1] = frame + 1
            else:
                found.append([frame, frame + 1])
        return [(begin * FRAME / SAMPLE_RATE, end * FRAME / SAMPLE_RATE) for begin, end in found]
