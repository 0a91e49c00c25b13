"""Operations on speakers: what they do, what they refuse, and that each can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import Segment, Word
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList, line_of
from whisper_service.editing.operations import (
    ChangeText,
    ClientOperation,
    DeleteLine,
    JoinSpeakers,
    MergeLines,
    NameSpeaker,
    Operation,
    PutLines,
    PutSpeakers,
    RemoveSpeaker,
    SetSpeaker,
    SplitLine,
)
from whisper_service.editing.rollback import rollback
from whisper_service.editing.speaker_changes import MAX_LISTED, speaker_changes, speakers_back, without_unused
from whisper_service.editing.speakers import Attribution, Speaker, who_speaks

S1, S2 = Speaker("s1", found=True), Speaker("s2", "", 1, 1, found=True)
ANNA = Speaker("s3", "Anna", 2, 2)
IDS = st.sampled_from(["s1", "s2", "s3", "s4"])
OPERATIONS = st.one_of(
    st.builds(NameSpeaker, IDS, st.sampled_from(["", "Anna", "Bo "])),
    st.builds(JoinSpeakers, IDS, IDS | st.none()),
    st.builds(RemoveSpeaker, IDS),
    st.builds(SetSpeaker, st.lists(st.sampled_from(["c0.0", "c1.0", "c2.0"]), min_size=1).map(tuple), IDS | st.none()),
)


def transcript(lines: int = 3, words: int = 4) -> list[Line]:
    """Lines with words that occur once, a second of silence between two lines."""
    result = []
    for chunk in range(lines):
        timed = tuple(Word(chunk * 3 + at / 2, chunk * 3 + at / 2 + 0.4, f" w{chunk}x{at}", 0.9) for at in range(words))
        text = "".join(word.word for word in timed).strip()
        result.append(line_of(Segment(chunk, 0, timed[0].start, timed[-1].end, text, timed)))
    return result


def after(speakers: Sequence[Speaker], *operations: Operation) -> list[Speaker]:
    return list(speaker_changes(speakers, operations).speakers.values())


def refused(speakers: Sequence[Speaker], *operations: Operation) -> str:
    with pytest.raises(BadEdit) as caught:
        speaker_changes(speakers, operations)
    return str(caught.value.params["reason"])


def test_a_name_is_given_changed_and_taken_away() -> None:
    assert after([S1], NameSpeaker("s1", " Anna \n Li ")) == [Speaker("s1", "Anna Li", found=True)]
    assert after([ANNA], NameSpeaker("s3", "")) == [Speaker("s3", "", 2, 2)]
    assert after([S1, S2], NameSpeaker("x", "Bo")) == [S1, S2, Speaker("x", "Bo", 2, 2)]
    assert after([], NameSpeaker("x", "")) == [Speaker("x")]


def test_a_line_gets_only_a_speaker_that_is_there_or_named_first() -> None:
    line = SetSpeaker(("c0.0",), "s3")
    assert refused([S1], line) == "no_speaker"
    assert refused([S1], line, NameSpeaker("s3", "Anna")) == "no_speaker"
    assert after([S1], NameSpeaker("s3", "Anna"), line)[1].name == "Anna"
    assert after([S1], SetSpeaker(("c0.0",), None)) == [S1]


def test_merges_never_go_round() -> None:
    joined = after([S1, S2, ANNA], JoinSpeakers("s2", "s1"), JoinSpeakers("s1", "s3"))
    assert who_speaks(joined) == {"s1": "s3", "s2": "s3", "s3": "s3"}
    assert refused(joined, JoinSpeakers("s3", "s2")) == "joined"
    assert refused(joined, JoinSpeakers("s1", "s2")) == "joined"
    assert refused(joined, JoinSpeakers("s1", "s1")) == "joined"
    assert refused(joined, JoinSpeakers("s1", "s9")) == refused(joined, JoinSpeakers("s9", None)) == "no_speaker"
    assert after(joined, JoinSpeakers("s2", None), JoinSpeakers("s1", None)) == [S1, S2, ANNA]


def test_only_a_speaker_that_a_person_made_is_removed() -> None:
    assert after([S1, ANNA], JoinSpeakers("s1", "s3"), RemoveSpeaker("s3")) == [S1]
    assert refused([S1], RemoveSpeaker("s1")) == "heard"
    assert refused([S1], RemoveSpeaker("s9")) == "no_speaker"
    lines = LineList(msgspec.structs.replace(line, speaker="s3") for line in transcript(2))
    outcome = apply(lines, [RemoveSpeaker("s3")])
    assert [line.speaker for line in lines] == [None, None]
    assert outcome.inverse == (SetSpeaker(("c0.0", "c1.0"), "s3"),)


def test_there_are_not_endlessly_many() -> None:
    many = [Speaker(f"s{at}", position=at) for at in range(MAX_LISTED)]
    assert refused(many, NameSpeaker("x", "Bo")) == "no_room"
    assert len(after(many[1:], NameSpeaker("x", "Bo"))) == MAX_LISTED


def test_an_inverse_leaves_out_what_is_no_longer_possible() -> None:
    gone = SetSpeaker(("c0.0",), "s9")
    lines = PutLines({}, (msgspec.structs.replace(transcript(1)[0], speaker="s9"),))
    outcome = speaker_changes(
        [S1], [NameSpeaker("s9", "Bo"), JoinSpeakers("s9", "s1"), RemoveSpeaker("s1"), gone, lines], strict=False
    )
    assert outcome.speakers == {"s1": S1}
    assert outcome.operations[3] == SetSpeaker(("c0.0",), None)
    put = outcome.operations[4]
    assert isinstance(put, PutLines)
    assert put.lines[0].speaker is None


def test_a_speaker_is_taken_away_only_if_no_line_has_it() -> None:
    outcome = speaker_changes([S1, ANNA], [PutSpeakers(unused=("s1", "s3", "s9"))])
    assert without_unused(outcome.speakers, outcome.unused, []) == {"s1": S1}
    assert without_unused(outcome.speakers, outcome.unused, ["s3"]) == {"s1": S1, "s3": ANNA}
    merged = {"s1": msgspec.structs.replace(S1, merged_into="s3"), "s3": ANNA}
    assert without_unused(merged, outcome.unused, []) == merged


def test_an_undo_does_not_undo_what_others_did_since() -> None:
    before = {each.id: each for each in (S1, S2)}
    named = speaker_changes([S1, S2], [NameSpeaker("s1", "Anna")]).speakers
    later = after(list(named.values()), JoinSpeakers("s1", "s2"))
    assert after(later, *speakers_back(before, named)) == [msgspec.structs.replace(S1, merged_into="s2"), S2]


@given(st.lists(OPERATIONS, min_size=1, max_size=6))
def test_every_edit_of_speakers_can_be_taken_back(operations: list[Operation]) -> None:
    people, lines = [S1, S2, ANNA], transcript()
    before = {each.id: each for each in people}
    try:
        outcome = speaker_changes(people, operations)
    except BadEdit:
        return
    now = LineList(lines)
    changed = apply(now, outcome.operations)
    spoken = without_unused(outcome.speakers, outcome.unused, {line.speaker or "" for line in now})
    assert set(who_speaks(spoken.values()).values()) <= set(spoken)
    back = (*speakers_back(before, spoken), *changed.inverse)
    encoded = msgspec.json.encode(back)
    assert msgspec.json.decode(encoded, type=tuple[Operation, ...]) == back
    if not back:
        return
    undone = speaker_changes(spoken.values(), back, strict=False)
    apply(now, undone.operations)
    assert without_unused(undone.speakers, undone.unused, {line.speaker or "" for line in now}) == before
    assert [line.speaker for line in now] == [line.speaker for line in lines]


@given(st.lists(st.lists(OPERATIONS, min_size=1, max_size=2), min_size=1, max_size=6))
def test_many_edits_are_taken_back_at_once(edits: list[list[Operation]]) -> None:
    start, lines = {each.id: each for each in (S1, S2, ANNA)}, LineList(transcript())
    people, inverses = dict(start), []
    for operations in edits:
        try:
            outcome = speaker_changes(people.values(), operations)
        except BadEdit:
            continue
        changed = apply(lines, outcome.operations)
        inverses.append((*speakers_back(people, outcome.speakers), *changed.inverse))
        people = outcome.speakers
    operations = list(rollback(LineList(lines), reversed(inverses), (), people.values()))
    if operations:
        outcome = speaker_changes(people.values(), operations)
        apply(lines, outcome.operations)
        people = without_unused(outcome.speakers, outcome.unused, {line.speaker or "" for line in lines})
    assert people == start
    assert [line.speaker for line in lines] == [None, None, None]


@given(st.data())
def test_labels_follow_the_text_through_any_edits(data: st.DataObject) -> None:
    """Every word that is still there has the speaker that it had, whatever was done around it."""
    lines = LineList(transcript())
    words = [word for line in lines for word in line.words]
    owners = dict(zip((word.word.strip() for word in words), data.draw(st.lists(
        st.sampled_from(["s1", "s2", "s3"]), min_size=len(words), max_size=len(words))), strict=True))  # fmt: skip
    timeline, last = [], 0.0
    for word in words:  # as the store makes it: in silence, in the middle
        first = any(line.words[0] is word for line in lines)
        timeline.append(((last + word.start) / 2 if first else word.start, owners[word.word.strip()]))
        last = word.end
    attribution = Attribution(tuple(timeline))
    for number in range(data.draw(st.integers(1, 8))):
        if not (shown := list(lines)):
            return
        try:
            apply(lines, [_some_edit(data, shown, number)])
        except (BadEdit, EditConflict):
            continue
        for line in lines:
            turns = [*attribution.turns_of(line), (len(line.words), "")]
            said = {at: speaker for (first, speaker), (end, _) in pairwise(turns) for at in range(first, end)}
            for at, word in enumerate(line.words):
                assert said[at] == owners.get(word.word.strip(), said[at])


def _some_edit(data: st.DataObject, lines: Sequence[Line], number: int) -> Operation:
    line = data.draw(st.sampled_from(lines))
    parts = line.text.split(" ")
    at = data.draw(st.integers(0, len(parts) - 1))
    match data.draw(st.sampled_from(["insert", "replace", "delete", "split", "merge", "drop"])):
        case "insert":
            parts[at:at] = [f"new{number}"]
        case "replace":
            parts[at] = f"other{number}"
        case "delete":
            del parts[at]
        case "split":
            return SplitLine(line.id, line.version, max(1, len(" ".join(parts[:at]))), f"n{number}")
        case "merge":
            following = lines[(lines.index(line) + 1) % len(lines)]
            return MergeLines((line.id, following.id), (line.version, following.version))
        case "drop" if len(lines) > 1:
            return DeleteLine(line.id, line.version)
    return ChangeText(line.id, line.version, " ".join(parts))


def test_words_written_at_the_beginning_of_a_line_are_of_its_speaker() -> None:
    lines = LineList(transcript(2))
    attribution = Attribution(((0.0, "s1"), (2.45, "s2")))  # the silence is from 1.9 to 3.0
    apply(
        lines, [ChangeText("c1.0", 0, "Oh " + "w1x0 w1x1 w1x2 w1x3"), ChangeText("c0.0", 0, "w0x0 w0x1 w0x2 w0x3 oh")]
    )
    assert [attribution.turns_of(line) for line in lines] == [((0, "s1"),), ((0, "s2"),)]


@pytest.mark.parametrize(
    "text",
    ['{"op":"put_speakers","speakers":[]}', '{"op":"name_speaker","id":"","name":"x"}',
     '{"op":"name_speaker","id":"x","name":"' + "x" * 61 + '"}', '{"op":"join_speakers","id":"x"}'],
)  # fmt: skip
def test_clients_cannot_send_everything(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=ClientOperation)
