"""Captions: where text is cut, and what holds for any text and any times."""

from __future__ import annotations

from itertools import pairwise, zip_longest

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import Gap, Segment, Transcript, Word
from whisper_service.core.text import clean, columns
from whisper_service.export.captions.pieces import Piece, line
from whisper_service.export.captions.style import Style
from whisper_service.export.captions.timing import FLICKER_MS, Cue, cues


def transcript(*segments: Segment, language: str = "en", gaps: tuple[Gap, ...] = ()) -> Transcript:
    return Transcript(name="a.wav", duration_s=10.0, language=language, model="base", segments=segments, gaps=gaps)


def spoken(text: str, *, start: float = 0.0, word_s: float = 0.3, pauses: dict[int, float] | None = None) -> Segment:
    """Return a segment with words of equal length. `pauses` maps a word's number to the silence before it."""
    words = []
    for number, part in enumerate(text.split(" ")):
        start += (pauses or {}).get(number, 0.0)
        words.append(Word(start, start + word_s, f" {part}", 0.9))
        start += word_s
    return Segment(0, 0, words[0].start, words[-1].end, " ".join(text.split(" ")), tuple(words))


def chinese(text: str, *, character_s: float = 0.22) -> Segment:
    words = tuple(Word(at * character_s, (at + 1) * character_s, c, 0.9) for at, c in enumerate(text))
    return Segment(0, 0, 0.0, words[-1].end, text, words)


def texts(value: Transcript, style: Style | None = None) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues(value, style)]


def test_nothing_said_gives_no_cues() -> None:
    assert cues(transcript()) == []
    assert cues(transcript(Segment(0, 0, 0.0, 1.0, " \n "))) == []


def test_sentences_are_cues() -> None:
    talk = spoken("We went down to the river. Nobody had seen the boat for days.")
    assert texts(transcript(talk)) == [("We went down to the river.",), ("Nobody had seen the boat for days.",)]


def test_a_long_sentence_is_cut_at_its_clauses() -> None:
    talk = spoken(
        "When the rain had stopped and the road was dry again, we packed our things into the old car,"
        " and we drove along the coast."
    )
    assert texts(transcript(talk)) == [
        ("When the rain had stopped", "and the road was dry again,"),
        ("we packed our things into the old car,", "and we drove along the coast."),
    ]


def test_a_line_does_not_end_with_an_article() -> None:
    talk = spoken("They found a letter for the queen in the drawer of an old desk")
    (lines,) = texts(transcript(talk))
    assert len(lines) == 2
    assert lines[0].split()[-1] not in {"a", "the", "in", "of", "an", "for"}


def test_a_sentence_across_segments_is_one_cue() -> None:
    first, second = spoken("He said that"), spoken("nobody came.", start=0.9)
    assert texts(transcript(first, second)) == [("He said that nobody came.",)]


def test_a_silence_is_never_inside_a_cue() -> None:
    talk = spoken("So I waited for him", pauses={2: 4.0})
    first, second = cues(transcript(talk))
    assert (first.lines, second.lines) == (("So I",), ("waited for him",))
    assert (first.start, second.start) == (0, 4600)
    assert first.end <= 600 + 1000  # it may stay to be read, but not through the silence


def test_two_speakers_never_share_a_cue() -> None:
    first = msgspec.structs.replace(spoken("Yes."), speaker="A")
    second = msgspec.structs.replace(spoken("No.", start=0.3), speaker="B")
    assert [(cue.lines, cue.speaker) for cue in cues(transcript(first, second))] == [
        (("Yes.",), "A"),
        (("No.",), "B"),
    ]


def test_a_gap_is_a_cue_of_its_own_in_its_place_as_long_as_it_is() -> None:
    value = transcript(
        spoken("before it"),
        spoken("after it", start=60.0),
        gaps=(Gap(10.0, 50.0, "it\nkilled the model again and again and again"),),
    )
    before, gap, after = cues(value)
    assert (gap.start, gap.end, gap.gap) == (10_000, 50_000, True)
    assert gap.lines == ("[not transcribed: it killed the model", "again and again and again]")
    assert (before.gap, after.gap) == (False, False)


def test_a_gap_between_two_words_cuts_there() -> None:
    value = transcript(spoken("one two three four", pauses={2: 0.4}), gaps=(Gap(0.7, 0.9, "x"),))
    assert texts(value) == [("one two",), ("[not transcribed: x]",), ("three four",)]


def test_short_words_stay_long_enough_to_be_read() -> None:
    (cue,) = cues(transcript(spoken("Yes.")))
    assert (cue.start, cue.end) == (0, 833)


def test_a_long_word_does_not_stay_for_ever() -> None:
    (cue,) = cues(transcript(Segment(0, 0, 0.0, 40.0, "Ah", (Word(0.0, 40.0, " Ah", 0.9),))))
    assert cue.end == 7000


def test_cues_that_follow_at_once_have_a_gap() -> None:
    first, second = cues(transcript(spoken("We went down to the river. Nobody had seen the boat for days.")))
    assert second.start - first.end == 83


def test_a_flicker_between_cues_is_closed() -> None:
    talk = spoken("We went down to the river. Nobody had seen the boat for days.", word_s=0.35, pauses={6: 0.3})
    first, second = cues(transcript(talk))
    assert second.start - first.end == 83


def test_chinese_lines_are_sixteen_characters_and_begin_with_no_mark() -> None:
    value = transcript(
        chinese("今天我们来讨论一下人工智能的发展历史,以及它对未来社会可能产生的影响。谢谢大家!"), language="zh"
    )
    found = texts(value)
    assert all(columns(text) <= 32 for lines in found for text in lines)
    assert not any(text[0] in ",。!、" for lines in found for text in lines)
    assert "".join("".join(lines) for lines in found) == value.segments[0].text
    assert found[-1][-1].endswith("谢谢大家!")


def test_a_chinese_line_ends_where_the_phrase_does() -> None:
    value = transcript(chinese("这种产品的设计 应该考虑文化历史和未来等因素"), language="zh")
    assert texts(value) == [("这种产品的设计", "应该考虑文化历史和未来等因素")]


def test_halves_of_a_word_are_never_apart() -> None:
    parts = [" Visit", " www.", "example", ".org", " now"]
    words = tuple(Word(at * 0.3, at * 0.3 + 0.3, part, 0.9) for at, part in enumerate(parts))
    value = transcript(Segment(0, 0, 0.0, 1.5, "Visit www.example.org now", words))
    found = texts(value, Style(line_columns=16, lines=1))
    assert next(text for lines in found for text in lines if "example" in text).count("www.example.org") == 1


def test_without_word_times_the_text_is_spread_over_the_segment() -> None:
    (cue,) = cues(transcript(Segment(0, 0, 10.0, 12.0, "one two three")))
    (row,) = cue.rows
    assert [(piece.text, piece.start, piece.end) for piece in row] == [
        ("one", 10_000, 10_571),
        ("two", 10_571, 11_142),
        ("three", 11_142, 12_000),
    ]


def test_an_edited_text_wins_over_the_words_it_was_made_from() -> None:
    talk = msgspec.structs.replace(spoken("I scream"), text="Ice cream!")
    assert texts(transcript(talk)) == [("Ice cream!",)]


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("你好", 4), ("e\u0301", 1), ("日本 abc", 8), ("👍", 2), ("ไทย", 3)]
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width


@pytest.mark.parametrize(
    "wish", [{"min_s": 3, "max_s": 2}, {"lines": 3}, {"line_columns": 0}, {"chars_per_s": 0}, {"cps": 3}]
)
def test_impossible_styles_are_refused(wish: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError, match="|".join(wish)):
        msgspec.convert(wish, Style)


marks = st.sampled_from(
    [
        "-->",
        " ",
        "\n",
        "\t",
        "。",
        ",",
        ".",
        "!",
        "“",
        "”",
        "(",
        "好",
        "ー",
        "\u0301",
        "\u200d",
        "\u202b",
        "\u2028",
        "\x00",
        "مرحبا",
        "ไทย",
        "the",
        "x" * 60,
    ]
)
said = st.one_of(
    st.text(max_size=12),
    st.lists(marks, max_size=5).map("".join),
    st.sampled_from(["the ", " river", " of", "你", "好"]),
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    at = draw(st.floats(0, 400_000))
    start = at
    words = []
    for text in draw(st.lists(said, max_size=25)):
        at += draw(st.sampled_from([0.0, 0.0, 0.1, 0.7, 3.0]))
        end = at + draw(st.sampled_from([0.0, 0.05, 0.3, 1.0, 9.0]))
        words.append(Word(at, end, text, 0.5))
        at = end
    text = "".join(word.word for word in words)
    kept = () if draw(st.booleans()) else tuple(words)
    return Segment(0, 0, start, at, text, kept, speaker=draw(st.sampled_from([None, None, "A"])))


values = st.builds(
    lambda items, gaps, language: transcript(*items, gaps=tuple(gaps), language=language),
    st.lists(segments(), max_size=4),
    st.lists(st.builds(Gap, st.floats(0, 400_000), st.floats(0, 400_000), said), max_size=2),
    st.sampled_from(["en", "zh", "fr", "xx"]),
)
styles = st.builds(
    Style,
    line_columns=st.integers(8, 60),
    cjk_line_columns=st.integers(8, 40),
    lines=st.integers(1, 2),
    chars_per_s=st.floats(5, 30),
    min_s=st.floats(0, 1),
    max_s=st.floats(1, 9),
    gap_s=st.floats(0, 0.5),
    pause_s=st.floats(0.2, 2),
    linger_s=st.floats(0, 2),
)


def flat(cue: Cue) -> list[Piece]:
    return [piece for row in cue.rows for piece in row]


@given(values, styles)
def test_every_word_is_said_once_and_in_order(value: Transcript, style: Style) -> None:
    ordered = sorted(value.segments, key=lambda segment: segment.start)
    wanted = "".join("".join(clean(segment.text).split()) for segment in ordered)
    found = "".join("".join(piece.text.split()) for cue in cues(value, style) if not cue.gap for piece in flat(cue))
    assert found == wanted


@given(values, styles)
def test_cues_follow_each_other(value: Transcript, style: Style) -> None:
    found = cues(value, style)
    assert all(0 <= cue.start < cue.end for cue in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(cue.rows and all(text.strip() for text in cue.lines) for cue in found)
    assert sum(cue.gap for cue in found) == len(value.gaps)


@given(values, styles)
def test_limits_hold_unless_one_piece_breaks_them(value: Transcript, style: Style) -> None:
    for cue in cues(value, style):
        pieces = flat(cue)
        whole = line(pieces)
        limit = style.limit(columns(whole), sum(2 for c in whole if columns(c) == 2))
        assert all(columns(text) <= limit or len(row) == 1 for text, row in zip(cue.lines, cue.rows, strict=True))
        if not cue.gap:
            assert len(cue.rows) <= style.lines
            assert cue.end - cue.start <= round(style.max_s * 1000)
            assert all(after.start - before.end < style.pause_s * 1000 for before, after in pairwise(pieces))
            last = max(pieces[-1].end, cue.start + 1)
            assert cue.end <= last + round(style.linger_s * 1000) + FLICKER_MS


@given(values)
def test_a_cue_is_shown_long_enough_if_there_is_room(value: Transcript) -> None:
    style = Style()
    found = cues(value, style)
    for cue, after in zip_longest(found, found[1:]):
        width = columns(" ".join(cue.lines))
        wide = sum(2 for c in "".join(cue.lines) if columns(c) == 2)
        need = 1000 * max(style.min_s, (width - wide) / style.chars_per_s + wide / 2 / style.cjk_chars_per_s)
        if cue.gap or cue.end - cue.start >= need - 2:
            continue
        lingered = cue.end >= max(flat(cue)[-1].end, cue.start + 1) + 1000
        assert lingered or cue.end - cue.start == 7000 or (after is not None and after.start - cue.end <= 84)


@given(values, styles)
def test_the_same_words_give_the_same_cues_again(value: Transcript, style: Style) -> None:
    """Cues that become segments with their words are cut at the same times again."""
    once = cues(value, style)
    assert cues(value, style) == once
    words = [(piece.start, piece.end, piece.text) for cue in once if not cue.gap for piece in flat(cue)]
    back = tuple(
        Segment(
            0,
            n,
            p[0].start / 1000,
            p[-1].end / 1000,
            line(p),
            tuple(Word(q.start / 1000, q.end / 1000, " " * q.space + q.text, 0.5) for q in p),
        )
        for n, p in enumerate(flat(cue) for cue in once if not cue.gap)
    )
    again = cues(transcript(*back, language=value.language or "en"), style)
    assert "".join(text for _, _, text in words).replace(" ", "") == "".join(
        p.text for cue in again for p in flat(cue)
    ).replace(" ", "")
    assert {at for cue in again for p in flat(cue) for at in (p.start,)} <= {start for start, _, _ in words}
