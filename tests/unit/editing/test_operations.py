"""What people do with the lines of a transcript, and how it is undone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import Segment, Word
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.editing.applying import Outcome, apply
from whisper_service.editing.lines import Line, LineList, line_of
from whisper_service.editing.operations import (
    ChangeText,
    DeleteLine,
    HeardLine,
    InsertLine,
    MergeLines,
    Operation,
    PutLines,
    SetChecked,
    SetSpeaker,
    SetTimes,
    SplitLine,
    UseHeard,
)
from whisper_service.editing.rollback import rollback
from whisper_service.editing.speakers import Speaker
from whisper_service.editing.splitting import split_words

TEXTS = ["Good day.", "那么苹果呢？", "We go home now.", "Yes.", "在2024年。"]


def segment(chunk: int, index: int, start: float, text: str) -> Segment:
    """Return a segment whose words take 0.3 s each, with pauses of 0.1 s."""
    words = tuple(
        Word(start=start + 0.4 * at, end=start + 0.4 * at + 0.3, word=word, probability=0.5)
        for at, word in enumerate(split_words(f" {text}"))
    )
    return Segment(chunk, index, start, words[-1].end, text, words, "en", avg_logprob=-0.3, no_speech_prob=0.1)


def transcript() -> list[Line]:
    """Return five lines in two chunks, ten seconds apart."""
    return [line_of(segment(at // 3, at % 3, 10.0 * at, text)) for at, text in enumerate(TEXTS)]


def do(lines: Sequence[Line], *operations: Operation) -> tuple[list[Line], Outcome]:
    after = LineList(lines)
    outcome = apply(after, operations)
    return list(after), outcome


def texts(lines: Sequence[Line]) -> list[str]:
    return [line.text for line in lines]


def content(lines: Sequence[Line]) -> list[Line]:
    """Return lines without what only counts changes."""
    return [msgspec.structs.replace(line, version=0, content=0, position=0.0) for line in lines]


def test_a_new_text_moves_only_the_times_of_new_words() -> None:
    before = transcript()
    after, outcome = do(before, ChangeText(id="c0.2", v=0, text="  We went\nhome now. "))
    line = after[2]
    assert (line.text, line.version, line.start, line.end) == ("We went home now.", 1, before[2].start, before[2].end)
    assert [one == other for one, other in zip(line.words, before[2].words, strict=True)] == [True, False, True, True]
    assert outcome.lines == (line,)
    assert after[:2] + after[3:] == before[:2] + before[3:]


def test_the_same_text_changes_nothing() -> None:
    after, outcome = do(transcript(), ChangeText(id="c0.0", v=0, text="Good day."))
    assert after == transcript()
    assert outcome == Outcome(lines=(), gone=(), inverse=())


def test_an_emptied_line_is_deleted_and_comes_back_with_its_times() -> None:
    after, outcome = do(transcript(), ChangeText(id="c1.0", v=0, text=" "))
    assert texts(after) == [text for text in TEXTS if text != "Yes."]
    assert outcome.gone == ("c1.0",)
    again, _ = do(after, *outcome.inverse)
    assert content(again) == content(transcript())
    assert again[3].version == 1


def test_a_split_cuts_between_words_and_a_join_makes_the_line_it_was() -> None:
    before = transcript()
    after, _ = do(before, SplitLine(id="c0.2", v=0, at=5, new="n1"))
    first, second = after[2:4]
    assert (first.text, second.text) == ("We go", "home now.")
    assert first.end <= second.start
    assert first.words + second.words == before[2].words
    joined, _ = do(after, MergeLines(ids=("c0.2", "n1"), v=(1, 1)))
    assert content(joined) == content(before)


def test_han_is_split_and_joined_without_a_space() -> None:
    after, _ = do(transcript(), SplitLine(id="c0.1", v=0, at=2, new="n1"))
    assert texts(after[1:3]) == ["那么", "苹果呢？"]
    joined, _ = do(after, MergeLines(ids=("c0.1", "n1"), v=(1, 1)))
    assert texts(joined) == TEXTS


def test_a_split_inside_a_word_cuts_its_time_in_proportion() -> None:
    after, _ = do(transcript(), SplitLine(id="c1.0", v=0, at=1, new="n1"))
    first, second = after[3:5]
    assert (first.text, second.text) == ("Y", "es.")
    assert (first.start, first.end, second.start, second.end) == pytest.approx((30.0, 30.075, 30.075, 30.3))


def test_lines_of_two_chunks_become_one_of_the_first() -> None:
    after, _ = do(transcript(), MergeLines(ids=("c0.2", "c1.0", "c1.1"), v=(0, 0, 0)))
    assert texts(after) == ["Good day.", "那么苹果呢？", "We go home now. Yes. 在2024年。"]
    assert (after[2].chunk, after[2].start, after[2].end) == (0, 20.0, transcript()[4].end)


def test_only_neighbours_can_be_joined() -> None:
    with pytest.raises(BadEdit) as caught:
        do(transcript(), MergeLines(ids=("c0.0", "c0.2"), v=(0, 0)))
    assert caught.value.params["reason"] == "not_neighbours"


def test_a_new_line_stands_where_it_was_put() -> None:
    after, _ = do(transcript(), InsertLine(after="c0.1", new="n1", start=15.0, end=16.0, text="Certainly not."))
    assert texts(after)[1:4] == ["那么苹果呢？", "Certainly not.", "We go home now."]
    assert [word.word for word in after[2].words] == ["Certainly", " not."]
    first, _ = do(after[1:], InsertLine(after=None, new="n2", start=1.0, end=2.0, text="Title"))
    assert texts(first)[0] == "Title"


def test_fifty_splits_in_one_place_are_possible() -> None:
    long = segment(0, 0, 0.0, " ".join(["word"] * 120))
    lines, line_id, version = [line_of(long), line_of(segment(0, 1, 100.0, "End."))], "c0.0", 0
    for at in range(100):
        lines, _ = do(lines, SplitLine(id=line_id, v=version, at=4, new=f"n{at}"))
        line_id, version = f"n{at}", 1
    assert texts(lines)[:100] == ["word"] * 100
    assert texts(lines)[-1] == "End."


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (21.0, 22.5, [21.0, 21.4, 21.8, 22.2]),  # moved
        (20.3, 21.2, [20.3, 20.54, 20.78, 21.02]),  # squeezed from both sides
        (20.5, 21.5, [20.5, 20.5, 20.8, 21.2]),  # the left edge only: cut off
    ],
)
def test_times_set_by_hand_take_the_words_along(start: float, end: float, words: list[float]) -> None:
    after, _ = do(transcript(), SetTimes(id="c0.2", v=0, start=start, end=end))
    assert (after[2].start, after[2].end, after[2].held) == (start, end, True)
    assert [word.start for word in after[2].words] == pytest.approx(words)
    edited, _ = do(after, ChangeText(id="c0.2", v=1, text="We go home"))
    assert (edited[2].start, edited[2].end) == (start, end)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (SetTimes(id="c0.1", v=0, start=12.0, end=12.0), "no_time"),
        (SetTimes(id="c0.1", v=0, start=21.0, end=25.0), "order"),
        (ChangeText(id="c0.1", v=0, text="x" * 2001), "too_long"),
        (SplitLine(id="c0.1", v=0, at=99, new="n1"), "split"),
        (SplitLine(id="c0.1", v=0, at=2, new="c0.0"), "id_taken"),
        (InsertLine(after="c0.1", new="n1", start=2.0, end=1.0, text="x"), "empty"),
        (InsertLine(after="c0.1", new="n1", start=2.0, end=3.0, text="x"), "order"),
    ],
)
def test_what_cannot_be_stored_is_refused(operation: Operation, code: str) -> None:
    with pytest.raises(BadEdit) as caught:
        do(transcript(), operation)
    assert caught.value.params["reason"] == code


@pytest.mark.parametrize(
    "operation",
    [
        ChangeText(id="c0.0", v=1, text="x"),
        DeleteLine(id="c7.0", v=0),
        SplitLine(id="c0.0", v=3, at=2, new="n1"),
        MergeLines(ids=("c0.0", "c0.1"), v=(0, 2)),
        SetSpeaker(ids=("c0.0", "gone"), speaker="s1"),
        PutLines(v={"c0.0": 5}, lines=(transcript()[0],)),
    ],
)
def test_a_line_that_changed_meanwhile_is_not_overwritten(operation: Operation) -> None:
    with pytest.raises(EditConflict):
        do(transcript(), operation)


def test_speaker_and_check_do_not_disturb_a_text_that_is_on_its_way() -> None:
    after, outcome = do(
        transcript(), SetSpeaker(ids=("c0.0", "c0.2"), speaker="s1"), SetChecked(ids=("c0.0",), on=True)
    )
    after, _ = do(after, ChangeText(id="c0.0", v=0, text="Good night."))
    after, _ = do(after, *outcome.inverse)
    assert (after[0].text, after[0].speaker, after[0].checked, after[2].speaker) == ("Good night.", None, False, None)


def test_the_json_of_an_operation_names_it() -> None:
    data = b'{"op":"split","id":"c12.3","v":1,"at":13,"new":"01mb"}'
    assert msgspec.json.decode(data, type=Operation) == SplitLine(id="c12.3", v=1, at=13, new="01mb")


@st.composite
def batches(draw: st.DrawFn, lines: list[Line], number: int) -> list[Operation]:
    """Return a batch of one or two operations that the lines may allow."""
    line = draw(st.sampled_from(lines))
    one = draw(st.sampled_from(["text", "split", "merge", "delete", "insert", "time", "speaker", "check", "heard"]))
    following = [other for other in lines if (other.chunk, other.position) > (line.chunk, line.position)]
    match one:
        case "text":
            return [
                ChangeText(
                    id=line.id, v=line.version, text=draw(st.sampled_from([*TEXTS, "Good old day.", "", "那苹果呢"]))
                )
            ]
        case "split":
            return [SplitLine(id=line.id, v=line.version, at=draw(st.integers(1, 8)), new=f"n{number}")]
        case "merge" if following:
            return [MergeLines(ids=(line.id, following[0].id), v=(line.version, following[0].version))]
        case "insert":
            end = line.end + draw(st.floats(0.1, 3))
            return [InsertLine(after=line.id, new=f"n{number}", start=line.end, end=end, text="So be it")]
        case "time":
            start = line.start + draw(st.floats(0, 2))
            return [SetTimes(id=line.id, v=line.version, start=start, end=start + draw(st.floats(0.1, 5)))]
        case "speaker":
            return [SetSpeaker(ids=(line.id,), speaker="s1"), SetChecked(ids=(line.id,), on=True)]
        case "heard":
            replaced = [line, *following[: draw(st.integers(0, 2))]]
            middle = (line.start + replaced[-1].end) / 2
            heard = (
                HeardLine(f"n{number}", line.start, middle, "Once again"),
                HeardLine(
                    f"m{number}", middle, replaced[-1].end, "and again", (Word(middle, middle, "and again", 0.5),)
                ),
            )
            ids, versions = (tuple(getattr(each, name) for each in replaced) for name in ("id", "version"))
            return [UseHeard(ids, versions, heard[: draw(st.integers(1, 2))], "small")]
        case "check":
            return [
                SetChecked(ids=(line.id,), on=False),
                ChangeText(id=line.id, v=line.version, text="Checked and changed"),
            ]
        case _:
            return [DeleteLine(id=line.id, v=line.version)]


@given(st.data())
def test_the_log_folds_to_the_lines_and_its_inverses_lead_back(data: st.DataObject) -> None:
    states, log = [transcript()], []
    for number in range(data.draw(st.integers(1, 8))):
        if not states[-1]:
            break
        operations = data.draw(batches(states[-1], number))
        try:
            after, outcome = do(states[-1], *operations)
        except BadEdit:
            continue
        states.append(after)
        log.append((operations, outcome))
    folded = transcript()
    for operations, outcome in log:
        shown = {line.id: line for line in folded}
        folded, again = do(folded, *operations)
        assert again == outcome
        shown.update((line.id, line) for line in outcome.lines)
        assert folded == list(LineList(line for line in shown.values() if line.id not in outcome.gone))
    assert folded == states[-1]
    at = data.draw(st.integers(0, len(log)))
    inverses = [outcome.inverse for _, outcome in reversed(log[at:])]
    if back := rollback(LineList(folded), inverses, speakers=[Speaker("s1")]):
        restored, _ = do(folded, *back)
        assert content(restored) == content(states[at])
    else:
        assert content(folded) == content(states[at])
    for (_, outcome), before in zip(reversed(log), reversed(states[:-1]), strict=True):
        if outcome.inverse:
            folded, _ = do(folded, *outcome.inverse)
        assert content(folded) == content(before)
