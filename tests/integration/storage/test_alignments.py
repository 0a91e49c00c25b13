"""Which chunks have words to align is in the database: written with the edit, and settled with its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.storage.rows import new
from whisper_service.core.domain import Segment, Span, Word
from whisper_service.core.errors import EditConflict
from whisper_service.core.job_states import Cause
from whisper_service.editing.operations import ChangeText, Operation, SetChecked, SetTimes, TimeWords
from whisper_service.editing.retiming import TimedBy
from whisper_service.storage import database
from whisper_service.storage.alignments import EditedChunk
from whisper_service.storage.edit_log import EditKind
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio

SAID = "one two three four five six"
WRITTEN = "one red green blue five six"
NOW = 1_000.0


@pytest.fixture
async def job(store: Store) -> str:
    """A job with three chunks of one line each."""
    await store.add(new("a"))
    await store.move("a", Cause.CLAIM)
    for chunk in range(3):
        await store.add_chunk("a", Span(chunk, chunk * 160_000, 160_000, chunk * 10.0, chunk * 10.0 + 10))
        start = chunk * 10.0
        words = tuple(
            Word(start + at, round(start + at + 0.8, 3), f" {word}", 0.9) for at, word in enumerate(SAID.split())
        )
        await store.checkpoint("a", chunk, [Segment(chunk, 0, start, words[-1].end, SAID, words)], "en")
    return "a"


async def edit(store: Store, *operations: Operation, now: float = NOW) -> None:
    number = (await store.job("a")).edits
    await store.edits.apply("a", Edit(f"b{number}", operations), now)


async def write(store: Store, text: str = WRITTEN, chunk: int = 1, v: int = 0, now: float = NOW) -> None:
    await edit(store, ChangeText(id=f"c{chunk}.0", v=v, text=text), now=now)


async def seen(store: Store, chunk: int = 1) -> EditedChunk:
    found = await store.alignments.chunk("a", chunk)
    assert found is not None
    return found


def timed(chunk: int = 1, v: int = 1) -> Edit:
    start = chunk * 10.0
    times = tuple((start + at, start + at + 0.9) for at in (1, 2, 3))
    return Edit("aligned", (TimeWords(id=f"c{chunk}.0", v=v, first=1, times=times),), kind=EditKind.ALIGN)


async def test_an_edit_with_new_words_makes_its_chunk_wait(store: Store, job: str) -> None:
    assert await store.alignments.first_edit() is None
    await write(store, SAID.replace("two", "red"))  # one word needs nothing
    assert await store.alignments.first_edit() is None
    await write(store, chunk=2)
    assert await store.alignments.first_edit() == NOW
    assert [due.job_id for due in await store.alignments.jobs(NOW)] == [job]
    assert await store.alignments.jobs(NOW - 1) == []
    assert await store.alignments.chunks(job, NOW) == [2]
    chunk = await seen(store, 2)
    assert ([line.id for line in chunk.lines], chunk.bounds[0]) == (["c2.0"], 15.8)
    assert await store.alignments.waiting(job) == 1


async def test_new_times_the_edit_and_the_row_are_one_transaction(store: Store, job: str) -> None:
    await write(store)
    chunk = await seen(store)
    written = await store.alignments.settle(chunk, timed(), ["other"], NOW + 6)
    assert written is not None
    assert [change.kind for change in written.changes] == ["edit"]
    (line,) = written.result.lines
    assert [word.by for word in line.words[1:4]] == [TimedBy.ALIGNED] * 3
    after = await seen(store)
    assert (after.tried, after.edited_at) == (("other",), NOW)
    await store.alignments.finish(after)
    assert await store.alignments.first_edit() is None
    await write(store, WRITTEN.replace("five six", "black white grey"), v=1, now=NOW + 9)
    assert (await seen(store)).tried == ("other",)


@pytest.mark.parametrize(
    "operation",
    [
        ChangeText(id="c1.0", v=1, text=WRITTEN.replace("six", "seven")),
        SetTimes(id="c1.0", v=1, start=10.1, end=15.7),
        SetTimes(id="c2.0", v=0, start=19.0, end=25.0),
    ],
    ids=["text", "times", "the line behind"],
)
async def test_times_for_lines_that_moved_are_dropped(store: Store, job: str, operation: Operation) -> None:
    await write(store)
    chunk = await seen(store)
    await edit(store, operation)
    before = await store.edits.lines(job)
    assert await store.alignments.settle(chunk, timed(), ["other"], NOW) is None
    assert await store.edits.lines(job) == before
    assert (await seen(store)).tried == ()


async def test_a_check_of_a_line_does_not_disturb(store: Store, job: str) -> None:
    await write(store)
    chunk = await seen(store)
    await edit(store, SetChecked(ids=("c1.0",), on=True))
    assert await store.alignments.settle(chunk, timed(), [], NOW) is not None


async def test_a_chunk_that_was_edited_again_is_not_finished(store: Store, job: str) -> None:
    await write(store)
    chunk = await seen(store)
    await write(store, WRITTEN.replace("red", "white"), v=1, now=NOW + 1)
    await store.alignments.finish(chunk)
    assert await store.alignments.first_edit() == NOW + 1


async def test_failures_are_counted_until_the_chunk_is_edited(store: Store, job: str) -> None:
    await write(store)
    chunk = await seen(store)
    assert [await store.alignments.count_failure(chunk) for _ in range(2)] == [1, 2]
    await write(store, WRITTEN.replace("red", "white"), v=1, now=NOW + 1)
    assert await store.alignments.count_failure(chunk) == 0
    assert await store.alignments.count_failure(await seen(store)) == 1


async def test_recordings_that_are_gone_do_not_wait(store: Store, job: str) -> None:
    await write(store)
    chunk = await seen(store)
    await store.trash(job, NOW, message="")
    assert await store.alignments.first_edit() is None
    assert await store.alignments.settle(chunk, timed(), [], NOW) is None
    await store.restore(job)
    assert await store.alignments.first_edit() == NOW
    await store.delete(job)
    assert await store.alignments.first_edit() is None
    assert [tuple(row) for row in await store._db.read("SELECT * FROM alignment")] == []


async def test_words_from_before_wait_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 23})
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        await connection.execute(
            "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
            " chunks_done, chunks_total, decoded, attempts, rank, gaps)"
            " VALUES ('a', 'talk.wav', 'completed', '{}', 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]')"
        )
        for chunk, by, deleted in ((0, "machine", 0), (1, "spread", 0), (2, "spread", 1)):
            words = f'[{{"start":0.0,"end":1.0,"word":" a","probability":1.0,"by":"{by}"}}]'
            await connection.execute(
                'INSERT INTO line (job_id, chunk, "index", id, version, content, position, start, "end", text, words,'
                " held, checked, source, deleted) VALUES ('a', ?, 0, 'c' || ? || '.0', 1, 1, 0, 0, 1, 'a', ?, 0, 0,"
                " 'machine', ?)",
                (chunk, chunk, words, deleted),
            )
    monkeypatch.undo()
    async with Store.open(path) as store:
        assert await store.alignments.chunks("a", 0.0) == [1]


async def test_new_times_stand_in_nobodys_way(store: Store, job: str) -> None:
    await write(store)
    await store.alignments.settle(await seen(store), timed(), [], NOW)
    assert (await store.job(job)).edits == 2
    assert not await store.edits.log.is_edited_since(job, 1)
    restored = await store.edits.restore(job, 0, Edit("r1", ()), NOW, newest=1)  # of a client that did not hear of them
    assert [line.text for line in restored.result.lines] == [SAID]
    assert await store.edits.log.is_edited_since(job, 2)
    with pytest.raises(EditConflict):
        await store.edits.restore(job, 0, Edit("r2", ()), NOW, newest=2)


async def test_a_refused_undo_names_the_person_and_not_the_service(store: Store, job: str) -> None:
    await write(store)
    text = WRITTEN.replace("red green blue", "black white grey")
    await store.edits.apply(job, Edit("bo", (ChangeText(id="c1.0", v=1, text=text),), author="Bo"), NOW + 1)
    await store.alignments.settle(await seen(store), timed(v=2), [], NOW + 7)
    with pytest.raises(EditConflict) as refused:
        await store.edits.undo(job, 1, Edit("u1", ()), NOW + 8)
    assert refused.value.params["author"] == "Bo"
    undone = await store.edits.undo(job, 2, Edit("u2", ()), NOW + 8)
    assert [line.text for line in undone.result.lines] == [WRITTEN]
