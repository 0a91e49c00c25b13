"""Who says which words: the same cases as the page has, and what files show."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from whisper_service.core.domain import Segment, Word
from whisper_service.editing.speakers import Attribution, Speaker, Timeline, shown_name, who_speaks

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "ui" / "turns.json").read_text())
BOTH: Timeline = ((0.0, "s1"), (2.0, "s2"), (3.0, "s1"))
TWO = [Speaker("s1"), Speaker("s2", position=1)]


def line(*words: str, start: float = 1.0, speaker: str | None = None) -> Segment:
    """A segment whose words begin a second apart and last half of one."""
    timed = tuple(Word(start + at, start + at + 0.5, word, 0.9) for at, word in enumerate(words))
    return Segment(0, 0, start, start + len(words), "".join(words).strip(), timed, speaker=speaker)


def test_there_are_cases() -> None:
    assert len(CASES) > 9


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_words_of_a_line_belong_to_its_speakers(case: dict[str, Any]) -> None:
    given = case["line"]
    words = tuple(Word(start, start + 0.25, "x", 1.0) for start in given["words"])
    speakers = [Speaker(each, merged_into=into) for each, into in case["speakers"].items()]
    spoken = Segment(0, 0, given["start"], given["start"] + 9, "x", words, speaker=given["speaker"])
    timeline = tuple((start, who) for start, who in case["timeline"])
    assert Attribution(timeline, speakers).turns_of(spoken) == tuple(map(tuple, case["turns"]))


def test_words_that_nobody_was_heard_with_go_on_with_the_speaker_before_in_the_line() -> None:
    attribution = Attribution(((0.0, "s1"), (2.0, None), (3.0, "s2"), (4.0, None)))
    assert attribution.turns_of(line(" a", " b", " c")) == ((0, "s1"), (2, "s2"))
    assert attribution.turns_of(line(" d", start=5.0)) == ()
    assert attribution.turns_of(line(" b", " c", start=2.0)) == ((1, "s2"),)


def test_merges_that_go_round_end() -> None:
    assert set(who_speaks([Speaker("a", merged_into="b"), Speaker("b", merged_into="a")])) == {"a", "b"}
    assert who_speaks([Speaker("a", merged_into="gone")]) == {"a": "a"}


@given(
    st.lists(st.floats(0, 50), min_size=1, max_size=8, unique=True),
    st.lists(st.tuples(st.floats(0, 50), st.sampled_from(["s1", "s2", "s3", None])), max_size=6),
)
def test_pieces_have_all_words_in_order_and_one_speaker_each(
    starts: list[float], entries: list[tuple[float, str | None]]
) -> None:
    words = tuple(Word(start, start + 0.1, f" w{at}", 0.9) for at, start in enumerate(sorted(starts)))
    spoken = Segment(3, 7, words[0].start, words[-1].end, "".join(word.word for word in words).strip(), words)
    attribution = Attribution(tuple(sorted(dict(entries).items())))
    pieces = attribution.pieces_of(spoken)
    assert [word for piece in pieces for word in piece.words] == list(words)
    assert " ".join(piece.text for piece in pieces) == spoken.text
    assert (pieces[0].start, pieces[-1].end) == (spoken.start, spoken.end)
    assert all(piece.start <= piece.end and (piece.chunk, piece.index) == (3, 7) for piece in pieces)
    assert all(one.speaker != other.speaker for one, other in pairwise(pieces))
    for piece in pieces:
        turns = attribution.turns_of(piece if piece.speaker is None else replace(piece, speaker=None))
        assert turns == (((0, piece.speaker),) if piece.speaker is not None else ())


def test_a_segment_whose_words_are_not_its_text_keeps_its_text_and_goes_to_who_says_most_of_it() -> None:
    spoken = replace(line(" a", " b", " c"), text="something else")
    assert Attribution(BOTH, TWO).pieces_of(spoken) == [replace(spoken, speaker="s1")]


def test_a_file_has_names_only_if_there_are_two() -> None:
    spoken = [line(" a", " b", " c"), line(" d", start=5.0)]
    alone = Attribution(((0.0, "s1"),), [Speaker("s1", "Anna")])
    assert alone.labelled(spoken, "en") == tuple(spoken)
    named = Attribution(BOTH, [Speaker("s1", "Anna"), Speaker("s2", position=1)]).labelled(spoken, "en")
    assert [(piece.text, piece.speaker) for piece in named] == [
        ("a", "Anna"), ("b", "Speaker 2"), ("c", "Anna"), ("d", "Anna"),
    ]  # fmt: skip
    merged = [Speaker("s1"), Speaker("s2", position=1, merged_into="s1")]
    assert Attribution(BOTH, merged).labelled(spoken, "en") == tuple(spoken)
    namesakes = [Speaker("s1", "Anna"), Speaker("s2", "Anna", 1)]
    assert Attribution(BOTH, namesakes).labelled(spoken, "en") == tuple(spoken)


def test_text_without_a_speaker_has_no_name_among_those_who_have() -> None:
    timeline: Timeline = ((0.0, "s1"), (1.0, None), (2.0, "s2"))
    pieces = Attribution(timeline, TWO).labelled([line(" a", start=0.0), line(" b"), line(" c", start=2.0)], None)
    assert [piece.speaker for piece in pieces] == ["Speaker 1", None, "Speaker 2"]


@pytest.mark.parametrize(
    ("language", "name"), [("zh", "发言人 3"), ("yue", "发言人 3"), ("en", "Speaker 3"), (None, "Speaker 3")]
)
def test_a_speaker_without_a_name_has_a_number(language: str | None, name: str) -> None:
    assert shown_name(Speaker("s9", position=2), language) == name
    assert shown_name(Speaker("s9", "李", 2), language) == "李"


def test_speaking_time_is_that_of_the_words_and_of_lines_without_any() -> None:
    attribution = Attribution(BOTH, TWO)
    spoken = [line(" a", " b", " c"), Segment(0, 1, 2.5, 2.9, "no times"), line(" x", speaker="s2", start=9.0)]
    assert Attribution(speakers=TWO).seconds(spoken) == {"s2": 0.5}
    assert attribution.seconds(spoken) == pytest.approx({"s1": 1.0, "s2": 0.5 + 0.4 + 0.5})
