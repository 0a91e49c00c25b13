"""Stretches of speech in audio."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from testkit.sounds import babble, hiss, join, silence
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.actors.vad import FRAME
from whisper_service.core.domain import SAMPLE_RATE

SOUND = join(hiss(2), babble(4), silence(3), babble(5, seed=1), hiss(2)).astype(np.float32) / 32768


def test_stretches_begin_and_end_with_the_speech() -> None:
    found = SpeechFinder()(SOUND)
    assert all(begin < end for begin, end in found)
    assert all(a[1] < b[0] for a, b in pairwise(found)), "stretches that touch are one"
    edges = (
        found[0][0],
        max(end for _, end in found if end < 8),
        min(begin for begin, _ in found if begin > 8),
        found[-1][1],
    )
    assert edges == pytest.approx((2, 6, 9, 14), abs=0.25)
    assert all(round(edge * SAMPLE_RATE) % FRAME == 0 for edge in edges)


def test_no_speech_is_found_in_silence_and_noise() -> None:
    find = SpeechFinder()
    assert find(SOUND[:0]) == []
    assert find(np.zeros(5 * SAMPLE_RATE, dtype=np.float32)) == []
    assert find(hiss(5).astype(np.float32) / 32768) == []


def test_one_recording_does_not_change_the_result_of_the_next() -> None:
    find = SpeechFinder()
    first = find(SOUND)
    find(SOUND[: 5 * SAMPLE_RATE])
    assert find(SOUND) == first


def test_audio_beyond_full_scale_is_clipped_not_wrapped() -> None:
    assert SpeechFinder()(np.clip(SOUND * 40, -1, 1)) == SpeechFinder()(SOUND * 40)
