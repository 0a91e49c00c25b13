"""Edits in a real database: lines, log, search and events are one."""

from __future__ import annotations

import msgspec
import pytest

from tests.integration.storage.rows import new as new_job
from whisper_service.core.domain import Segment, Span, Word
from whisper_service.core.errors import BadEdit, EditConflict, NotFound
from whisper_service.core.job_states import Cause
from whisper_service.editing.lines import Line, line_of, segment_of
from whisper_service.editing.operations import (
    ChangeText,
    DeleteLine,
    InsertLine,
    MergeLines,
    NameSpeaker,
    Operation,
    SetSpeaker,
    SplitLine,
)
from whisper_service.storage import transcript_edits
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit, EditResult, WrittenEdit

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000.0


async def add(store: Store, job_id: str, *texts: str) -> None:
    """Add a job in work with these segments, two in each chunk."""
    await store.add(new_job(job_id))
    await store.move(job_id, Cause.CLAIM)
    for chunk, first in enumerate(range(0, len(texts), 2)):
        await store.add_chunk(job_id, Span(chunk, chunk * 16_000, 16_000, float(chunk), chunk + 1.0))
        segments = [
            Segment(chunk, index, chunk + index / 10, chunk + index / 10 + 0.1, text, avg_logprob=-0.1 * (index + 1))
            for index, text in enumerate(texts[first : first + 2])
        ]
        await store.checkpoint(job_id, chunk, segments, "en")


async def found(store: Store, q: str) -> list[str]:
    return [job.id for job in (await store.browser.jobs(q=q)).jobs]


@pytest.fixture
async def job(store: Store) -> str:
    """A job with two chunks of two segments each."""
    await add(store, "a", "alpha one", "beta two", "gamma three", "delta four")
    return "a"


async def edit(store: Store, job_id: str, *operations: Operation, batch: str = "") -> WrittenEdit:
    number = (await store.job(job_id)).edits
    return await store.edits.apply(job_id, Edit(batch or f"batch {number}", operations, "tab", "Li"), NOW)


async def texts(store: Store, job_id: str = "a") -> list[str]:
    return [line.text for line in await store.edits.lines(job_id)]


async def rows(store: Store, table: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await store._db.read(f"SELECT * FROM {table}")]


async def check_index(store: Store) -> None:
    """Raise an error of SQLite if the search index is damaged."""
    for table in ("trigram", "gram"):
        async with store._db.transaction():
            await store._db.run(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")


async def test_without_edits_the_lines_are_the_segments(store: Store, job: str) -> None:
    lines = await store.edits.lines(job)
    assert [(line.id, line.version, line.text) for line in lines] == [
        ("c0.0", 0, "alpha one"), ("c0.1", 0, "beta two"), ("c1.0", 0, "gamma three"), ("c1.1", 0, "delta four"),
    ]  # fmt: skip
    assert await store.edits.log.history(job) == []


async def test_an_edit_changes_lines_and_never_a_segment(store: Store, job: str) -> None:
    before = await rows(store, "segment")
    written = await edit(store, job, ChangeText(id="c0.1", v=0, text="beta too"))
    assert await texts(store) == ["alpha one", "beta too", "gamma three", "delta four"]
    assert await rows(store, "segment") == before
    assert (await store.job(job)).edits == written.result.number == 1
    (change,) = written.changes
    assert (change.kind, change.job_id) == ("edit", job)
    assert msgspec.json.decode(change.payload, type=EditResult) == written.result
    assert await store.change_log.changes(change.seq - 1) == [change]


async def test_what_the_model_said_of_a_segment_stays_with_its_line(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c0.1", v=0, text="beta too"), SplitLine(id="c0.0", v=0, at=6, new="n1"))
    assert [line.avg_logprob for line in await store.edits.lines(job)] == [-0.1, None, -0.2, -0.1, -0.2]
    heard = await store.segments(job)
    assert [segment_of(line_of(segment)) for segment in heard] == heard


async def test_the_same_batch_twice_is_one_edit(store: Store, job: str) -> None:
    first = await edit(store, job, ChangeText(id="c0.0", v=0, text="once"), batch="x")
    again = await edit(store, job, ChangeText(id="c0.0", v=0, text="twice"), batch="x")
    assert again == WrittenEdit(first.result, ())
    assert await texts(store) == ["once", "beta two", "gamma three", "delta four"]
    assert len(await store.edits.log.history(job)) == 1


async def test_a_line_that_changed_meanwhile_is_told_as_it_is_now(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c0.0", v=0, text="theirs"))
    before = await rows(store, "line"), await rows(store, "edit")
    with pytest.raises(EditConflict) as caught:
        await edit(store, job, ChangeText(id="c0.1", v=0, text="fine"), ChangeText(id="c0.0", v=0, text="mine"))
    (now,) = caught.value.params["lines"]
    assert isinstance(now, Line)
    assert (now.text, now.version, caught.value.params["number"]) == ("theirs", 1, 1)
    assert (await rows(store, "line"), await rows(store, "edit")) == before


async def test_a_refused_edit_writes_nothing(store: Store, job: str) -> None:
    with pytest.raises(BadEdit):
        await edit(store, job, DeleteLine(id="c1.0", v=0), SplitLine(id="c0.0", v=0, at=99, new="n1"))
    with pytest.raises(BadEdit):
        await edit(store, job)
    with pytest.raises(NotFound):
        await edit_of_nothing(store)
    assert await rows(store, "line") == await rows(store, "edit") == []


async def edit_of_nothing(store: Store) -> None:
    await store.edits.apply("nobody", Edit("b", (DeleteLine(id="c0.0", v=0),)), NOW)


async def test_split_merge_insert_and_delete_are_shown_in_order(store: Store, job: str) -> None:
    await edit(store, job, SplitLine(id="c0.0", v=0, at=6, new="n1"))
    await edit(store, job, MergeLines(ids=("c0.1", "c1.0"), v=(0, 0)))
    between = InsertLine(after="n1", new="n2", start=0.08, end=0.09, text="between")
    await edit(store, job, between, DeleteLine(id="c1.1", v=0))
    assert await texts(store) == ["alpha", "one", "between", "beta two gamma three"]
    for number in (3, 2, 1):
        await store.edits.undo(job, number, Edit(f"undo {number}", ()), NOW)
    assert await texts(store) == ["alpha one", "beta two", "gamma three", "delta four"]
    assert [(record.number, record.undoes, record.undone) for record in await store.edits.log.history(job)] == [
        (6, 1, False), (5, 2, False), (4, 3, False), (3, None, True), (2, None, True), (1, None, True),
    ]  # fmt: skip
    await store.edits.undo(job, 6, Edit("redo", ()), NOW)
    assert await texts(store) == ["alpha", "one", "beta two", "gamma three", "delta four"]


async def test_several_new_lines_of_one_edit_in_one_chunk_are_all_stored(store: Store, job: str) -> None:
    split = [SplitLine(id="c0.0", v=v, at=at, new=f"n{v}") for v, at in enumerate((6, 3))]
    written = await edit(store, job, *split, InsertLine(after="c0.1", new="n3", start=0.15, end=0.16, text="three"))
    expected = ["alp", "ha", "one", "beta two", "three", "gamma three", "delta four"]
    assert await texts(store) == expected
    assert len({(line.chunk, line.index) for line in written.result.lines}) == 4
    await edit(store, job, SplitLine(id="n3", v=1, at=2, new="n4"))
    assert await texts(store) == [*expected[:4], "th", "ree", *expected[5:]]
    await check_index(store)


async def test_where_nothing_is_to_be_changed_nothing_is_written(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c0.0", v=0, text="alpha one"))
    for write in (
        store.edits.undo(job, 1, Edit("undo", ()), NOW),
        store.edits.restore(job, 0, Edit("machine", ()), NOW, 1),
    ):
        with pytest.raises(BadEdit) as caught:
            await write
        assert caught.value.params["reason"] == "nothing"
    assert (await store.job(job)).edits == 1


async def test_thousands_of_speakers_are_set_back_in_one_edit(store: Store) -> None:
    texts_of = [f"line {number}" for number in range(5_200)]
    await add(store, "long", *texts_of)
    ids = tuple(line.id for line in await store.edits.lines("long"))
    await edit(store, "long", NameSpeaker("s1", "Anna"), SetSpeaker(ids=ids, speaker="s1"))
    await store.edits.restore("long", 0, Edit("machine", ()), NOW, 1)
    assert {line.speaker for line in await store.edits.lines("long")} == {None}


async def test_an_undo_of_a_line_that_changed_since_is_refused(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c0.0", v=0, text="first"))
    await edit(store, job, ChangeText(id="c0.0", v=1, text="second"))
    with pytest.raises(EditConflict):
        await store.edits.undo(job, 1, Edit("undo", ()), NOW)
    with pytest.raises(NotFound):
        await store.edits.undo(job, 9, Edit("undo", ()), NOW)
    assert await texts(store) == ["second", "beta two", "gamma three", "delta four"]


async def test_the_machines_text_comes_back_and_can_be_undone(store: Store, job: str) -> None:
    speaker = NameSpeaker("s1", "Anna"), SetSpeaker(ids=("c0.1",), speaker="s1")
    await edit(store, job, ChangeText(id="c0.0", v=0, text="first"), *speaker)
    await edit(store, job, MergeLines(ids=("c0.0", "c0.1"), v=(1, 0)), DeleteLine(id="c1.1", v=0))
    edited = await texts(store)
    await store.edits.restore(job, 0, Edit("machine", ()), NOW, 2)
    assert await texts(store) == ["alpha one", "beta two", "gamma three", "delta four"]
    assert {line.speaker for line in await store.edits.lines(job)} == {None}
    await store.edits.undo(job, 3, Edit("back", ()), NOW)
    assert await texts(store) == edited == ["first beta two", "gamma three"]
    await store.edits.restore(job, 1, Edit("one", ()), NOW, 4)
    assert await texts(store) == ["first", "beta two", "gamma three", "delta four"]


async def test_a_search_finds_what_is_shown_and_nothing_else(store: Store, job: str) -> None:
    new = InsertLine(after="c1.1", new="n1", start=2, end=3, text="yankee")
    await edit(store, job, ChangeText(id="c0.1", v=0, text="zulu two"), new)
    await edit(store, job, DeleteLine(id="c1.0", v=0))
    assert [await found(store, word) for word in ("alpha", "beta", "zulu", "yankee", "gamma", "delta")] == [
        ["a"], [], ["a"], ["a"], [], ["a"],
    ]  # fmt: skip
    page = await store.browser.jobs(q="two")
    assert [("".join(each.parts), each.chunk, each.index) for each in page.found["a"].excerpts] == [("zulu two", 0, 1)]
    page = await store.browser.jobs(q="yankee")
    assert [each.index for each in page.found["a"].excerpts] == [transcript_edits.FIRST_INDEX]
    await store.edits.restore(job, 0, Edit("machine", ()), NOW, 2)
    assert [await found(store, word) for word in ("beta", "zulu", "yankee", "gamma")] == [["a"], [], [], ["a"]]
    await check_index(store)


async def test_a_deleted_job_leaves_no_line_no_edit_and_no_find(store: Store, job: str) -> None:
    await add(store, "b", "other text")
    await edit(store, job, ChangeText(id="c0.1", v=0, text="zulu two"), DeleteLine(id="c0.0", v=0))
    await store.delete(job)
    assert await rows(store, "line") == await rows(store, "edit") == []
    assert [await found(store, word) for word in ("alpha", "beta", "zulu", "gamma", "other")] == [[], [], [], [], ["b"]]
    await check_index(store)


async def test_lines_of_finished_chunks_can_be_edited_while_others_arrive(store: Store, job: str) -> None:
    await edit(store, job, ChangeText(id="c1.1", v=0, text="edited"))
    await store.add_chunk(job, Span(2, 32_000, 16_000, 2.0, 3.0))
    words = (Word(2.0, 2.5, " epsilon", 0.9), Word(2.5, 3.0, " five", 0.9))
    await store.checkpoint(job, 2, [Segment(2, 0, 2.0, 3.0, "epsilon five", words)], "en")
    await store.move(job, Cause.PAUSE)
    assert await texts(store) == ["alpha one", "beta two", "gamma three", "edited", "epsilon five"]
    await edit(store, job, ChangeText(id="c2.0", v=0, text="epsilon 5"))
    heard, written = (await store.edits.lines(job))[-1].words
    assert (heard.word, heard.start, heard.by) == (" epsilon", 2.0, "machine")
    assert (written.word, written.start, written.by) == (" 5", 2.5, "spread")


async def test_only_the_chunks_of_an_edit_and_their_neighbours_are_read(
    store: Store, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts_of = [f"line {number}" for number in range(40)]
    await add(store, "long", *texts_of)
    read: list[tuple[int, ...]] = []
    real = store.edits._lines

    async def watched(run: object, job_id: str, *window: int) -> object:
        read.append(window)
        return await real(run, job_id, *window)  # type: ignore[arg-type]

    monkeypatch.setattr(store.edits, "_lines", watched)
    await edit(store, "long", ChangeText(id="c10.1", v=0, text="changed"))
    assert read == [(9, 11)]
    read.clear()
    await edit(store, "long", DeleteLine(id="c11.0", v=0), DeleteLine(id="c11.1", v=0))
    await edit(store, "long", ChangeText(id="c10.1", v=1, text="changed again"))
    assert read[-1] == (9, 12)
