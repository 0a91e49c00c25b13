"""Deleted jobs: not listed any more, restored while there is time, then deleted for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.event_stream import collect
from testkit.scripted_actors import script
from testkit.service import Running, running

pytestmark = pytest.mark.anyio

QUICK = script(chunks=2)
SLOW = script(chunks=3, delay=0.3)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, storage={"undo_s": 600.0}) as up:
        yield up


async def posted(web: Running, data: bytes = QUICK, name: str = "talk.wav") -> str:
    answer = await web.client.post(
        "/api/jobs", params={"filename": name}, content=data, headers={"content-type": "audio/wav"}
    )
    return str(answer.json()["id"])


async def ended(web: Running, job_id: str) -> dict[str, Any]:
    await collect(web.client, f"/api/jobs/{job_id}/events")
    return dict((await web.client.get(f"/api/jobs/{job_id}")).json())


def files(web: Running, job_id: str) -> list[str]:
    data = web.service.parts.data
    folders = (data.media, data.spool, data.peaks, data.fine_peaks)
    return [path.parent.name for folder in folders for path in folder.glob(f"{job_id}*")]


async def test_a_deleted_job_is_out_of_sight_and_comes_back_whole(web: Running) -> None:
    job_id = await posted(web)
    before = await ended(web, job_id)
    text = (await web.client.get(f"/api/jobs/{job_id}/transcript")).json()
    assert (await web.client.delete(f"/api/jobs/{job_id}")).status_code == 204
    for path in ("", "/transcript", "/export", "/media", "/events"):
        assert (await web.client.get(f"/api/jobs/{job_id}{path}")).status_code == 404
    assert (await web.client.delete(f"/api/jobs/{job_id}")).status_code == 404
    assert (await web.client.post(f"/api/jobs/{job_id}/retry")).status_code == 404
    for query in ("", "?q=talk", "?q=chunk", "?status=completed"):
        page = (await web.client.get(f"/api/jobs{query}")).json()
        assert (page["jobs"], sum(page["counts"].values())) == ([], 0)
    state = (await web.client.get("/api/state")).json()
    assert (state["jobs"]["jobs"], sum(state["system"]["jobs"].values())) == ([], 0)
    assert "media" in files(web, job_id)
    back = await web.client.post(f"/api/jobs/{job_id}/restore")
    assert (back.status_code, back.json()) == (200, before)
    assert (await web.client.get(f"/api/jobs/{job_id}/transcript")).json() == text
    assert [job["id"] for job in (await web.client.get("/api/jobs?q=chunk")).json()["jobs"]] == [job_id]
    again = await web.client.post(f"/api/jobs/{job_id}/restore")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    kinds = [change.kind for change in await web.service.parts.store.change_log.changes(0, job_id=job_id)]
    assert kinds[-2:] == ["deleted", "update"]


async def test_a_job_that_is_deleted_in_work_stops_and_goes_on_when_it_comes_back(web: Running) -> None:
    job_id = await posted(web, SLOW)
    async with web.client.stream("GET", f"/api/jobs/{job_id}/events") as stream:
        async for line in stream.aiter_lines():
            if line == "event: segment":
                break
    await web.client.delete(f"/api/jobs/{job_id}")
    done = len(await web.service.parts.store.segments(job_id))
    await anyio.sleep(0.7)
    assert len(await web.service.parts.store.segments(job_id)) == done < 3
    assert (await web.client.post(f"/api/jobs/{job_id}/restore")).json()["status"] == "pending"
    assert (await ended(web, job_id))["status"] == "completed"
    assert len((await web.client.get(f"/api/jobs/{job_id}/transcript")).json()["segments"]) == 3


async def test_for_good_is_for_good(web: Running) -> None:
    job_id = await posted(web)
    await ended(web, job_id)
    await web.client.delete(f"/api/jobs/{job_id}")
    assert (await web.client.delete(f"/api/jobs/{job_id}", params={"for_good": True})).status_code == 204
    assert files(web, job_id) == []
    assert (await web.client.post(f"/api/jobs/{job_id}/restore")).status_code == 404


async def test_it_goes_when_its_time_is_over_also_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, storage={"undo_s": 600.0}) as web:
        kept, gone = await posted(web), await posted(web)
        await ended(web, gone)
        for job_id in (kept, gone):
            await web.client.delete(f"/api/jobs/{job_id}")
        await web.service.parts.store._db.run("UPDATE job SET deleted_at = deleted_at - 599 WHERE id = :id", id=gone)
    async with running(tmp_path, storage={"undo_s": 600.0}) as web:
        assert "media" in files(web, kept)
        with anyio.fail_after(20):
            while files(web, gone):  # noqa: ASYNC110 - no event tells
                await anyio.sleep(0.05)
        assert [job_id for job_id, _ in await web.service.parts.store.trashed()] == [kept]
        assert (await web.client.post(f"/api/jobs/{gone}/restore")).status_code == 404
        assert (await web.client.post(f"/api/jobs/{kept}/restore")).status_code == 200
        assert (await ended(web, kept))["status"] == "completed"


async def test_a_job_can_be_called_something_else(web: Running) -> None:
    job_id = await posted(web, SLOW, "old.wav")
    renamed = await web.client.patch(f"/api/jobs/{job_id}", json={"name": "../周会 1.wav"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "周会 1.wav")
    assert (await ended(web, job_id))["name"] == "周会 1.wav", "also after it was in work"
    export = await web.client.get(f"/api/jobs/{job_id}/export?format=srt")
    assert "%E5%91%A8%E4%BC%9A%201.srt" in export.headers["content-disposition"]
    assert len((await web.client.get("/api/jobs?q=周会")).json()["jobs"]) == 1
    for body in (
        {"name": ""},
        {"name": " \t"},
        {"name": 5},
        {"name": "x" * 1_001},
        {},
        {"name": "a", "status": "failed"},
    ):
        answer = await web.client.patch(f"/api/jobs/{job_id}", json=body)
        assert (answer.status_code, answer.json()["code"]) in [(422, "invalid_request"), (400, "bad_request")], body
        assert answer.json()["hint"]
    assert (await web.client.patch("/api/jobs/nope", json={"name": "a"})).status_code == 404
