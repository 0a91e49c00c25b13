"""Voices, speakers and timelines in a real database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from struct import pack

import msgspec
import pytest

from tests.integration.storage.rows import new, span, working
from whisper_service.core.domain import Change, Options, Phase, Segment, Status, Word
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import Cause
from whisper_service.core.speaker_count import Wanted
from whisper_service.editing.operations import SetSpeaker
from whisper_service.editing.speakers import Speaker
from whisper_service.storage import database
from whisper_service.storage.speaker_identity import FoundSpeaker
from whisper_service.storage.speakers import SegmentTurns
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000.0
ANY = Wanted()


def voice(axis: int) -> bytes:
    return pack("<6f", *(1.0 if at == axis else 0.0 for at in range(6)))


A, B = FoundSpeaker("A", 4.5, voice(0)), FoundSpeaker("B", 2.25, voice(1))
DIALOGUE = (SegmentTurns(0, 0, ((0, "A"), (2, "B"))), SegmentTurns(1, 0, ((0, "B"),)), SegmentTurns(2, 0, ((0, "A"),)))


def words(chunk: int, count: int = 3) -> tuple[Word, ...]:
    """Words in the seconds of a chunk that begin at a tenth of a third: numbers that no decimal has exactly."""
    return tuple(Word(chunk + (at + 1) / 30, chunk + (at + 1.5) / 30, f" w{at}", 0.9) for at in range(count))


async def spoken(store: Store, chunks: int = 3, job_id: str = "a", **fields: str) -> None:
    """A job in work whose chunks have a segment of three words each, the last one another chunk without text."""
    await store.add(new(job_id, **fields))
    await store.move(job_id, Cause.CLAIM)
    for chunk in range(chunks):
        await store.add_chunk(job_id, span(chunk))
        said = words(chunk)
        await store.checkpoint(job_id, chunk, [Segment(chunk, 0, said[0].start, said[-1].end, "w0 w1 w2", said)], "en")
    await store.add_chunk(job_id, span(chunks))
    await store.checkpoint(job_id, chunks, [], "en")


async def rows(store: Store, table: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await store._db.read(f"SELECT * FROM {table} ORDER BY 1, 2")]


def kinds(changes: Sequence[Change]) -> list[str]:
    return [change.kind for change in changes]


async def test_chunks_with_text_wait_to_be_heard(store: Store) -> None:
    await spoken(store)
    await store.add_chunk("a", span(4))  # waits for its text
    assert await store.speakers.unheard("a") == [0, 1, 2]
    await store.speakers.put_voices("a", 1, b"heard")
    await store.speakers.put_voices("a", 0, None)
    assert await store.speakers.unheard("a") == [2]
    assert await store.speakers.given_up("a") == [0]
    assert await store.speakers.voices("a") == [(1, b"heard")]
    await store.speakers.put_voices("a", 1, None)  # what was heard stays
    await store.speakers.put_voices("a", 0, b"now")
    assert await store.speakers.voices("a") == [(0, b"now"), (1, b"heard")]


async def test_a_deleted_job_takes_its_voices_along(store: Store) -> None:
    await spoken(store)
    await store.speakers.put_voices("a", 0, b"heard")
    await store.speakers.assign("a", [A, B], DIALOGUE, ANY)
    await store.delete("a")
    for table in ("voice", "speaker", "speaker_timeline"):
        assert await rows(store, table) == []
    await store.speakers.put_voices("a", 1, b"late")
    assert await rows(store, "voice") == []
    with pytest.raises(NotFound):
        await store.speakers.assign("a", [A], (), ANY)


async def test_speakers_are_stored_with_their_change(store: Store) -> None:
    await spoken(store)
    written = await store.speakers.assign("a", [B, A], DIALOGUE, Wanted(1, 4))
    s1, s2 = Speaker("s1", "", 0, 0, None, 4.5, True), Speaker("s2", "", 1, 1, None, 2.25, True)
    assert await store.speakers.speakers("a") == [s1, s2]
    assert await store.speakers.wanted("a") == Wanted(1, 4)
    assert written.job.speakers == (await store.job("a")).speakers == 2
    assert kinds(written.changes) == ["speakers", "update"]
    told = msgspec.json.decode(written.changes[0].payload)
    assert told == {
        "job_id": "a",
        "speakers": [msgspec.to_builtins(each) for each in (s1, s2)],
        "timeline_changed": True,
    }
    assert written.changes == tuple((await store.change_log.changes(0, limit=1_000))[-2:])


async def test_a_word_is_whose_it_was_said_to_be_to_the_bit(store: Store) -> None:
    await spoken(store)
    await store.speakers.assign("a", [A, B], DIALOGUE, ANY)
    first, second, third = words(0), words(1), words(2)
    assert await store.speakers.timeline("a") == (
        (first[0].start / 2, "s1"),
        (first[2].start, "s2"),  # inside a segment: at its word
        ((second[-1].end + third[0].start) / 2, "s1"),  # between two: in the middle of the silence
    )


async def test_text_that_nobody_heard_has_no_speaker(store: Store) -> None:
    await spoken(store)
    await store.speakers.assign("a", [A], (DIALOGUE[2],), ANY)
    assert [speaker for _, speaker in await store.speakers.timeline("a")] == ["s1"]
    await store.speakers.assign("a", [A], (SegmentTurns(0, 0, ((0, "A"), (9, "A"))),), ANY)
    assert [speaker for _, speaker in await store.speakers.timeline("a")] == ["s1", None]


async def test_nobody_is_a_result_too(store: Store) -> None:
    await spoken(store)
    written = await store.speakers.assign("a", [], (), ANY)
    assert (written.job.speakers, await store.speakers.speakers("a"), await store.speakers.timeline("a")) == (0, [], ())


async def test_the_same_count_again_changes_no_row(store: Store) -> None:
    await spoken(store)
    await store.speakers.assign("a", [A, B], DIALOGUE, ANY)
    before = [await rows(store, table) for table in ("speaker", "speaker_timeline", "job")]
    await store.speakers.assign("a", [A, B], DIALOGUE, ANY)
    assert [await rows(store, table) for table in ("speaker", "speaker_timeline", "job")] == before


async def test_a_speaker_that_a_line_or_the_log_of_edits_names_stays(store: Store) -> None:
    await spoken(store)
    await store.speakers.assign("a", [A, B], DIALOGUE, ANY)
    await store.edits.apply("a", Edit("one", (SetSpeaker(("c2.0",), "s2"),)), NOW)
    only = FoundSpeaker("A", 7.0, voice(0))
    await store.speakers.assign("a", [only], (SegmentTurns(0, 0, ((0, "A"),)),), ANY)
    assert [(each.id, each.seconds) for each in await store.speakers.speakers("a")] == [("s1", 7.0), ("s2", 0.0)]
    assert (await store.job("a")).speakers == 2
    await store.edits.undo("a", 1, Edit("two", ()), NOW)
    await store.speakers.assign("a", [only], (SegmentTurns(0, 0, ((0, "A"),)),), ANY)
    assert [each.id for each in await store.speakers.speakers("a")] == ["s1", "s2"]
    assert (await store.job("a")).speakers == 1


async def test_names_are_taken_over_when_a_recording_is_transcribed_again(store: Store) -> None:
    await spoken(store)
    await store.speakers.assign("a", [A, B], DIALOGUE, ANY)
    async with store._db.transaction():
        await store._db.run("UPDATE speaker SET name = 'Anna' WHERE id = 's2'")
    await spoken(store, job_id="b", of="a")
    assert (await store.job("b")).of == "a"
    turns = (SegmentTurns(0, 0, ((0, "A"),)), SegmentTurns(1, 0, ((0, "B"),)))
    await store.speakers.assign("b", [FoundSpeaker("A", 1, voice(1)), FoundSpeaker("B", 1, voice(3))], turns, ANY)
    assert [(each.id, each.name) for each in await store.speakers.speakers("b")] == [("s1", "Anna"), ("s2", "")]


async def test_old_voices_go_and_what_was_told_stays(store: Store) -> None:
    for job_id in ("a", "b"):
        await spoken(store, job_id=job_id)
        await store.speakers.put_voices(job_id, 0, b"heard")
        await store.speakers.assign(job_id, [A, B], DIALOGUE, ANY)
    await store.move("a", Cause.FINISH, finished_at=5.0)
    assert await store.speakers.delete_voices(before=5.0) == 0
    assert await store.speakers.delete_voices(before=6.0) == 1
    assert [await store.speakers.has_voices(job_id) for job_id in ("a", "b")] == [False, True]
    assert [
        centroid for (centroid,) in await store._db.read("SELECT DISTINCT centroid FROM speaker WHERE job_id = 'a'")
    ] == [None]
    assert len(await store.speakers.speakers("a")) == len(await store.speakers.speakers("b")) == 2
    assert await store.speakers.timeline("a") == await store.speakers.timeline("b")


async def test_jobs_from_before_have_no_speakers_but_those_of_their_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 19})
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        for job_id in ("a", "b"):
            await connection.execute(
                "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
                " chunks_done, chunks_total, decoded, attempts, rank, gaps, finished_at)"
                " VALUES (?, 'talk.mp3', 'completed', '{}', 0, 7, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]', 5)",
                (job_id,),
            )
        await connection.execute("""INSERT INTO chunk (job_id, "index", start_sample, samples, start, "end", state)
            VALUES ('a', 0, 0, 1, 0, 1, 'done')""")
        for index, speaker in enumerate(["Li", "Anna", None, "Li"]):
            await connection.execute(
                "INSERT INTO line VALUES ('a', 0, ?, ?, 0, 0, ?, 0, 1, 'text', '[]', 'en', ?, 0, 0, 'machine', 0)",
                (index, f"c0.{index}", index, speaker),
            )
        for number, undone in enumerate(["Anna", "Bo"], 1):  # Bo is in the log only
            inverse = f'[{{"op":"speaker","ids":["c0.0"],"speaker":"{undone}"}}]'
            result = f'{{"job_id":"a","number":{number},"batch":"b","client":"","lines":[],"gone":[]}}'
            await connection.execute(
                "INSERT INTO edit VALUES ('a', ?, ?, 1, '', '', '[]', ?, ?, NULL)",
                (number, f"b{number}", inverse, result.encode()),
            )
        await connection.execute("UPDATE job SET edits = 2 WHERE id = 'a'")
        await connection.execute("UPDATE job SET status = 'processing', phase = 'transcribing' WHERE id = 'b'")
        await connection.commit()
    monkeypatch.undo()
    async with Store.open(path) as store:
        job = await store.job("a")
        assert (job.name, job.speakers, job.of, job.options) == ("talk.mp3", None, None, Options())
        assert [line.speaker for line in await store.edits.lines("a")] == ["Li", "Anna", None, "Li"]
        assert await store.speakers.speakers("a") == [Speaker("Li", "Li", 0, 0), Speaker("Anna", "Anna", 1, 1)]
        assert (await store.job("b")).phase is Phase.TRANSCRIBING
        written = await store.update("b", expected=Status.PROCESSING, phase=Phase.SPEAKERS)
        assert written is not None
        assert written.job.phase is Phase.SPEAKERS
        assert (await store.move("b", Cause.PAUSE)).job.phase is None
        assert await store.speakers.speakers("b") == []
        assert (await store.speakers.timeline("a"), await store.speakers.wanted("a")) == ((), None)
        assert await store.find_duplicate("x", Options(speakers="off")) is not None
        assert await store.find_duplicate("x", Options(speakers="auto")) is None
        for number, speaker in ((1, "Anna"), (2, None)):
            await store.edits.undo("a", number, Edit(f"undo {number}", ()), NOW)
            assert (await store.edits.lines("a"))[0].speaker == speaker


async def test_a_count_of_speakers_is_not_set_by_others(store: Store) -> None:
    await working(store)
    with pytest.raises(TypeError, match="speakers"):
        await store.update("a", expected=Status.PROCESSING, speakers=3)
