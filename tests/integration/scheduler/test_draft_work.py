"""The loop with drafts of live sessions: given to a speech actor, shown to readers, and without harm when they fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from tests.integration.scheduler.scripted_loop import OOM, ScriptedLoop, heard, over, scripted_loop
from whisper_service.config.schema import LiveSettings
from whisper_service.core.domain import CALL_RANK, SAMPLE_RATE, Encoding, LiveEnd, LiveSession, Problem, Span
from whisper_service.core.drafts import ShownDraft
from whisper_service.core.job_states import Cause
from whisper_service.core.sound_format import form_of
from whisper_service.scheduler import draft_work, requests
from whisper_service.supervision.faults import classify
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.drafts import DraftDone, DraftedRow, DraftedWord, DraftSound
from whisper_service.supervision.messages.media import ChunkFound, Decoded, Followed
from whisper_service.supervision.supervisor import Died

pytestmark = pytest.mark.anyio
LIVE = LiveSession("microphone", 16_000, Encoding.S16LE)
CRASH = classify("Segmentation fault", -11)


async def begin(scripted: ScriptedLoop, job_id: str = "job", **options: object) -> None:
    """Begin a session, and have it followed."""
    await anyio.Path(scripted.data.source_of(job_id)).write_bytes(form_of(LIVE).header(None))
    job = replace(scripted.job_of(job_id, **options), live=LIVE, rank=CALL_RANK, bytes=0, sha256="")
    await scripted.mailbox.ask(scripted.context.ledger.add, job)
    await scripted.settled()
    if not scripted.live.generation:
        scripted.say(scripted.live, Ready(pid=5))
        await scripted.settled()


async def speak(scripted: ScriptedLoop, until: float, job_id: str = "job", since: float = 0.5) -> None:
    """Somebody speaks in a session."""
    report = Followed(job_id, round(until * 2 * SAMPLE_RATE), until, speaking=True, speech=(since, until))
    scripted.say(scripted.live, report)
    await scripted.settled()


async def loaded(scripted: ScriptedLoop) -> None:
    """The model is loaded, as it is once a session had a chunk."""
    await anyio.Path(scripted.data.spool_of("job")).write_bytes(bytes(2 * SAMPLE_RATE))
    scripted.say(scripted.live, ChunkFound("job", Span(0, 0, SAMPLE_RATE // 2, 0.0, 0.5)))
    await scripted.settled()
    await scripted.loaded()
    (batch,) = scripted.batches()
    scripted.say(scripted.speech, heard(batch), over(batch))
    await scripted.settled()


@asynccontextmanager
async def session(tmp_path: Path, slots: int = 1) -> AsyncIterator[ScriptedLoop]:
    """A session whose model is loaded. Its drafts follow at once."""
    async with scripted_loop(tmp_path, slots) as scripted:
        scripted.context.drafts._settings = lambda: msgspec.convert({"cadence_s": 1e-6, "share": 1.0}, LiveSettings)
        await begin(scripted)
        await loaded(scripted)
        yield scripted


def given(scripted: ScriptedLoop, generation: int | None = None) -> list[DraftSound]:
    return scripted.speech.commands(DraftSound, generation)


def found(command: DraftSound, *words: tuple[float, str], row: int = 0) -> DraftDone:
    drafted = tuple(DraftedWord(start, start + 0.2, f" {text}", tuple(map(ord, text))) for start, text in words)
    return DraftDone(command.request, (DraftedRow(command.rows[row].job_id, drafted, "en"),), 0.1)


def shown(payload: bytes | None) -> tuple[str, str]:
    """The stable and the tentative words of a draft."""
    assert payload is not None
    draft = msgspec.json.decode(payload, type=ShownDraft)
    return "".join(word.word for word in draft.stable), "".join(word.word for word in draft.tentative)


async def test_what_is_said_is_drafted_for_those_who_read_and_cleared_by_its_segments(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        await speak(scripted, 2.0)
        assert given(scripted) == []  # nobody reads
        with scripted.context.drafts.feed.reader("job") as reader:
            await scripted.settled()
            (command,) = given(scripted)
            (row,) = command.rows
            assert (row.job_id, row.start_sample, row.samples) == ("job", SAMPLE_RATE // 2, 3 * SAMPLE_RATE // 2)
            assert (row.prefix, row.language, row.spool) == ((), "en", str(scripted.data.spool_of("job")))
            await reader.next()
            await speak(scripted, 2.5)
            assert given(scripted) == [command]  # one at a time
            scripted.say(scripted.speech, found(command, (0.55, "hello"), (1.8, "wor")))
            await scripted.settled()
            news = await reader.next()
            assert news is not None
            assert shown(news.payload) == (" hello", " wor")  # by age
            second = given(scripted)[1]
            assert second.rows[0].prefix == tuple(map(ord, "hello"))
            scripted.say(scripted.speech, found(second, (1.8, "world")))
            await scripted.settled()
            scripted.say(scripted.live, ChunkFound("job", Span(1, SAMPLE_RATE // 2, SAMPLE_RATE, 0.5, 1.5)))
            await scripted.settled()
            scripted.say(scripted.speech, heard(scripted.batches()[-1], text="Hello."))
            await scripted.settled()
            news = await reader.next()
            assert news is not None
            assert shown(news.payload) == ("", " world")
            assert [word.word for word in news.hearing.words] == [" chunk 0", " hello"]
        assert await scripted.texts() == ["chunk 0", "Hello."]


async def test_all_sessions_are_drafted_in_one_batch(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        await begin(scripted, "other")
        feed = scripted.context.drafts.feed
        await speak(scripted, 2.0)
        await speak(scripted, 3.0, "other")
        with feed.reader("job"), feed.reader("other"):
            await scripted.settled()
            first = given(scripted)[0]
            if len(first.rows) < 2:  # the reader of one came first
                scripted.say(scripted.speech, found(first))
                await speak(scripted, 3.0)
                await speak(scripted, 4.0, "other")
            assert {row.job_id for row in given(scripted)[-1].rows} == {"job", "other"}


async def test_a_failed_draft_is_forgotten_and_the_next_one_hears_newer_sound(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        await speak(scripted, 2.0)
        with scripted.context.drafts.feed.reader("job"):
            await scripted.settled()
            fault = Fault("draft", "unknown", Problem("unknown", "No."), request=given(scripted)[0].request)
            scripted.say(scripted.speech, fault)
            await scripted.settled()
            assert len(given(scripted)) == 1  # the same sound is not heard again
            await speak(scripted, 2.5)
            assert [command.rows[0].samples for command in given(scripted)] == [24_000, 32_000]
            scripted.say(scripted.speech, DraftDone(given(scripted)[1].request, (), 0.1))  # it could not be read
            await speak(scripted, 3.0)
            assert len(given(scripted)) == 3


async def test_the_death_of_an_actor_strikes_no_chunk_beside_drafts_until_these_rest(tmp_path: Path) -> None:
    async with session(tmp_path, slots=2) as scripted:
        scripted.say(scripted.live, ChunkFound("job", Span(1, SAMPLE_RATE // 2, SAMPLE_RATE, 0.5, 1.5)))
        await scripted.settled()
        with scripted.context.drafts.feed.reader("job"):
            for death in range(1, 6):
                await speak(scripted, 2.0 + death)
                generation = scripted.speech.generation
                assert len(given(scripted, generation)) == (death <= 3)
                assert [chunk.span.index for chunk in scripted.batches(generation)[-1].chunks] == [1]
                scripted.die(scripted.speech)
                await scripted.settled()
                (_, chunk) = await scripted.store.chunks("job")
                assert chunk.attempts == max(0, death - 3)
                scripted.say(scripted.speech, Ready(pid=3))
                await scripted.loaded()
            assert await scripted.texts() == ["chunk 0"]


async def test_a_lack_of_memory_beside_drafts_makes_the_work_lighter(tmp_path: Path) -> None:
    async with session(tmp_path, slots=2) as scripted:
        before = scripted.context.fleet.first.rung
        scripted.say(scripted.live, ChunkFound("job", Span(1, SAMPLE_RATE // 2, SAMPLE_RATE, 0.5, 1.5)))
        await scripted.settled()
        with scripted.context.drafts.feed.reader("job"):
            await speak(scripted, 2.0)
            assert len(given(scripted)) == 1
            scripted.die(scripted.speech, OOM.problem.message + " std::bad_alloc", 1)
            await scripted.settled()
            (_, chunk) = await scripted.store.chunks("job")
            assert (chunk.attempts, chunk.kills) == (0, 0)
            assert scripted.context.fleet.first.rung != before


async def test_a_failure_that_a_batch_announced_is_not_that_of_the_drafts_beside_it(tmp_path: Path) -> None:
    async with session(tmp_path, slots=2) as scripted:
        with scripted.context.drafts.feed.reader("job"):
            for death in range(2):
                scripted.say(scripted.live, ChunkFound("job", Span(1, SAMPLE_RATE // 2, SAMPLE_RATE, 0.5, 1.5)))
                await speak(scripted, 2.0 + death)
                assert len(given(scripted, scripted.speech.generation)) == 1
                batch = scripted.batches(scripted.speech.generation)[-1].batch
                fault = Fault("batch", CRASH.kind.value, CRASH.problem, batch=batch, fatal=True)
                scripted.say(scripted.speech, fault)
                scripted.die(scripted.speech, "", 1)
                scripted.say(scripted.speech, Ready(pid=3))
                await scripted.loaded()
                assert scripted.context.drafts._crashes == {}


async def test_a_kill_from_outside_stops_no_draft(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        with scripted.context.drafts.feed.reader("job"):
            for death in range(5):
                await speak(scripted, 2.0 + death)
                assert len(given(scripted, scripted.speech.generation)) == 1
                scripted.die(scripted.speech, "", -9)
                await scripted.settled()
                scripted.say(scripted.speech, Ready(pid=3))
                await scripted.settled()
                await scripted.loaded()


async def test_a_draft_that_is_lost_with_its_actor_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        with scripted.context.drafts.feed.reader("job"):
            await speak(scripted, 2.0)
            scripted.speech.go_idle()  # as when a model is unloaded: no death is told
            scripted.mailbox.deliver(Died("speech", 99, CRASH, 0.1))  # an old one
            await scripted.settled()
            assert scripted.context.drafts.given is None


async def test_a_paused_session_keeps_its_draft_and_one_that_is_over_ends_its_readers(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        feed = scripted.context.drafts.feed
        with feed.reader("job") as reader:
            await speak(scripted, 2.0)
            scripted.say(scripted.speech, found(given(scripted)[0], (0.55, "hello")))
            await scripted.settled()
            await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.PAUSE)
            await scripted.settled()
            news = await reader.next()
            assert news is not None
            assert shown(news.payload) == (" hello", "")
            await speak(scripted, 3.0)
            assert len(given(scripted)) == 1
            await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.CANCEL)
            await scripted.settled()
            last = await reader.next()
            assert last is not None
            assert shown(last.payload) == ("", "")
            assert await reader.next() is None
        assert scripted.context.drafts.known == frozenset()


async def test_the_end_of_a_session_ends_its_readers_when_all_of_it_is_text(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        with scripted.context.drafts.feed.reader("job") as reader:
            live = replace((await scripted.job()).live or LIVE, ended=LiveEnd.CLIENT)
            await scripted.mailbox.ask(scripted.context.ledger.update_live, "job", live=live)
            await speak(scripted, 2.0)
            assert given(scripted) == []  # all of it becomes text now
            scripted.say(scripted.live, Decoded("job", 2.0))
            await scripted.settled()
            while await reader.next() is not None:
                pass


async def test_words_are_stable_at_once_for_a_client_that_asks(tmp_path: Path) -> None:
    async with session(tmp_path) as scripted:
        with scripted.context.drafts.feed.reader("job"):
            await speak(scripted, 2.0)
            scripted.say(scripted.speech, found(given(scripted)[0]))
            await speak(scripted, 2.5)
            scripted.say(scripted.speech, found(given(scripted)[1]))
            await scripted.settled()

            async def flush() -> None:
                draft_work.flush(scripted.context, "job")
                draft_work.flush(scripted.context, "unknown")

            await scripted.mailbox.ask(flush)
            await scripted.settled()
            scripted.say(scripted.speech, found(given(scripted)[2], (2.1, "now")))
            await scripted.settled()
            draft = scripted.context.drafts.find("job")
            assert draft is not None
            assert [word.word for word in draft.draft().stable] == [" now"]
