"""Where recordings are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.media.chunker import Chunker, ChunkPolicy, policy_for
from whisper_service.actors.vad import FRAME
from whisper_service.core.domain import SAMPLE_RATE, Span

POLICY = ChunkPolicy(min_speech_s=0.0)
SECOND = SAMPLE_RATE / FRAME  # frames

runs = st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1, width=32)), max_size=40)
speeches = runs.map(lambda runs: [level for length, level in runs for _ in range(length)])
policies = st.builds(
    ChunkPolicy,
    max_s=st.floats(1.5, 30),
    first_s=st.floats(0, 10),
    close_pause_s=st.floats(0.1, 4),
    cut_pause_s=st.floats(0.05, 0.5),
    good_pause_s=st.floats(0.05, 2),
    search_s=st.floats(0, 6),
    pad_s=st.floats(0, 0.5),
    onset=st.floats(0.5, 1),
    offset=st.floats(0.05, 0.5),
    min_speech_s=st.just(0.0),
    lonely_speech_s=st.just(0.0),
)


def cut(probabilities: list[float], policy: ChunkPolicy = POLICY, offset_s: float = 0.0) -> list[Span]:
    chunker = Chunker(policy, offset_s)
    return [*chunker.feed(probabilities), *chunker.finish(len(probabilities) * FRAME)]


def speech(seconds: float) -> list[float]:
    return [0.9] * round(seconds * SECOND)


def pause(seconds: float) -> list[float]:
    return [0.01] * round(seconds * SECOND)


@given(speeches, policies)
def test_spans_are_in_order_within_bounds_and_never_overlap(probabilities: list[float], policy: ChunkPolicy) -> None:
    spans = cut(probabilities, policy)
    assert [span.index for span in spans] == list(range(len(spans)))
    assert all(0 < span.samples <= policy.max_s * SAMPLE_RATE for span in spans)
    assert all(span.start_sample >= 0 for span in spans)
    assert all(a.start_sample + a.samples <= b.start_sample for a, b in pairwise(spans))
    assert all(span.start_sample + span.samples <= len(probabilities) * FRAME for span in spans)


@given(speeches, policies)
def test_every_frame_of_speech_is_covered(probabilities: list[float], policy: ChunkPolicy) -> None:
    covered: set[int] = set()
    for span in cut(probabilities, policy):
        covered.update(range(-(-span.start_sample // FRAME), (span.start_sample + span.samples) // FRAME))
    assert {frame for frame, level in enumerate(probabilities) if level >= policy.onset} <= covered


@given(speeches, policies, st.integers(1, 500))
def test_it_does_not_matter_in_what_portions_the_frames_come(
    probabilities: list[float], policy: ChunkPolicy, portion: int
) -> None:
    chunker = Chunker(policy)
    spans: list[Span] = []
    for begin in range(0, len(probabilities), portion):
        spans += chunker.feed(probabilities[begin : begin + portion])
        fed = min(begin + portion, len(probabilities)) * FRAME
        assert all(span.start_sample + span.samples <= fed for span in spans), "reached behind what is written"
    spans += chunker.finish(len(probabilities) * FRAME)
    assert spans == cut(probabilities, policy)


@given(speeches, policies)
def test_the_last_frame_may_be_padding(probabilities: list[float], policy: ChunkPolicy) -> None:
    samples = max(0, len(probabilities) * FRAME - FRAME + 1)
    chunker = Chunker(policy)
    spans = [*chunker.feed(probabilities), *chunker.finish(samples)]
    assert all(span.samples > 0 and span.start_sample + span.samples <= samples for span in spans)


def test_silence_has_no_chunks() -> None:
    assert cut(pause(100)) == []
    assert cut([]) == []


def test_a_long_pause_ends_a_window_and_a_short_one_stays_inside() -> None:
    spans = cut(speech(3) + pause(0.5) + speech(2) + pause(POLICY.close_pause_s + 1) + speech(1))
    assert [round(span.samples / SAMPLE_RATE) for span in spans] == [6, 1]


def test_the_first_window_closes_early_so_that_text_comes_soon() -> None:
    sentence = speech(3) + pause(0.4)
    spans = cut(sentence * 12)
    assert POLICY.first_s <= spans[0].samples / SAMPLE_RATE < POLICY.first_s + 3.4 + 2 * POLICY.pad_s
    assert all(span.samples / SAMPLE_RATE > 14 for span in spans[1:-1])


def test_a_window_that_grows_too_long_is_cut_in_its_longest_late_pause() -> None:
    probabilities = speech(12) + pause(0.3) + speech(12) + pause(0.6) + speech(4) + pause(0.3) + speech(4)
    first, second = cut(probabilities, ChunkPolicy(first_s=99))
    assert first.end == pytest.approx(24.3 + 0.3, abs=0.05)
    assert second.start == pytest.approx(first.end, abs=0.05)


def test_of_two_good_pauses_the_later_one_is_taken_though_it_is_shorter() -> None:
    probabilities = speech(14) + pause(2.0) + speech(9) + pause(0.7) + speech(6)
    first, _ = cut(probabilities, ChunkPolicy(first_s=99))
    assert first.end == pytest.approx(25 + 0.35, abs=0.05)


def test_speech_without_a_pause_is_cut_where_it_is_least_like_speech() -> None:
    probabilities = speech(60)
    weak = round(26 * SECOND)
    probabilities[weak] = 0.6
    first, second, *_ = cut(probabilities)
    assert first.start_sample + first.samples == weak * FRAME == second.start_sample


def test_hysteresis_keeps_a_word_together() -> None:
    assert len(cut([0.6] * 10 + [0.4] * 200 + [0.6] * 10)) == 1
    assert len(cut([0.6] * 10 + [0.3] * 200 + [0.6] * 10)) == 2


def test_a_click_is_not_a_word_but_a_short_word_left_over_by_a_cut_is() -> None:
    policy = ChunkPolicy(min_speech_s=0.1)
    assert cut(pause(3) + [0.9] * 2 + pause(3), policy) == []
    assert len(cut(pause(3) + [0.9] * 4 + pause(3), policy)) == 1
    leftover = speech(28.6) + pause(0.3) + [0.9] * 3 + pause(3)
    assert len(cut(leftover, ChunkPolicy(min_speech_s=0.2, first_s=99))) == 2


def test_padding_is_kept_on_both_sides_and_shared_in_a_narrow_pause() -> None:
    (span,) = cut(pause(2) + speech(2) + pause(2))
    assert (span.start, span.end) == pytest.approx((2 - POLICY.pad_s, 4 + POLICY.pad_s), abs=0.05)
    a, b = cut(speech(2) + pause(0.4) + speech(2), ChunkPolicy(close_pause_s=0.25))
    assert a.end <= b.start


def test_times_are_on_the_clock_of_the_recording() -> None:
    (span,) = cut(pause(2) + speech(2) + pause(2), offset_s=100.0)
    assert span.start == pytest.approx(100 + span.start_sample / SAMPLE_RATE)
    assert span.end == pytest.approx(span.start + span.samples / SAMPLE_RATE)


@pytest.mark.parametrize("wrong", [{"onset": 0.3, "offset": 0.4}, {"max_s": 0.5}, {"offset": 0.0}])
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        ChunkPolicy(**wrong)


def test_a_short_recording_is_heard_as_a_whole() -> None:
    clip = speech(12) + pause(0.5) + speech(8)
    assert len(cut(clip, policy_for(len(clip) / SECOND))) == 1


@pytest.mark.parametrize("duration_s", [None, 3600.0])
def test_a_long_recording_gives_its_first_text_early(duration_s: float | None) -> None:
    clip = speech(12) + pause(0.5) + speech(8)
    first, *_ = cut(clip, policy_for(duration_s))
    assert first.end < 13


def test_music_that_sounds_like_speech_for_a_moment_tells_no_language() -> None:
    music = [*speech(0.2), *pause(0.3), *speech(0.28), *pause(2.0)]
    brief = policy_for(180.0, brief=True)
    assert len(cut(music)) == 1
    assert cut(music, brief) == []
    assert cut(music * 20, brief) == []
    assert len(cut(music * 20)) > 1
    word = [*pause(1.0), *speech(0.4), *pause(1.0)]
    assert len(cut(word, brief)) == 1
    (said,) = cut([*music * 4, *speech(3.0)], brief)
    assert said.end == pytest.approx(len(music * 4) * FRAME / SAMPLE_RATE + 3.0, abs=0.1)


def test_where_people_speak_is_told_frame_by_frame() -> None:
    chunker = Chunker(policy_for(None))
    frame_s = FRAME / SAMPLE_RATE

    def told(probabilities: list[float]) -> tuple[bool, list[int] | None]:
        list(chunker.feed(probabilities))
        places = chunker.speech
        return chunker.speaking, None if places is None else [round(place / frame_s) for place in places]

    assert told([0.0] * 10) == (False, None)
    assert told([1.0] * 20) == (True, [10, 30])
    assert told([0.0] * 3 + [1.0] * 5) == (True, [10, 38])  # between words
    assert told([0.0] * 12) == (False, [10, 38])
    assert told([1.0] * 4) == (True, [50, 54])
    again = Chunker(policy_for(None))
    again.restore(chunker.state())
    assert again.speech == (10 * frame_s, 54 * frame_s)  # where its chunk began
    list(again.feed([0.0] * 200))
    assert again.speech == (10 * frame_s, 54 * frame_s)
