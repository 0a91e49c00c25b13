"""What the service keeps of a session, and of its drafts, does not grow with its length."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from tests.integration.scheduler.scripted_loop import ScriptedLoop, heard, over, scripted_loop
from whisper_service.config.schema import LiveSettings
from whisper_service.core.domain import CALL_RANK, SAMPLE_RATE, Encoding, LiveSession, Span
from whisper_service.core.sound_format import form_of
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.messages.drafts import DraftDone, DraftedRow, DraftedWord, DraftSound
from whisper_service.supervision.messages.media import ChunkFound, Followed, Grow, SessionState

pytestmark = pytest.mark.anyio
CHUNK_S = 10.0
CHUNKS = 105
MOST_BYTES = 100_000
"""In twelve minutes. The drafts of that time would be several times as much."""


async def speak(scripted: ScriptedLoop, number: int) -> None:
    """Let ten seconds of speech come, with drafts, and their text."""
    first, context = number * CHUNK_S, scripted.context
    for second in (2.5, 5.0, 7.5, 10.0):
        end = first + second
        context.live.grow("job", round(end * SAMPLE_RATE) * 2)
        report = Followed("job", round(end * SAMPLE_RATE) * 2, end, speaking=True, speech=(first, end))
        scripted.say(scripted.live, report)
        await scripted.settled()
        if (given := context.drafts.given) is not None:
            words = tuple(
                DraftedWord(at, at + 0.3, f" w{at:.1f}", (1, 2))
                for at in (first + n / 2 for n in range(int(second * 2)))
            )
            scripted.say(scripted.speech, DraftDone(given.request, (DraftedRow("job", words, "en"),), 0.1))
            await scripted.settled()
    span = Span(number, int(first * SAMPLE_RATE), int(CHUNK_S * SAMPLE_RATE), first, first + CHUNK_S)
    scripted.say(scripted.live, ChunkFound("job", span), SessionState("job", b"state"))
    await scripted.settled()
    if not scripted.speech.generation or context.fleet.main.model is None:
        await scripted.loaded()
    batch = scripted.batches()[-1]
    scripted.say(scripted.speech, heard(batch), over(batch))
    await scripted.settled()
    for actor in (scripted.speech, scripted.live):  # what the test keeps
        actor.got[:-3] = []


async def test_memory_hardly_grows_while_a_session_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ChangeFeed.__init__.__kwdefaults__, "capacity", 50)  # else it is full after hours
    async with scripted_loop(tmp_path) as scripted:
        context, live = scripted.context, LiveSession("microphone", 16_000, Encoding.S16LE)
        context.drafts._settings = lambda: msgspec.convert({"cadence_s": 1e-6, "share": 1.0}, LiveSettings)
        await anyio.Path(scripted.data.source_of("job")).write_bytes(form_of(live).header(None))
        job = replace(scripted.job_of("job"), live=live, rank=CALL_RANK, bytes=0, sha256="")
        await scripted.mailbox.ask(context.ledger.add, job)
        await scripted.settled()
        scripted.say(scripted.live, Ready(pid=5))
        await scripted.settled()
        spool = scripted.data.spool_of("job")
        with spool.open("r+b") as file:
            file.truncate(round(2 * CHUNKS * CHUNK_S * SAMPLE_RATE) * 2)  # no bytes on the disk
        with context.drafts.feed.reader("job") as reader:

            async def talk(begin: int, end: int) -> int:
                for number in range(begin, end):
                    await speak(scripted, number)
                    await reader.next()
                gc.collect()
                return tracemalloc.get_traced_memory()[0]

            await talk(0, 10)
            tracemalloc.start()
            try:
                before = await talk(10, CHUNKS // 3)
                grown = await talk(CHUNKS // 3, CHUNKS) - before
            finally:
                tracemalloc.stop()
        assert scripted.speech.commands(DraftSound)
        assert scripted.live.commands(Grow)
        assert len(await scripted.store.chunks("job")) == CHUNKS
        assert (await scripted.job()).chunks_done == CHUNKS
        assert grown < MOST_BYTES
