"""Which edited words are aligned, and what of an alignment is taken over. All others keep their times to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from whisper_service.core.domain import Word
from whisper_service.core.errors import EditConflict
from whisper_service.editing.aligning import (
    LEAST_PROBABILITY,
    LEAST_S,
    LONGEST_S,
    MARGIN_S,
    WINDOW_S,
    FoundWord,
    WordStretch,
    is_too_long,
    may_be_due,
    runs,
    stretch,
    take_over,
)
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList
from whisper_service.editing.operations import ChangeText, MergeLines, SetTimes, SplitLine
from whisper_service.editing.retiming import TimedBy, timed

SAID = "one two three four five six seven eight nine ten"


def words(text: str, start: float = 0.0, step: float = 0.5, unspaced: bool = False) -> tuple[Word, ...]:
    """Return words of equal length with equal pauses: each is said for 0.8 of its step."""
    pieces = list(text) if unspaced else [f" {word}" for word in text.split()]
    return tuple(
        Word(start + at * step, round(start + (at + 0.8) * step, 3), piece, 0.9) for at, piece in enumerate(pieces)
    )


def line(text: str, index: int = 0, start: float = 0.0, chunk: int = 0, *, unspaced: bool = False) -> Line:
    said = words(text, start, unspaced=unspaced)
    return Line(
        id=f"c{chunk}.{index}",
        version=0,
        content=0,
        chunk=chunk,
        index=index,
        position=float(index),
        start=said[0].start,
        end=said[-1].end,
        text=text,
        words=tuple(map(timed, said)),
    )


def heard(lines: Sequence[Line]) -> list[Word]:
    return [word for each in lines for word in each.words]


def written(lines: Sequence[Line], **texts: str) -> list[Line]:
    """Return the lines after lines, by the number of each, were given another text: `_0="..."`."""
    kept = LineList(lines)
    operations = [ChangeText(id=lines[int(nth[1:])].id, v=0, text=text) for nth, text in texts.items()]
    apply(kept, operations)
    return list(kept)


def next_of(lines: Sequence[Line], said: Sequence[Word], tried: Sequence[str] = ()) -> WordStretch | None:
    return stretch(lines, said, tried, (0.0, inf), None)


def wanted_of(lines: Sequence[Line], said: Sequence[Word]) -> WordStretch:
    found = next_of(lines, said)
    assert found is not None
    return found


def found_at(wanted: WordStretch, shift: float = 0.0, probability: float = 0.9) -> list[FoundWord]:
    """Return what the model may say: each word where it is, `shift` later."""
    return [FoundWord(word.start + shift, word.end + shift, probability) for word in wanted.words]


# -- which words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (SAID, []),
        (SAID.replace("four", "red"), []),
        (SAID.replace("four five", "red green"), []),
        (SAID.replace("four five six", "red green blue"), [(3, 6)]),
        (SAID.replace("four five", "red green blue"), [(3, 6)]),
        (SAID.replace("four five six", "red"), []),
        (SAID.replace("four", "four red"), []),
        (SAID.replace("four", "four red green"), [(4, 6)]),
        (f"red green {SAID}", [(0, 2)]),
        (f"{SAID} red green", [(10, 12)]),
        (SAID.replace("one two", "red green"), []),
        (SAID.replace("nine ten", "red green"), []),
        (SAID.replace("one two three", "red green blue").replace("ten", "ten black white"), [(0, 3), (10, 12)]),
        ("red green blue", [(0, 3)]),
        ("red green", []),
    ],
)
def test_long_runs_and_insertions_are_aligned(text: str, places: list[tuple[int, int]]) -> None:
    before = [line(SAID)]
    after = written(before, _0=text)
    assert [(run.first, run.last) for run in runs(after, heard(before))] == places
    assert may_be_due(after[0]) or not places


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("我们今天讨论了关于语音识别的问题", []),
        ("我们昨晚讨论了关于语音识别的问题", []),
        ("我们昨晚研究过关于语音识别的问题", []),
        ("我们昨晚研究过有趣语音识别的问题", [(2, 9)]),
        ("我们今天讨论了关于有趣语音识别的问题", []),
        ("我们今天讨论了关于这些有趣语音识别的问题", [(9, 13)]),
    ],
)
def test_characters_of_han_count_half(text: str, places: list[tuple[int, int]]) -> None:
    before = [line("我们今天讨论了关于语音识别的问题", unspaced=True)]
    after = written(before, _0=text)
    assert [(run.first, run.last) for run in runs(after, heard(before))] == places


def test_a_line_that_a_person_wrote_is_an_insertion() -> None:
    before = [line("one two three", 0), line("four five six", 1, start=10.0)]
    new = replace(before[0], id="new", version=1, content=1, position=0.5, start=5.0, end=7.0, text="a b", words=())
    spread = written([replace(new, version=0, words=line("a b", start=5.0).words)], _0="red green")[0]
    found = runs([before[0], spread, before[1]], heard(before))
    assert [(run.first, run.last) for run in found] == [(3, 5)]


def test_two_neighbours_of_neighbouring_lines_are_one_run() -> None:
    before = [line("one two three", 0), line("four five six", 1, start=5.0)]
    after = written(before, _0="one red green", _1="blue five six")
    assert [(run.first, run.last) for run in runs(after, heard(before))] == [(1, 4)]


def test_words_that_a_person_moved_are_not_aligned() -> None:
    kept = LineList([line(SAID)])
    apply(kept, [ChangeText(id="c0.0", v=0, text=SAID.replace("four five six", "red green blue"))])
    apply(kept, [SetTimes(id="c0.0", v=1, start=1.0, end=5.9)])
    assert all(word.by is TimedBy.PERSON for each in kept for word in each.words)
    assert runs(list(kept), words(SAID)) == []


def test_a_run_that_was_tried_is_not_tried_again_until_it_is_edited() -> None:
    before = [line(SAID)]
    after = written(before, _0=SAID.replace("four five six", "red green blue"))
    (run,) = wanted_of(after, heard(before)).runs
    assert next_of(after, heard(before), [run.key]) is None
    elsewhere = written(before, _0=SAID.replace("four five six", "red green blue").replace("ten", "eleven"))
    assert next_of(elsewhere, heard(before), [run.key]) is None
    again = written(before, _0=SAID.replace("four five six", "red green black"))
    assert next_of(again, heard(before), [run.key]) is not None


# -- which sound -----------------------------------------------------------------------------------------------------


def test_the_whole_chunk_is_aligned() -> None:
    before = [line("one two three four", 0, start=2.0), line("five six seven", 1, start=8.0)]
    after = written(before, _0="red green blue four")
    wanted = stretch(after, heard(before), (), (1.5, 12.0), (1.0, 11.0))
    assert wanted is not None
    assert wanted.texts == ("red", " green", " blue", " four", " five", " six", " seven") or wanted.texts[0] == " red"
    assert (wanted.start, wanted.end) == (1.0 - MARGIN_S, 11.0 + MARGIN_S)
    assert (wanted.earliest, wanted.latest) == (1.5, 12.0)


def test_a_full_chunk_fits_into_the_window_of_the_model() -> None:
    before = [line("one two three four", 0, start=40.0), line("five six", 1, start=68.0)]
    after = written(before, _0="red green blue four")
    wanted = stretch(after, heard(before), (), (0.0, inf), (40.0, 40.0 + LONGEST_S))
    assert wanted is not None
    assert wanted.start == 40.0 - MARGIN_S
    assert wanted.end == pytest.approx(wanted.start + WINDOW_S)


def test_lines_that_are_too_long_together_are_aligned_around_the_run() -> None:
    before = [line("one two three four", nth, start=12.0 * nth) for nth in range(6)]
    kept = LineList(before)
    apply(kept, [ChangeText(id="c0.4", v=0, text="one red green blue")])
    wanted = stretch(list(kept), heard(before), (), (0.0, inf), (0.0, 29.0))
    assert wanted is not None
    assert "c0.4" in [each.id for each in wanted.lines]
    assert 2 <= len(wanted.lines) < 6
    assert wanted.end - wanted.start <= WINDOW_S
    (run,) = wanted.runs
    assert [word.word.strip() for word in wanted.words[run.first : run.last]] == ["red", "green", "blue"]
    assert wanted.earliest <= wanted.lines[0].start
    assert wanted.latest >= wanted.lines[-1].end


def test_one_line_that_is_too_long_is_told_apart() -> None:
    kept = LineList([line("one two three", 0), line("four five six", 1, start=35.0)])
    said = heard(list(kept))
    apply(kept, [MergeLines(ids=("c0.0", "c0.1"), v=(0, 0))])
    apply(kept, [ChangeText(id="c0.0", v=1, text="one two three red green blue")])
    wanted = wanted_of(list(kept), said)
    assert is_too_long(wanted)
    assert not is_too_long(wanted_of(written([line(SAID)], _0="red green blue"), words(SAID)))


def test_lines_are_one_text_with_spaces_where_the_script_has_them() -> None:
    spaced = [line("one two three", 0), line("four", 1, start=5.0)]
    assert "".join(wanted_of(written(spaced, _0="red green blue"), heard(spaced)).texts) == " red green blue four"
    han = [line("我们今天讨论", 0, unspaced=True), line("问题", 1, start=5.0, unspaced=True)]
    assert "".join(wanted_of(written(han, _0="他的昨晚研究"), heard(han)).texts) == "他的昨晚研究问题"


# -- what is taken over ----------------------------------------------------------------------------------------------


def test_only_the_run_gets_new_times() -> None:
    before = [line(SAID)]
    after = written(before, _0=SAID.replace("four five six", "red green blue"))
    wanted = wanted_of(after, heard(before))
    (operation,) = take_over(wanted, found_at(wanted, 0.04)).operations
    kept = LineList(after)
    outcome = apply(kept, [operation])
    (now,) = list(kept)
    assert (now.text, now.version, now.content) == (after[0].text, 1, 1)
    assert outcome.inverse == ()
    for at, (word, old) in enumerate(zip(now.words, after[0].words, strict=True)):
        if at not in (3, 4, 5):
            assert word == old
        else:
            assert (word.word, word.probability, word.by) == (old.word, 1.0, TimedBy.ALIGNED)
    assert now.words[3].start == pytest.approx(after[0].words[3].start + 0.04)


@pytest.mark.parametrize(("probability", "taken"), [(LEAST_PROBABILITY - 0.01, 0), (LEAST_PROBABILITY, 1)])
def test_words_that_were_hardly_said_stay_spread(probability: float, taken: int) -> None:
    before = [line(SAID)]
    wanted = wanted_of(written(before, _0=SAID.replace("four five six", "red green blue")), heard(before))
    alignment = take_over(wanted, found_at(wanted, probability=probability))
    assert len(alignment.operations) == taken
    assert len(alignment.refused) == 1 - taken


def test_times_stay_between_the_words_beside_the_run() -> None:
    before = [line(SAID)]
    wanted = wanted_of(written(before, _0=SAID.replace("four five six", "red green blue")), heard(before))
    found = found_at(wanted)
    found[3] = FoundWord(0.2, 1.7, 0.9)
    found[5] = FoundWord(2.6, 9.0, 0.9)
    (operation,) = take_over(wanted, found).operations
    assert operation.times[0] == (wanted.words[2].end, 1.7)
    assert operation.times[-1] == (2.6, wanted.words[6].start)


def test_a_word_without_time_leaves_the_run_as_it_is() -> None:
    before = [line(SAID)]
    wanted = wanted_of(written(before, _0=SAID.replace("four five six", "red green blue")), heard(before))
    for times in ((1.8, 1.8 + LEAST_S / 2), (0.1, 0.3), (8.0, 9.0)):  # too short; all of it before, or behind
        found = found_at(wanted)
        found[4] = FoundWord(*times, 0.9)
        assert take_over(wanted, found).operations == ()


def test_a_line_whose_times_were_set_by_hand_keeps_them() -> None:
    kept = LineList([line(SAID)])
    said = words(SAID)
    apply(kept, [SetTimes(id="c0.0", v=0, start=0.2, end=4.9)])
    apply(kept, [ChangeText(id="c0.0", v=1, text=f"red green blue {SAID}")])
    (held,) = list(kept)
    assert held.held
    wanted = wanted_of([held], said)
    found = found_at(wanted)
    found[:3] = [FoundWord(0.0, 0.25, 0.9), FoundWord(0.25, 0.3, 0.9), FoundWord(0.3, 0.35, 0.9)]
    for operation in take_over(wanted, found).operations:
        apply(kept, [operation])
        (now,) = list(kept)
        assert (now.start, now.end) == (held.start, held.end)
        assert min(word.start for word in now.words if word.by is TimedBy.ALIGNED) >= held.start


def test_times_for_words_that_are_gone_are_a_conflict() -> None:
    before = [line(SAID)]
    wanted = wanted_of(written(before, _0="red green blue"), heard(before))
    (operation,) = take_over(wanted, found_at(wanted)).operations
    with pytest.raises(EditConflict):
        apply(LineList(before), [operation])
    with pytest.raises(EditConflict):
        apply(LineList(written(before, _0="red green blue")), [replace(operation, first=1)])


VOCABULARY = ["one", "two", "three", "red", "green", "blue"]


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Line], list[Word]]:
    """Draw lines, and what people made of them: other texts, and a cut or a join."""
    texts = draw(
        st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=2, max_size=9), min_size=1, max_size=4).map(
            lambda lists: [" ".join(each) for each in lists]
        )
    )
    before, start = [], 0.0
    for nth, text in enumerate(texts):
        before.append(line(text, nth, start))
        start = before[-1].end + draw(st.sampled_from([0.0, 0.2, 2.0]))
    kept = LineList(before)
    for each in before:
        if draw(st.booleans()):
            text = " ".join(draw(st.lists(st.sampled_from(VOCABULARY), min_size=2, max_size=9)))
            apply(kept, [ChangeText(id=each.id, v=0, text=text)])
    first = next(iter(kept))
    if draw(st.booleans()):
        apply(kept, [SplitLine(id=first.id, v=first.version, at=len(first.text.split()[0]), new="cut")])
    return list(kept), heard(before)


def test_many_of_the_drawn_lines_have_words_to_align() -> None:
    found = shares(edited(), lambda case: ["due"] if next_of(*case) is not None else [])
    assert found["due"] > 0.3


@given(edited(), st.data())
def test_whatever_is_found_all_other_words_stay_to_the_bit(
    case: tuple[list[Line], list[Word]], data: st.DataObject
) -> None:
    lines, said = case
    wanted = next_of(lines, said)
    if wanted is None:
        return
    times = st.floats(0, 30)
    found = [
        FoundWord(*sorted((data.draw(times), data.draw(times))), data.draw(st.sampled_from([0.4, 0.9])))
        if data.draw(st.booleans())
        else FoundWord(word.start, word.end, 0.9)
        for word in wanted.words
    ]
    alignment = take_over(wanted, found)
    kept = LineList(lines)
    if alignment.operations:
        apply(kept, alignment.operations)
    inside = {at for run in wanted.runs for at in range(run.first, run.last)}
    refused = {run for run in wanted.runs if run.key in alignment.refused}
    now = [word for each in kept for word in each.words]
    for at, (word, old) in enumerate(zip(now, [word for each in lines for word in each.words], strict=True)):
        assert word.word == old.word
        if at not in inside or any(run.first <= at < run.last for run in refused):
            assert word == old
        else:
            assert word.by is TimedBy.ALIGNED
            assert word.end - word.start >= LEAST_S - 0.001
    assert [(each.id, each.text, each.version, each.content) for each in kept] == [
        (each.id, each.text, each.version, each.content) for each in lines
    ]
    assert all(one.start <= one.end for one in now)
