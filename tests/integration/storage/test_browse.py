"""Lists and searches in a real database find what a plain search through all texts finds."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisper_service.core.domain import Job, Options, Segment, Span, Status
from whisper_service.core.job_states import Cause
from whisper_service.editing.operations import JoinSpeakers, NameSpeaker
from whisper_service.storage import browse as listing
from whisper_service.storage import database, search_terms
from whisper_service.storage.browse import JobPage
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "whisper_service.db") as opened:
        yield opened


async def add(
    store: Store, job_id: str, name: str = "", *texts: str, per_chunk: int = 2, of: str | None = None
) -> None:
    """Add a job in work with these segments."""
    job = Job(
        id=job_id,
        name=name or f"{job_id}.wav",
        status=Status.PENDING,
        options=Options(),
        created_at=1.0,
        bytes=1,
        sha256="x",
        of=of,
    )
    await store.add(job)
    await store.move(job_id, Cause.CLAIM)
    for chunk, at in enumerate(range(0, len(texts), per_chunk)):
        await store.add_chunk(job_id, Span(chunk, chunk * 16_000, 16_000, float(chunk), chunk + 1.0))
        segments = [
            Segment(chunk, n, chunk + n / 10, chunk + n / 10 + 0.1, text)
            for n, text in enumerate(texts[at : at + per_chunk])
        ]
        await store.checkpoint(job_id, chunk, segments, "en")


async def found(store: Store, q: str, **more: Any) -> list[str]:
    return [job.id for job in (await store.browser.jobs(q=q, **more)).jobs]


async def speak(store: Store, job_id: str, *names: str) -> None:
    """Give a job speakers with these names."""
    operations = tuple(NameSpeaker(f"p{at}", name) for at, name in enumerate(names))
    await store.edits.apply(job_id, Edit("names", operations), 1.0)


async def test_the_versions_of_a_recording_are_found_from_each_of_them(store: Store) -> None:
    await add(store, "a", "", "one text")
    await add(store, "b", "", "another text")
    await add(store, "c", "", "second hearing", of="a")
    await add(store, "d", "", "of the second", of="c")
    await add(store, "e", "", "third hearing", of="a")
    await speak(store, "e", "Anna")
    for job_id in "acde":
        assert await found(store, "", of=job_id) == ["e", "d", "c", "a"]
    assert await found(store, "", of="b") == ["b"]
    assert await found(store, "", of="nobody") == []
    assert await found(store, "hearing", of="d") == ["e", "c"]
    assert await found(store, "speaker:anna", of="d") == ["e"]
    assert await found(store, "", of="a", before="d", limit=1) == ["c"]
    page = await store.browser.jobs(of="a", status=[Status.PROCESSING])
    assert ([job.id for job in page.jobs], page.counts[Status.PROCESSING]) == (["e", "d", "c", "a"], 4)
    await store.move("a", Cause.CANCEL)
    await store.delete("a")
    for job_id in "acde":  # the first one is gone, the others are still versions of one recording
        assert await found(store, "", of=job_id) == ["e", "d", "c"]


async def test_jobs_are_found_by_who_speaks_in_them(store: Store) -> None:
    for job_id in "abcd":
        await add(store, job_id, "", "we talk about Anna" if job_id != "c" else "nothing")
    await speak(store, "a", "Anna Lindström", "Bo")
    await speak(store, "b", "李雷")
    await speak(store, "c", "ANNA", "李雷")
    assert await found(store, "speaker:anna") == ["c", "a"]
    assert await found(store, 'SPEAKER:"anna lindSTRÖM"') == ["a"]
    assert await found(store, "发言人：李雷") == ["c", "b"]
    assert await found(store, "speaker:anna speaker:李") == ["c"]
    assert await found(store, "speaker:anna talk") == ["a"]
    assert await found(store, "speaker:nobody") == []
    assert await found(store, "speaker:anna", before="c") == ["a"]
    assert await found(store, "speaker:anna", status=[Status.FAILED]) == []
    assert await found(store, "Anna") == ["d", "b", "a"]  # the text alone, as ever
    page = await store.browser.jobs(q="speaker:anna", limit=1)
    assert (page.counts[Status.PROCESSING], [job.id for job in page.jobs]) == (2, ["c"])
    assert page.found["c"].name == ["c.wav"]
    await store.edits.apply("a", Edit("one", (JoinSpeakers("p0", "p1"),)), 2.0)
    assert await found(store, "speaker:anna") == ["c"]  # she is Bo
    await store.trash("c", 5.0)
    assert await found(store, "speaker:李雷") == ["b"]


async def test_a_name_without_anything_behind_it_is_no_limit(store: Store) -> None:
    await add(store, "a", "", "a speaker: loud")
    assert await found(store, "speaker:") == ["a"]
    assert await found(store, "loudspeaker:anna") == []
    assert search_terms.speakers('budget speaker:"A B" speaker:c') == ("budget    ", ("A B", "c"))


async def test_jobs_are_found_by_name_and_text_the_newest_first(store: Store) -> None:
    await add(store, "a", "周会会议.mp3", "我们讨论了预算", "好")
    await add(store, "b", "Großer Ärger.MP3", "The Budget, again.", "zebra")
    await add(store, "c", "100% Liebe.wav", 'He said "no_way" OR nothing.')
    for q, ids in {
        "会议": ["a"], "预": ["a"], "论了预": ["a"], "好": ["a"], "budget": ["b"], "BUDGET": ["b"], "ärger": ["b"],
        "ÄR": ["b"], "100%": ["c"], "0%": ["c"], "_": ["c"], "no_w": ["c"], '"no': ["c"], "OR not": ["c"], "r.": ["b"],
        ".mp3": ["b", "a"], "mp": ["b", "a"], "wav zebra": [], "mp3 zebra": ["b"], "zebra gro": ["b"], "预算 会": ["a"],
        "": ["c", "b", "a"], " \x00 ": ["c", "b", "a"], "nothing*": [], "NEAR(he said)": [], "text:said": [],
    }.items():  # fmt: skip
        assert await found(store, q) == ids, q


async def test_a_found_job_has_its_finds_marked(store: Store) -> None:
    await add(
        store, "a", "zebra.wav", "nothing", "one zebra", "x", "two Zebras and a zebra", "zebra three", "zebra four"
    )
    page = await store.browser.jobs(q="zebra")
    where = page.found["a"]
    assert where.name == ["", "zebra", ".wav"]
    assert [(e.chunk, e.index, e.start, e.parts) for e in where.excerpts] == [
        (0, 1, 0.1, ["one ", "zebra", ""]),
        (1, 1, 1.1, ["two ", "Zebra", "s and a ", "zebra", ""]),
        (2, 0, 2.0, ["", "zebra", " three"]),
    ]
    named = (await store.browser.jobs(q="wav four")).found["a"]
    assert named.name == ["zebra.", "wav", ""]
    assert [e.parts for e in named.excerpts] == [["zebra ", "four", ""]]


async def test_lines_with_more_of_the_terms_come_first_and_every_line_is_counted(store: Store) -> None:
    await add(store, "a", "", "a horse", "a zebra", "zebra", "a horse and a zebra", "会议 horse", "zebra, horse 会议")
    await add(store, "b", "", *(f"zebra {n}" for n in range(90)), "horse", per_chunk=30)
    await add(store, "horse", "horse.wav", "zebra")
    page = await store.browser.jobs(q="horse zebra")
    where = page.found["a"]
    assert [(e.chunk, e.index) for e in where.excerpts] == [(1, 1), (2, 1), (0, 0)]
    assert where.total == 6
    assert [(e.chunk, e.index) for e in page.found["b"].excerpts] == [(0, 0), (0, 1), (0, 2)]
    assert page.found["b"].total == 91
    assert page.found["horse"].total == 1  # the name is no line
    short = (await store.browser.jobs(q="议 horse zebra")).found["a"]
    assert [(e.chunk, e.index) for e in short.excerpts] == [(2, 1), (1, 1), (2, 0)]
    assert (await store.browser.jobs(q="horse.wav")).found["horse"].total == 0


async def test_scattered_jobs_have_the_same_excerpts_as_jobs_side_by_side(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        await add(store, f"j{n}", "zebra.wav", *(f"{n} a zebra {k}" for k in range(n)), "会议")
    for q in ("zebra", "会议", "议", "zebra 会议"):
        together = await store.browser.jobs(q=q)
        monkeypatch.setattr(listing, "MAX_SPREAD", 0)
        assert await store.browser.jobs(q=q) == together, q
        monkeypatch.undo()
    assert [len(together.found[f"j{n}"].excerpts) for n in range(9)] == [1, 2, 3, 3, 3, 3, 3, 3, 3]


async def test_counts_are_of_all_finds_whatever_the_page_shows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        await add(store, f"j{n}", "", "zebra" if n % 2 else "horse")
    await store.move("j1", Cause.PAUSE)
    page = await store.browser.jobs(q="zebra", status=[Status.PAUSED])
    assert [job.id for job in page.jobs] == ["j1"]
    assert page.counts == dict.fromkeys(Status, 0) | {Status.PAUSED: 1, Status.PROCESSING: 2}
    assert page.complete
    monkeypatch.setattr(listing, "MAX_SCANNED", 0)  # another way to the same answer
    assert (await store.browser.jobs(q="zebra", status=[Status.PAUSED])).jobs == page.jobs
    everything = await store.browser.jobs(status=[Status.PAUSED, Status.PROCESSING], limit=2)
    assert [job.id for job in everything.jobs] == ["j6", "j5"]
    assert everything.counts == dict.fromkeys(Status, 0) | {Status.PAUSED: 1, Status.PROCESSING: 6}
    monkeypatch.setattr(listing, "MAX_COUNTED", 2)
    assert not (await store.browser.jobs(q="zebra")).complete


async def test_pages_of_a_search_join_without_gap_or_repetition(store: Store) -> None:
    for n in range(20):
        await add(store, f"j{n:02}", "", "zebra and horse" if n % 3 else "horse")
    whole = await found(store, "zebra")
    pages: list[str] = []
    while len(page := await found(store, "zebra", before=pages[-1] if pages else None, limit=4)) == 4:
        pages += page
        if len(pages) == 8:
            await store.delete(pages[-1])  # the last job of a page may be deleted before the next request
    assert pages + page == whole


async def test_the_index_follows_what_is_deleted_and_renamed(store: Store, tmp_path: Path) -> None:
    await add(store, "a", "old name.wav", "zebra", "horse")
    await add(store, "b", "other.wav", "zebra")
    await store.update("a", expected=Status.PROCESSING, name="新名字 new.wav")
    assert await found(store, "old name") == []
    assert await found(store, "名字") == await found(store, "new.wav") == ["a"]
    await store.delete("a")
    assert await found(store, "zebra") == ["b"]
    assert await found(store, "名字") == await found(store, "horse") == await found(store, "ho") == []
    async with database.connect(store.path) as connection:
        await connection.execute("""UPDATE segment SET text = '换了' WHERE job_id = 'b'""")
        assert await found(store, "zebra") == []
        assert await found(store, "换") == ["b"]
        await connection.execute("PRAGMA foreign_keys = ON")
        await connection.execute("DELETE FROM job")
        for table in ("trigram", "gram"):
            await connection.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")
        assert not await connection.execute_fetchall("SELECT * FROM document")
    assert await found(store, "other") == await found(store, "换") == []


async def test_a_database_from_before_is_indexed_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    known = database._migrations()
    before = {
        number: file
        for number, file in known.items()
        if number < next(n for n, f in known.items() if f.stem.endswith("search"))
    }
    monkeypatch.setattr(database, "_migrations", lambda: before)
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        await _old_job(connection)
    monkeypatch.undo()
    async with Store.open(path) as store:
        assert (
            await found(store, "以前") == await found(store, "recording") == await found(store, "long before") == ["a"]
        )
        await store.delete("a")
        assert await found(store, "以前") == await found(store, "recording") == []


async def _old_job(connection: aiosqlite.Connection) -> None:
    await connection.execute(
        "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
        " chunks_done, chunks_total, decoded, attempts, rank, gaps)"
        " VALUES ('a', 'recording.wav', 'completed', '{}', 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]')"
    )
    await connection.execute(
        """INSERT INTO chunk (job_id, "index", start_sample, samples, start, "end", state)
           VALUES ('a', 0, 0, 1, 0, 1, 'done')"""
    )
    await connection.execute(
        """INSERT INTO segment (job_id, chunk, "index", start, "end", text, words)
           VALUES ('a', 0, 0, 0, 1, '以前 long before', '[]')"""
    )


TEXTS = st.text(alphabet="ab中 B文", max_size=12)


@given(
    jobs=st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=4)), max_size=5),
    queries=st.lists(st.text(alphabet="ab中 文B", min_size=1, max_size=7), min_size=1, max_size=6),
    gone=st.sets(st.integers(0, 4)),
)
@settings(max_examples=25)
async def test_a_search_finds_what_a_search_through_all_texts_finds(
    jobs: Sequence[tuple[str, Sequence[str]]], queries: Sequence[str], gone: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with Store.open(Path(directory) / "a.db") as store:
            for n, (name, texts) in enumerate(jobs):
                await add(store, f"j{n}", name or "-", *texts)
            for n in gone & set(range(len(jobs))):
                await store.delete(f"j{n}")
            for q in queries:
                wanted = search_terms.terms(q)
                plain = [
                    f"j{n}"
                    for n, (name, texts) in reversed([*enumerate(jobs)])
                    if n not in gone and all(_has([name or "-", *texts], term) for term in wanted)
                ]
                said: JobPage = await store.browser.jobs(q=q)
                assert [job.id for job in said.jobs] == plain, q
                assert sum(said.counts.values()) == len(plain)


def _has(texts: Sequence[str], term: str) -> bool:
    return any(re.search(re.escape(term), text, re.IGNORECASE) for text in texts)
