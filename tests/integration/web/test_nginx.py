"""The service behind a real nginx with the shipped configuration: no delayed answers, no mixed-up clients."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest
import websockets

from testkit.event_stream import events
from testkit.nginx import DEPLOY, below, free_port, nginx
from testkit.scripted_actors import script
from testkit.service import WAIT, Running, running

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not shutil.which("nginx") or not shutil.which("openssl"), reason="nginx and openssl are not installed"
    ),
]

TOKEN = "correct-horse-battery-staple"
BEARER = {"authorization": f"Bearer {TOKEN}"}
NAME = "whisper.example.org"


def certificate(root: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for `NAME`, valid for a day, and return it with its key."""
    root.mkdir()
    made, key = root / "certificate.pem", root / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    whose = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(made)]
    subprocess.run(["openssl", "req", "-x509", *kind, *whose], capture_output=True, check=True)
    return made, key


def shipped(service: str, port: int, cert: Path, key: Path) -> str:
    """Return the shipped site with the addresses and files of this test. The rest is unchanged."""
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "http://127.0.0.1:8000": service,
        "/etc/ssl/certs/whisper.example.org.pem": str(cert),
        "/etc/ssl/private/whisper.example.org.key": str(key),
    }.items():
        assert old in text
        text = text.replace(old, new)
    return re.sub(r"\n *listen \[::\].*;", "", text)


async def answers(client: httpx.AsyncClient) -> None:
    """Wait until nginx listens."""
    with anyio.fail_after(WAIT):
        while True:
            try:
                await client.get("/api/health/live")
            except httpx.ConnectError:
                await anyio.sleep(0.05)
            else:
                return


@asynccontextmanager
async def proxied(root: Path, **changes: object) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """Yield a service behind the shipped site, and an HTTP/2 client with one connection to it."""
    security = {"token": TOKEN, "allowed_hosts": (NAME,), "trusted_proxies": ("127.0.0.1",)}
    cert, key = certificate(root / "tls")
    port = free_port()
    trusting = ssl.create_default_context(cafile=str(cert))
    async with running(root, security=security, **changes) as web:
        with nginx(root / "nginx", shipped(web.url, port, cert, key)):
            transport = httpx.AsyncHTTPTransport(
                http1=False,
                http2=True,
                verify=trusting,
                limits=httpx.Limits(max_connections=1),
                local_address="127.0.0.2",
            )
            # no DNS has the name: connect by address, use the name for TLS and Host
            host = {"host": f"{NAME}:{port}"}
            async with httpx.AsyncClient(
                base_url=f"https://127.0.0.1:{port}", transport=transport, headers=host, timeout=WAIT
            ) as client:
                client.event_hooks["request"].append(named)
                await answers(client)
                yield web, client


async def named(request: httpx.Request) -> None:
    request.extensions["sni_hostname"] = NAME


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with proxied(tmp_path) as both:
        yield both


Behind = tuple[Running, httpx.AsyncClient]


async def test_many_streams_share_one_connection_and_events_come_at_once(behind: Behind) -> None:
    _, client = behind
    heard: list[str] = []

    async def listen(started: anyio.Event) -> None:
        async with client.stream("GET", "/api/events", headers=BEARER) as stream:
            assert stream.http_version == "HTTP/2"
            async for event in events(stream):
                heard.append(event.kind)
                if event.kind == "hello":
                    started.set()
                elif event.data.get("status") == "completed":
                    return

    with anyio.fail_after(WAIT):
        async with anyio.create_task_group() as tasks:
            started = [anyio.Event() for _ in range(20)]
            for one in started:
                tasks.start_soon(listen, one)
            for one in started:
                await one.wait()
            made = await client.post("/api/jobs", files={"file": ("a.wav", script(chunks=2))}, headers=BEARER)
            assert made.status_code == 202
    assert heard.count("hello") == 20


async def test_an_upload_is_at_the_service_before_it_is_complete(behind: Behind) -> None:
    web, client = behind
    recording = script(chunks=1) + b" " * 3_000_000  # larger than the default limit of nginx

    async def slowly() -> AsyncIterator[bytes]:
        yield recording[:1000]
        while not web.service.uploads.open_count:  # noqa: ASYNC110 - no event tells it
            await anyio.sleep(0.01)
        yield recording[1000:]

    length = {"content-length": str(len(recording))}
    with anyio.fail_after(WAIT):
        made = await client.post("/api/jobs?filename=a.wav", content=slowly(), headers=BEARER | length)
    assert made.status_code == 202
    assert made.json()["bytes"] == len(recording)


async def test_a_browser_logs_in_and_changes_things(behind: Behind) -> None:
    _, client = behind
    origin = f"https://{client.headers['host']}"
    browser = {"origin": origin, "sec-fetch-site": "same-origin"}
    right = await client.post("/api/login", json={"token": TOKEN}, headers=browser)
    assert right.status_code == 204
    assert "secure" in right.headers["set-cookie"].lower()
    cookie = {"cookie": right.headers["set-cookie"].partition(";")[0]}
    for headers, status in (({"origin": origin}, 404), ({"origin": "https://evil.example"}, 403)):
        assert (await client.post("/api/jobs/none/pause", headers=cookie | headers)).status_code == status


async def test_a_client_cannot_pass_for_another(behind: Behind) -> None:
    _, client = behind
    for number in range(10):
        forged = {"x-forwarded-for": f"203.0.113.{number}"}
        await client.post("/api/login", json={"token": f"guess {number}"}, headers=forged)
    assert (await client.post("/api/login", json={"token": TOKEN})).status_code == 429


async def test_other_names_and_ranges(behind: Behind) -> None:
    _, client = behind
    assert (await client.get("/", headers={"host": "evil.example"})).status_code == 421
    made = await client.post("/api/jobs?filename=a.wav", content=script(chunks=1), headers=BEARER)
    part = await client.get(f"/api/jobs/{made.json()['id']}/media", headers=BEARER | {"range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)


@pytest.mark.parametrize("kept", [True, False])
async def test_below_a_path_of_another_site(tmp_path: Path, kept: bool) -> None:
    """Check both: nginx removes the path before it asks the service, or leaves it."""
    port = free_port()
    security = {"token": TOKEN, "trusted_proxies": ("127.0.0.1",)}
    async with running(tmp_path, security=security, server={"root_path": "/transcribe"}) as web:
        with nginx(tmp_path / "nginx", below(web.url, port, kept=kept)):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/transcribe", timeout=WAIT) as client:
                await answers(client)
                for path in ("/", "/login", "/schema"):
                    headers = BEARER if path == "/schema" else {}
                    page = await client.get(path, headers=headers)
                    assert page.status_code == 200
                    links = re.findall(r'(?:href|src|action)="([^"#]*)"', page.text)
                    assert links
                    for link in links:
                        there = page.url.join(link)
                        assert there.path.startswith("/transcribe/"), (path, link)
                        method = "POST" if there.path.endswith("/login") else "GET"
                        assert (await client.request(method, there, headers=BEARER)).status_code in (200, 422), link
                login = await client.post("/api/login", data={"token": TOKEN})
                assert (login.status_code, login.headers["location"]) == (303, "/transcribe/")
                assert "path=/transcribe;" in login.headers["set-cookie"].lower() + ";"
                made = await client.post("/api/jobs?filename=a.wav", content=script(chunks=1))
                assert made.headers["location"] == f"/transcribe/api/jobs/{made.json()['id']}"
                assert (await client.get(made.url.join(made.headers["location"]))).status_code == 200
                tus = {"tus-resumable": "1.0.0", "upload-length": "3"}
                begun = await client.post("/api/uploads", headers=tus)
                assert begun.headers["location"].startswith(
                    ("/transcribe/api/uploads/", f"{client.base_url}api/uploads/")
                )
                assert (await client.get("/schema/openapi.json")).json()["servers"] == [{"url": "/transcribe"}]
                assert (await client.get("/v1/nope")).json()["error"]["code"] == "not_found"
                async with client.stream("GET", f"/api/stream/{made.json()['id']}") as stream:
                    assert [event async for event in events(stream)][-1].kind == "end"


async def test_a_socket_passes(behind: Behind) -> None:
    web, client = behind
    port = client.base_url.port
    trusting = ssl.create_default_context(
        cafile=str(next(web.service.config.data_dir.parent.glob("tls/certificate.pem")))
    )
    url = f"wss://{NAME}:{port}/v1/realtime"
    named_token = [f"openai-insecure-api-key.{TOKEN}", "realtime"]
    connect = partial(websockets.connect, url, ssl=trusting, host="127.0.0.1", port=port, proxy=None)
    async with connect(subprotocols=named_token, origin=f"https://{NAME}:{port}") as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        assert socket.subprotocol == "realtime"
        await socket.send("{}")
        assert json.loads(await socket.recv())["type"] == "error"
    with pytest.raises(websockets.InvalidStatus) as raised:
        async with connect():
            pass
    assert raised.value.response.status_code == 401
