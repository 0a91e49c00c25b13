"""The service is killed while edited words wait, are read, or are aligned: all of them are aligned once in the end."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from testkit.chaos import storm
from testkit.chaos.host import Host
from testkit.scripted_actors import script

pytestmark = pytest.mark.anyio

SAID = "one two three four five six seven eight"
WRITTEN = "one red green blue black six seven eight"
CHUNKS = 3
KILLS = 4
SEED = 2


async def found(host: Host, job: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the transcript and the log of edits, whichever service answers."""
    async with httpx.AsyncClient(base_url=host.url, timeout=20) as client:
        transcript = (await client.get(f"/api/jobs/{job}/transcript")).json()
        return transcript, (await client.get(f"/api/jobs/{job}/edits")).json()["edits"]


async def test_words_are_aligned_once_whenever_the_service_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    host = Host(tmp_path, tmp_path, storm.FAKES, {**storm.Plan(SEED, 0).settings, "speech__align_edits": True})
    await host.start()
    try:
        sound = script(chunks=CHUNKS, lines=[SAID], decode_delay=0.3, align_delay=0.4)
        async with httpx.AsyncClient(base_url=host.url, timeout=20) as client:
            answer = await client.post("/api/jobs", content=sound, headers={"content-type": "audio/wav"})
            job = answer.json()["id"]
            async with client.stream("GET", f"/api/jobs/{job}/events") as events:
                async for event in events.aiter_lines():
                    if '"status":"completed"' in event:
                        break
            for chunk in range(CHUNKS):
                edit = [{"op": "text", "id": f"c{chunk}.0", "v": 0, "text": WRITTEN}]
                answer = await client.post(f"/api/jobs/{job}/edits", json={"batch": f"b{chunk}", "operations": edit})
                assert answer.status_code == 200, answer.text
        for _ in range(KILLS):
            await anyio.sleep(chance.uniform(0.2, 3.0) if chance.random() < 0.3 else chance.uniform(5.0, 7.5))
            await host.kill()
        with anyio.fail_after(60):
            while (await found(host, job))[0]["alignment"] is not None:  # noqa: ASYNC110
                await anyio.sleep(0.2)
        transcript, log = await found(host, job)
        for line in transcript["segments"]:
            assert line["text"] == WRITTEN
            assert [word.get("by", "machine") for word in line["words"]] == [
                "machine",
                *["aligned"] * 4,
                *["machine"] * 3,
            ]
        kinds = [edit["kind"] for edit in log]
        assert sorted(kinds) == ["align"] * CHUNKS + ["edit"] * CHUNKS
        assert host.findings == []
    finally:
        await host.leave()
