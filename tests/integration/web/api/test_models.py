"""Models in the whole service: a real hub protocol, the real library in the actor, scripted speech."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from testkit.fake_hub import REPO, FakeHub, Proxy, closed_port
from testkit.hub_service import (
    FILES,
    PASSWORD,
    PATH,
    SIZE,
    TOKEN,
    actor_of,
    changes,
    gone,
    half,
    installed,
    job_once,
    model_once,
    over,
    running_with_hubs,
    slow,
    submit,
)
from whisper_service.actors.download.hub import BLOCK
from whisper_service.actors.download.hub_problems import CASES
from whisper_service.core.domain import Phase, Status
from whisper_service.host import machine
from whisper_service.host.machine import Machine
from whisper_service.models.inventory import ModelInfo

pytestmark = pytest.mark.anyio


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(FILES) as serving:
        yield serving


# -- a download --------------------------------------------------------------------------------------------------------


async def test_a_model_is_fetched_when_it_is_asked_for(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        for path in (REPO, REPO.replace("/", "%2F"), PATH):
            before = (await web.client.get(f"/api/models/{path}")).json()
            assert (before["name"], before["state"], before["repo"]) == (REPO, "absent", REPO)
        answer = await web.client.post(f"/api/models/{path}/download")
        assert answer.status_code == 202
        assert answer.json()["state"] == "downloading"
        done = await model_once(web, installed)
        assert done.disk_bytes >= SIZE
        assert (done.transfer, done.builtin, done.removable) == (None, False, True)
        assert {entry.name for entry in (tmp_path / "data" / "models" / PATH).iterdir()} >= {"model.bin", "config.json"}
        assert hub.sent["model.bin"] == SIZE
        await gone(web)
        again = await web.client.post(f"/api/models/{path}/download")
        assert (again.status_code, again.json()["state"]) == (202, "installed")
        assert hub.sent["model.bin"] == SIZE


async def test_every_second_is_told_and_a_late_client_hears_the_last_word_only(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub)
        await web.client.post(f"/api/models/{PATH}/download")
        seen = await changes(web, lambda change: change.job_id == f"model:{REPO}" and b'"installed"' in change.payload)
        told = [
            msgspec.json.decode(change.payload, type=ModelInfo).transfer for change in seen if change.kind == "model"
        ]
        moving = [transfer for transfer in told if transfer is not None and transfer.endpoint == hub.url]
        assert len({transfer.bytes for transfer in moving}) >= 3
        assert any(transfer.speed_bps and transfer.eta_s is not None and transfer.total for transfer in moving)
        assert [change.job_id for change in await web.service.parts.store.change_log.changes(0, limit=1000)].count(
            f"model:{REPO}"
        ) == 1


async def test_jobs_that_name_a_missing_model_share_its_download_and_go_on_by_themselves(
    tmp_path: Path, hub: FakeHub
) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub)
        first, second = await submit(web, chunks=2), await submit(web, chunks=3)
        waiting = await job_once(web, second, lambda job: job.phase is Phase.DOWNLOADING_MODEL and "GB" in job.message)
        assert waiting.model == REPO
        assert waiting.message.startswith(f"Downloading the model {REPO}: ")
        other = await submit(web, model="base", chunks=1)  # the built-in one, or a failure at once: no wait
        assert (await over(web, other)).finished_at is not None
        for job in (first, second):
            assert (await over(web, job)).status is Status.COMPLETED
        assert hub.sent["model.bin"] == SIZE


async def test_a_cancelled_download_stops_and_goes_on_where_it_stopped(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub)
        job = await submit(web, chunks=1)
        await model_once(web, half)
        answer = await web.client.post(f"/api/models/{PATH}/cancel")
        assert (answer.status_code, answer.json()["state"], answer.json()["problem"]) == (200, "absent", None)
        await gone(web)
        failed = await over(web, job)
        assert failed.error is not None
        assert (failed.status, failed.error.code) == (Status.FAILED, "download_cancelled")
        hub.forget()
        have = next((tmp_path / "data" / "models" / f".{PATH}.partial").glob("*.part")).stat().st_size
        assert SIZE // 3 < have < SIZE
        assert (await web.client.post(f"/api/jobs/{job}/retry")).status_code == 200
        await job_once(web, job, lambda job: job.status is Status.COMPLETED)
        assert hub.sent["model.bin"] == SIZE - have
        assert (await web.client.post(f"/api/models/{PATH}/cancel")).json()["code"] == "conflict"


async def test_nobody_fetches_a_model_that_no_job_wants_any_more(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub)
        first, second = await submit(web, chunks=1), await submit(web, chunks=1)
        await model_once(web, half)
        await web.client.delete(f"/api/jobs/{first}")
        assert (await web.client.get(f"/api/models/{PATH}")).json()["state"] == "downloading"
        await web.client.post(f"/api/jobs/{second}/cancel")
        assert (await web.client.get(f"/api/models/{PATH}")).json()["state"] == "absent"
        await gone(web)


async def test_a_download_survives_the_death_of_its_child(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub)
        job = await submit(web, chunks=1)
        await model_once(web, half)
        os.kill((await actor_of(web))["pid"], signal.SIGKILL)
        assert (await over(web, job)).status is Status.COMPLETED
        assert hub.sent["model.bin"] < SIZE + 2 * BLOCK + 500_000  # only the bytes that were on their way at the death


async def test_a_download_goes_on_after_the_service_was_stopped(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub, rate=SIZE // 6)
        await web.client.post(f"/api/models/{PATH}/download")
        await model_once(web, half)
    hub.released.set()
    hub.forget()
    have = next((tmp_path / "data" / "models" / f".{PATH}.partial").glob("*.part")).stat().st_size
    async with running_with_hubs(tmp_path, hub.url) as web:
        await model_once(web, installed)
    assert hub.sent["model.bin"] == SIZE - have


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_the_next_endpoint_is_tried_and_the_event_names_it(tmp_path: Path, hub: FakeHub) -> None:
    with closed_port() as closed:
        async with running_with_hubs(tmp_path, closed, hub.url) as web:
            slow(hub)
            await web.client.post(f"/api/models/{PATH}/download")
            info = await model_once(web, half)
            assert info.transfer is not None
            assert info.transfer.endpoint == hub.url
            (failed,) = info.transfer.failed
            assert failed.endpoint == closed
            assert failed.problem is not None
            assert failed.problem.code == "connection_refused"
            await model_once(web, installed)


async def test_a_job_says_why_its_model_does_not_come_and_retry_goes_on(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url, read_timeout_s=0.5) as web:
        plays: list[tuple[str, str, dict[str, Any]]] = [
            ("/api/", "status", {"status": 401}),
            ("/storage/", "status", {"status": 403}),
            ("/api/", "status", {"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}}),
            ("/api/", "page", {}),
            ("/storage/", "corrupt", {}),
        ]
        codes = ["token_refused", "access_denied", "repo_not_found", "not_a_hub", "hash_mismatch"]
        jobs = []
        for (path, kind, details), code in zip(plays, codes, strict=True):
            hub.faults.clear()
            hub.fault(path, kind, **details)
            job = await over(web, await submit(web, chunks=1))
            assert job.error is not None
            assert (job.status, job.error.code) == (Status.FAILED, code)
            assert job.error.hint == CASES[code][1]
            shown = (await web.client.get(f"/api/models/{PATH}")).json()
            assert (shown["state"], shown["problem"]["code"]) == ("absent", code)
            jobs.append(job.id)
        hub.faults.clear()
        for job_id in jobs[:2]:
            await web.client.post(f"/api/jobs/{job_id}/retry")
            await job_once(web, job_id, lambda job: job.status is Status.COMPLETED)
    async with running_with_hubs(tmp_path, hub.url) as web:
        shown = (await web.client.get(f"/api/models/{PATH}")).json()
        assert (shown["state"], shown["problem"]) == ("installed", None)


async def test_why_a_model_did_not_come_is_known_after_a_restart(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url, offline=True) as web:
        await web.client.post(f"/api/models/{PATH}/download")
        await model_once(web, lambda info: info.problem is not None)
    async with running_with_hubs(tmp_path, hub.url) as web:
        shown = (await web.client.get(f"/api/models/{PATH}")).json()
        assert (shown["state"], shown["problem"]["code"]) == ("absent", "offline")
    assert hub.asked == []


async def test_what_no_hub_can_have_is_refused_at_once(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        answer = await web.client.post("/api/models/our-own/download")
        assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
        answer = await web.client.post("/api/models/..--x/download")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        job = await over(web, await submit(web, model="our-own"))
        assert job.error is not None
        assert job.error.code == "model_unavailable"
    assert hub.asked == []


async def test_a_connection_is_tested_while_a_download_goes_on(tmp_path: Path, hub: FakeHub) -> None:
    with closed_port() as closed, FakeHub(hub.files) as mirror:
        async with running_with_hubs(tmp_path, hub.url) as web:
            slow(hub)
            await web.client.post(f"/api/models/{PATH}/download")
            await model_once(web, half)
            body = {"model": REPO, "endpoints": [closed, mirror.url]}
            answer = await web.client.post("/api/models/test-connection", json=body)
            assert answer.status_code == 200
            told = [
                (each["endpoint"], each["problem"] and each["problem"]["code"]) for each in answer.json()["endpoints"]
            ]
            assert told == [(closed, "connection_refused"), (mirror.url, None)]
            await gone(web, "connection")
            assert mirror.sent["model.bin"] == 1
            await model_once(web, installed)


async def test_a_model_on_the_disk_is_used_without_a_single_request(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        await web.client.post(f"/api/models/{PATH}/download")
        await model_once(web, installed)
    hub.forget()
    async with running_with_hubs(tmp_path, hub.url, speech={"preload": True, "model": REPO}) as web:
        for model in (REPO, "auto"):
            assert (await over(web, await submit(web, model=model, chunks=1))).status is Status.COMPLETED
        assert (await web.client.get("/api/models")).status_code == 200
        assert (await web.client.post(f"/api/models/{PATH}/download")).status_code == 202
        assert (await actor_of(web))["generation"] == 0
    assert hub.asked == []


async def test_no_secret_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    said = []
    with FakeHub(FILES, token=TOKEN) as hub, Proxy(password=PASSWORD) as proxy:
        address = proxy.url.replace("http://", f"http://name:{PASSWORD}@")
        endpoint = hub.url.replace("http://", f"http://name:{PASSWORD}@")
        async with running_with_hubs(tmp_path, endpoint, token="hf_wrongTokenThatNobodyMaySee", proxy=address) as web:
            job = await over(web, await submit(web, chunks=1))
            assert job.error is not None
            said.append(
                (await web.client.post("/api/models/test-connection", json={"proxy": address, "token": TOKEN})).text
            )
        async with running_with_hubs(tmp_path, hub.url, token=TOKEN, proxy=address) as web:
            await web.client.post(f"/api/models/{PATH}/download")
            await model_once(web, installed)
            said += [
                (await web.client.get(path)).text
                for path in ("/api/models", "/api/system", "/api/state", f"/api/models/{PATH}")
            ]
            said += [
                change.payload.decode() for change in await web.service.parts.store.change_log.changes(0, limit=10_000)
            ]
        assert proxy.asked
    said += [path.read_text("utf-8", "replace") for path in (tmp_path / "data" / "logs").iterdir()]
    said += [caplog.text, (tmp_path / "data" / "whisper_service.db").read_bytes().decode("latin-1")]
    everything = "".join(said)
    assert json.loads(said[1])["hub"] == {"endpoints": [hub.url], "proxy": proxy.url, "token": True, "offline": False}
    for secret in (TOKEN, PASSWORD, "hf_wrongTokenThatNobodyMaySee", "secret-signature"):
        assert secret not in everything


async def test_a_model_that_is_too_big_for_the_machine_is_not_even_tried(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "inspect", lambda: Machine(cpus=2, memory_bytes=1000))
    async with running_with_hubs(tmp_path, hub.url) as web:
        job = await over(web, await submit(web, chunks=1))
        assert job.error is not None
        assert (job.status, job.error.code) == (Status.FAILED, "model_too_big")
        assert job.error.params["needed"] > job.error.params["have"] == 1000
        assert (await web.client.get(f"/api/models/{PATH}")).json()["suits"]["fit"] == "too_big"


async def test_a_type_that_the_device_does_not_have_is_replaced_with_a_note(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url, speech={"compute_type": "float16"}) as web:
        job = await over(web, await submit(web, chunks=1))
        assert job.status is Status.COMPLETED
        (note,) = job.history
        assert (note.code, note.params["wanted"], note.params["used"]) == (
            "compute_type_unsupported",
            "float16",
            "fake",
        )
        ready = (await web.client.get("/api/health/ready")).json()
        assert [warning["code"] for warning in ready["warnings"]] == ["compute_type_unsupported"]


# -- removing and unloading --------------------------------------------------------------------------------------------


async def test_a_model_in_use_is_not_removed_and_an_idle_one_is(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        job = await submit(web, chunks=40, delay=0.05)
        await job_once(web, job, lambda job: job.chunks_done > 0)
        for answer in (
            await web.client.delete(f"/api/models/{PATH}"),
            await web.client.post(f"/api/models/{PATH}/unload"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "model_in_use")
        await web.client.post(f"/api/jobs/{job}/cancel")
        assert (await web.client.get(f"/api/models/{PATH}")).json()["state"] == "loaded"
        assert (await web.client.delete(f"/api/models/{PATH}")).status_code == 204
        assert (await web.client.get(f"/api/models/{PATH}")).json()["state"] == "absent"
        await gone(web, "speech")
        assert list((tmp_path / "data" / "models").iterdir()) == []
        assert (await web.client.delete(f"/api/models/{PATH}")).status_code == 404


async def test_what_came_of_a_download_can_be_removed(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        slow(hub)
        await web.client.post(f"/api/models/{PATH}/download")
        await model_once(web, half)
        assert (await web.client.delete(f"/api/models/{PATH}")).status_code == 204
        await gone(web)
        assert list((tmp_path / "data" / "models").iterdir()) == []
        assert (await web.client.get(f"/api/models/{PATH}")).json()["state"] == "absent"


async def test_an_unloaded_model_is_loaded_again_for_the_next_job(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url) as web:
        assert (await over(web, await submit(web, chunks=1))).status is Status.COMPLETED
        pid = (await actor_of(web, "speech"))["pid"]
        answer = await web.client.post(f"/api/models/{PATH}/unload")
        assert (answer.status_code, answer.json()["state"]) == (200, "installed")
        await gone(web, "speech")
        assert not psutil.pid_exists(pid)
        assert (await web.client.post(f"/api/models/{PATH}/unload")).json()["code"] == "conflict"
        assert (await web.client.get("/api/health/ready")).status_code == 200
        assert (await over(web, await submit(web, chunks=3))).status is Status.COMPLETED
        assert (await web.client.get(f"/api/models/{PATH}")).json()["state"] == "loaded"


async def test_an_idle_model_goes_by_itself(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url, speech={"unload_after_s": 0.3}) as web:
        for _ in range(2):
            assert (await over(web, await submit(web, chunks=1))).status is Status.COMPLETED
            await gone(web, "speech")


# -- imports -----------------------------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(f"mine/{name}", content)
    return data.getvalue()


async def test_an_archive_becomes_a_model_that_transcribes(tmp_path: Path, hub: FakeHub) -> None:
    async with running_with_hubs(tmp_path, hub.url, max_import_bytes=SIZE + 200_000) as web:
        headers = {"content-type": "application/zip"}
        answer = await web.client.post("/api/models/import?name=our-own", content=zipped(FILES), headers=headers)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["name"], answer.json()["state"], answer.json()["repo"]) == ("our-own", "installed", None)
        told = await model_once(web, installed, "our-own")
        assert told.parameters
        assert (await over(web, await submit(web, model="our-own", chunks=2))).status is Status.COMPLETED
        again = await web.client.post("/api/models/import?name=our-own", content=zipped(FILES), headers=headers)
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        for name, content, kind, code in [
            ("other", b"no archive", "application/zip", "bad_archive"),
            ("other", zipped({"../x": b""}), "application/zip", "bad_archive"),
            ("other", zipped(FILES | {"README.md": bytes(400_000)}), "application/zip", "bad_archive"),
            ("other", zipped(FILES | {"model.bin": b"noise"}), "application/octet-stream", "model_broken"),
            ("../other", zipped(FILES), "application/zip", "invalid_request"),
            ("auto", zipped(FILES), "application/zip", "invalid_request"),
            ("", zipped(FILES), "application/zip", "invalid_request"),
            ("other", zipped(FILES), "text/html", "unsupported_media_type"),
            ("other", bytes(SIZE + 300_000), "application/zip", "too_large"),
        ]:
            refused = await web.client.post(
                "/api/models/import", params={"name": name}, content=content, headers={"content-type": kind}
            )
            assert refused.json()["code"] == code, (name, kind, refused.text)
            assert refused.json()["hint"]
        assert sorted(path.name for path in (tmp_path / "data" / "models").iterdir()) == ["our-own"]
    assert hub.asked == []


async def test_a_folder_is_imported_only_from_where_it_is_allowed(tmp_path: Path, hub: FakeHub) -> None:
    for place in ("allowed", "secret"):
        (tmp_path / place / "mine").mkdir(parents=True)
        for name, content in FILES.items():
            (tmp_path / place / "mine" / name).write_bytes(content)
    async with running_with_hubs(tmp_path, hub.url, import_dirs=(str(tmp_path / "allowed"),)) as web:
        body = {"path": str(tmp_path / "secret" / "mine"), "name": "mine"}
        refused = await web.client.post("/api/models/import", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "import_refused")
        answer = await web.client.post(
            "/api/models/import", json=body | {"path": str(tmp_path / "allowed" / "mine"), "name": "acme/mine"}
        )
        assert (answer.status_code, answer.json()["state"]) == (201, "installed")
        assert (await web.client.post("/api/models/import", json={"path": "x"})).json()["code"] == "invalid_request"
        assert sorted(path.name for path in (tmp_path / "data" / "models").iterdir()) == ["acme--mine"]
