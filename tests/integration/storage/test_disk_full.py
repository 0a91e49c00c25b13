"""A real small disk becomes full: at an upload, while decoding, at a commit, at a model, and at a log line."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

from testkit.media_files import write_wav
from testkit.process import environment
from testkit.program import BUNDLED, COMMAND, NOT_BUNDLED
from testkit.repository import ROOT
from testkit.scripted_actors import script, text_of
from testkit.service import ended, running, texts, until
from testkit.small_disk import Ballast, small_disk
from whisper_service.app.service import Service
from whisper_service.app.wiring import MEDIA
from whisper_service.core.domain import Job, Status
from whisper_service.core.errors import DiskFull
from whisper_service.models import bundled
from whisper_service.scheduler import loop as dispatch

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name != "posix", reason="mounts a file system in memory")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 16 MiB."""
    with ExitStack() as stack:
        path = tmp_path / "disk"
        if (reason := stack.enter_context(small_disk(path, 16))) is not None:
            pytest.skip(f"a small disk cannot be mounted here: {reason}")
        yield path


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "RETRY_S", 0.2)


class SmallService:
    """A service on the small disk, with a client."""

    def __init__(self, disk: Path, service: Service, client: httpx.AsyncClient) -> None:
        self.disk = disk
        self.service = service
        self.client = client
        self.ballast = Ballast(disk)

    def leave(self, room: int) -> None:
        """Fill the disk except for `room` bytes."""
        self.ballast.fill()
        size = (self.disk / "ballast").stat().st_size
        os.truncate(self.disk / "ballast", size - room)

    async def send(self, data: bytes, name: str = "a") -> httpx.Response:
        return await self.client.post(f"/api/jobs?filename={name}&language=en", content=data)

    async def failed(self, job_id: str) -> Job:
        return await until(self.service, job_id, lambda job: job.status is Status.FAILED)


@pytest.fixture
async def small(disk: Path, request: pytest.FixtureRequest) -> AsyncIterator[SmallService]:
    async with running(disk, media_actor=getattr(request, "param", "media")) as (service, client, _):
        yield SmallService(disk, service, client)


async def test_a_disk_that_is_full_at_an_upload(small: SmallService) -> None:
    small.leave(4 << 20)

    async def in_chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield bytes(1 << 18)

    stated = await small.send(bytes(8 << 20))
    unstated = await small.client.post("/api/jobs", content=in_chunks())
    for answer in (stated, unstated):
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
        assert answer.json()["hint"]
    assert not list((small.disk / "data" / "media").iterdir())
    fits = (await small.send(script(chunks=2))).json()
    assert (await ended(small.service, fits["id"])).status is Status.COMPLETED


@pytest.mark.parametrize("small", [MEDIA], indirect=True)
async def test_a_disk_that_is_full_while_decoding(small: SmallService, tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "a.wav", np.zeros(120 * 8_000, dtype=np.int16), rate=8_000).read_bytes()
    small.leave(len(silence) + (1 << 20))
    made = (await small.send(silence)).json()["id"]  # 3.7 MiB as 16 kHz
    failed = await small.failed(made)
    assert failed.error is not None
    assert failed.error.code == "disk_full"
    assert not list((small.disk / "data" / "spool").iterdir())  # its room is given back
    small.ballast.free()
    await small.client.post(f"/api/jobs/{made}/retry")
    done = await until(small.service, made, lambda job: job.status is Status.COMPLETED)
    assert (done.error, done.duration_s) == (None, 120.0)


async def test_a_disk_that_is_full_at_a_commit(small: SmallService) -> None:
    jobs = [
        (await small.send(script(chunks=60, delay=0.02, decode_delay=0.02, segments=4), name)).json()["id"]
        for name in "abc"
    ]
    quiet = (await small.send(script(chunks=1), "quiet")).json()["id"]
    await ended(small.service, quiet)
    await until(small.service, jobs[0], lambda job: job.chunks_done >= 3)
    small.leave(0)
    with anyio.fail_after(60):
        while (answer := await small.client.post(f"/api/jobs/{jobs[2]}/pause")).status_code == 200:
            await small.client.post(f"/api/jobs/{jobs[2]}/resume")
        assert (answer.status_code, answer.json()["code"]) in ((507, "disk_full"), (409, "illegal_transition")), (
            answer.text
        )
        await anyio.sleep(1.0)
        assert (await small.client.get(f"/api/jobs/{quiet}/export?format=txt")).text.startswith(
            text_of(0)
        )  # reading goes on
    small.ballast.free()
    with anyio.fail_after(60):
        for job_id in jobs:
            while (job := (await small.client.get(f"/api/jobs/{job_id}")).json())["status"] != "completed":
                if job["status"] == "failed":
                    assert job["error"]["code"] == "disk_full"
                    await small.client.post(f"/api/jobs/{job_id}/retry")
                elif job["status"] == "paused":
                    await small.client.post(f"/api/jobs/{job_id}/resume")
                await anyio.sleep(0.1)
    for job_id in jobs:
        assert (await small.service.parts.store.job(job_id)).gaps == ()
        heard = [segment.text for segment in (await small.service.jobs.transcript(job_id)).segments]
        assert heard == [text_of(n) for n in range(60) for _ in range(4)]
    assert await texts(small.service, quiet) == [text_of(0)]


@pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)
async def test_a_disk_that_is_full_at_the_built_in_model(disk: Path) -> None:
    with pytest.raises(DiskFull, match="built-in model base"):
        bundled.join(disk / "models", "base", bundled.BUNDLED["base"])
    assert not list((disk / "models").iterdir())


def test_a_disk_that_is_full_at_a_log_line(disk: Path, tmp_path: Path) -> None:
    """The log and the banner go to a file on a full disk. The service works all the same."""
    Ballast(disk).fill()
    full = disk / "ballast"
    words = [*COMMAND, "--port", "0", "--data-dir", str(tmp_path / "data")]
    settings = environment(speech__preload="false", log__level="debug")
    with full.open("ab") as out:
        process = subprocess.Popen(words, cwd=ROOT, env=settings, stdout=out, stderr=out)
    try:
        while not list((tmp_path / "data" / "logs").glob("media-*")):
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
