"""Marks in a real database: written, moved and undone with the edits of their lines."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.integration.storage.rows import new, said, span, working
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.editing.marks import Anchor, Mark, MarkKind
from whisper_service.editing.operations import (
    ChangeMark,
    ChangeText,
    MakeMark,
    MergeLines,
    Operation,
    Place,
    RemoveMarks,
    SplitLine,
)
from whisper_service.storage import database, transcript_edits
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit, EditResult, WrittenEdit

pytestmark = pytest.mark.anyio
NOTE = MakeMark(
    id="m", kind=MarkKind.NOTE, first=Place("c0.1", 5), last=Place("c1.0", 5), colour=3, text="Who says that?"
)


@pytest.fixture
async def job(store: Store) -> str:
    """A job with two chunks of two segments each."""
    await working(store, 2)
    for chunk, texts in enumerate((("alpha one", "beta two"), ("gamma three", "delta four"))):
        segments = [msgspec.structs.replace(segment, words=()) for segment in said(chunk, *texts)]
        await store.checkpoint("a", chunk, segments, "en")
    return "a"


async def edit(store: Store, *operations: Operation) -> WrittenEdit:
    number = (await store.job("a")).edits
    return await store.edits.apply("a", Edit(f"batch {number}", operations, "tab", "Li"), 7.5 + number)


async def test_a_mark_is_stored_told_and_moved_by_edits_of_its_lines(store: Store, job: str) -> None:
    made = await edit(store, NOTE)
    expected = Mark("m", MarkKind.NOTE, Anchor("c0.1", 5), Anchor("c1.0", 5), 3, "Who says that?", "", "Li", 7.5)
    assert made.result.marks == (expected,)
    assert await store.edits.marks(job) == [expected]
    assert msgspec.json.decode(made.changes[0].payload, type=EditResult) == made.result
    changed = await edit(store, ChangeText(id="c0.1", v=0, text="and beta two"))
    assert [(mark.first, mark.last) for mark in changed.result.marks] == [(Anchor("c0.1", 9), Anchor("c1.0", 5))]
    await edit(store, MergeLines(ids=("c0.1", "c1.0"), v=(1, 0)))
    await edit(store, SplitLine(id="c0.1", v=2, at=15, new="n"))
    (mark,) = await store.edits.marks(job)
    assert (mark.first, mark.last) == (Anchor("c0.1", 9), Anchor("n", 3))
    assert (await edit(store, ChangeText(id="c1.1", v=0, text="delta 4"))).result.marks == ()


async def test_marks_are_changed_and_removed_without_a_look_at_the_text(
    store: Store, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await edit(store, NOTE)
    seen = []
    apply = transcript_edits.apply
    monkeypatch.setattr(
        transcript_edits,
        "apply",
        lambda lines, operations: (seen.append(len(list(lines))), apply(lines, operations))[1],
    )
    await edit(store, ChangeMark(id="m", text="Anna"))
    assert [mark.text for mark in await store.edits.marks(job)] == ["Anna"]
    removed = await edit(store, RemoveMarks(ids=("m",)))
    assert (removed.result.marks, removed.result.marks_gone) == ((), ("m",))
    assert await store.edits.marks(job) == []
    assert seen == [0, 0]
    await store.edits.undo(job, removed.result.number, Edit("u", ()), 9.0)
    assert [mark.text for mark in await store.edits.marks(job)] == ["Anna"]


async def test_marks_come_back_with_undo_and_stay_with_restore(store: Store, job: str) -> None:
    await edit(store, NOTE)
    before = await store.edits.marks(job)
    lost = await edit(store, MergeLines(ids=("c0.0", "c0.1", "c1.0"), v=(0, 0, 0)))
    gone = await edit(store, ChangeText(id="c0.0", v=1, text="alpha one beta three"))
    (mark,) = await store.edits.marks(job)
    assert mark.lost == "two gamma"
    await store.edits.undo(job, gone.result.number, Edit("u1", ()), 9.0)
    await store.edits.undo(job, lost.result.number, Edit("u2", ()), 9.0)
    assert await store.edits.marks(job) == before
    version = next(line.version for line in await store.edits.lines(job) if line.id == "c0.1")
    await edit(store, ChangeText(id="c0.1", v=version, text="beta"))
    restored = await store.edits.restore(job, 0, Edit("r", ()), 9.0, (await store.job(job)).edits)
    assert [line.text for line in await store.edits.lines(job)] == [
        "alpha one",
        "beta two",
        "gamma three",
        "delta four",
    ]
    assert await store.edits.marks(job) == before
    assert restored.result.marks == tuple(before)


async def test_a_refused_mark_writes_nothing(store: Store, job: str) -> None:
    with pytest.raises(EditConflict):
        await edit(store, msgspec.structs.replace(NOTE, first=Place("gone", 0)))
    with pytest.raises(BadEdit):
        await edit(store, ChangeText(id="c0.0", v=0, text="x"), ChangeMark(id="m", colour=2))
    assert (await store.job(job)).edits == 0
    assert await store.edits.marks(job) == []
    assert (await store.edits.lines(job))[0].text == "alpha one"


async def test_marks_go_with_their_job_and_belong_to_no_other(store: Store, job: str) -> None:
    await edit(store, NOTE)
    await store.add(new("b"))
    assert await store.edits.marks("b") == []
    await store.delete(job)
    assert await store.edits.marks(job) == []


async def test_transcripts_from_before_can_be_marked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 16})
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        await connection.execute(
            "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
            " chunks_done, chunks_total, decoded, attempts, rank, gaps)"
            " VALUES ('a', 'talk.wav', 'completed', '{}', 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]')"
        )
        part = span(0)
        await connection.execute(
            """INSERT INTO chunk (job_id, "index", start_sample, samples, start, "end", state)
               VALUES ('a', 0, 0, 1, 0, 1, 'done')"""
        )
        await connection.execute(
            """INSERT INTO segment (job_id, chunk, "index", start, "end", text, words)
               VALUES ('a', 0, 0, ?, ?, 'a hedgehog', '[]')""",
            (part.start, part.end),
        )
    monkeypatch.undo()
    async with Store.open(path) as store:
        assert await store.edits.marks("a") == []
        await edit(store, MakeMark(id="m", kind=MarkKind.HIGHLIGHT, first=Place("c0.0", 2), last=Place("c0.0", 10)))
        assert [mark.last for mark in await store.edits.marks("a")] == [Anchor("c0.0", 10)]
