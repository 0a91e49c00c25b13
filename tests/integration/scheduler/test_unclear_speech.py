"""Speech whose every text repeats itself, and jobs in several languages, as the loop sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.integration.scheduler.scripted_loop import heard, over, scripted_loop
from whisper_service.core.domain import ChunkState, Status
from whisper_service.supervision.messages.speech import ChunkDone, Dropped

pytestmark = pytest.mark.anyio


async def test_a_chunk_without_a_clear_text_is_a_gap_with_the_reason_and_is_not_given_again(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=2)
        await scripted.loaded()
        (first,) = scripted.batches()
        dropped = ChunkDone(first.batch, "job", 0, (), "en", dropped=(Dropped(0.1, 0.9),))
        scripted.say(scripted.speech, dropped, over(first))
        await scripted.settled()
        second = scripted.batches()[-1]
        scripted.say(scripted.speech, heard(second), over(second))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, await scripted.texts()) == (Status.COMPLETED, ["chunk 1"])
        assert [(gap.start, gap.end) for gap in job.gaps] == [(0.0, 1.0)]
        assert "from 0.1 s to 0.9 s is unclear" in job.gaps[0].reason
        assert [chunk.state for chunk in await scripted.store.chunks("job")] == [
            ChunkState.FAILED,
            ChunkState.DONE,
        ]
        assert [row.span.index for batch in scripted.batches() for row in batch.chunks] == [0, 1]


async def test_a_part_without_a_clear_text_is_told_beside_the_text(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        (batch,) = scripted.batches()
        scripted.say(scripted.speech, replace(heard(batch), dropped=(Dropped(0.5, 0.9),)), over(batch))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, await scripted.texts(), job.gaps) == (Status.COMPLETED, ["chunk 0"], ())
        assert [(note.code, note.params) for note in job.history] == [("unclear_speech", {"at_s": 0.5, "end_s": 0.9})]
        assert job.message == job.history[0].message


async def test_a_change_of_language_is_followed_unless_the_job_has_one(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit("given", language="de")
        await scripted.submit("free", language=None)
        await scripted.decoded("given", chunks=1)
        await scripted.loaded()
        scripted.say(scripted.speech, heard(scripted.batches()[0]), over(scripted.batches()[0]))
        await scripted.settled()
        await scripted.decoded("free", chunks=2)
        first = scripted.batches()[-1]
        sure = replace(heard(first), language="zh", language_probability=0.9)
        scripted.say(scripted.speech, sure, over(first))
        await scripted.settled()
        rows = [(row.job_id, row.language, row.follow) for batch in scripted.batches() for row in batch.chunks]
        assert rows == [("given", "de", False), ("free", None, True), ("free", "zh", True)]


async def test_the_language_of_one_chunk_does_not_change_that_of_the_job(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit(language=None)
        await scripted.decoded(chunks=2)
        await scripted.loaded()
        for language, probability in (("zh", 0.9), ("en", None)):
            batch = scripted.batches()[-1]
            found = replace(heard(batch), language=language, language_probability=probability)
            scripted.say(scripted.speech, found, over(batch))
            await scripted.settled()
        assert (await scripted.job()).language == "zh"
        assert [chunk.language for chunk in await scripted.store.chunks("job")] == ["zh", "en"]
