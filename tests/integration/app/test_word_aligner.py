"""Words that people wrote are aligned while nothing else is to be done, whatever ends in the middle of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from testkit.scripted_objects import ScriptedObjects
from testkit.service import ended, open_service, placeholder_model, send, until
from whisper_service.app import recording_mover, word_aligner
from whisper_service.app.service import Service
from whisper_service.core.domain import Job, Options, Status
from whisper_service.editing.aligning import AUTHOR
from whisper_service.editing.lines import Line
from whisper_service.editing.operations import ChangeText, DeleteLine, Operation
from whisper_service.editing.retiming import TimedBy
from whisper_service.scheduler import requests
from whisper_service.storage.edit_log import EditKind, EditRecord
from whisper_service.storage.transcript_edits import Edit, EditResult

pytestmark = pytest.mark.anyio

SAID = "one two three four five six seven eight nine ten"
WRITTEN = "one two red green blue black white eight nine ten"
"""Five words are replaced."""
TALK: dict[str, Any] = {"lines": [SAID], "chunks": 2, "seconds": 10.0}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test wait as shortly as it can."""
    for name in ("AFTER_S", "LOOK_S", "BUSY_S", "BLOCKED_S", "REST_S"):
        monkeypatch.setattr(word_aligner, name, 0.05)


@asynccontextmanager
async def service(tmp_path: Path, **sections: Any) -> AsyncIterator[Service]:
    on = {"align_edits": True}
    async with open_service(tmp_path, **{**sections, "speech": on | sections.get("speech", {})}) as opened:
        yield opened


async def transcribed(opened: Service, **play: Any) -> Job:
    return await ended(opened, (await send(opened, **(TALK | play))).id)


async def write(opened: Service, job: Job, text: str = WRITTEN, line: str = "c0.0", version: int = 0) -> EditResult:
    batch = f"b{line}.{version}.{len(text)}"
    return await opened.edits.apply(job.id, Edit(batch, (ChangeText(id=line, v=version, text=text),), author="Li"))


async def line_of(opened: Service, job: Job, line: str = "c0.0") -> Line:
    return next(each for each in await opened.edits.lines(job.id) if each.id == line)


def kinds(line: Line) -> str:
    """Return a letter for each word: machine, spread, aligned."""
    return "".join(word.by[0] for word in line.words)


async def aligned(opened: Service, job: Job) -> EditResult:
    """Wait for the next edit of the service, as an open page does."""
    cursor = opened.events.cursor(0, job.id)
    with anyio.fail_after(30):
        while True:
            for change in await cursor.read():
                if change.kind == "edit":
                    result = msgspec.json.decode(change.payload, type=EditResult)
                    if any(word.by is TimedBy.ALIGNED for line in result.lines for word in line.words):
                        return result


async def settled(opened: Service, job: Job) -> None:
    """Wait until nothing is left to align."""
    with anyio.fail_after(30):
        while await opened.edits.alignment(await opened.jobs.get(job.id)) is not None:  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def log(opened: Service, job: Job) -> list[EditRecord]:
    return await opened.edits.history(job.id, limit=50)


def readings(opened: Service) -> list[Path]:
    """Return the log of each actor that read a recording for this."""
    return [path for path in opened.parts.data.logs.iterdir() if path.name.startswith("alignment-media")]


async def test_five_words_become_aligned_and_all_others_stay_to_the_bit(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        before = await line_of(opened, job)
        written = await write(opened, job)
        assert kinds(written.lines[0]) == "mmsssssmmm"
        result = await aligned(opened, job)
        (line,) = result.lines
        assert (line.text, line.version, line.content) == (WRITTEN, 1, 1)
        assert kinds(line) == "mmaaaaammm"
        for at in (0, 1, 7, 8, 9):
            assert line.words[at] == before.words[at]
        assert [line] == [each for each in await opened.edits.lines(job.id) if each.id == "c0.0"]
        newest, person = await log(opened, job)
        assert (newest.kind, newest.author, newest.client, newest.number) == (EditKind.ALIGN, AUTHOR, "", 2)
        assert (person.kind, person.author) == (EditKind.EDIT, "Li")
        await settled(opened, job)


async def test_who_writes_meanwhile_gets_no_conflict_and_can_still_undo(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        first = await write(opened, job)
        await aligned(opened, job)
        other = await write(opened, job, WRITTEN.replace("ten", "eleven"), version=first.lines[0].version)
        assert kinds(other.lines[0]) == "mmaaaaammm".replace("mmm", "mms")
        await opened.edits.undo(job.id, other.number, Edit("u1", ()))
        assert kinds(await line_of(opened, job)) == "mmaaaaammm"
        await opened.edits.undo(job.id, first.number, Edit("u2", ()))
        assert (await line_of(opened, job)).text == SAID


async def test_a_recording_in_object_storage_is_fetched_for_it_as_soon_as_that_can_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording_mover, "LOOK_S", 0.05)
    objects = ScriptedObjects()
    async with service(tmp_path, objects=objects, storage={"media": "s3://bucket"}) as opened:
        job = await transcribed(opened)
        here = opened.parts.data.source_of(job.id)

        async def away() -> None:
            with anyio.fail_after(30):
                while here.exists():  # noqa: ASYNC110 - the mover tells nobody
                    await anyio.sleep(0.02)

        await away()
        objects.go_away()
        await write(opened, job)
        with anyio.fail_after(30):
            while "Edited words wait for their recording" not in caplog.text:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        assert kinds(await line_of(opened, job)) == "mmsssssmmm"
        objects.come_back()
        (line,) = (await aligned(opened, job)).lines
        assert kinds(line) == "mmaaaaammm"
        await write(opened, job, WRITTEN.replace("ten", "eleven"), version=1)  # the mover looks after a change
        await away()
    assert "Traceback" not in caplog.text


async def test_words_that_nobody_said_stay_spread_and_are_not_tried_again(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, said=0.2)
        await write(opened, job)
        await settled(opened, job)
        assert kinds(await line_of(opened, job)) == "mmsssssmmm"
        number = opened.parts.context.alignment.next_request()
        await write(opened, job, WRITTEN.replace("ten", "eleven"), version=1)  # another place of the same chunk
        await settled(opened, job)
        assert opened.parts.context.alignment.next_request() == number + 1
        assert len(await log(opened, job)) == 2
    async with service(tmp_path) as opened:
        await settled(opened, job)
        assert opened.parts.context.alignment.next_request() == 1
        await write(opened, job, WRITTEN.replace("blue", "purple"), version=2)
        await settled(opened, job)
        assert opened.parts.context.alignment.next_request() == 3


async def test_short_runs_are_never_looked_at(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        await write(opened, job, SAID.replace("two three", "red green"))
        await settled(opened, job)
        assert opened.parts.context.alignment.next_request() == 1
        assert [edit.kind for edit in await log(opened, job)] == [EditKind.EDIT]


async def test_nothing_is_aligned_while_a_job_waits_or_is_in_work(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        busy = await send(opened, name="other.wav", chunks=4, delay=0.25)
        await until(opened, busy.id, lambda each: each.status is Status.PROCESSING)
        await write(opened, job)
        finished = await ended(opened, busy.id)
        newest, *others = await log(opened, job)
        assert not others
        assert newest.kind is EditKind.EDIT
        await aligned(opened, job)
        assert (await log(opened, job))[0].at >= (finished.finished_at or 0)


async def test_a_job_interrupts_the_reading_of_the_sound(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, decode_delay=0.3)
        await write(opened, job)
        other = await send(opened, name="other.wav", chunks=2, delay=0.2)
        await ended(opened, other.id)
        result = await aligned(opened, job)
        assert kinds(result.lines[0]) == "mmaaaaammm"


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (ChangeText(id="c0.0", v=1, text=WRITTEN.replace("nine", "seventy")), "mmaaaaamsm"),
        (DeleteLine(id="c0.0", v=1), ""),
    ],
    ids=["text", "deleted"],
)
async def test_what_was_found_for_a_line_that_changed_is_dropped(
    tmp_path: Path, operation: Operation, left: str
) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, align_delay=0.6)
        await write(opened, job)
        with anyio.fail_after(30):
            while opened.parts.context.alignment.asked is None:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        await opened.edits.apply(job.id, Edit("meanwhile", (operation,)))
        assert opened.parts.context.alignment.asked is not None
        await settled(opened, job)
        found = [each for each in await opened.edits.lines(job.id) if each.id == "c0.0"]
        assert "".join(map(kinds, found)) == left


async def test_a_death_strikes_nothing_and_is_tried_again(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, align_fault="abort_once", marks=str(tmp_path))
        await write(opened, job)
        result = await aligned(opened, job)
        assert kinds(result.lines[0]) == "mmaaaaammm"
        assert (await opened.jobs.get(job.id)).history == job.history


@pytest.mark.parametrize("fault", ["abort", "odd"])
async def test_what_fails_again_and_again_is_given_up(tmp_path: Path, fault: str) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, align_fault=fault, marks=str(tmp_path))
        await write(opened, job)
        await settled(opened, job)
        assert kinds(await line_of(opened, job)) == "mmsssssmmm"
        assert opened.parts.context.alignment.next_request() == word_aligner.TRIES + 1
        other = await transcribed(opened, name="other.wav")
        assert other.status is Status.COMPLETED


async def test_a_text_that_the_model_cannot_align_is_tried_once(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, align_fault="unalignable")
        await write(opened, job)
        await settled(opened, job)
        assert opened.parts.context.alignment.next_request() == 2


async def test_a_recording_that_cannot_be_read_any_more_is_given_up(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        opened.parts.data.source_of(job.id).write_bytes(b"no recording")
        await write(opened, job)
        await settled(opened, job)
        assert kinds(await line_of(opened, job)) == "mmsssssmmm"
        assert list(opened.parts.data.spool.iterdir()) == []


async def test_what_waits_is_done_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as late:
        late.setattr(word_aligner, "AFTER_S", 3600.0)
        async with service(tmp_path) as opened:
            job = await transcribed(opened)
            await write(opened, job)
            state = await opened.edits.alignment(job)
            assert state is not None
            assert (state.chunks, state.problem) == (1, None)
    async with service(tmp_path) as opened:
        assert kinds((await aligned(opened, job)).lines[0]) == "mmaaaaammm"


async def test_the_service_says_why_nothing_is_aligned(tmp_path: Path) -> None:
    async def why(opened: Service, job: Job) -> str | None:
        state = await opened.edits.alignment(await opened.jobs.get(job.id))
        return None if state is None or state.problem is None else state.problem.code

    model = str(placeholder_model(tmp_path / "model"))
    async with service(tmp_path, speech={"align_edits": False, "model": model}) as opened:
        job = await transcribed(opened)
        await write(opened, job)
        assert await why(opened, job) == "alignment_off"
    async with service(tmp_path, speech={"preload": False, "model": model}) as opened:
        assert await why(opened, job) == "alignment_no_model"
        await opened.parts.context.ask(requests.remove_media, job.id)
        assert await why(opened, job) == "media_removed"
        assert kinds(await line_of(opened, job)) == "mmsssssmmm"


async def test_an_english_model_aligns_only_english(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        german = await ended(opened, (await send(opened, options=Options(language="de"), **TALK)).id)
        english = await transcribed(opened, name="english.wav")
        loaded = opened.parts.context.fleet.first.loaded
        assert loaded is not None
        opened.parts.context.fleet.first.loaded = msgspec.structs.replace(loaded, multilingual=False)
        await write(opened, german)
        await write(opened, english)
        await aligned(opened, english)
        state = await opened.edits.alignment(german)
        assert state is not None
        assert state.problem is not None
        assert state.problem.code == "alignment_unsuitable"


async def test_lines_of_another_language_wait_without_any_work(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        async with opened.parts.store._db.transaction():
            await opened.parts.store._db.run("UPDATE segment SET language = 'de' WHERE chunk = 0")
        speech = opened.parts.context.fleet.first
        assert speech.loaded is not None
        speech.loaded = msgspec.structs.replace(speech.loaded, multilingual=False)
        operations = tuple(ChangeText(id=line, v=0, text=WRITTEN) for line in ("c0.0", "c1.0"))
        await opened.edits.apply(job.id, Edit("both", operations))
        await aligned(opened, job)
        await anyio.sleep(0.5)
        assert [kinds(line) for line in await opened.edits.lines(job.id)] == ["mmsssssmmm", "mmaaaaammm"]
        assert len(readings(opened)) == 1
        speech.loaded = msgspec.structs.replace(speech.loaded, multilingual=True)
        await settled(opened, job)
        assert kinds(await line_of(opened, job)) == "mmaaaaammm"


async def test_the_service_ends_at_once_while_a_sound_is_read(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened, decode_delay=4.0, chunks=2)
        await write(opened, job)
        with anyio.fail_after(30):
            while not readings(opened):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        await anyio.sleep(1.0)
        began = anyio.current_time()
    assert anyio.current_time() - began < 2.0
    assert list(opened.parts.data.spool.iterdir()) == []


async def test_chunks_that_wait_near_one_another_are_read_once(tmp_path: Path) -> None:
    async with service(tmp_path) as opened:
        job = await transcribed(opened)
        operations = tuple(ChangeText(id=line, v=0, text=WRITTEN) for line in ("c0.0", "c1.0"))
        await opened.edits.apply(job.id, Edit("both", operations))
        await settled(opened, job)
        assert [kinds(line) for line in await opened.edits.lines(job.id)] == ["mmaaaaammm"] * 2
        assert len(readings(opened)) == 1
