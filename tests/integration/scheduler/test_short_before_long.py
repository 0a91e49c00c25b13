"""A clip behind many pending recordings, as the loop sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from testkit.media_files import write_wav
from tests.integration.scheduler.scripted_loop import ScriptedLoop, scripted_loop
from whisper_service.core.domain import LinkOrigin, Status
from whisper_service.scheduler import admission

pytestmark = pytest.mark.anyio

MANY = 100


async def submit(scripted: ScriptedLoop, job_id: str, size: int) -> None:
    job = replace(scripted.job_of(job_id), bytes=size)
    await scripted.mailbox.ask(scripted.context.ledger.add, job)


async def at_work(scripted: ScriptedLoop) -> list[str]:
    await scripted.settled()
    return sorted(job.id for job in await scripted.store.jobs(status=[Status.PROCESSING], limit=1_000))


@pytest.mark.parametrize(
    ("size", "places"),
    [(admission.LONG_BYTES + 1, admission.MAX_LONG), (admission.SMALL_BYTES + 1, admission.MAX_SHORT)],
)
async def test_a_clip_behind_many_long_recordings_is_taken_at_once(tmp_path: Path, size: int, places: int) -> None:
    async with scripted_loop(tmp_path) as scripted:
        for number in range(MANY):
            await submit(scripted, f"long{number:03}", size)
        first = [f"long{number:03}" for number in range(places)]
        assert await at_work(scripted) == first
        await submit(scripted, "clip", 1)
        assert await at_work(scripted) == ["clip", *first]
        scripted.context.ledger._queue = None  # as after a restart: read from the database
        await submit(scripted, "clip2", 1)
        assert await at_work(scripted) == ["clip", "clip2", *first]


async def test_a_large_file_that_states_a_short_length_is_a_clip(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        for number in range(MANY):
            await submit(scripted, f"long{number:03}", admission.SMALL_BYTES + 1)
        write_wav(scripted.data.source_of("clip"), np.zeros((20 * 48_000, 2), dtype=np.int16), 48_000)
        size = scripted.data.source_of("clip").stat().st_size
        assert size > admission.SMALL_BYTES
        await submit(scripted, "clip", size)
        assert (await scripted.job("clip")).duration_s == 20.0
        assert "clip" in await at_work(scripted)


async def test_a_fetched_recording_states_its_length(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        link = replace(scripted.job_of("link"), sha256="", bytes=0, origin=LinkOrigin("http://a.example/talk.wav"))
        await scripted.mailbox.ask(scripted.context.ledger.add, link)
        write_wav(scripted.data.source_of("link"), np.zeros(2 * 16_000, dtype=np.int16))
        ledger = scripted.context.ledger
        await scripted.mailbox.ask(ledger.update_link, "link", bytes=10)
        assert (await scripted.job("link")).duration_s is None, "it is not complete"
        await scripted.mailbox.ask(ledger.update_link, "link", bytes=64_044, sha256="1")
        assert (await scripted.job("link")).duration_s == 2.0
