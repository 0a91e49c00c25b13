"""Captions of segments that people timed: each is one cue with its times, and the others make room."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from whisper_service.core.chinese import convert
from whisper_service.core.domain import Gap, HeldSegment, Script, Segment, Transcript, Word
from whisper_service.editing.lines import Line, line_of, segment_of
from whisper_service.editing.speakers import Attribution, Speaker
from whisper_service.export.captions.problems import CueProblem
from whisper_service.export.captions.style import Style
from whisper_service.export.captions.timing import Cue, cues
from whisper_service.export.cue_list import cue_list
from whisper_service.export.layout import Layout
from whisper_service.export.render import Format, render


def spoken(text: str, start: float, index: int = 0, *, word_s: float = 0.3) -> Segment:
    parts = text.split()
    words = tuple(
        Word(start + at * word_s, start + (at + 1) * word_s, f" {part}", 0.9) for at, part in enumerate(parts)
    )
    return Segment(0, index, start, words[-1].end, text, words)


def held(segment: Segment, start: float, end: float) -> HeldSegment:
    return HeldSegment(**{**asdict(segment), "words": segment.words, "start": start, "end": end})


def transcript(*segments: Segment, gaps: tuple[Gap, ...] = (), language: str = "en") -> Transcript:
    return Transcript("a.wav", 60.0, language, "base", segments, gaps)


def shown(found: list[Cue]) -> list[tuple[int, int, tuple[str, ...]]]:
    return [(cue.start, cue.end, cue.lines) for cue in found]


def test_it_is_one_cue_with_exactly_its_times_whatever_else_would_be_done() -> None:
    """No lingering, no shortest time, no joining with its neighbours, no cut at its sentences and silences."""
    first, second = spoken("He said that", 0.0), spoken("nobody came.", 0.9, 1)
    assert shown(cues(transcript(first, held(second, 0.95, 1.2)))) == [
        (0, 867, ("He said that",)),
        (950, 1200, ("nobody came.",)),
    ]
    two = spoken("Nobody came. Not even Stella.", 5.0)
    pause = replace(two, words=(*two.words[:3], *(replace(w, start=w.start + 9, end=w.end + 9) for w in two.words[3:])))
    assert shown(cues(transcript(held(pause, 5.0, 20.0)))) == [(5000, 20_000, ("Nobody came. Not even Stella.",))]


def test_its_text_is_broken_into_as_many_rows_as_it_needs() -> None:
    short = "When the rain had stopped and the road was dry again,"
    (two,) = cues(transcript(held(spoken(short, 0.0), 0.0, 9.0)))
    assert two.lines == ("When the rain had stopped", "and the road was dry again,")
    long = f"{short} we packed our things into the old car, and we drove along the coast."
    (many,) = cues(transcript(held(spoken(long, 0.0), 0.0, 9.0)))
    assert len(many.lines) == 3
    assert " ".join(many.lines) == long
    assert all(len(row) <= 42 for row in many.lines)
    (one_row,) = cues(transcript(held(spoken(short, 0.0), 0.0, 9.0)), Style(lines=1))
    assert len(one_row.lines) == 2


def test_others_make_room_and_overlap_only_where_there_is_none() -> None:
    before, behind = spoken("We went down to the river.", 0.0), spoken("Nobody had seen the boat.", 5.0, 2)
    timed = held(spoken("Yes.", 2.0, 1), 1.5, 5.4)
    assert shown(cues(transcript(before, timed, behind))) == [
        (0, 1417, ("We went down to the river.",)),
        (1500, 5400, ("Yes.",)),
        (5400, 6871, ("Nobody had seen the boat.",)),
    ]
    whole = held(spoken("Yes.", 2.0, 1), 1.5, 6.4)
    assert shown(cues(transcript(before, whole, behind)))[-1] == (5000, 6500, ("Nobody had seen the boat.",))


def test_two_of_them_may_overlap() -> None:
    found = cues(transcript(held(spoken("One.", 1.0), 1.0, 4.0), held(spoken("Two.", 2.0, 1), 2.0, 3.0)))
    assert shown(found) == [(1000, 4000, ("One.",)), (2000, 3000, ("Two.",))]


def test_a_cue_that_is_longer_than_the_start_of_the_next_stays_in_order_of_time() -> None:
    long = spoken("We went down to the river. Nobody had seen the boat for days.", 0.0)
    found = cues(transcript(long, held(spoken("Yes.", 9.0, 1), 1.0, 1.5)))
    assert [cue.start for cue in found] == [0, 1000, 1800]
    assert [cue.lines[0] for cue in found][1] == "Yes."
    assert found[-1].end > 2500, "it is not squeezed into a millisecond"


def test_a_gap_inside_of_it_follows_it() -> None:
    found = cues(transcript(held(spoken("one two three four", 0.0), 0.0, 2.0), gaps=(Gap(0.7, 0.9, "x"),)))
    assert [cue.lines for cue in found] == [("one two three four",), ("[not transcribed: x]",)]
    assert shown(found)[0][:2] == (0, 2000)


def test_two_speakers_in_it_share_the_cue_and_both_are_named() -> None:
    people = [Speaker("s1", "Anna", 0, 0), Speaker("s2", "Bo", 1, 1)]
    line = held(spoken("How are you? Fine. And you?", 0.0), 0.1, 3.0)
    other = spoken("Good.", 1.0, 1)
    labelled = Attribution([(0.0, "s1"), (0.85, "s2")], people).labelled([line, other], "en")
    srt = render(transcript(*labelled), Format.SRT).decode()
    assert srt.startswith("1\n00:00:00,100 --> 00:00:03,000\nAnna: How are you? Bo: Fine. And you?\n\n2\n")
    vtt = render(transcript(*labelled), Format.VTT).decode()
    assert "00:00:00.100 --> 00:00:03.000\n<v Anna>How are you? Fine. And you?\n" in vtt


def test_a_line_whose_times_people_set_is_one_in_every_format_and_in_either_script() -> None:
    line = replace(line_of(spoken("這種產品", 1.0)), held=True, start=1.25, end=1.5)
    segment = segment_of(line)
    assert isinstance(segment, HeldSegment)
    assert not isinstance(segment_of(replace(line, held=False)), HeldSegment)
    value = transcript(segment, language="zh")
    assert cues(convert(value, Script.SIMPLIFIED))[0].lines == ("这种产品",)
    for script in (None, Script.SIMPLIFIED):
        files = {
            kind: render(value, kind, Layout(script=script)).decode() for kind in (Format.SRT, Format.VTT, Format.ASS)
        }
        assert "00:00:01,250 --> 00:00:01,500" in files[Format.SRT]
        assert "00:00:01.250 --> 00:00:01.500" in files[Format.VTT]
        assert "0:00:01.25,0:00:01.50" in files[Format.ASS]
    plain = transcript(Segment(**{**asdict(segment), "words": segment.words}), language="zh")
    assert render(value, Format.JSON) == render(plain, Format.JSON)


def lines_of(*segments: Segment) -> list[Line]:
    return [replace(line_of(each), held=isinstance(each, HeldSegment)) for each in segments]


def test_the_list_has_the_cues_of_the_subrip_file_with_the_lines_they_are_made_of() -> None:
    long = spoken("We went down to the river. Nobody had seen the boat for days.", 0.0)
    first, second = spoken("He said that", 20.0, 1), spoken("nobody came.", 20.9, 2)
    timed = held(spoken("Yes, please, now, and quickly.", 30.0, 3), 30.0, 30.5)
    parts = (long, first, second, timed)
    value = transcript(*parts, gaps=(Gap(10.0, 12.0, "x"),))
    found = cue_list(value, Layout(), lines_of(*parts), 7)
    assert found.edits == 7
    assert [[(part.line, part.begin, part.end) for part in cue.parts] for cue in found.cues] == [
        [("c0.0", 0, 26)],
        [("c0.0", 27, 61)],
        [],
        [("c0.1", 0, 12), ("c0.2", 0, 12)],
        [("c0.3", 0, 30)],
    ]
    assert [cue.gap for cue in found.cues] == [False, False, True, False, False]
    assert found.cues[-1].held
    assert found.cues[-1].problems == (CueProblem.TOO_FAST, CueProblem.TOO_SHORT)
    assert found.cues[-1].speed == 60.0
    assert_as_srt(value, Layout())


def assert_as_srt(value: Transcript, layout: Layout) -> None:
    srt = render(value, Format.SRT, layout).decode()
    read = re.findall(r"(\d+):(\d+):(\d+),(\d+) --> (\d+):(\d+):(\d+),(\d+)\n((?:.+\n)+)", srt)
    seconds = [
        tuple(round(h * 3600 + m * 60 + s + ms / 1000, 3) for h, m, s, ms in (map(int, row[:4]), map(int, row[4:8])))
        for row in read
    ]
    listed = cue_list(value, layout, lines_of(*value.segments), 0).cues
    assert [(cue.start, cue.end) for cue in listed] == seconds
    assert ["\n".join(cue.rows).replace("-->", "→") for cue in listed] == [row[8].rstrip("\n") for row in read]


words = st.sampled_from(["the", "river.", "a", "boat,", "你", "好。", "days", "and", "—", "«so»"])


@st.composite
def texts_in_time(draw: st.DrawFn) -> list[Segment]:
    at, found = 0.0, list[Segment]()
    for index in range(draw(st.integers(1, 6))):
        at += draw(st.sampled_from([0.0, 0.2, 3.0]))
        segment = spoken(" ".join(draw(st.lists(words, min_size=1, max_size=30))), at, index)
        if draw(st.booleans()):
            start = at + draw(st.sampled_from([0.0, 0.1, 0.5]))
            segment = held(segment, start, start + draw(st.sampled_from([0.1, 1.0, 8.0])))
        at = max(at, segment.start + draw(st.sampled_from([0.3, 2.0])))
        found.append(segment)
    return found


@given(texts_in_time(), st.booleans())
def test_whatever_is_timed_by_people_comes_out_unchanged(segments: list[Segment], no_words: bool) -> None:
    if no_words:
        segments = [replace(each, words=()) for each in segments]
    value = transcript(*segments)
    found = cues(value)
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)
    assert all(cue.start < cue.end for cue in found)
    timed = [each for each in segments if isinstance(each, HeldSegment)]
    assert sorted((round(each.start * 1000), round(each.end * 1000)) for each in timed) == sorted(
        (cue.start, cue.end) for cue in found if cue.held
    )
    assert sorted("".join(each.text.split()) for each in timed) == sorted(
        "".join("".join(cue.lines).split()) for cue in found if cue.held
    )
    listed = cue_list(value, Layout(), lines_of(*segments), 0)
    texts = {f"c0.{each.index}": each.text for each in segments}
    for cue in listed.cues:  # what the parts name is what the cue says
        named = "".join(texts[part.line][part.begin : part.end] for part in cue.parts)
        assert "".join(named.split()) == "".join("".join(cue.rows).split())
    assert_as_srt(value, Layout())


@pytest.mark.parametrize(
    "layout", [Layout(style=Style(lines=1)), Layout(script=Script.TRADITIONAL), Layout(speakers=False)]
)
def test_the_list_follows_the_layout(layout: Layout) -> None:
    value = transcript(
        replace(spoken("We went down to the river. Nobody had seen the boat for days.", 0.0), speaker="Anna"),
        replace(spoken("发展 历史", 9.0, 1), speaker="Bo"),
        language="zh",
    )
    assert_as_srt(value, layout)
