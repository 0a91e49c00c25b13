"""The verdict on a storm finds every kind of loss that is done to a sound database by hand."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testkit.chaos import verdict
from testkit.chaos.crowd import Entry, Event, Line, Subscriber
from testkit.chaos.host import Host
from testkit.chaos.repertoire import Piece
from whisper_service.core.domain import Job, Options, Segment, Span, Status
from whisper_service.core.job_states import Cause
from whisper_service.storage.search_terms import grams
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio
JOB = "01"


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    """A service that is over: one job, two chunks, all done."""
    host = Host(tmp_path, tmp_path, ("nothing",), {})
    for folder in ("media", "peaks", "fine_peaks", "spool"):
        (host.data / folder).mkdir(parents=True)
    (host.data / "media" / JOB).touch()
    async with Store.open(host.database) as store:
        await store.add(Job(JOB, "user 0000 note", Status.PENDING, Options(), created_at=1.0, bytes=1, sha256="00"))
        await store.move(JOB, Cause.CLAIM)
        for index in range(2):
            await store.add_chunk(JOB, Span(index, index * 16_000, 16_000, float(index), index + 1.0))
        for index in range(2):
            said = Segment(index, 0, float(index), index + 1.0, f"Number {index}.")
            await store.checkpoint(JOB, index, [said], "en", progress=0.5 + index / 2)
        await store.move(JOB, Cause.FINISH, progress=1.0)
    return host


def alter(host: Host, *statements: str) -> None:
    with closing(sqlite3.connect(host.database)) as connection:
        connection.create_function("grams", 1, grams, deterministic=True)  # the triggers of the search call it
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def entry(**fields: Any) -> Entry:
    return Entry("user 0000 note", Piece("note", b"{}"), id=JOB, **fields)


def listener(host: Host) -> Subscriber:
    """One that was told everything."""
    found = host.rows("SELECT seq, kind, payload FROM change ORDER BY seq")
    told = [Event(seq, kind, bytes(payload)) for seq, kind, payload in found]
    return Subscriber(Line(host), "/api/events", random.Random(0), last=told[-1].id, got=told)


async def test_a_service_that_lost_nothing_has_no_findings(host: Host) -> None:
    heard = [{"chunk": 0, "text": "Number 0."}]
    assert not list(verdict.jobs(host, [entry()]))
    assert not list(verdict.lifecycles(host))
    assert not list(verdict.files(host))
    assert not list(verdict.subscriber(host, listener(host), None, set()))
    assert not list(verdict.subscriber(host, listener(host), JOB, set()))
    assert not list(verdict.transcript(entry(), "completed", heard, {"note": heard}))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM job", "LOST"),
        ("UPDATE job SET status = 'failed', error = '{\"code\":\"oom\"}'", "is failed oom, not completed"),
        ("UPDATE job SET progress = 0.9", "at 0.9"),
        ("UPDATE job SET name = 'other'", "is called 'other'"),
        ("UPDATE chunk SET state = 'waiting' WHERE \"index\" = 1", "chunks [1] wait"),
        ('UPDATE chunk SET state = \'failed\', error = \'{"code":"killed"}\' WHERE "index" = 1', "gaps [1]"),
    ],
)
async def test_a_job_that_is_not_as_it_should_be(host: Host, statement: str, words: str) -> None:
    alter(host, statement)
    assert words in "\n".join(verdict.jobs(host, [entry()]))


async def test_what_users_asked_for_counts(host: Host) -> None:
    assert "not cancelled" in "\n".join(verdict.jobs(host, [entry(cancelled=True)]))
    assert "still there" in "\n".join(verdict.jobs(host, [entry(deleted=True)]))
    assert "nobody was told" in "\n".join(verdict.jobs(host, []))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM change WHERE seq = 1", "begins as processing"),
        ("DELETE FROM change WHERE seq > 4", "was last told to be"),
        (
            "UPDATE change SET payload = CAST(replace(CAST(payload AS TEXT), 'processing', 'failed') AS BLOB)"
            " WHERE seq < 9",
            "from failed to completed",
        ),
        (
            "UPDATE change SET payload ="
            " CAST(replace(CAST(payload AS TEXT), '\"progress\":0.5', '\"progress\":1.5') AS BLOB)",
            "fell from 1.5",
        ),
        ("DELETE FROM change WHERE kind = 'segment' AND seq < 7", "more or less often"),
        (
            "INSERT INTO change (job_id, kind, payload)"
            " SELECT job_id, kind, payload FROM change WHERE kind = 'segment'",
            "more or less often",
        ),
        ("UPDATE job SET chunks_done = 1", "counts [(1, 2)]"),
    ],
)
async def test_a_log_that_tells_another_story(host: Host, statement: str, words: str) -> None:
    alter(host, statement)
    assert words in "\n".join(verdict.lifecycles(host))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda got: got.pop(4), "LOST"),
        (lambda got: got.append(got[0]), "told twice"),
        (lambda got: got.append(Event(99, "update", b'{"id":"02"}')), "is not in the log"),
        (lambda got: got.append(msgspec.structs.replace(got.pop(), data=b'{"id":"01"}')), "was told as update"),
    ],
)
async def test_a_subscriber_who_was_told_something_else(
    host: Host, spoil: Callable[[list[Event]], object], words: str
) -> None:
    told = listener(host)
    spoil(told.got)
    assert words in "\n".join(verdict.subscriber(host, told, None, set()))


async def test_who_follows_all_jobs_may_be_told_the_newest_update_alone(host: Host) -> None:
    told = listener(host)
    updates = [event for event in told.got if event.kind == "update"]
    assert len(updates) > 3
    told.got = [event for event in told.got if event not in updates[:-1]]
    assert not list(verdict.subscriber(host, told, None, set()))
    assert "LOST" in "\n".join(verdict.subscriber(host, told, JOB, set()))  # that stream has every one
    told.got.remove(updates[-1])
    assert "LOST" in "\n".join(verdict.subscriber(host, told, None, set()))


async def test_other_text_than_in_peace(host: Host) -> None:
    peace = {"note": [{"chunk": 0, "text": "Yes."}, {"chunk": 1, "text": "No."}]}
    assert list(verdict.transcript(entry(), "completed", peace["note"][:1], peace))
    assert not list(verdict.transcript(entry(), "cancelled", peace["note"][:1], peace))
    assert list(verdict.transcript(entry(), "cancelled", [{"chunk": 0, "text": "Perhaps."}], peace))


@pytest.mark.parametrize("left", ["media/02", "peaks/02", "fine_peaks/02", f"spool/{JOB}.pcm"])
async def test_a_file_that_is_left(host: Host, left: str) -> None:
    (host.data / left).touch()
    assert left.partition("/")[2] in "\n".join(verdict.files(host))


async def test_a_traceback_is_only_forgiven_when_the_disk_was_full() -> None:
    full = {
        "message": "m",
        "traceback": "Traceback ...\nwhisper_service.errors.DiskFull: There is not enough room on the disk.",
    }
    assert not list(verdict.log([{"message": "m"}, full]))
    assert list(verdict.log([{"message": "m", "traceback": "Traceback ...\nKeyError: 'x'"}]))
    assert list(verdict.log([{"message": "Traceback (most recent call last):"}]))
    for last, forgiven in (("MemoryError", True), ("KeyError: 'x'", False)):
        lines = ["Traceback (most recent call last):", '  File "<string>", line 1, in <module>', last]
        entries: list[dict[str, object]] = [{"message": line} for line in lines]
        entries.insert(1, {"time": 1.0, "message": "another process says something in between"})
        assert (not list(verdict.log(entries))) is forgiven


async def test_other_speakers_than_without_the_storm_are_found_unless_the_job_says_why(host: Host) -> None:
    turns = '[[0.0,"s1"],[1.0,"s2"]]'
    alter(host, f"INSERT INTO speaker_timeline (job_id, turns, wanted) VALUES ('{JOB}', '{turns}', '{{}}')")
    assert verdict.timeline(host, entry()) == turns
    assert not list(verdict.speakers(host, entry(), "completed", {"note": turns}))
    (found,) = verdict.speakers(host, entry(), "completed", {"note": '[[0.0,"s1"]]'})
    assert "undisturbed" in found
    assert not list(verdict.speakers(host, entry(), "cancelled", {"note": "[]"}))
    note = '[{"at": 1.0, "code": "speakers_incomplete", "message": "", "params": {}}]'
    alter(host, f"UPDATE job SET history = '{note}'")
    assert not list(verdict.speakers(host, entry(), "completed", {"note": "[]"}))
