"""Recordings from links arrive whole in spite of cuts, pauses and restarts, or the job says why they cannot."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.event_stream import collect
from testkit.recording_server import RecordingServer, ServedFile, recording_server
from testkit.scripted_actors import BEHIND, script
from testkit.service import WAIT, Running, running
from whisper_service.config import schema
from whisper_service.integrations import link_fetcher as fetcher
from whisper_service.integrations.link_answers import name_from_url

pytestmark = pytest.mark.anyio

HERE = {"allowed_networks": ("127.0.0.1",), "sites": False}
MIB = 1 << 20


def large(size: int = 3 * MIB, fill: bytes = b"\0") -> bytes:
    """Return a recording of about this size, with a script of its text at the end."""
    return fill * size + BEHIND + script(chunks=1)


@pytest.fixture
def there() -> Iterator[RecordingServer]:
    with recording_server() as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "BACK_OFF_S", (0.01,) * 5)
    monkeypatch.setattr(fetcher, "PROGRESS_S", 0.02)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, links=HERE) as up:
        yield up


async def ask(web: Running, url: str, **options: Any) -> dict[str, Any]:
    answer = await web.client.post("/api/jobs", json={"url": url, **options})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def ended(web: Running, job_id: str) -> dict[str, Any]:
    await collect(web.client, f"/api/jobs/{job_id}/events")
    return dict((await web.client.get(f"/api/jobs/{job_id}")).json())


async def until(web: Running, job_id: str, bytes: int) -> dict[str, Any]:
    """Return the job once so many bytes of its recording are stored."""
    with anyio.fail_after(WAIT):
        while True:
            job = dict((await web.client.get(f"/api/jobs/{job_id}")).json())
            if job["bytes"] >= bytes:
                return job
            await anyio.sleep(0.01)


def left(web: Running) -> list[str]:
    return [path.name for path in web.service.parts.data.media.iterdir()]


async def test_a_link_becomes_a_job_with_text(web: Running, there: RecordingServer) -> None:
    there.things["/files/Talk%201.mp3"] = ServedFile(script(chunks=2))
    first = await ask(web, f"{there.url}/files/Talk 1.mp3?key=x#t=1", language="en")
    assert (first["status"], first["name"], first["bytes"]) == ("pending", "Talk 1.mp3", 0)
    assert first["origin"]["url"] == f"{there.url}/files/Talk%201.mp3?key=x"
    job = await ended(web, first["id"])
    data = there.things["/files/Talk%201.mp3"].data
    assert (job["status"], job["bytes"], job["sha256"]) == ("completed", len(data), hashlib.sha256(data).hexdigest())
    assert job["origin"]["total"] == len(data)
    assert (await web.client.get(f"/api/jobs/{job['id']}/media")).content == data
    assert len((await web.client.get(f"/api/jobs/{job['id']}/transcript")).json()["segments"]) == 2


async def test_redirects_are_followed_and_the_name_in_the_answer_is_used(web: Running, there: RecordingServer) -> None:
    there.things["/a"] = ServedFile(status=302, headers={"location": "/b"})
    there.things["/b"] = ServedFile(
        script(chunks=1), headers={"content-disposition": "attachment; filename*=UTF-8''%E5%BD%95%E9%9F%B3.m4a"}
    )
    job = await ended(web, (await ask(web, f"{there.url}/a"))["id"])
    assert (job["status"], job["name"]) == ("completed", "录音.m4a")


@pytest.mark.parametrize("length", [True, False])
async def test_a_fetch_continues_where_its_connection_broke(web: Running, there: RecordingServer, length: bool) -> None:
    data = large()
    there.things["/x.mp3"] = ServedFile(data, cuts=[MIB, MIB], length=length)
    job = await ended(web, (await ask(web, f"{there.url}/x.mp3"))["id"])
    if length:
        assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
        assert [asked[1] for asked in there.asked] == [None, f"bytes={MIB}-", f"bytes={2 * MIB}-"]
    else:  # without a length the cut looks like the end
        assert job["bytes"] == MIB


async def test_a_fetch_that_cannot_continue_begins_anew(web: Running, there: RecordingServer) -> None:
    data = large()
    there.things["/x.mp3"] = ServedFile(data, tag="", cuts=[MIB, MIB])
    job = await ended(web, (await ask(web, f"{there.url}/x.mp3"))["id"])
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
    assert [asked[1] for asked in there.asked] == [None] * 3


async def test_another_recording_at_the_same_address_is_not_mixed_with_the_first(
    web: Running, there: RecordingServer
) -> None:
    there.things["/x.mp3"] = ServedFile(large(fill=b"a"), rate=2 * MIB)
    job = await ask(web, f"{there.url}/x.mp3")
    await until(web, job["id"], MIB // 2)
    await web.client.post(f"/api/jobs/{job['id']}/pause")
    data = large(2 * MIB, fill=b"b")
    there.things["/x.mp3"] = ServedFile(data, tag='"2"')
    await web.client.post(f"/api/jobs/{job['id']}/resume")
    assert (await ended(web, job["id"]))["sha256"] == hashlib.sha256(data).hexdigest()


async def test_a_paused_fetch_stops_and_goes_on(web: Running, there: RecordingServer) -> None:
    data = large(4 * MIB)
    there.things["/x.mp3"] = ServedFile(data, rate=2 * MIB)
    job = await ask(web, f"{there.url}/x.mp3")
    await until(web, job["id"], MIB // 2)
    assert (await web.client.get(f"/api/jobs/{job['id']}/media")).status_code == 404
    paused = (await web.client.post(f"/api/jobs/{job['id']}/pause")).json()
    await anyio.sleep(0.2)
    assert (await web.client.get(f"/api/jobs/{job['id']}")).json() == paused
    await web.client.post(f"/api/jobs/{job['id']}/resume")
    job = await ended(web, job["id"])
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
    assert there.asked[-1][1] == f"bytes={paused['bytes']}-"


async def test_the_next_service_goes_on_where_the_last_one_was(there: RecordingServer, tmp_path: Path) -> None:
    data = large(4 * MIB)
    there.things["/x.mp3"] = ServedFile(data, rate=2 * MIB)
    async with running(tmp_path, links=HERE) as web:
        job = await until(web, (await ask(web, f"{there.url}/x.mp3"))["id"], MIB)
    there.things["/x.mp3"].rate = 0
    async with running(tmp_path, links=HERE) as web:
        after = await ended(web, job["id"])
    assert (after["status"], after["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
    assert int(str(there.asked[-1][1]).removeprefix("bytes=").removesuffix("-")) >= job["bytes"]


async def test_a_complete_recording_is_used_after_the_service_was_killed(
    there: RecordingServer, tmp_path: Path
) -> None:
    data = script(chunks=1)
    there.things["/x.mp3"] = ServedFile(data)
    async with running(tmp_path, links=HERE) as web:
        job = await ask(web, f"{there.url}/x.mp3")
        await ended(web, job["id"])
        await web.client.post(f"/api/jobs/{job['id']}/cancel")
        store = web.service.parts.store  # as before the end of the fetch was stored
        async with store._db.transaction():
            await store._db.run("DELETE FROM chunk")
            await store._db.run(
                "UPDATE job SET status = 'pending', sha256 = '', chunks_done = 0, chunks_total = 0, decoded = 0"
            )
    async with running(tmp_path, links=HERE) as web:
        after = await ended(web, job["id"])
    assert (after["status"], after["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
    assert there.asked == [("/x.mp3", None), ("/x.mp3", f"bytes={len(data)}-")]


@pytest.mark.parametrize("verb", ["cancel", "delete"])
async def test_the_fetch_of_a_job_that_was_cancelled_or_deleted_ends(
    web: Running, there: RecordingServer, verb: str
) -> None:
    there.things["/x.mp3"] = ServedFile(large(8 * MIB), rate=2 * MIB)
    job = await ask(web, f"{there.url}/x.mp3")
    await until(web, job["id"], MIB // 2)
    if verb == "delete":
        assert (await web.client.delete(f"/api/jobs/{job['id']}")).status_code == 204
    else:
        assert (await web.client.post(f"/api/jobs/{job['id']}/cancel")).json()["status"] == "cancelled"
    with anyio.fail_after(WAIT):
        while there.open:  # noqa: ASYNC110  there is no event for it
            await anyio.sleep(0.02)
    assert left(web) == ([] if verb == "delete" else [job["id"]])
    assert web.service.parts.links._fetching == {}


PAGE = ServedFile(b"<html>", headers={"content-type": "text/html; charset=utf-8"})
HIDDEN_PAGE = ServedFile(b"\n<!-- a --><!DOCTYPE html><p>Log in", headers={"content-type": "application/octet-stream"})
NO_RECORDING = "This is a web page, not an audio or video file."


@pytest.mark.parametrize(
    ("thing", "code", "words"),
    [
        (ServedFile(status=404), "url_failed", "nothing at this address (404)"),
        (ServedFile(status=403), "url_failed", "refuses access (403)"),
        (ServedFile(status=418), "url_failed", "answers with status 418"),
        (ServedFile(status=503), "url_failed", "cannot answer now (503)"),
        (PAGE, "web_page", NO_RECORDING),
        (HIDDEN_PAGE, "web_page", NO_RECORDING),
        (
            ServedFile(status=302, headers={"location": "http://192.168.99.99/secret"}),
            "url_failed",
            "must not get requests",
        ),
        (ServedFile(status=302, headers={"location": "file:///etc/passwd"}), "url_failed", "not an address of the web"),
        (ServedFile(status=302, headers={"location": "/x.mp3"}), "url_failed", "redirects too often"),
        (ServedFile(b""), "empty_file", "empty"),
        (ServedFile(large(), cuts=[10] * 99, tag=""), "url_failed", "The link could not be fetched"),
    ],
)
async def test_a_link_that_cannot_be_fetched_says_why_and_can_be_retried(
    web: Running, there: RecordingServer, thing: ServedFile, code: str, words: str
) -> None:
    there.things["/x.mp3"] = thing
    job = await ended(web, (await ask(web, f"{there.url}/x.mp3"))["id"])
    assert (job["status"], job["error"]["code"], job["sha256"]) == ("failed", code, "")
    assert words in job["error"]["message"]
    assert job["error"]["hint"]
    there.things["/x.mp3"] = ServedFile(script(chunks=1))
    assert (await web.client.post(f"/api/jobs/{job['id']}/retry")).json()["status"] == "pending"
    assert (await ended(web, job["id"]))["status"] == "completed"


async def test_a_server_that_is_busy_for_a_while_is_asked_again(web: Running, there: RecordingServer) -> None:
    there.things["/x.mp3"] = ServedFile(script(chunks=1), status=503, times=3)
    job = await ended(web, (await ask(web, f"{there.url}/x.mp3"))["id"])
    assert (job["status"], len(there.asked)) == ("completed", 4)


async def test_a_server_that_does_not_answer(web: Running, free_tcp_port: int) -> None:
    job = await ended(web, (await ask(web, f"http://127.0.0.1:{free_tcp_port}/x.mp3"))["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "url_failed")


@pytest.mark.parametrize("length", [True, False])
async def test_a_recording_that_is_too_large_does_not_fill_the_disk(
    there: RecordingServer, tmp_path: Path, length: bool
) -> None:
    there.things["/x.mp3"] = ServedFile(large(8 * MIB), length=length)
    async with running(tmp_path, links=HERE, server={"max_upload_bytes": 2 * MIB}) as web:
        job = await ended(web, (await ask(web, f"{there.url}/x.mp3"))["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", "too_large")
        assert sum(path.stat().st_size for path in web.service.parts.data.media.iterdir()) <= 2 * MIB


async def test_some_at_a_time_and_the_others_wait(web: Running, there: RecordingServer) -> None:
    for index in range(5):
        there.things[f"/{index}.mp3"] = ServedFile(large(MIB), rate=8 * MIB)
    jobs = [await ask(web, f"{there.url}/{index}.mp3") for index in range(5)]
    assert {(await ended(web, job["id"]))["status"] for job in jobs} == {"completed"}
    assert there.most == 2
    assert [path for path, _ in there.asked] == [f"/{index}.mp3" for index in range(5)]


async def test_the_end_does_not_wait_for_a_database_that_cannot_be_read(
    web: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = anyio.Event()

    async def broken() -> list[Any]:
        asked.set()
        raise sqlite3.OperationalError("disk I/O error")

    async def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(fetcher, "REST_S", 3_600.0)
    monkeypatch.setattr(web.service.parts.store, "to_fetch", broken)
    parts = web.service.parts
    one = fetcher.LinkFetcher(
        schema.LinkSettings(**HERE), parts.store, web.service.uploads, parts.data, never, never, parts.links.sites
    )
    with anyio.fail_after(WAIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run)
            await asked.wait()
            one.news.close()


async def test_work_goes_on_while_a_recording_comes(web: Running, there: RecordingServer) -> None:
    there.things["/slow.mp3"] = ServedFile(large(8 * MIB), rate=MIB)
    coming = await ask(web, f"{there.url}/slow.mp3")
    sent = await web.client.post(
        "/api/jobs", params={"filename": "a.wav"}, content=script(chunks=1), headers={"content-type": "audio/wav"}
    )
    assert (await ended(web, sent.json()["id"]))["status"] == "completed"
    assert (await web.client.get(f"/api/jobs/{coming['id']}")).json()["status"] == "pending"


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://192.168.1.1/x"},
        {"url": "http://localhost:1/../x", "language": "xx"},
        {"url": "ftp://example.com/x.mp3"},
        {"url": ""},
        {},
        {"url": 5},
        {"url": "https://name:word@example.com/x.mp3"},
        {"url": "https://example.com/x.mp3", "upload": "0" * 26},
        {"url": "https://example.com/" + "x" * 2_000},
        {"url": "https://example.com/x.mp3", "webhook": "https://example.com/"},
    ],
)
async def test_a_link_that_can_never_be_fetched_is_refused_at_once(web: Running, body: dict[str, Any]) -> None:
    answer = await web.client.post("/api/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await web.client.get("/api/jobs")).json()["jobs"] == []


async def test_a_name_that_leads_into_the_network_is_found_out_when_it_is_asked(
    tmp_path: Path, there: RecordingServer
) -> None:
    port = there.url.rpartition(":")[2]
    async with running(tmp_path, links={}) as web:
        job = await ended(web, (await ask(web, f"http://localhost:{port}/x.mp3"))["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", "url_failed")
        assert "links.allowed_networks" in job["error"]["hint"]
    assert there.asked == []


async def test_links_can_be_switched_off(tmp_path: Path) -> None:
    async with running(tmp_path, links={"enabled": False}) as web:
        answer = await web.client.post("/api/jobs", json={"url": "https://example.com/x.mp3"})
        assert (answer.status_code, answer.json()["params"]["field"]) == (422, "url")
        assert "links.enabled" in answer.json()["hint"]


async def test_a_report_of_a_fault_does_not_tell_where_recordings_come_from(
    web: Running, there: RecordingServer
) -> None:
    there.things["/whispered.mp3"] = ServedFile(status=404)
    await ended(web, (await ask(web, f"{there.url}/whispered.mp3?token=word"))["id"])
    packed = zipfile.ZipFile(io.BytesIO((await web.client.get("/api/diagnostics")).content))
    files = {name: packed.read(name) for name in packed.namelist()}
    assert b'"url_failed"' in files["jobs.json"], "the job is in the report"
    assert not [name for name, data in files.items() if b"whispered" in data or b"token=word" in data]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a/b%20c.mp3?x=1", "b c.mp3"),
        ("https://example.com/", "example.com"),
        ("https://example.com/a/", "a"),
        ("https://example.com/%2e%2e", "recording"),
        ("https://example.com/%2Fetc%2Fpasswd", "passwd"),
    ],
)
def test_a_recording_has_a_name_from_its_address(url: str, name: str) -> None:
    assert name_from_url(url) == name
