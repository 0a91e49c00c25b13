"""Sound that has no text is told."""

from __future__ import annotations

import numpy as np
import pytest

from testkit.sounds import RATE, Samples, babble, hiss, join, silence
from whisper_service.actors.media.unheard import Unheard
from whisper_service.core.domain import Span


def measured(sound: Samples) -> Unheard:
    unheard = Unheard()
    for begin in range(0, len(sound), RATE // 2):
        unheard.feed(sound[begin : begin + RATE // 2])
    return unheard


def span(begin: float, end: float) -> Span:
    return Span(0, round(begin * RATE), round((end - begin) * RATE), begin, end)


def test_sound_outside_of_all_chunks_is_told_with_its_place() -> None:
    unheard = measured(join(hiss(20), babble(10), hiss(20), babble(5), hiss(5)))
    assert list(unheard.stretches([span(19.5, 30.5)])) == [(50.0, 55.0)]
    assert list(unheard.stretches([span(19.5, 30.5), span(49.5, 55.5)])) == []
    remark = unheard.remark([], 100.0)
    assert remark is not None
    assert (remark.code, remark.params) == ("unheard", {"seconds": 15.0, "at_s": 120.0, "end_s": 130.0, "places": 2})
    assert remark.message == (
        "Sound without recognised speech from 120 to 130 seconds, and in 1 other place: 15 seconds in all."
    )
    alone = unheard.remark([span(49.5, 55.5)], 0.0)
    assert alone is not None
    assert alone.message == "Sound without recognised speech from 20 to 30 seconds."


@pytest.mark.parametrize(
    "sound",
    [silence(30), hiss(30), join(silence(30), babble(2)), join(hiss(20), np.tile(hiss(1, 1), 10)), silence(0)],
    ids=["silence", "noise", "short", "more noise", "empty"],
)
def test_quiet_and_steady_rooms_are_nothing_to_speak_of(sound: Samples) -> None:
    assert measured(sound).remark([], 0.0) is None
