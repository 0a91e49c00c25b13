"""The channels of a chunk: what each says itself, and one text of it all."""

from __future__ import annotations

import numpy as np
import pytest

from testkit.sounds import RATE, babble, silence
from whisper_service.actors.speech.channels import Audio, in_order, speaker_of, spoken
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.core.domain import Segment


def sound(*parts: tuple[float, int | None]) -> Audio:
    """Return syllables (seconds, seed) and silence (seconds, None) one after the other, -1..1."""
    pieces = [silence(seconds) if seed is None else babble(seconds, seed) for seconds, seed in parts]
    return np.concatenate(pieces).astype(np.float32) / 32768


LEFT = sound((3, 1), (4, None), (3, 2))
RIGHT = sound((3.5, None), (3, 3), (3.5, None))


def afar(audio: Audio, share: float = 0.1) -> Audio:
    """Return the sound as another microphone has it: quieter, 5 ms later, and with an echo."""
    late = round(0.005 * RATE)
    result = np.zeros_like(audio)
    result[late:] = share * audio[:-late]
    result[4 * late :] += 0.4 * share * audio[: -4 * late]
    return result


def heard(*channels: Audio) -> dict[int, Audio]:
    return dict(spoken(np.stack(channels), SpeechFinder()))


def loudness(audio: Audio, begin: float, end: float) -> float:
    return float(np.abs(audio[round(begin * RATE) : round(end * RATE)]).max())


def test_each_channel_keeps_what_is_said_in_it() -> None:
    found = heard(LEFT, RIGHT)
    assert sorted(found) == [0, 1]
    np.testing.assert_array_equal(found[0][: 2 * RATE], LEFT[: 2 * RATE])
    np.testing.assert_array_equal(found[1][4 * RATE : 6 * RATE], RIGHT[4 * RATE : 6 * RATE])


def test_what_is_heard_of_another_microphone_is_silenced() -> None:
    found = heard(LEFT + afar(RIGHT), RIGHT + afar(LEFT))
    assert loudness(found[0], 0.5, 2.5) > 0.1
    assert loudness(found[0], 4.0, 6.0) == 0
    assert loudness(found[1], 0.5, 2.5) == 0
    assert loudness(found[1], 4.0, 6.0) > 0.1


def test_two_people_at_once_are_both_kept_also_a_quiet_one() -> None:
    other = sound((10, 4))
    found = heard(LEFT, 0.15 * other)
    assert loudness(found[0], 0.5, 2.5) > 0.1
    assert loudness(found[1], 0.5, 2.5) > 0.02


def test_a_channel_without_speech_is_left_out() -> None:
    assert sorted(heard(LEFT, np.zeros_like(LEFT))) == [0]
    assert sorted(heard(np.zeros_like(LEFT), LEFT, np.zeros_like(LEFT))) == [1]


def test_where_no_channel_has_speech_the_loudest_one_is_recognised() -> None:
    quiet = np.full(RATE, 0.001, dtype=np.float32)
    found = heard(quiet, 2 * quiet)
    assert sorted(found) == [1]
    np.testing.assert_array_equal(found[1], 2 * quiet)


def segment(index: int, start: float, text: str) -> Segment:
    return Segment(chunk=7, index=index, start=start, end=start + 1, text=text)


def test_the_text_of_all_channels_is_in_order_of_time_with_a_speaker_each() -> None:
    said = [(0, [segment(0, 1.0, "a"), segment(1, 5.0, "c")]), (1, [segment(0, 1.0, "b"), segment(1, 2.5, "d")])]
    rows = [(each.index, each.text, each.speaker) for each in in_order(said)]
    assert rows == [(0, "a", "s1"), (1, "b", "s2"), (2, "d", "s2"), (3, "c", "s1")]


@pytest.mark.parametrize(("channel", "speaker"), [(0, "s1"), (7, "s8")])
def test_a_channel_names_its_speaker(channel: int, speaker: str) -> None:
    assert speaker_of(channel) == speaker
