"""Recordings in a real server that speaks S3, in a process of its own."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit import s3_server
from testkit.program import Program
from testkit.s3_server import BUCKET, S3Server
from testkit.service import Running, configuration, ended, running, texts, until
from whisper_service.app import object_storage_check, recording_mover
from whisper_service.app.self_test import Verdict
from whisper_service.app.service import Service
from whisper_service.core.domain import Status
from whisper_service.scheduler import recording_work
from whisper_service.storage import object_store

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(s3_server.MISSING is not None, reason=str(s3_server.MISSING)),
]

MIB = 1024**2
SCRIPT = json.dumps({"chunks": 4, "bad": [2]}).encode()
SOUND = SCRIPT + b" " * (20 * MIB)
"""A recording of three parts, which the scripted actors can read."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(tmp_path / "s3")
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((recording_mover, "PAUSE_S"), (recording_mover, "LOOK_S"), (recording_work, "PAUSE_S")):
        monkeypatch.setattr(module, name, 0.1)


def settings(server: S3Server, **other: str) -> dict[str, Mapping[str, Any]]:
    return {"storage": {"media": f"s3://{BUCKET}/of/tests", "undo_s": 600.0}, "s3": {**server.settings, **other}}


@pytest.fixture
async def web(tmp_path: Path, server: S3Server) -> AsyncIterator[Running]:
    async with running(tmp_path, **settings(server)) as up:
        yield up


async def wait_for(look: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    with anyio.fail_after(within_s):
        while not await look():  # noqa: ASYNC110 - the mover tells nobody
            await anyio.sleep(0.05)


async def posted(web: Running, data: bytes = SOUND) -> str:
    answer = await web.client.post("/api/jobs", params={"filename": "talk.wav", "language": "en"}, content=data)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def moved(service: Service, job_id: str) -> None:
    async def look() -> bool:
        here = service.parts.data.source_of(job_id).exists()
        return not here and await service.jobs.stored_recording(job_id) is not None

    await wait_for(look)


async def warns(web: Running, code: str | None) -> None:
    """Wait until the service warns of nothing but this."""

    async def look() -> bool:
        system = (await web.client.get("/api/system")).json()
        return [warning["code"] for warning in system["warnings"]] == ([code] if code else [])

    await wait_for(look)


async def test_the_life_of_a_recording(web: Running, server: S3Server) -> None:
    job_id = await posted(web)
    await ended(web.service, job_id)
    text = await texts(web.service, job_id)
    await moved(web.service, job_id)
    [(key, content)] = server.objects.items()
    assert key.startswith(f"of/tests/{job_id}-")
    assert content == SOUND

    path = f"/api/jobs/{job_id}/media"
    for first, last in ((0, 9), (100, 1_500_000), (len(SOUND) - 10, len(SOUND) - 1)):
        part = await web.client.get(path, headers={"range": f"bytes={first}-{last}"})
        assert (part.status_code, part.content) == (206, SOUND[first : last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(SOUND)}"
    assert (await web.client.get(path)).content == SOUND

    await web.client.post(f"/api/jobs/{job_id}/retry")
    await until(web.service, job_id, lambda job: job.attempts == 2 and job.status is Status.COMPLETED)
    assert await texts(web.service, job_id) == text
    await moved(web.service, job_id)

    assert (await web.client.delete(f"/api/jobs/{job_id}")).status_code == 204
    assert (await web.client.post(f"/api/jobs/{job_id}/restore")).status_code == 200
    assert (await web.client.get(path, headers={"range": "bytes=5-9"})).content == SOUND[5:10]
    await web.service.jobs.delete(job_id, for_good=True)

    async def empty() -> bool:
        return not server.objects and not await web.service.parts.store.recordings.unwanted()

    await wait_for(empty)


async def test_a_server_that_is_killed_and_comes_back(web: Running, server: S3Server) -> None:
    first = await posted(web)
    await ended(web.service, first)
    await moved(web.service, first)
    server.kill()
    answer = await web.client.get(f"/api/jobs/{first}/media")
    assert (answer.status_code, answer.json()["code"]) == (503, "object_store_unreachable")
    assert answer.json()["hint"]
    second = await posted(web, SOUND + b" ")
    await ended(web.service, second)
    await warns(web, "object_store_unreachable")
    assert (await web.client.get(f"/api/jobs/{second}/media")).content == SOUND + b" "
    server.start()
    await moved(web.service, second)
    await warns(web, None)
    assert (await web.client.get(f"/api/jobs/{first}/media")).content == SOUND


async def test_a_server_that_hangs_lets_no_player_wait_for_ever(
    web: Running, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await posted(web)
    await ended(web.service, job_id)
    await moved(web.service, job_id)
    monkeypatch.setattr(object_store, "ANSWER_S", 0.5)
    server.freeze()
    answer = await web.client.get(f"/api/jobs/{job_id}/media")
    assert (answer.status_code, answer.json()["code"]) == (503, "object_store_unreachable")
    monkeypatch.undo()
    server.thaw()
    assert (await web.client.get(f"/api/jobs/{job_id}/media")).content == SOUND


@pytest.mark.parametrize(
    ("other", "bucket", "code"),
    [
        ({"access_key_id": "wrong-key"}, BUCKET, "object_store_denied"),
        ({}, "another-bucket", "bucket_unusable"),
    ],
)
async def test_wrong_settings_are_told_and_the_recording_stays(
    tmp_path: Path, server: S3Server, caplog: pytest.LogCaptureFixture, other: dict[str, str], bucket: str, code: str
) -> None:
    sections = settings(server, **other) | {"storage": {"media": f"s3://{bucket}"}}
    async with running(tmp_path, **sections) as web:
        job_id = await posted(web)
        await ended(web.service, job_id)
        await warns(web, code)
        assert (await web.client.get(f"/api/jobs/{job_id}/media")).content == SOUND
        shown = (await web.client.get("/api/system")).text + (await web.client.get("/api/settings")).text + caplog.text
        for secret in other.values():
            assert secret not in shown
    assert server.objects == {}
    assert "Traceback" not in caplog.text


async def test_doctor_tries_it(tmp_path: Path, server: S3Server) -> None:
    async def checked(**sections: Any) -> tuple[Verdict, str, str]:
        check = await object_storage_check.check(configuration(tmp_path, **sections))
        return check.verdict, check.detail, check.hint

    verdict, detail, _ = await checked(**settings(server))
    assert verdict is Verdict.OK, detail
    assert server.objects == {}
    verdict, detail, hint = await checked(**settings(server, access_key_id="wrong-key"))
    assert (verdict, "refuses" in detail, "credentials" in hint) == (Verdict.FAIL, True, True)
    assert "wrong-key" not in detail
    server.kill()
    verdict, detail, hint = await checked(**settings(server))
    assert (verdict, "does not answer" in detail, "endpoint" in hint) == (Verdict.FAIL, True, True)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_service_that_is_killed_in_the_middle_leaves_one_copy(tmp_path: Path, server: S3Server, frozen: bool) -> None:
    recording = tmp_path / "no-sound.bin"
    recording.write_bytes(bytes(96 * MIB))  # of 12 parts; no media, so that its job ends without any model
    options = {f"s3__{name}": value for name, value in server.settings.items()}
    home = tmp_path / "home"
    program = Program(home, storage__media=f"s3://{BUCKET}", speech__preload="false", **options)
    program.start()
    if frozen:  # nothing has come when the service dies
        server.freeze()
    job_id = program.submit(recording)
    assert program.ended(job_id)["status"] == "failed"
    sql = "SELECT url FROM stored_object WHERE state = 'moving'"
    here = program.data / "media" / job_id
    until_true(lambda: bool(program.rows(sql)) if frozen else server.has_parts or not here.exists())
    program.kill()
    if frozen:
        server.thaw()
    stored = "SELECT 1 FROM stored_object WHERE state = 'stored'"  # if the kill came late
    assert here.stat().st_size == 96 * MIB if here.exists() else program.rows(stored)
    program.start()
    try:
        until_true(lambda: not here.exists())
        [(key, content)] = server.objects.items()
        assert program.rows("SELECT url, state FROM stored_object") == [(f"s3://{BUCKET}/{key}", "stored")]
        assert content == recording.read_bytes()
        part = program.client.get(f"/api/jobs/{job_id}/media", headers={"range": "bytes=7-9"})
        assert (part.status_code, part.content) == (206, bytes(3))
    finally:
        assert program.stop() == 0, program.log.read_text()
    assert "Traceback" not in program.log.read_text()
    assert server.settings["secret_access_key"] not in program.log.read_text().replace(str(tmp_path), "")


def until_true(look: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.005)
