"""Listening copies in a running service with real media actors: served, counted, deleted, made again after kills."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import av
import numpy as np
import pytest

from testkit.media_files import encode, write_wav
from testkit.service import ended, running, texts
from testkit.small_disk import small_disk
from testkit.sounds import RATE, Samples, babble, join, silence
from whisper_service.app.retention import Retention
from whisper_service.app.service import Service
from whisper_service.config.schema import StorageSettings
from whisper_service.core.domain import Job, Options, Playable, Status
from whisper_service.core.files import draft_of
from whisper_service.scheduler import requests

pytestmark = pytest.mark.anyio

TALK = join(silence(1), babble(9), silence(3), babble(20, seed=1), silence(2))
REAL = {"media_actor": "whisper_service.actors.media.main:run"}


def wma(directory: Path, samples: Samples = TALK) -> Path:
    return encode(directory / "talk.wma", samples, "wmav2", format="asf")


async def send(service: Service, source: Path, options: Options | None = None) -> Job:
    """Submit a recording, as another client would."""
    async with service.uploads.receive(source.name) as receiver:
        await receiver.write(await anyio.Path(source).read_bytes())
        received = await receiver.finish()
    return await service.jobs.submit(received, options or Options(language="en"))


def files(service: Service) -> list[str]:
    """Return the names of all recordings, copies and spools."""
    data = service.parts.data
    return sorted(f"{d.name}/{path.name}" for d in (data.media, data.copies, data.spool) for path in d.iterdir())


def seconds(path: Path) -> float:
    """Return how long the sound of a file is, decoded."""
    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


async def test_the_copy_is_served_where_browsers_cannot_play_the_recording(tmp_path: Path) -> None:
    source = wma(tmp_path)
    async with running(tmp_path, **REAL) as (service, client, _):
        job = await ended(service, (await send(service, source)).id)
        assert (job.status, job.playable, job.history) == (Status.COMPLETED, Playable.COPY, ())
        address = f"/api/jobs/{job.id}/media"
        shown = (await client.get(f"/api/jobs/{job.id}")).json()
        assert (shown["playable"], shown["copy_bytes"]) == ("copy", job.copy_bytes)
        whole = await client.get(address)
        assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/webm")
        assert 'filename="talk.webm"' in whole.headers["content-disposition"]
        assert len(whole.content) == job.copy_bytes
        (tmp_path / "heard.webm").write_bytes(whole.content)
        assert abs(seconds(tmp_path / "heard.webm") - len(TALK) / RATE) < 0.2
        head = await client.head(address)
        assert head.headers["content-length"] == str(job.copy_bytes)
        part = await client.get(address, headers={"range": "bytes=100-199", "if-range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        assert (await client.get(address, headers={"if-none-match": whole.headers["etag"]})).status_code == 304
        assert (await client.get(address, params={"original": "false"})).content == whole.content
        sent = await client.get(address, params={"original": "1"})
        assert (sent.headers["content-type"], sent.content) == ("video/x-ms-asf", source.read_bytes())
        assert sent.headers["etag"] != whole.headers["etag"]
        assert files(service) == [f"copies/{job.id}", f"media/{job.id}"]
        await service.jobs.delete(job.id, for_good=True)
        assert files(service) == []


async def test_the_text_is_the_same_without_a_copy(tmp_path: Path) -> None:
    source = wma(tmp_path)
    async with running(tmp_path, **REAL) as (service, client, _):
        one = await ended(service, (await send(service, source)).id)
        answer = await client.patch("/api/settings", json={"storage.listening_copy": False})
        assert answer.status_code == 200, answer.text
        two = await ended(service, (await send(service, source, Options(language="en", prompt="again"))).id)
        assert (two.status, two.playable, two.copy_bytes) == (Status.COMPLETED, None, 0)
        assert files(service) == sorted([f"copies/{one.id}", f"media/{one.id}", f"media/{two.id}"])
        assert await texts(service, one.id) == await texts(service, two.id)
        assert await service.jobs.segments(one.id) == await service.jobs.segments(two.id)
        plain = await client.get(f"/api/jobs/{two.id}/media")
        assert plain.content == source.read_bytes()


async def test_no_copy_of_what_browsers_play(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "talk.wav", TALK)
    async with running(tmp_path, **REAL) as (service, client, _):
        job = await ended(service, (await send(service, source)).id)
        assert (job.playable, job.copy_bytes) == (Playable.RECORDING, 0)
        for params in ({}, {"original": "false"}, {"original": "true"}):
            answer = await client.get(f"/api/jobs/{job.id}/media", params=params)
            assert (answer.headers["content-type"], answer.content) == ("audio/wav", source.read_bytes())
        assert files(service) == [f"media/{job.id}"]


async def test_copies_go_before_recordings_and_with_them(tmp_path: Path) -> None:
    source = wma(tmp_path)
    async with running(tmp_path, **REAL) as (service, client, _):
        jobs = [
            await ended(service, (await send(service, source, Options(language="en", prompt=name))).id)
            for name in ("first", "second")
        ]
        context = service.parts.context

        async def keep(size: int) -> None:
            rules = StorageSettings(max_media_bytes=size)
            removers = (requests.remove_copy, requests.remove_media, requests.expire)
            remove = [lambda job_id, act=act: context.ask(act, job_id) for act in removers]
            await Retention(rules, service.parts.store, service.events, *remove).look()

        await keep(sum(job.bytes + job.copy_bytes for job in jobs))
        assert len(files(service)) == 4
        await keep(sum(job.bytes + job.copy_bytes for job in jobs) - 1)
        assert files(service) == sorted([f"copies/{jobs[1].id}", *(f"media/{job.id}" for job in jobs)])
        first = await service.jobs.get(jobs[0].id)
        assert (first.playable, first.copy_bytes, first.media_removed) == (None, 0, False)
        assert (await client.get(f"/api/jobs/{first.id}/media")).content == source.read_bytes()
        await context.ask(requests.remove_media, jobs[1].id)
        second = await service.jobs.get(jobs[1].id)
        assert (second.playable, second.copy_bytes, second.media_removed) == (None, 0, True)
        assert files(service) == [f"media/{first.id}"]
        gone = await client.get(f"/api/jobs/{second.id}/media")
        assert gone.status_code == 404
        assert "deleted" in gone.json()["message"]


async def test_a_copy_is_made_again_when_its_actor_is_killed(tmp_path: Path) -> None:
    long = np.tile(babble(60), 15)
    source = wma(tmp_path, long)
    async with running(tmp_path, **REAL) as (service, _, _):
        job = await send(service, source)
        copy = service.parts.data.copy_of(job.id)
        draft = draft_of(copy)
        with anyio.fail_after(60):
            while not draft.exists() or not draft.stat().st_size:  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.002)
        (actor,) = service.parts.context.media.actors.values()
        assert actor.pid is not None
        os.kill(actor.pid, signal.SIGKILL)
        assert not copy.exists(), "what is not complete has no name"
        done = await ended(service, job.id)
        assert (done.status, done.playable) == (Status.COMPLETED, Playable.COPY)
        assert files(service) == [f"copies/{job.id}", f"media/{job.id}"]
        assert copy.stat().st_size == done.copy_bytes
        assert abs(seconds(copy) - len(long) / RATE) < 0.2


async def test_a_copy_goes_with_a_job_that_is_deleted_while_it_is_made(tmp_path: Path) -> None:
    source = wma(tmp_path, np.tile(babble(60), 15))
    async with running(tmp_path, **REAL) as (service, _, _):
        job = await send(service, source)
        draft = draft_of(service.parts.data.copy_of(job.id))
        with anyio.fail_after(60):
            while not draft.exists() or not draft.stat().st_size:  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.002)
        await service.jobs.delete(job.id, for_good=True)
        later = await ended(service, (await send(service, wma(tmp_path))).id)  # the actor is done with the first one
        assert later.playable is Playable.COPY
        assert files(service) == [f"copies/{later.id}", f"media/{later.id}"]


async def test_a_full_disk_costs_the_copy_and_not_the_text(tmp_path: Path) -> None:
    source = wma(tmp_path)
    with small_disk(tmp_path / "disk", 60) as reason:
        if reason is not None:
            pytest.skip(reason)
        async with running(tmp_path / "disk", **REAL) as (service, client, _):
            job = await ended(service, (await send(service, source)).id)
            assert (job.status, job.playable, job.copy_bytes) == (Status.COMPLETED, None, 0)
            assert [note.code for note in job.history] == ["no_listening_copy"]
            assert await texts(service, job.id)
            assert files(service) == [f"media/{job.id}"]
            assert (await client.get(f"/api/jobs/{job.id}/media")).content == source.read_bytes()


async def test_what_a_killed_service_left_is_swept(tmp_path: Path) -> None:
    source = wma(tmp_path)
    async with running(tmp_path, **REAL) as (service, _, _):
        job = await ended(service, (await send(service, source)).id)
    copies = tmp_path / "data" / "copies"
    for name in ("gone", "gone.part", f"{job.id}.part"):
        (copies / name).write_bytes(b"half")
    async with running(tmp_path, **REAL) as (service, client, _):
        assert files(service) == [f"copies/{job.id}", f"media/{job.id}"]
        assert len((await client.get(f"/api/jobs/{job.id}/media")).content) == job.copy_bytes
