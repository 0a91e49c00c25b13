"""The same people are found again by their voices, whatever order they come in."""

from __future__ import annotations

from array import array
from itertools import permutations
from random import Random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from whisper_service.editing.speakers import Speaker
from whisper_service.storage.speaker_identity import (
    FoundSpeaker,
    SpeakerRow,
    free_colour,
    free_id,
    identified,
    named,
    shared_time,
)
from whisper_service.storage.voice_matching import SAME_VOICE, same_people


def voice(*numbers: float) -> bytes:
    return pack(f"<{len(numbers)}f", *numbers)


AXES = [voice(*(1.0 if at == axis else 0.0 for at in range(6))) for axis in range(6)]


def found(*axes: int) -> list[FoundSpeaker]:
    return [FoundSpeaker(chr(65 + at), 10.0 * (at + 1), AXES[axis]) for at, axis in enumerate(axes)]


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 4))
def test_the_sum_of_the_cosines_is_the_largest(seed: int, ones: int, others: int) -> None:
    random = Random(seed)
    drawn = [voice(random.uniform(-1, 1), random.uniform(-1, 1)) for _ in range(ones + others)]
    left, right = drawn[:ones], drawn[ones:]
    alike = [[_cosine(a, b) for b in right] for a in left]
    size = min(ones, others)
    best = max(
        sum(cosine for row, column in zip(rows, columns, strict=True) if (cosine := alike[row][column]) > SAME_VOICE)
        for rows in permutations(range(ones), size)
        for columns in permutations(range(others), size)
    )
    same = same_people(left, right)
    assert len({*same.values()}) == len(same)
    assert all(alike[row][column] > SAME_VOICE for row, column in same.items())
    assert sum(alike[row][column] for row, column in same.items()) == pytest.approx(best)


def _cosine(one: bytes, other: bytes) -> float:
    a, b = array("f", one), array("f", other)
    size = (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5
    return sum(x * y for x, y in zip(a, b, strict=True)) / size if size else 0.0


def test_without_anything_of_people_ids_follow_the_order_of_first_words() -> None:
    first = identified(found(2, 0, 1), [], [])
    assert [row.speaker.id for row in first.rows] == ["s1", "s2", "s3"]
    assert first.ids == {"A": "s1", "B": "s2", "C": "s3"}
    assert [(row.speaker.position, row.speaker.colour, row.speaker.found) for row in first.rows] == [
        (0, 0, True), (1, 1, True), (2, 2, True),
    ]  # fmt: skip
    again = identified(found(0, 1), first.rows, [])
    assert again == identified(found(0, 1), [], [])


@given(st.permutations(range(5)), st.integers(1, 5), st.sets(st.sampled_from(["s1", "s2", "s3"]), min_size=1))
def test_equal_input_gives_equal_rows_however_often(order: list[int], size: int, touched: set[str]) -> None:
    known = identified(found(0, 1, 2), [], []).rows
    once = identified(found(*order[:size]), known, touched)
    assert identified(found(*order[:size]), once.rows, touched) == once
    ids = [row.speaker.id for row in once.rows]
    assert len(set(ids)) == len(ids)
    assert touched <= set(ids)
    for row in once.rows:
        axis = AXES.index(row.centroid or b"")
        assert axis > 2 or row.speaker.id == f"s{axis + 1}"
    assert [row.speaker.position for row in once.rows] == list(range(len(ids)))


def test_names_merges_and_colours_survive_a_new_count() -> None:
    rows = identified(found(0, 1, 2), [], []).rows
    rows = [
        rows[0]._replace(speaker=replace(rows[0].speaker, name="Anna")),
        rows[1]._replace(speaker=replace(rows[1].speaker, merged_into="s1")),
        rows[2],
    ]
    count = identified(found(3, 0), rows, {"s1", "s2"})
    assert [row.speaker for row in count.rows] == [
        Speaker("s4", position=0, colour=2, seconds=10.0, found=True),
        Speaker("s1", "Anna", 1, 0, None, 20.0, True),
        Speaker("s2", "", 2, 1, "s1", 0.0, True),
    ]
    assert count.ids == {"A": "s4", "B": "s1"}


def test_a_speaker_that_a_person_made_stays_behind_those_that_are_heard() -> None:
    made = SpeakerRow(Speaker("s1", "Anna"), None)
    count = identified(found(0), [made], {"s1"})
    assert [(row.speaker.id, row.speaker.position) for row in count.rows] == [("s2", 0), ("s1", 1)]


def test_names_come_from_the_same_voices_of_another_job() -> None:
    here = identified(found(0, 1, 2), [], []).rows
    there = [
        SpeakerRow(Speaker("s1", "Anna"), AXES[1]),
        SpeakerRow(Speaker("s2"), AXES[2]),
        SpeakerRow(Speaker("x", "Bo"), None),
    ]
    assert [row.speaker.name for row in named(here, there)] == ["", "Anna", ""]


def test_without_stored_voices_who_says_the_same_text_is_the_same() -> None:
    rows = [row._replace(centroid=None) for row in identified(found(0, 1, 2), [], []).rows]
    rows[1] = rows[1]._replace(speaker=replace(rows[1].speaker, name="Anna"))
    rows[2] = SpeakerRow(Speaker("x", "Bo", 2), None)  # made by a person: no voice is Bo's
    shared = {("A", "s2"): 0.9, ("A", "s1"): 0.1, ("B", "s1"): 0.5, ("B", "x"): 1.0}
    count = identified(found(3, 4), rows, {"s2", "x"}, shared)
    assert count.ids == {"A": "s2", "B": "s3"}
    assert [(row.speaker.id, row.speaker.name) for row in count.rows] == [("s2", "Anna"), ("s3", ""), ("x", "Bo")]
    other_networks = [row._replace(centroid=voice(1, 0)) for row in rows]
    assert identified(found(3, 4), other_networks, {"s2", "x"}, shared).ids == count.ids
    voices = [rows[0]._replace(centroid=AXES[3]), rows[1]]
    assert identified(found(3, 4), voices, {"s2"}, shared | {("A", "s1"): 0.0}).ids == {"A": "s1", "B": "s3"}


def test_how_much_two_speakers_have_in_common() -> None:
    one, other = ((0.0, "A"), (4.0, "B"), (6.0, None)), ((1.0, "s1"), (3.0, "s2"), (5.0, None), (6.0, "s1"))
    assert shared_time(one, other, 10.0) == pytest.approx({
        ("A", "s1"): 2 / 4, ("A", "s2"): 1 / 2, ("B", "s2"): 1 / 2,
    })  # fmt: skip
    assert shared_time(one, (), 10.0) == shared_time((), one, 10.0) == {}
    assert shared_time(one, one, 10.0) == pytest.approx({("A", "A"): 1.0, ("B", "B"): 1.0})


def test_ids_and_colours_that_are_free() -> None:
    assert free_id([]) == "s1"
    assert free_id(["s2", "s10", "sx", "Anna", "s²"]) == "s11"
    assert free_colour([]) == 0
    assert free_colour([Speaker("a", colour=colour) for colour in (0, 2, 1, 0)]) == 3
    assert free_colour([Speaker("a", colour=colour) for colour in range(8)]) == 0


def test_damaged_directions_are_nobody() -> None:
    assert same_people([b"", voice(0, 0), b"abc"], [AXES[0], b"", voice(0, 0)]) == {}
