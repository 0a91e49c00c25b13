"""Speakers that people chose line by line go into another transcript of the same recording."""

from __future__ import annotations

from msgspec.structs import replace

from whisper_service.core.domain import Segment
from whisper_service.editing.carried_speakers import carried, chosen
from whisper_service.editing.lines import Line, line_of
from whisper_service.editing.operations import NameSpeaker, SetSpeaker
from whisper_service.editing.speakers import Attribution, Speaker

ANNA, BO, NOBODY = Speaker("s1", "Anna", 0), Speaker("s2", "Bo", 1), Speaker("s3", "", 2)


def line(at: int, start: float, end: float, speaker: str | None = None) -> Line:
    return replace(line_of(Segment(0, at, start, end, f"text {at}")), speaker=speaker)


def test_choices_have_the_names_of_whom_speakers_were_joined_with() -> None:
    lines = [line(0, 0, 1, "s1"), line(1, 1, 2), line(2, 2, 3, "s2"), line(3, 3, 4, "s3"), line(4, 4, 5, "gone")]
    people = [ANNA, replace(BO, merged_into="s1"), NOBODY]
    assert [(each.id, name) for each, name in chosen(lines, people)] == [("c0.0", "Anna"), ("c0.2", "Anna")]


def test_a_line_gets_the_speaker_that_was_chosen_for_its_middle() -> None:
    choices = [(line(0, 0.0, 10.0), "Anna"), (line(1, 20.0, 30.0), "Bo")]
    lines = [line(0, 0.5, 9.0), line(1, 9.5, 12.0), line(2, 12.0, 19.0), line(3, 19.0, 22.0), line(4, 31.0, 32.0)]
    told = Attribution(((0.0, "s2"),), [ANNA, BO])
    assert carried(lines, told, [ANNA, BO], choices) == (SetSpeaker(("c0.0",), "s1"),)  # Bo speaks in the others anyway


def test_a_name_that_nobody_has_becomes_a_speaker_once() -> None:
    choices = [(line(0, 0.0, 10.0), "Li"), (line(1, 10.0, 20.0), "Li")]
    lines = [line(0, 0.0, 9.0), line(1, 11.0, 20.0)]
    assert carried(lines, Attribution(((0.0, "s1"),), [ANNA]), [ANNA], choices) == (
        NameSpeaker("carried1", "Li"),
        SetSpeaker(("c0.0", "c0.1"), "carried1"),
    )


def test_a_choice_that_was_made_here_stays() -> None:
    assert carried([line(0, 0, 9, "s2")], Attribution(), [ANNA, BO], [(line(0, 0.0, 10.0), "Anna")]) == ()


def test_nothing_is_carried_without_choices() -> None:
    assert carried([line(0, 0, 9)], Attribution(), [ANNA], []) == ()
