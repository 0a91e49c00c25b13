"""Recordings move to object storage when their job has ended, and come back for as long as they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.scripted_actors import script
from testkit.scripted_objects import ScriptedObjects
from testkit.service import ended, open_service, send, texts, until
from whisper_service.app import recording_mover
from whisper_service.app.service import Service
from whisper_service.core.domain import LiveEnd, LiveSession, Options, Status
from whisper_service.core.errors import MediaRemoved, ObjectStoreDenied
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import recording_work

pytestmark = pytest.mark.anyio

TARGET = "s3://recordings/of/tests"
Opened = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def objects() -> ScriptedObjects:
    return ScriptedObjects()


@pytest.fixture
def opened(tmp_path: Path, objects: ScriptedObjects, monkeypatch: pytest.MonkeyPatch) -> Opened:
    for module, name in ((recording_mover, "PAUSE_S"), (recording_mover, "LOOK_S"), (recording_work, "PAUSE_S")):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(recording_mover, "STOP_S", 0.2)
    return partial(open_service, tmp_path, objects=objects, storage={"media": TARGET})


@pytest.fixture
async def service(opened: Opened) -> AsyncIterator[Service]:
    async with opened() as running:
        yield running


async def wait_for(look: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    with anyio.fail_after(within_s):
        while not await look():  # noqa: ASYNC110 - the mover tells nobody
            await anyio.sleep(0.02)


def source(service: Service, job_id: str) -> Path:
    return service.parts.data.source_of(job_id)


async def moved(service: Service, job_id: str) -> str:
    """Wait until the recording is in the storage alone. Return its url."""

    async def look() -> bool:
        return bool(await service.jobs.stored_recording(job_id)) and not source(service, job_id).exists()

    await wait_for(look)
    stored = await service.jobs.stored_recording(job_id)
    assert stored is not None
    return stored.url


async def test_a_recording_moves_when_its_job_has_ended(service: Service, objects: ScriptedObjects) -> None:
    job = await send(service, chunks=3)
    await ended(service, job.id)
    url = await moved(service, job.id)
    assert url.startswith(f"{TARGET}/{job.id}-")
    assert objects.objects == {url: script(name="talk.wav", chunks=3)}
    assert list(service.parts.data.media.iterdir()) == []
    storage = (await service.system()).object_storage
    assert storage is not None
    assert (storage.recordings.stored, storage.recordings.stored_bytes, storage.recordings.waiting) == (1, job.bytes, 0)


async def test_a_recording_whose_job_is_not_over_stays(service: Service, objects: ScriptedObjects) -> None:
    first = await send(service, chunks=1)
    paused = await send(service, chunks=30, delay=0.2)
    await until(service, paused.id, lambda job: job.status is Status.PROCESSING)
    await service.jobs.change(paused.id, Cause.PAUSE)
    await moved(service, first.id)
    assert source(service, paused.id).exists()
    assert await service.jobs.stored_recording(paused.id) is None


async def test_a_job_is_retried_from_the_storage_with_the_same_text(service: Service, objects: ScriptedObjects) -> None:
    job = await send(service, chunks=4, options=Options(language="en"), bad=[2])
    first = await ended(service, job.id)
    before = await texts(service, job.id)
    assert first.gaps, "nothing is left to retry"
    await moved(service, job.id)
    await service.jobs.change(job.id, Cause.RETRY)
    await until(service, job.id, lambda job: job.attempts == 2 and job.status is Status.COMPLETED)
    assert await texts(service, job.id) == before
    await moved(service, job.id)
    assert objects.puts == 1, "it was sent again"


async def test_another_job_of_the_recording_shares_its_object(service: Service, objects: ScriptedObjects) -> None:
    job = await send(service, chunks=2)
    await ended(service, job.id)
    url = await moved(service, job.id)
    again = await service.jobs.submit_again(job.id, Options(language="en"))
    await ended(service, again.id)
    assert await texts(service, again.id) == await texts(service, job.id)
    assert await moved(service, again.id) == url
    await service.jobs.delete(job.id, for_good=True)
    other = await send(service, chunks=1)
    await ended(service, other.id)
    await moved(service, other.id)  # the mover looked since
    assert url in objects.objects
    await service.jobs.delete(again.id, for_good=True)

    async def gone() -> bool:
        return url not in objects.objects

    await wait_for(gone)


async def test_an_equal_upload_is_not_sent_again(service: Service, objects: ScriptedObjects) -> None:
    jobs = [await send(service, chunks=2) for _ in range(2)]
    for job in jobs:
        await ended(service, job.id)
    urls = {await moved(service, job.id) for job in jobs}
    assert len(urls) == len(objects.objects) == objects.puts == 1


async def test_what_was_deleted_leaves_nothing(opened: Opened, objects: ScriptedObjects) -> None:
    async with opened() as service:
        jobs = [await send(service, chunks=n) for n in (1, 2)]
        for job in jobs:
            await ended(service, job.id)
            await moved(service, job.id)
        await service.parts.context.ask(_remove_media, jobs[0].id)
        with pytest.raises(MediaRemoved):
            await service.jobs.submit_again(jobs[0].id, Options())
        await service.jobs.delete(jobs[1].id)  # undo_s is 0

        async def empty() -> bool:
            return not objects.objects and not await service.parts.store.recordings.unwanted()

        await wait_for(empty)


async def test_a_deleted_job_that_is_restored_has_its_recording(
    tmp_path: Path, opened: Opened, objects: ScriptedObjects
) -> None:
    async with open_service(tmp_path, objects=objects, storage={"media": TARGET, "undo_s": 600.0}) as service:
        job = await send(service, chunks=1)
        await ended(service, job.id)
        url = await moved(service, job.id)
        await service.jobs.delete(job.id)
        other = await send(service, chunks=2)
        await ended(service, other.id)
        await moved(service, other.id)
        assert url in objects.objects
        await service.jobs.restore(job.id)
        assert await moved(service, job.id) == url


async def test_recordings_wait_while_the_storage_is_away(service: Service, objects: ScriptedObjects) -> None:
    objects.go_away()
    job = await send(service, chunks=1)
    await ended(service, job.id)

    async def told() -> bool:
        return [problem.code for problem in (await service.system()).warnings] == ["object_store_unreachable"]

    await wait_for(told)
    assert [problem.code for problem in service.readiness().warnings] == ["object_store_unreachable"]
    assert service.readiness().ready
    assert source(service, job.id).exists()
    objects.come_back()
    await moved(service, job.id)
    assert len(objects.objects) == 1

    async def over() -> bool:
        return not (await service.system()).warnings

    await wait_for(over)


async def test_a_recording_that_is_refused_holds_up_no_other(service: Service, objects: ScriptedObjects) -> None:
    objects.go_away()
    first, second = await send(service, chunks=1), await send(service, chunks=2)
    for job in (first, second):
        await ended(service, job.id)
    objects.refused = first.id
    objects.come_back()
    await moved(service, second.id)
    assert source(service, first.id).exists()
    objects.refused = ""
    await moved(service, first.id)


async def test_a_job_waits_for_a_recording_that_cannot_be_fetched(service: Service, objects: ScriptedObjects) -> None:
    job = await send(service, chunks=2)
    await ended(service, job.id)
    await moved(service, job.id)
    objects.failures["read"] = ObjectStoreDenied()
    again = await service.jobs.submit_again(job.id, Options(language="en"))
    waits = await until(service, again.id, lambda job: job.problem is not None)
    assert waits.problem is not None
    assert (waits.status, waits.problem.code) == (Status.PROCESSING, "object_store_denied")
    other = await send(service, chunks=1)  # nobody waits behind it
    assert (await ended(service, other.id)).status is Status.COMPLETED
    objects.come_back()
    assert (await ended(service, again.id)).status is Status.COMPLETED
    assert await texts(service, again.id) == await texts(service, job.id)


@pytest.mark.parametrize(("lost", "code"), [(True, "recording_lost"), (False, "recording_altered")])
async def test_a_recording_that_is_gone_or_altered_fails_its_job(
    service: Service, objects: ScriptedObjects, lost: bool, code: str
) -> None:
    job = await send(service, chunks=2)
    await ended(service, job.id)
    url = await moved(service, job.id)
    if lost:
        del objects.objects[url]
    else:
        objects.objects[url] = objects.objects[url][:-1] + b"!"
    again = await service.jobs.submit_again(job.id, Options(language="en"))
    failed = await ended(service, again.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (Status.FAILED, code)
    assert not source(service, again.id).exists()
    assert list(service.parts.data.media.iterdir()) == []


async def test_a_storage_that_gives_other_bytes_back_gets_no_recording(
    service: Service, objects: ScriptedObjects
) -> None:
    objects.tampered = True
    job = await send(service, chunks=2)
    await ended(service, job.id)

    async def told() -> bool:
        return service.parts.mover.problem is not None

    await wait_for(told)
    assert service.parts.mover.problem is not None
    assert service.parts.mover.problem.code == "recording_altered"
    assert source(service, job.id).read_bytes() == script(name="talk.wav", chunks=2)
    objects.tampered = False
    url = await moved(service, job.id)
    assert objects.objects == {url: script(name="talk.wav", chunks=2)}


async def test_a_recording_that_does_not_fit_on_the_disk_is_waited_for(
    service: Service, objects: ScriptedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await send(service, chunks=2)
    await ended(service, job.id)
    await moved(service, job.id)
    monkeypatch.setattr(service.parts.recordings, "_min_free", lambda: 1 << 60)
    again = await service.jobs.submit_again(job.id, Options(language="en"))
    waits = await until(service, again.id, lambda job: job.problem is not None)
    assert waits.problem is not None
    assert waits.problem.code == "disk_full"
    assert list(service.parts.data.media.iterdir()) == []
    monkeypatch.undo()
    assert (await ended(service, again.id)).status is Status.COMPLETED


async def test_a_live_session_that_goes_on_has_its_recording_back(service: Service, objects: ScriptedObjects) -> None:
    job = await service.jobs.begin_live(LiveSession("microphone", 16_000), "talk.wav", Options(language="en"))

    async def sound() -> AsyncIterator[bytes]:
        yield bytes(32_000)

    assert await service.live.append(job.id, None, sound()) == 32_000
    await service.live.end(job.id, LiveEnd.SILENCE)
    await ended(service, job.id)
    url = await moved(service, job.id)
    before = objects.objects[url]
    resumed = await service.live.resume(job.id)
    assert resumed.growing
    assert source(service, job.id).stat().st_size == len(before)
    assert await service.jobs.stored_recording(job.id) is None
    assert await service.live.append(job.id, 32_000, sound()) == 64_000
    await service.live.end(job.id)
    await until(service, job.id, lambda job: not job.growing and job.status is Status.COMPLETED)
    again = await moved(service, job.id)
    assert len(objects.objects[again]) == len(before) + 32_000

    async def alone() -> bool:
        return list(objects.objects) == [again]

    await wait_for(alone)


async def test_a_file_that_was_changed_stays_where_it_is(service: Service, objects: ScriptedObjects) -> None:
    objects.go_away()
    job, other = await send(service, chunks=2), await send(service, chunks=1)
    await ended(service, job.id)
    await ended(service, other.id)
    source(service, job.id).write_bytes(b"changed")
    objects.come_back()
    await moved(service, other.id)
    assert source(service, job.id).read_bytes() == b"changed"
    assert len(objects.objects) == 1


async def test_a_service_that_ends_in_the_middle_begins_again(opened: Opened, objects: ScriptedObjects) -> None:
    objects.gate = anyio.Event()
    async with opened() as service:
        job = await send(service, chunks=2)
        await ended(service, job.id)
        with anyio.fail_after(30):
            await objects.reached.wait()
        assert await service.jobs.stored_recording(job.id) is None
    left = source(service, job.id)
    assert left.exists()
    assert objects.objects == {}
    objects.gate = None
    async with opened() as service:
        url = await moved(service, job.id)
        assert objects.objects == {url: script(name="talk.wav", chunks=2)}


async def test_a_job_that_is_retried_while_its_recording_moves_keeps_it(
    service: Service, objects: ScriptedObjects
) -> None:
    objects.gate = anyio.Event()
    job = await send(service, chunks=2, bad=[1])
    assert (await ended(service, job.id)).gaps
    with anyio.fail_after(30):
        await objects.reached.wait()
    await service.jobs.change(job.id, Cause.RETRY)
    await until(service, job.id, lambda job: job.attempts == 2)
    objects.gate.set()
    await until(service, job.id, lambda job: job.attempts == 2 and job.status is Status.COMPLETED)
    url = await moved(service, job.id)

    async def alone() -> bool:
        return list(objects.objects) == [url]

    await wait_for(alone)


async def test_copies_of_stored_recordings_do_not_outlive_the_service(opened: Opened, objects: ScriptedObjects) -> None:
    async with opened() as service:
        job = await send(service, chunks=2)
        await ended(service, job.id)
        await moved(service, job.id)
        again = await service.jobs.submit_again(job.id, Options(language="en"))
        await ended(service, again.id)
        await moved(service, again.id)
    source(service, job.id).write_bytes(b"left by a service that was killed")
    async with opened() as service:
        assert not source(service, job.id).exists()
        assert await service.jobs.stored_recording(job.id) is not None


async def test_without_the_setting_old_recordings_stay_readable(
    tmp_path: Path, opened: Opened, objects: ScriptedObjects
) -> None:
    async with opened() as service:
        job = await send(service, chunks=2)
        await ended(service, job.id)
        url = await moved(service, job.id)
    async with open_service(tmp_path, objects=objects) as service:
        again = await service.jobs.submit_again(job.id, Options(language="en"))
        assert (await ended(service, again.id)).status is Status.COMPLETED
        new = await send(service, chunks=1)
        await ended(service, new.id)
        await moved(service, again.id)  # the copy goes, the object stays
        assert source(service, new.id).exists()
        assert list(objects.objects) == [url]


async def _remove_media(context: Any, job_id: str) -> None:
    await context.ledger.remove_media(job_id)
