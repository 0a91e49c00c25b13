"""A service whose recordings are decoded on the machines of a cluster: text and files are those of a decode at home.

The media actors are the real ones, behind real outposts, on machines that a file names (`testkit.scripted_gateway`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import psutil
import pytest

from testkit.held_media import HOLD
from testkit.media_files import encode
from testkit.scripted_gateway import FOLDER, write_nodes
from testkit.service import ended, open_service, texts
from testkit.sounds import babble, join, silence
from whisper_service.app.service import Service
from whisper_service.app.system import ActorInfo
from whisper_service.cluster import far_links
from whisper_service.core.domain import ActorState, Job, Options, Span, Status
from whisper_service.scheduler import admission

pytestmark = pytest.mark.anyio

GATEWAY: Final = "testkit.scripted_gateway:run"
DECODER: Final = "cluster-media-1"
WITHIN_S: Final = 60.0
BOX: Final = {"host": "box-1", "cpus": 1}
TALK = join(babble(25), silence(3), babble(25, seed=1), silence(3), babble(20, seed=2))


class Clustered:
    """A service whose cluster has a decoder."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.recording = encode(folder / "talk.caf", TALK, "alac", format="caf")
        self.hold = folder / "hold"

    async def until(self, met: Callable[[], Any]) -> None:
        with anyio.fail_after(WITHIN_S):
            while True:
                if met():
                    return
                await anyio.sleep(0.02)

    async def decoder(self) -> ActorInfo:
        return next(actor for actor in (await self.service.system()).actors if actor.name == DECODER)

    async def have_decoder(self) -> None:
        """Have a machine, and wait until its decoder takes work."""
        write_nodes(self.folder, BOX)
        await self.until(lambda: self.service.parts.context.media.far[DECODER].ready_generation)

    async def send(self, data: bytes | None = None) -> Job:
        """Submit the recording, or something else."""
        async with self.service.uploads.receive("talk.caf") as receiver:
            await receiver.write(self.recording.read_bytes() if data is None else data)
            received = await receiver.finish()
        return await self.service.jobs.submit(received, Options(language="en"), reuse=False)

    async def read_by(self, job: Job) -> str | None:
        """Wait until a chunk of a recording is found. Return which actor reads the recording."""
        runs = self.service.parts.context.ledger.runs
        with anyio.fail_after(WITHIN_S):
            while True:
                if await self.service.parts.store.chunks(job.id):
                    break
                await anyio.sleep(0.02)
        return runs[job.id].media_actor

    async def left(self, job: Job) -> tuple[list[Span], list[str], bytes, bytes]:
        """Wait for the end of a job. Return its chunks, its text and its waveforms."""
        done = await ended(self.service, job.id, WITHIN_S)
        assert done.status is Status.COMPLETED
        assert done.copy_bytes
        data = self.service.parts.data
        chunks = await self.service.parts.store.chunks(job.id)
        assert {(chunk.attempts, chunk.kills) for chunk in chunks} == {(0, 0)}
        waves = (data.peaks_of(job.id).read_bytes(), data.fine_peaks_of(job.id).read_bytes())
        assert data.copy_of(job.id).stat().st_size == done.copy_bytes
        return [chunk.span for chunk in chunks], await texts(self.service, job.id), *waves

    def open_files(self) -> list[Path]:
        """Return the files without a name that the gateway and its outposts have for decodes."""
        gateway = self.service.parts.context.gateway
        assert gateway is not None
        links = [link.readlink() for link in Path(f"/proc/{gateway.pid}/fd").iterdir() if link.is_symlink()]
        return [path for path in links if self.folder / "temporary" in path.parents]

    def far_processes(self) -> list[psutil.Process]:
        """Return the media actors on machines of the cluster."""
        gateway = self.service.parts.context.gateway
        assert gateway is not None
        children = psutil.Process(gateway.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@asynccontextmanager
async def clustered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clustered]:
    """A service with one media actor here and places for others. Recordings of unknown length are sent to them."""
    monkeypatch.setattr(admission, "SMALL_BYTES", 0)
    monkeypatch.setattr(far_links, "PATIENCE_S", 0.3)
    monkeypatch.setattr(far_links, "LOST_AGAIN_S", 0.3)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(HOLD, str(tmp_path / "hold"))
    write_nodes(tmp_path)
    cluster = {"engine": "ray", "cpus": 1.0, "gpus": 1.0, "media_workers": 1, "lost_after_s": 30.0}
    options = {"gateway": GATEWAY, "media_actor": "testkit.held_media:run", "cluster": cluster}
    async with open_service(tmp_path, speech={"device": "cpu"}, **options) as service:
        cluster_of = Clustered(service, tmp_path)
        yield cluster_of
        assert cluster_of.open_files() == [], "what was decoded is over"
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_a_recording_is_decoded_on_a_machine_of_the_cluster_as_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with clustered(tmp_path, monkeypatch) as cluster:
        at_home = await cluster.left(await cluster.send())
        assert len(at_home[0]) >= 3
        assert (await cluster.decoder()).state in (ActorState.IDLE, ActorState.PENDING)
        refused = await ended(cluster.service, (await cluster.send(b"Dear all, " * 500)).id)
        await cluster.have_decoder()
        info = await cluster.decoder()
        assert (info.state, info.host, info.pid) == (ActorState.READY, "box-1", None)
        cluster.hold.touch()
        job = await cluster.send()
        assert await cluster.read_by(job) == DECODER
        spool = cluster.service.parts.data.spool_of(job.id)
        (first, *_) = await cluster.service.parts.store.chunks(job.id)
        assert spool.stat().st_size >= 2 * (first.span.start_sample + first.span.samples), "the chunk is at home"
        cluster.hold.unlink()
        assert await cluster.left(job) == at_home
        assert (await cluster.service.parts.store.job(job.id)).history == ()
        again = await ended(cluster.service, (await cluster.send(b"Dear all, " * 500)).id)
        assert (again.status, again.error) == (refused.status, refused.error)
        assert again.error is not None
        assert (await cluster.decoder()).deaths == ()


@pytest.mark.parametrize(("dies", "note"), [("actor", "killed"), ("machine", "lost"), ("gateway", "lost")])
async def test_whatever_dies_with_a_decode_the_job_has_the_same_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, note: str
) -> None:
    async with clustered(tmp_path, monkeypatch) as cluster:
        at_home = await cluster.left(await cluster.send())
        await cluster.have_decoder()
        cluster.hold.touch()
        job = await cluster.send()
        assert await cluster.read_by(job) == DECODER
        (actor,) = cluster.far_processes()
        if dies == "machine":
            write_nodes(cluster.folder)
        else:
            os.kill(actor.pid if dies == "actor" else actor.ppid(), signal.SIGKILL)
        await cluster.until(lambda: not actor.is_running())
        cluster.hold.unlink()
        assert await cluster.left(job) == at_home
        done = await cluster.service.parts.store.job(job.id)
        assert {each.code for each in done.history} == {note}
        assert all("read again from its beginning" in each.message for each in done.history)
        if dies != "machine":
            await cluster.until(lambda: cluster.service.parts.context.media.far[DECODER].ready_generation)
            assert await cluster.left(await cluster.send()) == at_home


async def test_while_no_machine_has_room_recordings_are_decoded_here_and_operators_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with clustered(tmp_path, monkeypatch) as cluster:
        write_nodes(tmp_path, {"host": "box-2", "cpus": 1, "gpus": 1})  # its core is for the speech actor
        await cluster.until(lambda: len(cluster.service.parts.context.fleet.seats) == 2)
        await cluster.left(await cluster.send())
        decoder = await cluster.decoder()
        assert (decoder.state, decoder.host, decoder.deaths) == (ActorState.IDLE, None, ())
        assert [problem.code for problem in (await cluster.service.system()).warnings] == ["no_room_to_decode"]
        assert cluster.service.readiness().ready
        await cluster.have_decoder()
        assert (await cluster.service.system()).warnings == ()
