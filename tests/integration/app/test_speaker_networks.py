"""The networks for speakers that a service lacks: they come while text is made, or the job ends without speakers."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest

from testkit.fake_hub import FakeHub, wire_networks
from testkit.hub_service import actor_of, gone, installed, job_once, model_once, over
from testkit.scripted_actors import script
from testkit.service import Running, running
from whisper_service.core.domain import Job, Phase, Status
from whisper_service.models.inventory import ModelInfo, ModelState
from whisper_service.models.speaker_networks import EMBEDDING, PAIR, SPEAKERS

pytestmark = pytest.mark.anyio
SIZE = 1_000_000


async def submit(web: Running, name: str = "talk.wav", speakers: str = "auto", **play: object) -> str:
    answer = await web.client.post(
        "/api/jobs", files={"file": (name, script(name=name, **play))}, data={"language": "en", "speakers": speakers}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def notes(job: Job) -> list[tuple[str, str | None]]:
    return [(note.code, note.params.get("cause")) for note in job.history]


async def test_missing_networks_are_downloaded_while_text_is_made_and_the_end_waits(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        hub.fault(EMBEDDING.sources[0].path, "slow", rate=SIZE // 2, times=1)
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            job_id = await submit(web, chunks=3)
            waiting = await job_once(web, job_id, lambda job: job.phase is Phase.DOWNLOADING_MODEL)
            assert (waiting.chunks_done, waiting.chunks_total) == (3, 3)
            assert "speakers" in waiting.message
            other = await over(web, await submit(web, "other", "off", chunks=2))
            assert other.status is Status.COMPLETED
            job = await over(web, job_id)
            assert (job.status, job.speakers, job.history) == (Status.COMPLETED, 2, ())
            info = msgspec.convert((await web.client.get("/api/models/speakers")).json(), ModelInfo, strict=False)
            assert (info.state, info.kind) == (ModelState.INSTALLED, "speakers")
            await gone(web)


async def test_without_networks_and_offline_the_job_completes_and_says_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path, models={"offline": True}) as web:
        job = await over(web, await submit(web, chunks=3))
        assert (job.status, job.gaps, job.speakers) == (Status.COMPLETED, (), None)
        assert notes(job) == [("speakers_unavailable", "offline")]
        assert job.message == job.history[0].message
        assert "models download speakers" in job.message or "Allow downloads" in job.message
        assert "retry the job" in job.message
        assert (await actor_of(web, "speakers"))["generation"] == 0
        without = await over(web, await submit(web, "other", "off", chunks=3))
        assert without.history == ()


async def test_a_recording_without_speech_misses_no_speakers_and_a_note_is_told_once(tmp_path: Path) -> None:
    async with running(tmp_path, models={"offline": True}) as web:
        silent = await over(web, await submit(web, "silence", chunks=2, segments=0))
        assert (silent.status, silent.history, silent.message) == (Status.COMPLETED, (), "No speech was found.")
        job = await over(web, await submit(web, chunks=2))
        for attempt in (2, 3):
            assert (await web.client.post(f"/api/jobs/{job.id}/retry")).status_code == 200
            job = await job_once(web, job.id, lambda now, n=attempt: now.attempts == n and now.finished_at is not None)
            assert notes(job) == [("speakers_unavailable", "offline")]


async def test_the_job_gets_its_speakers_by_a_retry_once_the_networks_are_there(tmp_path: Path) -> None:
    async with running(tmp_path, models={"offline": True}) as web:
        job = await over(web, await submit(web, chunks=4, people="ABBA"))
        text = (await web.client.get(f"/api/jobs/{job.id}/export?format=txt")).text
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for network in PAIR:
                archive.writestr(f"folder/{network.file}", b"\x08network")
        answer = await web.client.post("/api/models/import?name=speakers", content=packed.getvalue())
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "installed"
        again = await web.client.post(f"/api/jobs/{job.id}/retry")
        assert again.status_code == 200, again.text
        job = await job_once(web, job.id, lambda now: now.status is Status.COMPLETED and now.attempts == 2)
        assert (job.speakers, job.gaps, job.history, job.message) == (2, (), (), "")
        assert (await web.client.get(f"/api/jobs/{job.id}/export?format=txt&speakers=false")).text == text


async def test_a_cancelled_download_ends_the_wait(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        hub.fault(EMBEDDING.sources[0].path, "stall", after=SIZE // 2, times=1)
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            job_id = await submit(web, chunks=2)
            await job_once(web, job_id, lambda job: job.phase is Phase.DOWNLOADING_MODEL)
            assert (await web.client.post("/api/models/speakers/cancel")).status_code == 200
            job = await over(web, job_id)
            assert (job.status, notes(job)) == (Status.COMPLETED, [("speakers_unavailable", "download_cancelled")])
            hub.released.set()


async def test_a_paused_job_wants_no_download_and_a_resumed_one_does(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        hub.fault(EMBEDDING.sources[0].path, "stall", after=SIZE // 2, times=1)
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            job_id = await submit(web, chunks=2)
            await job_once(web, job_id, lambda job: job.phase is Phase.DOWNLOADING_MODEL)
            await web.client.post(f"/api/jobs/{job_id}/pause")
            await gone(web)
            hub.released.set()
            await web.client.post(f"/api/jobs/{job_id}/resume")
            job = await over(web, job_id)
            assert (job.status, job.speakers) == (Status.COMPLETED, 2)


async def test_networks_are_listed_downloaded_on_request_and_deleted_like_a_model(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            listed = {model["name"]: model for model in (await web.client.get("/api/models")).json()["models"]}
            assert (listed[SPEAKERS]["kind"], listed[SPEAKERS]["state"]) == ("speakers", "absent")
            assert (await web.client.post("/api/models/speakers/download")).status_code == 202
            assert (await model_once(web, installed, SPEAKERS)).disk_bytes > 2 * SIZE
            names = [model["id"] for model in (await web.client.get("/v1/models")).json()["data"]]
            assert SPEAKERS not in names
            assert SPEAKERS not in (await web.client.get("/api/system")).json()["models"]
            named = await web.client.post(
                "/api/jobs", files={"file": ("talk", script(chunks=1))}, data={"model": SPEAKERS}
            )
            job = await over(web, named.json()["id"])
            assert job.error is not None
            assert (job.status, job.error.code) == (Status.FAILED, "invalid_request")
            assert "makes no text" in job.error.message
            assert (await web.client.delete("/api/models/speakers")).status_code == 204
            assert not (tmp_path / "data" / "models" / SPEAKERS).exists()


async def test_networks_in_use_are_not_deleted(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            job_id = await submit(web, chunks=3, voice_delay=0.5)
            await job_once(web, job_id, lambda job: job.phase is Phase.SPEAKERS)
            refused = await web.client.delete("/api/models/speakers")
            assert (refused.status_code, refused.json()["code"]) == (409, "model_in_use")
            assert (await over(web, job_id)).speakers == 2


async def test_networks_that_cannot_be_loaded_are_shown_as_broken(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            job = await over(web, await submit(web, chunks=3, voice_faults={"1": "model_broken"}))
            assert (job.status, notes(job)) == (Status.COMPLETED, [("speakers_unavailable", "model_broken")])
            shown = (await web.client.get("/api/models/speakers")).json()
            assert (shown["state"], shown["problem"]["code"]) == ("broken", "model_broken")
            job = await over(web, await submit(web, "well", chunks=2))
            assert job.speakers == 2
            assert (await web.client.get("/api/models/speakers")).json()["state"] == "installed"


async def test_networks_that_were_deleted_are_fetched_for_the_next_job(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            assert (await over(web, await submit(web, chunks=2))).speakers == 2
            shutil.rmtree(tmp_path / "data" / "models" / SPEAKERS)
            assert (await over(web, await submit(web, "again", chunks=3))).speakers == 2
            assert (tmp_path / "data" / "models" / SPEAKERS / EMBEDDING.file).exists()


async def test_an_actor_that_finds_no_networks_does_not_keep_a_job_from_its_end(tmp_path: Path) -> None:
    with FakeHub({}, others=wire_networks(SIZE)) as hub:
        async with running(tmp_path, models={"endpoints": (hub.url,)}) as web:
            job = await over(web, await submit(web, chunks=3, voice_faults={"1": "model_unavailable"}))
            assert (job.status, notes(job)) == (Status.COMPLETED, [("speakers_unavailable", "model_unavailable")])
