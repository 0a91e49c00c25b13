"""The service dies after a commit and before the events of it: its clients are told everything once it is back."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread

from testkit.chaos import storm
from testkit.event_stream import Event, events
from testkit.process import spawn
from testkit.scripted_actors import script, text_of
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio

CHUNKS = 12
CUTS = (1, 5, 3)
"""How many chunks of text each life of the service commits before it is cut."""


async def follow(url: str, path: str, got: list[Event]) -> None:
    """Read events behind those that are there, until the stream or the service ends."""
    last = max((event.id for event in got if event.id is not None), default=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        with suppress(httpx.TransportError):
            async with client.stream("GET", path, headers={"last-event-id": str(last)}) as response:
                assert response.status_code == 200, await response.aread()
                async for event in events(response):
                    got.append(event)


def upload(url: str) -> str:
    """Send a recording. Return the id of its job."""
    content = script(chunks=CHUNKS, delay=0.1)
    answer = httpx.post(f"{url}/api/jobs", content=content, headers={"content-type": "audio/wav"})
    return str(answer.json()["id"])


async def test_what_is_committed_and_not_told_is_told_by_the_next_service(tmp_path: Path) -> None:
    data, log, job = tmp_path / "data", tmp_path / "log", ""
    got: list[Event] = []
    settings = storm.Plan(0, 0).settings
    for cut in (*CUTS, 0):
        module = (*storm.FAKES, *(("--cut", str(cut)) if cut else ()))
        process, url = await to_thread.run_sync(partial(spawn, data, log, module=module, settings=settings))
        assert url is not None, log.read_text()
        try:
            if not job:
                job = await to_thread.run_sync(upload, url)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, url, f"/api/jobs/{job}/events", got)
                if cut:
                    assert await to_thread.run_sync(process.wait) == -9
            if cut:
                newest = await committed(data, job)
                assert newest > max((event.id or 0 for event in got), default=0), "nothing was cut off"
        finally:
            process.kill()
            process.communicate()
    numbers = [event.id for event in got if event.id is not None and event.kind in ("segment", "update")]
    assert numbers == sorted(set(numbers)), "each event once, in order"
    told = [event.data["segment"]["text"] for event in got if event.kind == "segment"]
    assert sorted(told) == sorted(text_of(number) for number in range(CHUNKS))
    updates: list[dict[str, Any]] = [event.data for event in got if event.kind == "update"]
    assert updates[-1]["status"] == "completed"
    async with Store.open(data / "whisper_service.db") as store:
        stored = {change.seq for change in await store.change_log.changes(0, job_id=job, limit=10_000)}
    assert stored == set(numbers), "and every one of them"


async def committed(data: Path, job: str) -> int:
    """Return the number of the newest change of a job on the disk of a dead service."""
    async with Store.open(data / "whisper_service.db") as store:
        changes = await store.change_log.changes(0, job_id=job, limit=10_000)
    return changes[-1].seq
