"""Which recordings are in object storage: every object has an owner or is noted for deletion, whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.integration.storage.rows import everything, new, working
from whisper_service.core.domain import LiveEnd, LiveSession
from whisper_service.core.job_states import Cause
from whisper_service.storage import database
from whisper_service.storage.store import Store
from whisper_service.storage.stored_recordings import LocalRecording, StoredRecording

pytestmark = pytest.mark.anyio

URL = "s3://bucket/prefix/a-1"


async def finished(store: Store, job_id: str = "a", **fields: Any) -> None:
    await store.add(new(job_id, **fields))
    await store.move(job_id, Cause.CANCEL)


async def stored(store: Store, job_id: str = "a", url: str = URL, sha256: str = "00") -> None:
    await store.recordings.begin(url, LocalRecording(job_id, 3, sha256))
    assert await store.recordings.commit(url, job_id)


async def test_only_whole_recordings_of_ended_jobs_may_move(store: Store) -> None:
    live = LiveSession("microphone", 16_000)
    for job_id in ("ended", "removed", "trashed"):
        await finished(store, job_id)
    await finished(store, "unfetched", sha256="")
    await finished(store, "over", live=replace(live, ended=LiveEnd.CLIENT))
    await finished(store, "open", live=live)
    await working(store, 1, "working")
    await store.add(new("pending"))
    job = await store.job("removed")
    await store.update("removed", expected=job.status, media_removed=True)
    await store.trash("trashed", 1.0)
    assert [local.job_id for local in await store.recordings.to_move(9)] == ["ended", "over"]
    assert [local.job_id for local in await store.recordings.to_move(1)] == ["ended"]
    assert await store.recordings.to_move(9, but=frozenset({"ended"})) == [LocalRecording("over", 3, "00")]


async def test_a_recording_is_in_one_place(store: Store) -> None:
    await finished(store)
    assert await store.recordings.of("a") is None
    await stored(store)
    assert await store.recordings.of("a") == StoredRecording(URL, 3, "00")
    assert await store.recordings.to_move(9) == []
    assert await store.recordings.job_ids() == {"a"}
    count = await store.recordings.count()
    assert (count.stored, count.stored_bytes, count.waiting) == (1, 3, 0)


async def test_what_arrives_too_late_is_unwanted(store: Store) -> None:
    await finished(store)
    await store.recordings.begin(URL, LocalRecording("a", 3, "00"))
    await store.move("a", Cause.RETRY)
    assert not await store.recordings.commit(URL, "a")
    assert await store.recordings.of("a") is None
    assert await store.recordings.unwanted() == [URL]
    await store.recordings.forget(URL)
    assert await store.recordings.unwanted() == []


async def test_what_was_on_its_way_when_the_service_died_is_unwanted(store: Store) -> None:
    await finished(store)
    await finished(store, "b", sha256="11")
    await stored(store, "b", "s3://bucket/b", "11")
    await store.recordings.begin(URL, LocalRecording("a", 3, "00"))
    await store.recordings.recover()
    assert await store.recordings.unwanted() == [URL]
    assert [local.job_id for local in await store.recordings.to_move(9)] == ["a"]
    await store.recordings.forget("s3://bucket/b")  # it is wanted
    assert await store.recordings.of("b") is not None


async def test_an_object_goes_with_the_last_job_that_has_it(store: Store) -> None:
    await finished(store)
    await stored(store)
    await finished(store, "again", of="a", sha256="other")
    await finished(store, "equal")
    assert await store.recordings.adopt("equal")
    assert not await store.recordings.adopt("equal"), "it has one"
    for job_id in ("again", "equal"):
        assert await store.recordings.of(job_id) == StoredRecording(URL, 3, "00")
    await store.delete("a")
    await store.delete("again")
    assert await store.recordings.unwanted() == []
    job = await store.job("equal")
    await store.update("equal", expected=job.status, media_removed=True)
    assert await store.recordings.of("equal") is None
    assert await store.recordings.unwanted() == [URL]


async def test_nothing_is_adopted_that_is_not_whole_or_not_wanted(store: Store) -> None:
    await finished(store)
    await finished(store, "b")
    await store.recordings.begin(URL, LocalRecording("a", 3, "00"))
    assert not await store.recordings.adopt("b")
    assert await store.recordings.commit(URL, "a")
    await store.delete("a")
    assert not await store.recordings.adopt("b")
    assert await store.recordings.of("b") is None


async def test_a_job_in_the_trash_keeps_its_recording(store: Store) -> None:
    await finished(store)
    await stored(store)
    await store.trash("a", 1.0)
    assert await store.recordings.of("a") is not None
    assert await store.recordings.unwanted() == []
    await store.restore("a")
    assert await store.recordings.of("a") is not None
    await store.trash("a", 1.0)
    await store.delete("a")
    assert await store.recordings.unwanted() == [URL]


async def test_a_live_session_that_goes_on_has_its_recording_here(store: Store) -> None:
    await finished(store, live=LiveSession("microphone", 16_000, ended=LiveEnd.SILENCE))
    await stored(store)
    await store.update_live("a", sha256="", bytes=0)
    assert await store.recordings.of("a") is None
    assert await store.recordings.unwanted() == [URL]


async def test_jobs_of_the_last_release_have_their_recordings_on_this_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = database._migrations()
    assert max(known) >= 27
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 27})
    async with Store.open(path) as store:
        await finished(store)
        await working(store, 2, "b")
        before = await everything(store)
    monkeypatch.undo()
    async with Store.open(path) as store:
        assert await everything(store) == before
        assert await store.recordings.job_ids() == set()
        assert [local.job_id for local in await store.recordings.to_move(9)] == ["a"]
        await stored(store)
        await store.delete("a")
        assert await store.recordings.unwanted() == [URL]
