"""The log of edits as its readers see it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.storage.rows import new as new_job
from tests.integration.storage.rows import span
from whisper_service.core.domain import Segment
from whisper_service.core.errors import EditConflict
from whisper_service.core.job_states import Cause
from whisper_service.editing.operations import (
    ChangeText,
    DeleteLine,
    InsertLine,
    MergeLines,
    Operation,
    SetChecked,
    SplitLine,
)
from whisper_service.storage.edit_log import MAX_CHANGES, EditKind
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit, LineText

pytestmark = pytest.mark.anyio


def said(chunk: int, *texts: str) -> list[Segment]:
    return [
        Segment(chunk, at, chunk + at / 50, chunk + at / 50 + 0.01, text, language="en")
        for at, text in enumerate(texts)
    ]


@pytest.fixture
async def job(store: Store) -> str:
    await store.add(new_job("a"))
    await store.move("a", Cause.CLAIM)
    for chunk, texts in enumerate((["alpha one", "beta two"], ["gamma three", "delta four"])):
        await store.add_chunk("a", span(chunk))
        await store.checkpoint("a", chunk, said(chunk, *texts), "en")
    return "a"


async def edit(store: Store, job: str, *operations: Operation, author: str = "Li", **more: Any) -> None:
    batch = f"b{(await store.job(job)).edits}"
    await store.edits.apply(job, Edit(batch, operations, "tab", author, **more), 1.0)


async def changes(store: Store, job: str) -> list[tuple[str, str | None, str | None]]:
    """What the newest edit changed."""
    (record,) = await store.edits.log.history(job, limit=1)
    assert record.lines >= len(record.changes) == min(record.lines, MAX_CHANGES)
    return [(change.id, change.before, change.after) for change in record.changes]


async def test_each_change_says_what_was_and_what_is(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c0.0", v=0, text="Alpha"))
    assert await changes(store, job) == [("c0.0", "alpha one", "Alpha")]
    await edit(store, job, SplitLine(id="c0.1", v=0, at=4, new="n1"))
    assert await changes(store, job) == [("c0.1", "beta two", "beta"), ("n1", None, "two")]
    await edit(store, job, MergeLines(ids=("c1.0", "c1.1"), v=(0, 0)))
    assert await changes(store, job) == [
        ("c1.0", "gamma three", "gamma three delta four"), ("c1.1", "delta four", None)
    ]  # fmt: skip
    await edit(store, job, InsertLine(after="c0.0", new="n2", start=0.015, end=0.016, text="new"))
    assert await changes(store, job) == [("n2", None, "new")]
    await edit(store, job, DeleteLine(id="n2", v=1))
    assert await changes(store, job) == [("n2", "new", None)]
    await edit(store, job, SetChecked(ids=("c0.0",), on=True))
    assert await changes(store, job) == [("c0.0", "Alpha", "Alpha")]
    await store.edits.undo(job, 5, Edit("u1", ()), 2.0)
    assert await changes(store, job) == [("n2", None, "new")]
    await store.edits.restore(job, 0, Edit("r1", ()), 3.0, newest=7)
    assert await changes(store, job) == [
        ("c0.0", "Alpha", "alpha one"), ("n2", "new", None), ("c0.1", "beta", "beta two"), ("n1", "two", None),
        ("c1.0", "gamma three delta four", "gamma three"),
    ]  # fmt: skip
    assert (await store.edits.log.history(job, limit=1))[0].lines == 6
    kinds = [record.kind for record in await store.edits.log.history(job)]
    assert kinds == [EditKind.RESTORE, EditKind.UNDO, *[EditKind.EDIT] * 6]


async def test_the_history_shows_a_part_of_a_large_edit(store: Store, job: str) -> None:
    await store.add_chunk("a", span(2))
    await store.checkpoint("a", 2, said(2, *[f"line {number}" for number in range(20)]), "en")
    operations = [ChangeText(id=f"c2.{number}", v=0, text=f"other {number}") for number in range(20)]
    await edit(store, job, *operations, kind=EditKind.REPLACE, group="g1")
    (record,) = await store.edits.log.history(job)
    assert (record.kind, record.group, record.lines, len(record.changes)) == (EditKind.REPLACE, "g1", 20, MAX_CHANGES)
    assert [change.after for change in record.changes] == [f"other {number}" for number in range(MAX_CHANGES)]


async def test_a_group_names_its_edits_but_none_of_the_trash(store: Store, job: str) -> None:
    await store.add(new_job("b"))
    await store.move("b", Cause.CLAIM)
    await store.add_chunk("b", span(0))
    await store.checkpoint("b", 0, said(0, "alpha"), "en")
    for each in ("a", "b"):
        await edit(store, each, ChangeText(id="c0.0", v=0, text="x"), group="g1")
    assert await store.edits.log.of_group("g1") == [("a", 1), ("b", 1)]
    await store.trash("b", 5.0)
    assert await store.edits.log.of_group("g1") == [("a", 1)]
    assert await store.edits.log.of_group("g2") == []


async def test_an_undo_that_is_refused_names_who_was_last(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c0.0", v=0, text="Mine"), author="Anna")
    await edit(store, job, ChangeText(id="c0.0", v=1, text="Theirs"), author="Bo")
    await edit(store, job, ChangeText(id="c1.0", v=0, text="Elsewhere"), author="Cy")
    with pytest.raises(EditConflict) as refused:
        await store.edits.undo(job, 1, Edit("u1", ()), 2.0)
    assert refused.value.params["author"] == "Bo"


async def test_the_texts_are_those_of_the_lines(store: Store, job: str) -> None:
    await edit(store, job, SplitLine(id="c0.1", v=0, at=4, new="n1"), DeleteLine(id="c1.0", v=0))
    await edit(store, job, InsertLine(after="c0.0", new="n2", start=0.015, end=0.016, text="new"))
    lines = await store.edits.lines(job)
    assert [line.text for line in lines] == ["alpha one", "new", "beta", "two", "delta four"]
    assert await store.edits.line_texts(job) == [
        LineText(line.id, line.version, line.start, line.text, line.language) for line in lines
    ]
