"""The service is killed while people edit: every edit is made once, in order, and nothing typed is lost."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from testkit.chaos import storm
from testkit.chaos.host import Host
from testkit.chaos.seats import SEATS
from testkit.scripted_actors import script
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio
EDITS = 80
KILLS = 4


class Typist:
    """A person who corrects one line, and who says it, again and again.

    An edit without an answer is sent again, as the page does.
    """

    def __init__(self, host: Host, job: str, line: str) -> None:
        self.host = host
        self.job = job
        self.line = line
        self.sent_again = 0
        self.answers: list[dict[str, Any]] = []

    async def type(self) -> None:
        version = 0
        async with httpx.AsyncClient(timeout=20) as client:
            for number in range(EDITS):
                operations = [
                    {"op": "name_speaker", "id": f"{self.line}-{number % 3}", "name": f"Speaker of {number}"},
                    {"op": "text", "id": self.line, "v": version, "text": f"{self.line} says {number}"},
                    {"op": "speaker", "ids": [self.line], "speaker": f"{self.line}-{number % 3}"},
                ]
                body = {"batch": f"{self.line}-{number}", "operations": operations, "client": self.line}
                answer = await self._send(client, body)
                (line,) = answer["lines"]
                version = line["version"]
                self.answers.append(answer)

    async def _send(self, client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
        while True:
            try:
                answer = await client.post(f"{self.host.url}/api/jobs/{self.job}/edits", json=body)
            except httpx.TransportError:  # it is gone, before the edit or after it: nobody knows
                answer = None
            if answer is not None and answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
            assert answer is None or answer.status_code == 503, answer.text
            self.sent_again += 1
            await anyio.sleep(0.05)


@pytest.mark.parametrize("seed", [1, 2])
async def test_edits_while_the_service_is_killed_are_made_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    host = Host(tmp_path, tmp_path, storm.FAKES, storm.Plan(seed, 0, seats=max(SEATS, seed)).settings)
    await host.start()
    try:
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.post(
                f"{host.url}/api/jobs", content=script(chunks=40, delay=0.1), headers={"content-type": "audio/wav"}
            )
            job = answer.json()["id"]
            async with client.stream("GET", f"{host.url}/api/jobs/{job}/events") as events:
                async for event in events.aiter_lines():
                    if event.startswith("data:") and '"chunk":1' in event:
                        break
        typists = [Typist(host, job, line) for line in ("c0.0", "c1.0")]
        async with anyio.create_task_group() as tasks:
            for typist in typists:
                tasks.start_soon(typist.type)
            for _ in range(KILLS):
                await anyio.sleep(chance.uniform(0.02, 0.5))
                await host.kill()
        assert await host.leave() == 0
    finally:
        if host.process.poll() is None:
            host.abandon()
    assert host.findings == []
    assert sum(typist.sent_again for typist in typists) > 0, "no kill met an edit"

    with closing(sqlite3.connect(host.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with Store.open(host.database) as store:
        lines = {line.id: line for line in await store.edits.lines(job)}
        names = {speaker.id: speaker.name for speaker in await store.speakers.speakers(job)}
        log = [edit async for edit in _log(store, job)]
        told = [
            msgspec.json.decode(change.payload)
            for change in await store.change_log.changes(0, job_id=job, limit=100_000)
            if change.kind == "edit"
        ]
    assert [edit.number for edit in log] == list(range(1, 2 * EDITS + 1))
    assert [edit["number"] for edit in told] == list(range(1, 2 * EDITS + 1))
    for typist in typists:
        mine = [edit["batch"] for edit in told if edit["client"] == typist.line]
        assert mine == [f"{typist.line}-{number}" for number in range(EDITS)]
        assert lines[typist.line].text == f"{typist.line} says {EDITS - 1}"
        assert lines[typist.line].version == EDITS
        assert names[lines[typist.line].speaker or ""] == f"Speaker of {EDITS - 1}"
        assert sum(speaker.startswith(typist.line) for speaker in names) == 3
        assert [edit for edit in told if edit["client"] == typist.line] == typist.answers


async def _log(store: Store, job: str) -> Any:
    """Yield the whole log of edits, the oldest first."""
    edits, before = [], None
    while page := await store.edits.log.history(job, before=before, limit=100):
        edits += page
        before = page[-1].number
    for edit in reversed(edits):
        yield edit
