"""Recordings of web pages arrive whole or say why not, and yt-dlp is kept from the network of the service."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest

from testkit.event_stream import collect
from testkit.process import spawn
from testkit.recording_server import RecordingServer, ServedFile, recording_server
from testkit.scripted_actors import BEHIND, script
from testkit.service import WAIT, Running, log_of, running
from whisper_service.core.errors import WebPage
from whisper_service.integrations import link_fetcher, site_support

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("yt_dlp") is None, reason="needs yt-dlp"),
]

HERE = {"allowed_networks": ("127.0.0.1",), "timeout_s": 5.0}
MIB = 1 << 20
HTML = {"content-type": "text/html; charset=utf-8"}


def page(body: str, title: str = "") -> ServedFile:
    text = f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>"
    return ServedFile(text.encode(), headers=HTML)


def page_with_length(url: str) -> ServedFile:
    """Return a page that says of its recording, in the words of schema.org, that it lasts 2 hours and 5 seconds."""
    facts = {"@context": "https://schema.org", "@type": "VideoObject", "name": "A talk", "duration": "PT2H5S"}
    return page(f'<script type="application/ld+json">{json.dumps(facts | {"contentUrl": url})}</script>')


def large(size: int = 3 * MIB) -> bytes:
    return b"\0" * size + BEHIND + script(chunks=1)


@pytest.fixture
def there() -> Iterator[RecordingServer]:
    with recording_server() as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_fetcher, "BACK_OFF_S", (0.01,))
    monkeypatch.setattr(link_fetcher, "PROGRESS_S", 0.02)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, links=HERE) as up:
        yield up


async def ask(web: Running, url: str) -> dict[str, Any]:
    answer = await web.client.post("/api/jobs", json={"url": url})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def job_of(web: Running, job_id: str) -> dict[str, Any]:
    return dict((await web.client.get(f"/api/jobs/{job_id}")).json())


async def ended(web: Running, job_id: str) -> dict[str, Any]:
    await collect(web.client, f"/api/jobs/{job_id}/events")
    return await job_of(web, job_id)


async def until_bytes(web: Running, job_id: str, bytes: int) -> dict[str, Any]:
    with anyio.fail_after(WAIT):
        while (job := await job_of(web, job_id))["bytes"] < bytes:  # noqa: ASYNC110  the events say it later
            await anyio.sleep(0.02)
    return job


async def until_quiet(there: RecordingServer) -> None:
    """Wait until no answer of the server is on its way."""
    with anyio.fail_after(WAIT):
        while there.open:  # noqa: ASYNC110  there is no event for it
            await anyio.sleep(0.02)


def leftovers(web: Running) -> list[Path]:
    return list(web.service.parts.data.sites.iterdir())


async def test_the_video_of_a_page_becomes_a_job_with_text(web: Running, there: RecordingServer) -> None:
    data = script(chunks=2)
    there.things["/talk"] = page('<video src="/media/a.mp4"></video>', title="A talk / part 1")
    there.things["/media/a.mp4"] = ServedFile(data, headers={"content-type": "video/mp4"})
    job = await ended(web, (await ask(web, f"{there.url}/talk"))["id"])
    assert (job["status"], job["error"]) == ("completed", None)
    assert (job["bytes"], job["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert job["name"].startswith("A talk-part 1")
    assert (job["origin"]["url"], job["origin"]["total"]) == (f"{there.url}/talk", len(data))
    assert (await web.client.get(f"/api/jobs/{job['id']}/media")).content == data
    assert leftovers(web) == []


async def test_a_name_that_the_user_gave_stays(web: Running, there: RecordingServer) -> None:
    there.things["/talk"] = page('<audio src="/a.mp3"></audio>', title="Title of the page")
    there.things["/a.mp3"] = ServedFile(large(2 * MIB), rate=MIB)
    asked = await ask(web, f"{there.url}/talk")
    renamed = await web.client.patch(f"/api/jobs/{asked['id']}", json={"name": "Mine"})
    assert renamed.status_code == 200, renamed.text
    assert (await ended(web, asked["id"]))["name"] == "Mine"


async def test_the_bytes_are_counted_while_they_come(web: Running, there: RecordingServer) -> None:
    data = large(4 * MIB)
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    there.things["/a.mp4"] = ServedFile(data, rate=2 * MIB)
    asked = await ask(web, f"{there.url}/talk")
    half = await until_bytes(web, asked["id"], MIB)
    assert (half["status"], half["sha256"], half["origin"]["total"]) == ("pending", "", len(data))
    assert half["bytes"] < len(data)
    assert (await ended(web, asked["id"]))["sha256"] == hashlib.sha256(data).hexdigest()


async def test_the_length_that_a_page_tells_is_known_before_the_recording_is_read(
    web: Running, there: RecordingServer
) -> None:
    there.things["/talk"] = page_with_length(f"{there.url}/a.mp4")
    there.things["/a.mp4"] = ServedFile(large(2 * MIB), rate=2 * MIB)
    asked = await ask(web, f"{there.url}/talk")
    coming = await until_bytes(web, asked["id"], MIB // 4)
    assert (coming["name"], coming["duration_s"], coming["sha256"]) == ("A talk", 7205.0, "")
    assert (await ended(web, asked["id"]))["status"] == "completed"
    changes = [
        json.loads(change.payload) for change in await log_of(web.service, asked["id"]) if change.kind == "update"
    ]
    complete = [job for job in changes if job["status"] == "pending" and job["sha256"]]
    assert [job["duration_s"] for job in complete] == [7205.0], "the length stays when the recording is complete"


async def test_a_recording_that_is_too_long_is_not_fetched(there: RecordingServer, tmp_path: Path) -> None:
    there.things["/talk"] = page_with_length(f"{there.url}/a.mp4")
    there.things["/a.mp4"] = ServedFile(script(chunks=1))
    async with running(tmp_path, links=HERE | {"site_max_duration_s": 3600.0}) as web:
        job = await ended(web, (await ask(web, f"{there.url}/talk"))["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "site_too_long")
    assert "120 min long, more than the 60 min" in job["error"]["message"]
    assert (job["bytes"], job["sha256"]) == (0, "")


async def test_the_logs_do_not_tell_what_was_fetched(web: Running, there: RecordingServer) -> None:
    there.things["/whispered"] = page('<video src="/gone.mp4?token=word"></video>', title="Secret talk")
    job = await ended(web, (await ask(web, f"{there.url}/whispered?token=word"))["id"])
    assert job["status"] == "failed"
    packed = zipfile.ZipFile(io.BytesIO((await web.client.get("/api/diagnostics")).content))
    files = {name: packed.read(name) for name in packed.namelist()}
    assert [name for name in files if "sites" in name], "the log of the actor is in the report"
    assert not [name for name, data in files.items() if b"whispered" in data or b"token=word" in data]


async def test_a_broken_connection_loses_nothing(web: Running, there: RecordingServer) -> None:
    data = large()
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    there.things["/a.mp4"] = ServedFile(data, cuts=[MIB, MIB])
    job = await ended(web, (await ask(web, f"{there.url}/talk"))["id"])
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("verb", ["pause", "cancel", "delete"])
async def test_the_process_ends_when_the_job_is_not_wanted(web: Running, there: RecordingServer, verb: str) -> None:
    data = large(8 * MIB)
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    there.things["/a.mp4"] = ServedFile(data, rate=2 * MIB)
    asked = await ask(web, f"{there.url}/talk")
    await until_bytes(web, asked["id"], MIB // 2)
    address = f"/api/jobs/{asked['id']}"
    await (web.client.delete(address) if verb == "delete" else web.client.post(f"{address}/{verb}"))
    await until_quiet(there)
    with anyio.fail_after(WAIT):
        while leftovers(web):  # noqa: ASYNC110
            await anyio.sleep(0.02)
    started = [actor for actor in web.service.parts.context.actors if actor.generation]
    assert web.service.parts.data.orphans.read_text().count("\n") == len(started)
    if verb == "pause":
        there.things["/a.mp4"].rate = 0
        await web.client.post(f"{address}/resume")
        assert (await ended(web, asked["id"]))["sha256"] == hashlib.sha256(data).hexdigest()


async def test_the_next_service_begins_anew_with_the_same_result(there: RecordingServer, tmp_path: Path) -> None:
    data = large(4 * MIB)
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    there.things["/a.mp4"] = ServedFile(data, rate=MIB)
    async with running(tmp_path, links=HERE) as web:
        job = await ask(web, f"{there.url}/talk")
        await until_bytes(web, job["id"], MIB // 2)
        left = web.service.parts.data.site_of("0" * 26)
        left.mkdir()
        (left / "recording").write_bytes(b"of a service that was killed")
    await until_quiet(there)
    there.things["/a.mp4"].rate = 0
    async with running(tmp_path, links=HERE) as web:
        after = await ended(web, job["id"])
        assert leftovers(web) == []
    assert (after["status"], after["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())


def test_a_service_that_is_killed_leaves_no_process_and_the_next_one_has_the_same_result(
    there: RecordingServer, tmp_path: Path
) -> None:
    data, scripted = large(4 * MIB), "testkit.scripted_actors"
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    there.things["/a.mp4"] = ServedFile(data, rate=MIB)
    module = ("testkit.serve", "--speech", f"{scripted}:speech", "--media", f"{scripted}:media")
    settings = {"links__allowed_networks": "127.0.0.1"}

    @contextmanager
    def serving() -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
        service, url = spawn(tmp_path / "data", tmp_path / "log", module=module, settings=settings)
        assert url is not None, (tmp_path / "log").read_text()
        with service, httpx.Client(base_url=url, timeout=WAIT) as client:
            yield service, client

    def until_true(client: httpx.Client, job_id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        latest = time.monotonic() + WAIT
        while not wanted(job := client.get(f"/api/jobs/{job_id}").json()):
            assert time.monotonic() < latest, job
            time.sleep(0.02)
        return dict(job)

    with serving() as (service, client):
        job_id = client.post("/api/jobs", json={"url": f"{there.url}/talk"}).json()["id"]
        until_true(client, job_id, lambda job: job["bytes"] >= MIB)
        known = {actor["pid"] for actor in client.get("/api/system").json()["actors"]}
        actors = psutil.Process(service.pid).children(recursive=True)
        assert {actor.pid for actor in actors} - known, "the one that fetches runs"
        service.kill()
        service.wait(WAIT)
        assert psutil.wait_procs(actors, timeout=10)[1] == []
    there.things["/a.mp4"].rate = 0
    with serving() as (service, client):
        job = until_true(client, job_id, lambda job: job["status"] in ("completed", "failed"))
        service.terminate()
        service.wait(WAIT)
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
    assert list((tmp_path / "data" / "sites").iterdir()) == []


async def test_a_killed_process_is_replaced(web: Running, there: RecordingServer) -> None:
    data = large(4 * MIB)
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    there.things["/a.mp4"] = ServedFile(data, rate=MIB)
    asked = await ask(web, f"{there.url}/talk")
    await until_bytes(web, asked["id"], MIB // 2)
    others = {actor.pid for actor in web.service.parts.context.actors}
    listed = web.service.parts.data.orphans.read_text().split("\n")
    (pid,) = {int(line.split()[0]) for line in listed if line} - others
    there.things["/a.mp4"].rate = 0
    os.kill(pid, signal.SIGKILL)
    job = await ended(web, asked["id"])
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.2]", "2130706434", "192.168.77.77"])
@pytest.mark.parametrize("redirected", [False, True])
async def test_a_page_does_not_lead_into_the_network_of_the_service(
    web: Running, there: RecordingServer, host: str, redirected: bool
) -> None:
    """Only 127.0.0.1 is allowed here, as the public internet is for a real page. 127.0.0.2 is the same server."""
    inside = f"http://{host}:{there.url.rpartition(':')[2]}/secret.mp4"
    there.things["/go.mp4"] = ServedFile(status=302, headers={"location": inside})
    there.things["/talk"] = page(f'<video src="{"/go.mp4" if redirected else inside}"></video>')
    job = await ended(web, (await ask(web, f"{there.url}/talk"))["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "url_failed")
    assert "must not get requests" in job["error"]["message"]
    assert "links.allowed_networks" in job["error"]["hint"]
    assert "/secret.mp4" not in [path for path, _ in there.asked]


PLAYLIST = "".join(f'<video src="/{n}.mp4"></video>' for n in range(3))


def feed(*urls: str) -> ServedFile:
    """Return a podcast with these episodes."""
    items = "".join(f'<item><title>{url}</title><enclosure url="{url}"/></item>' for url in urls)
    text = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Show</title>{items}</channel></rss>'
    return ServedFile(text.encode(), headers={"content-type": "application/rss+xml"})


def pieces_list(count: int, end: str = "#EXT-X-ENDLIST\n") -> ServedFile:
    """Return a list of pieces, /0.ts and so on, as of HTTP live streaming. Without `end` more will come."""
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n" + "".join(f"#EXTINF:4,\n/{n}.ts\n" for n in range(count)) + end
    return ServedFile(text.encode(), headers={"content-type": "application/vnd.apple.mpegurl"})


@pytest.mark.parametrize(
    ("thing", "code", "words"),
    [
        (page("<p>Nothing to hear.</p>"), "site_unsupported", "No recording"),
        (page(PLAYLIST), "site_playlist", "has 3 recordings"),
        (feed(*(f"http://x.example/{n}.mp3" for n in range(5))), "site_playlist", "has 5 recordings"),
        (pieces_list(2, end=""), "site_live", "live stream"),
        (page('<video src="/gone.mp4"></video>'), "site_removed", "not there"),
        (page('<video src="/shut.mp4"></video>'), "site_login", "logged in"),
        (page('<video src="/busy.mp4"></video>'), "url_failed", "503"),
        (page('<video src="/big.mp4"></video>'), "site_too_large", "larger"),
        (page('<video src="/big_without_length.mp4"></video>'), "site_too_large", "larger"),
    ],
)
async def test_a_page_that_cannot_be_fetched_says_why(
    there: RecordingServer, tmp_path: Path, thing: ServedFile, code: str, words: str
) -> None:
    there.things |= {
        "/x": thing,
        "/shut.mp4": ServedFile(status=403),
        "/busy.mp4": ServedFile(status=503),
        "/big.mp4": ServedFile(large(2 * MIB)),
        "/big_without_length.mp4": ServedFile(large(4 * MIB), length=False),
    }
    async with running(tmp_path, links=HERE | {"site_max_bytes": MIB}) as web:
        job = await ended(web, (await ask(web, f"{there.url}/x"))["id"])
        assert (job["status"], job["error"]["code"], job["sha256"]) == ("failed", code, "")
        assert words in job["error"]["message"]
        assert job["error"]["message"].count("could not be fetched") <= 1
        assert job["error"]["hint"]
        assert leftovers(web) == []


async def test_a_feed_of_one_episode_is_that_episode(web: Running, there: RecordingServer) -> None:
    there.things["/e1.mp3"] = ServedFile(script(chunks=1))
    there.things["/feed"] = feed(f"{there.url}/e1.mp3")
    job = await ended(web, (await ask(web, f"{there.url}/feed"))["id"])
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(script(chunks=1)).hexdigest())


@pytest.mark.parametrize("kind", ["application/vnd.apple.mpegurl", "application/octet-stream"])
async def test_a_recording_in_pieces_is_joined(web: Running, there: RecordingServer, kind: str) -> None:
    pieces = [b"a" * 1000, b"b" * 1000, BEHIND + script(chunks=1)]
    for number, piece in enumerate(pieces):
        there.things[f"/{number}.ts"] = ServedFile(piece)
    there.things["/list.m3u8"] = pieces_list(3)
    there.things["/list.m3u8"].headers = {"content-type": kind}
    job = await ended(web, (await ask(web, f"{there.url}/list.m3u8"))["id"])
    assert (job["status"], job["sha256"]) == ("completed", hashlib.sha256(b"".join(pieces)).hexdigest())


async def test_a_piece_that_is_missing_is_not_left_out(web: Running, there: RecordingServer) -> None:
    there.things["/0.ts"] = ServedFile(b"a" * 1000)
    there.things["/list.m3u8"] = pieces_list(2)
    job = await ended(web, (await ask(web, f"{there.url}/list.m3u8"))["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "site_removed")


async def test_pages_can_be_switched_off(there: RecordingServer, tmp_path: Path) -> None:
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    async with running(tmp_path, links=HERE | {"sites": False}) as web:
        job = await ended(web, (await ask(web, f"{there.url}/talk"))["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", "web_page")
        assert "pip install" not in job["error"]["hint"]
    assert [path for path, _ in there.asked] == ["/talk"]


async def test_without_the_package_the_message_says_how_to_get_it(
    web: Running, there: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(site_support.metadata, "version", missing)
    there.things["/talk"] = page('<video src="/a.mp4"></video>')
    job = await ended(web, (await ask(web, f"{there.url}/talk"))["id"])
    assert (job["error"]["code"], job["error"]["message"]) == ("web_page", WebPage().message)
    assert 'pip install "whisper_service[sites]"' in job["error"]["hint"]
