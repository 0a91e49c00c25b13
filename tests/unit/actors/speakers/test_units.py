"""Where the text of a chunk is cut into units."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_service.actors.speakers.chunk_voices import Unit, Voice, VoiceWindow
from whisper_service.actors.speakers.segmentation import FRAME_S, HOP
from whisper_service.actors.speakers.units import cut, frames_heard
from whisper_service.core.domain import Segment, Span, Word

SPAN = Span(index=3, start_sample=32_000, samples=160_000, start=2.5, end=12.5)
SECOND = 16_000


def words(*rows: tuple[float, float, str]) -> tuple[Word, ...]:
    """Words with times in seconds from the beginning of the chunk."""
    return tuple(Word(SPAN.start + start, SPAN.start + end, text, 0.9) for start, end, text in rows)


def segment(index: int, *rows: tuple[float, float, str]) -> Segment:
    said = words(*rows)
    return Segment(SPAN.index, index, said[0].start, said[-1].end, "".join(word.word for word in said), said)


def even(text: str, start: float = 0.0, step: float = 0.4) -> Segment:
    """A segment of words without pauses."""
    return segment(0, *((start + n * step, start + (n + 1) * step, f" {word}") for n, word in enumerate(text.split())))


def window(*turns: tuple[int, float, float], start: int = 0) -> VoiceWindow:
    """A window in which voices speak, each from one second of the window to another."""
    activity = np.zeros((589, max(voice for voice, _, _ in turns) + 1), dtype=np.bool_)
    for voice, begin, end in turns:
        activity[round(begin / FRAME_S) : round(end / FRAME_S), voice] = True
    return VoiceWindow(start, tuple(Voice(flags, None) for flags in activity.T))


def pieces(segments: list[Segment], units: list[Unit]) -> list[str]:
    """The text of each unit."""
    bounds = [(unit.segment, unit.word) for unit in units]
    ends = [*bounds[1:], (-1, 0)]
    return [
        "".join(w.word for w in segments[s].words[first : after if s == t else None]).strip()
        for (s, first), (t, after) in zip(bounds, ends, strict=True)
    ]


def test_a_unit_ends_with_its_sentence_and_its_segment() -> None:
    segments = [even("Are you there? Yes. Dr. Brown is."), segment(1, (5.0, 5.4, " And"), (5.4, 5.9, " here"))]
    units = cut(segments, SPAN, [])
    assert pieces(segments, units) == ["Are you there?", "Yes.", "Dr. Brown is.", "And here"]
    assert units[1] == Unit(0, 3, round(1.2 * SECOND), round(0.4 * SECOND))
    assert units[3] == Unit(1, 0, 5 * SECOND, round(0.9 * SECOND))


def test_a_pause_ends_a_unit_and_a_breath_does_not() -> None:
    segments = [segment(0, (0, 0.5, " so"), (0.79, 1.2, " we"), (1.51, 2, " go"), (2, 2.5, " on"))]
    assert pieces(segments, cut(segments, SPAN, [])) == ["so we", "go on"]


def test_another_voice_begins_a_unit() -> None:
    segments = [even("we begin at nine fine with me")]
    units = cut(segments, SPAN, [window((0, 0, 1.6), (1, 1.6, 2.8))])
    assert pieces(segments, units) == ["we begin at nine", "fine with me"]
    assert [(unit.start, unit.samples) for unit in units] == [(0, 25_600), (25_600, 19_200)]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        pytest.param([(0, 0, 1.2), (1, 1.2, 1.6), (0, 1.6, 2.8)], ["one two three four five six seven"], id="one word"),
        pytest.param([(0, 0, 1.2), (0, 1.6, 2.8)], ["one two three four five six seven"], id="nobody for a word"),
        pytest.param([(1, 0, 0.4), (0, 0.4, 2.8)], ["one two three four five six seven"], id="one word at first"),
        pytest.param([(0, 0, 2.4), (1, 2.4, 2.8)], ["one two three four five six seven"], id="one word at last"),
        pytest.param(
            [(0, 0, 1.2), (1, 1.2, 2.0), (0, 2.0, 2.8)], ["one two three", "four five", "six seven"], id="two"
        ),
    ],
)
def test_a_turn_needs_two_words_and_time(turns: list[tuple[int, float, float]], expected: list[str]) -> None:
    segments = [even("one two three four five six seven")]
    assert pieces(segments, cut(segments, SPAN, [window(*turns)])) == expected


def test_one_long_word_is_no_turn() -> None:
    slow = segment(0, (0, 1, " a"), (1, 2, " b"), (2, 3, " well"), (3, 4, " d"), (4, 5, " e"))
    assert len(cut([slow], SPAN, [window((0, 0, 2), (1, 2, 3), (0, 3, 5))])) == 1


def test_two_quick_words_are_no_turn() -> None:
    quick = segment(0, (0, 1, " a"), (1, 2, " b"), (2, 2.2, " c"), (2.2, 2.5, " d"), (2.5, 3, " e"), (3, 4, " f"))
    units = cut([quick], SPAN, [window((0, 0, 2), (1, 2, 2.5), (0, 2.5, 4))])
    assert len(units) == 1


def test_a_voice_keeps_its_number_from_window_to_window() -> None:
    hop = HOP / SECOND
    segments = [even("he says all of it from the first window to the very last word of the second one", 0.2, 0.7)]
    longer = Span(index=3, start_sample=0, samples=16 * SECOND, start=2.5, end=18.5)
    first = window((0, 2.0, 2.1), (1, 0.0, 10.0))
    second = window((0, 0.0, 10.0), start=HOP)  # the voice that is number 1 in the first window
    assert len(cut(segments, longer, [first, second])) == 1
    other = window((0, 0.0, 11.0 - hop), (1, 11.0 - hop, 10.0), start=HOP)
    assert len(cut(segments, longer, [first, other])) == 2


def test_a_segment_without_words_is_a_unit() -> None:
    whole = Segment(3, 0, 3.0, 4.5, "No times.")
    assert cut([whole], SPAN, []) == [Unit(0, 0, 8_000, 24_000)]


def test_units_stay_inside_the_chunk() -> None:
    segments = [segment(0, (-0.2, 0.3, " Before.")), segment(1, (9.5, 10.4, " Behind.")), segment(2, (11, 12, " Out."))]
    units = cut(segments, SPAN, [])
    assert [(unit.start, unit.samples) for unit in units] == [(0, 4_800), (152_000, 8_000), (160_000, 0)]


def test_a_chunk_without_text_has_no_units() -> None:
    assert cut([], SPAN, [window((0, 0, 5))]) == []


def test_frames_are_counted_inside_the_given_samples() -> None:
    heard = window((0, 1.0, 3.0), (1, 2.0, 4.0), start=HOP)
    assert frames_heard(heard, HOP + 2 * SECOND, HOP + 3 * SECOND) == pytest.approx([59, 59], abs=3)
    assert frames_heard(heard, 0, HOP) == [0, 0]
    assert frames_heard(heard, HOP + 20 * SECOND, HOP + 30 * SECOND) == [0, 0]
