"""Recordings that are in object storage over HTTP: in ranges, never whole in memory, and honest when they are away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from testkit.scripted_objects import ScriptedObjects
from testkit.service import Running, ended, running
from whisper_service.app import recording_mover
from whisper_service.core.errors import ObjectStoreDenied
from whisper_service.web.http import file_response

pytestmark = pytest.mark.anyio

SOUND = b"RIFF\x24\0\0\0WAVE" + bytes(range(256)) * 12_000  # more than two blocks; no script, so that its job fails


@pytest.fixture
def objects() -> ScriptedObjects:
    return ScriptedObjects()


@pytest.fixture
async def web(tmp_path: Path, objects: ScriptedObjects, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(recording_mover, "LOOK_S", 0.05)
    async with running(tmp_path, objects=objects, storage={"media": "s3://bucket"}) as up:
        yield up


@pytest.fixture
async def path(web: Running, objects: ScriptedObjects) -> str:
    """The address of a recording that is in the storage alone."""
    answer = await web.client.post(
        "/api/jobs", params={"filename": "会议.wav"}, content=SOUND, headers={"content-type": "audio/wav"}
    )
    job_id = answer.json()["id"]
    await ended(web.service, job_id)
    here = web.service.parts.data.source_of(job_id)
    with anyio.fail_after(30):
        while here.exists():  # noqa: ASYNC110 - the mover tells nobody
            await anyio.sleep(0.02)
    objects.reads.clear()
    return f"/api/jobs/{job_id}/media"


async def test_it_is_answered_as_from_the_disk(web: Running, path: str) -> None:
    whole = await web.client.get(path)
    assert (whole.status_code, whole.content) == (200, SOUND)
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    assert "filename*=UTF-8''%E4%BC%9A%E8%AE%AE.wav" in whole.headers["content-disposition"]
    head = await web.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-type", "content-length", "etag", "accept-ranges", "content-disposition")
    assert {name: head.headers[name] for name in same} == {name: whole.headers[name] for name in same}
    assert (await web.client.get(path, headers={"if-none-match": whole.headers["etag"]})).status_code == 304


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("100-", 100, None), ("-100", -100, None), ("300000-2900000", 300_000, 2_900_000)],
)
async def test_a_stretch_of_it(web: Running, path: str, asked: str, first: int, last: int | None) -> None:
    part = await web.client.get(path, headers={"range": f"bytes={asked}"})
    start, end = first % len(SOUND), len(SOUND) if last is None else last + 1
    assert (part.status_code, part.content) == (206, SOUND[start:end])
    assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(SOUND)}"
    beyond = await web.client.get(path, headers={"range": f"bytes={len(SOUND)}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")


async def test_only_what_is_asked_for_is_read(web: Running, path: str, objects: ScriptedObjects) -> None:
    await web.client.get(path, headers={"range": "bytes=2000000-2000999"})
    assert objects.reads == [(0, 64), (2_000_000, 2_001_000)]  # what it is, and the stretch
    objects.reads.clear()
    await web.client.get(path)
    assert max(end - start for start, end in objects.reads) == file_response.FAR_BLOCK


async def test_a_storage_that_is_away_is_told(web: Running, path: str, objects: ScriptedObjects) -> None:
    objects.go_away()
    for headers in ({}, {"range": "bytes=5-9"}):
        answer = await web.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "object_store_unreachable")
        assert answer.json()["hint"]
    objects.failures["read"] = ObjectStoreDenied()
    assert (await web.client.get(path)).json()["code"] == "object_store_denied"
    objects.come_back()
    assert (await web.client.get(path)).content == SOUND
    objects.objects.clear()
    answer = await web.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "recording_lost")


async def test_a_storage_that_goes_away_in_the_middle_cuts_the_answer(
    web: Running, path: str, objects: ScriptedObjects, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = objects.read

    async def read_some(url: str, start: int, end: int) -> bytes:
        if start >= file_response.FAR_BLOCK:
            raise ObjectStoreDenied
        return await read(url, start, end)

    monkeypatch.setattr(objects, "read", read_some)
    with pytest.raises(httpx.RemoteProtocolError):
        await web.client.get(path)
    assert "Traceback" not in caplog.text
    assert "An answer ends early" in caplog.text
    monkeypatch.undo()
    assert (await web.client.get(path)).content == SOUND
