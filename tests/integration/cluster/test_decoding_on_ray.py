"""A recording is decoded on a node of a real cluster of Ray, also when its outpost is killed in the middle.

What a service does when machines come and go is tested without Ray: `tests/integration/app/test_decoding_on_nodes.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from testkit import ray_cluster
from testkit.held_media import HOLD
from testkit.media_files import encode
from testkit.ray_cluster import RayCluster
from testkit.scripted_actors import FAR
from testkit.service import ended, open_service, texts
from testkit.sounds import babble, join, silence
from whisper_service.app.service import Service
from whisper_service.core.domain import Job, Options, Span, Status
from whisper_service.scheduler import admission

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.MISSING or "there is one"),
    pytest.mark.timeout(600),
]
DECODER = "cluster-media-1"
WITHIN_S = 180.0


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    """A cluster whose nodes have a folder for temporary files of their own."""
    cluster = RayCluster()
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(HOLD, str(tmp_path / "hold"))
    (tmp_path / "temporary").mkdir()
    cluster.environment |= {FAR: "far", "TMPDIR": str(tmp_path / "temporary")}
    try:
        cluster.start_head()
        yield cluster
    finally:
        print(cluster.log())
        cluster.end()


async def sent(service: Service, recording: bytes) -> Job:
    async with service.uploads.receive("talk.caf") as receiver:
        await receiver.write(recording)
        received = await receiver.finish()
    return await service.jobs.submit(received, Options(language="en"), reuse=False)


async def left(service: Service, job: Job) -> tuple[list[Span], list[str], bytes, bytes]:
    """Wait for the end of a job. Return its chunks, its text and its waveforms."""
    done = await ended(service, job.id, WITHIN_S)
    data = service.parts.data
    assert done.status is Status.COMPLETED
    assert data.copy_of(job.id).stat().st_size == done.copy_bytes > 0
    spans = [chunk.span for chunk in await service.parts.store.chunks(job.id)]
    waves = (data.peaks_of(job.id).read_bytes(), data.fine_peaks_of(job.id).read_bytes())
    return spans, await texts(service, job.id), *waves


def open_files(folder: Path) -> list[str]:
    """Return the files below a folder that any process has open, with a name or without."""
    found = []
    for process in psutil.process_iter():
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]  # noqa: PTH115
        except OSError:
            continue
        found += [link for link in links if link.startswith(str(folder))]
    return found


async def test_a_recording_is_decoded_on_a_node_and_again_after_its_outpost_was_killed(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SMALL_BYTES", 0)
    talk = join(babble(25), silence(3), babble(25, seed=1))
    recording = encode(tmp_path / "talk.caf", talk, "alac", format="caf").read_bytes()
    settings = {
        "engine": "ray", "address": cluster.address, "node_ip": cluster.HEAD, "media_workers": 1, "cpus": 1.0,
    }  # fmt: skip
    async with open_service(
        tmp_path, cluster=settings, speech={"device": "cpu"}, media_actor="testkit.held_media:run"
    ) as service:
        at_home = await left(service, await sent(service, recording))
        node = cluster.start_node()
        media, runs = service.parts.context.media, service.parts.context.ledger.runs

        async def ready() -> None:
            with anyio.fail_after(WITHIN_S):
                while True:
                    if media.far[DECODER].ready_generation:
                        return
                    await anyio.sleep(0.05)

        await ready()
        assert await left(service, await sent(service, recording)) == at_home
        hold = tmp_path / "hold"
        hold.touch()
        job = await sent(service, recording)
        with anyio.fail_after(WITHIN_S):
            while True:
                if await service.parts.store.chunks(job.id):
                    break
                await anyio.sleep(0.05)
        assert runs[job.id].media_actor == DECODER
        assert open_files(tmp_path / "temporary")
        (outpost,) = [each for each in cluster.processes(node) if each.name().startswith("ray::RayOutpost")]
        outpost.kill()
        hold.unlink()
        assert await left(service, job) == at_home
        done = await service.parts.store.job(job.id)
        assert {note.code for note in done.history} == {"lost"}
        assert open_files(tmp_path / "temporary") == []
        await ready()
        assert await left(service, await sent(service, recording)) == at_home
