"""Edits of speakers in a real database: with their lines, their inverses and a new count."""

from __future__ import annotations

from struct import pack

import msgspec
import pytest

from tests.integration.storage.rows import new, span
from whisper_service.core.domain import Segment, Word
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.core.job_states import Cause
from whisper_service.core.speaker_count import Wanted
from whisper_service.editing.operations import (
    ChangeText,
    DeleteLine,
    JoinSpeakers,
    NameSpeaker,
    Operation,
    RemoveSpeaker,
    SetSpeaker,
)
from whisper_service.editing.speakers import Speaker
from whisper_service.storage.speaker_identity import FoundSpeaker
from whisper_service.storage.speakers import SegmentTurns
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit, EditResult, WrittenEdit

pytestmark = pytest.mark.anyio
CHUNKS = 6


@pytest.fixture
async def job(store: Store) -> str:
    """A job with a line in each of six chunks, said by A and B in turn."""
    await store.add(new())
    await store.move("a", Cause.CLAIM)
    for chunk in range(CHUNKS):
        await store.add_chunk("a", span(chunk))
        words = (Word(chunk + 0.2, chunk + 0.5, " one", 0.9), Word(chunk + 0.6, chunk + 0.9, " two", 0.9))
        await store.checkpoint("a", chunk, [Segment(chunk, 0, chunk + 0.2, chunk + 0.9, "one two", words)], "en")
    await count(store)
    return "a"


async def count(store: Store, people: str = "AB") -> None:
    """Tell the speakers apart; of two, B says every second line."""
    found = [FoundSpeaker(name, 2.0, pack("<2f", name == "A", name == "B")) for name in people]
    turns = [SegmentTurns(chunk, 0, ((0, people[chunk % len(people)]),)) for chunk in range(CHUNKS)]
    await store.speakers.assign("a", found, turns, Wanted())


async def edit(store: Store, *operations: Operation, batch: str = "") -> WrittenEdit:
    number = (await store.job("a")).edits
    return await store.edits.apply("a", Edit(batch or f"batch {number}", operations), 1.0)


async def undo(store: Store, number: int) -> EditResult:
    return (await store.edits.undo("a", number, Edit(f"undo {number}", ()), 2.0)).result


async def chosen(store: Store) -> list[str | None]:
    return [line.speaker for line in await store.edits.lines("a")]


async def names(store: Store) -> dict[str, str]:
    return {each.id: each.name for each in await store.speakers.speakers("a")}


async def test_a_new_speaker_and_its_lines_come_and_go_together(store: Store, job: str) -> None:
    written = await edit(store, NameSpeaker("x", "Anna"), SetSpeaker(("c0.0", "c5.0"), "x"))
    assert written.result.speakers == (*(await store.speakers.speakers(job))[:2], Speaker("x", "Anna", 2, 2))
    assert [change.kind for change in written.changes] == ["edit", "update"]
    assert msgspec.json.decode(written.changes[0].payload, type=EditResult) == written.result
    assert (await store.job(job)).speakers == 3
    undone = await undo(store, 1)
    assert undone.speakers is not None
    assert [each.id for each in undone.speakers] == ["s1", "s2"]
    assert await chosen(store) == [None] * CHUNKS
    assert (await store.job(job)).speakers == 2
    redone = await undo(store, 2)
    assert redone.speakers == written.result.speakers
    assert await chosen(store) == ["x", None, None, None, None, "x"]


async def test_lines_anywhere_lose_a_speaker_that_is_removed(store: Store, job: str) -> None:
    await edit(store, NameSpeaker("x", "Anna"), SetSpeaker(("c0.0", "c5.0"), "x"), JoinSpeakers("s1", "x"))
    removed = (await edit(store, RemoveSpeaker("x"))).result
    assert [line.id for line in removed.lines] == ["c0.0", "c5.0"]
    assert await chosen(store) == [None] * CHUNKS
    assert [each.merged_into for each in await store.speakers.speakers(job)] == [None, None]
    await undo(store, 2)
    assert await chosen(store) == ["x", None, None, None, None, "x"]
    assert [each.merged_into for each in await store.speakers.speakers(job)] == ["x", None, None]
    assert await names(store) == {"s1": "", "s2": "", "x": "Anna"}


async def test_an_undo_keeps_a_speaker_that_other_lines_have_by_now(store: Store, job: str) -> None:
    await edit(store, NameSpeaker("x", "Anna"), SetSpeaker(("c0.0",), "x"))
    await edit(store, SetSpeaker(("c1.0",), "x"))
    await undo(store, 1)
    assert await chosen(store) == [None, "x", None, None, None, None]
    assert (await names(store))["x"] == "Anna"


async def test_a_line_that_comes_back_has_no_speaker_that_is_gone(store: Store, job: str) -> None:
    await edit(store, NameSpeaker("x", "Anna"), SetSpeaker(("c0.0",), "x"))
    await edit(store, DeleteLine("c0.0", 0))
    await edit(store, RemoveSpeaker("x"))
    await undo(store, 2)
    assert await chosen(store) == [None] * CHUNKS


async def test_the_text_of_the_model_has_the_speakers_of_the_model(store: Store, job: str) -> None:
    before = await store.speakers.speakers(job)
    await edit(store, NameSpeaker("s1", "Li"), NameSpeaker("x", "Anna"), SetSpeaker(("c0.0",), "x"))
    await edit(store, JoinSpeakers("s2", "s1"), ChangeText("c1.0", 0, "one"))
    await edit(store, NameSpeaker("s1", "Li Wei"))
    kept, lines = await store.speakers.speakers(job), await store.edits.lines(job)
    await store.edits.restore(job, 0, Edit("machine", ()), 3.0, 3)
    assert await store.speakers.speakers(job) == before
    assert await chosen(store) == [None] * CHUNKS
    assert (await store.job(job)).speakers == 2
    await undo(store, 4)
    assert await store.speakers.speakers(job) == kept
    assert [(line.text, line.speaker) for line in await store.edits.lines(job)] == [
        (line.text, line.speaker) for line in lines
    ]


async def test_names_and_undo_survive_a_new_count(store: Store, job: str) -> None:
    await edit(store, NameSpeaker("s2", "Anna"))
    await edit(store, JoinSpeakers("s1", "s2"))
    assert (await store.job(job)).speakers == 1
    await count(store)
    assert (await store.job(job)).speakers == 1
    assert await names(store) == {"s1": "", "s2": "Anna"}
    await count(store, "B")
    assert await names(store) == {"s1": "", "s2": "Anna"}
    assert {speaker for _, speaker in await store.speakers.timeline(job)} == {"s2"}
    await undo(store, 2)
    await undo(store, 1)
    await count(store)
    assert await names(store) == {"s1": "", "s2": ""}
    assert (await store.job(job)).speakers == 2


async def test_names_survive_the_voices_and_other_networks(store: Store, job: str) -> None:
    await edit(store, NameSpeaker("s2", "Anna"))
    await store.move(job, Cause.FINISH, finished_at=5.0)
    await store.speakers.delete_voices(before=9.0)
    found = [FoundSpeaker(name, 2.0, pack("<3f", 0, name == "A", name == "B")) for name in "BA"]
    turns = [SegmentTurns(chunk, 0, ((0, "AB"[chunk % 2]),)) for chunk in range(CHUNKS)]
    await store.speakers.assign(job, found, turns, Wanted())
    assert await names(store) == {"s1": "", "s2": "Anna"}
    assert [speaker for _, speaker in await store.speakers.timeline(job)] == ["s1", "s2"] * 3


async def test_a_refused_edit_changes_nothing(store: Store, job: str) -> None:
    before = await store.speakers.speakers(job)
    edits: list[list[Operation]] = [
        [NameSpeaker("s1", "Anna"), SetSpeaker(("c0.0",), "nobody")],
        [NameSpeaker("s1", "Anna"), RemoveSpeaker("s2")],
        [NameSpeaker("x", "Anna"), SetSpeaker(("c0.0",), "x"), DeleteLine("c1.0", 7)],
    ]
    for operations in edits:
        with pytest.raises((BadEdit, EditConflict)):
            await edit(store, *operations)
    assert await store.speakers.speakers(job) == before
    assert ((await store.job(job)).edits, await chosen(store)) == (0, [None] * CHUNKS)


async def test_the_same_edit_twice_is_one(store: Store, job: str) -> None:
    first = await edit(store, NameSpeaker("x", "Anna"), batch="b")
    await edit(store, NameSpeaker("x", "Bo"))
    again = await edit(store, NameSpeaker("x", "Anna"), batch="b")
    assert (again.result, again.changes) == (first.result, ())
    assert (await names(store))["x"] == "Bo"
