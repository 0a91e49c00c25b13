"""WebSockets are guarded as every other address: host name, origin, token, cookie."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets

from testkit.process import environment, spawn
from testkit.repository import ROOT
from testkit.service import Running, configuration, running
from whisper_service.web.security.auth import Access, Tokens
from whisper_service.web.security.guard import SOCKETS, Guard

pytestmark = pytest.mark.anyio

TOKEN = "correct-horse-battery-staple"
SCRIPTED = ("testkit.serve", "--speech", "testkit.scripted_actors:speech", "--media", "testkit.scripted_actors:media")
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, security={"token": TOKEN}) as up:
        yield up


async def dial(web: Running, path: str = SOCKETS[0], **options: Any) -> tuple[dict[str, Any], str | None]:
    """Return the first event on a socket, and the protocol that was chosen."""
    async with websockets.connect(web.url.replace("http", "ws") + path, proxy=None, **options) as socket:
        return json.loads(await socket.recv()), socket.subprotocol


async def refused(web: Running, path: str = SOCKETS[0], **options: Any) -> tuple[int, Any]:
    """Return status and body of the answer to a socket that is refused."""
    with pytest.raises(websockets.InvalidStatus) as raised:
        await dial(web, path, **options)
    answer = raised.value.response
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.status_code, json.loads(answer.body or b"null")


@pytest.mark.parametrize("path", SOCKETS)
async def test_who_has_the_token_gets_a_socket(web: Running, path: str) -> None:
    event, protocol = await dial(web, path, additional_headers=BEARER)
    assert (event["type"], protocol) == ("session.created", None)
    named = [f"openai-insecure-api-key.{TOKEN}", "realtime"]
    event, protocol = await dial(web, path, subprotocols=named)
    assert (event["type"], protocol) == ("session.created", "realtime"), "the token is not told back"
    assert (await web.client.post("/api/login", json={"token": TOKEN})).status_code == 204
    cookie = "; ".join(f"{name}={value}" for name, value in web.client.cookies.items())
    origin = web.url  # of a page of this service
    event, _ = await dial(web, path, additional_headers={"cookie": cookie}, origin=origin)
    assert event["type"] == "session.created"
    assert await refused(web, path, additional_headers={"cookie": cookie}, origin="http://evil.example") == (
        403,
        {"error": {"code": "cross_site", "message": ANYTHING, "param": None, "type": "invalid_request_error"}},
    )


class _Anything:
    def __eq__(self, other: object) -> bool:
        return bool(other)

    __hash__ = None  # type: ignore[assignment]


ANYTHING = _Anything()


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({}, 401, "invalid_api_key"),
        ({"additional_headers": {"authorization": f"Bearer {TOKEN}x"}}, 401, "invalid_api_key"),
        ({"additional_headers": {"authorization": f"Basic {TOKEN}"}}, 401, "invalid_api_key"),
        ({"additional_headers": {"cookie": "whisper_service=1"}}, 401, "invalid_api_key"),
        ({"subprotocols": ["realtime"]}, 401, "invalid_api_key"),
        ({"subprotocols": [f"openai-insecure-api-key.{TOKEN}x", "realtime"]}, 401, "invalid_api_key"),
        ({"additional_headers": BEARER, "origin": "http://evil.example"}, 403, "cross_site"),
        ({"additional_headers": BEARER, "origin": "null"}, 403, "cross_site"),
        ({"additional_headers": {**BEARER, "sec-fetch-site": "cross-site"}}, 403, "cross_site"),
    ],
)
async def test_who_has_not_gets_none(web: Running, options: dict[str, Any], status: int, code: str) -> None:
    answer, body = await refused(web, **options)
    assert (answer, body["error"]["code"]) == (status, code)
    assert await web.service.parts.store.jobs() == []


async def test_a_name_that_is_not_the_services_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        port = web.url.rpartition(":")[2]
        url = f"ws://evil.example:{port}{SOCKETS[0]}"
        with pytest.raises(websockets.InvalidStatus) as raised:
            async with websockets.connect(url, host="127.0.0.1", port=int(port), proxy=None):
                pass
        assert raised.value.response.status_code == 421
        event, _ = await dial(web)
        assert event["type"] == "session.created", "without a token, this machine may come in"
        assert (await refused(web, origin="https://evil.example"))[0] == 403


async def test_other_addresses_have_no_socket(web: Running) -> None:
    for path in ("/", "/api/events", "/v1/realtime/", "/v1/models", "/nope"):
        status, _ = await refused(web, path, additional_headers=BEARER)
        assert status == 404, path
        assert (await refused(web, path))[0] == 401, path


async def test_a_request_that_is_no_socket_is_told(web: Running) -> None:
    answer = await web.client.get(SOCKETS[0], headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_without_live_sessions_there_is_no_socket(tmp_path: Path) -> None:
    async with running(tmp_path, live={"enabled": False}) as web:
        upgrade = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==",
            "sec-websocket-version": "13",
        }
        async with httpx.AsyncClient(base_url=web.url) as client:  # a connection that sends nothing else
            answer = await client.get(SOCKETS[0], headers=upgrade)
        assert answer.status_code == 404


def at_rest(home: Path, *, enabled: bool) -> tuple[int, set[str]]:
    """Start a service, and return the bytes of its memory and which of its actors run when it is ready."""
    home.mkdir()
    process, url = spawn(home / "data", home / "log", module=SCRIPTED, settings={"live__enabled": enabled})
    try:
        assert url is not None, (home / "log").read_text()
        with httpx.Client(base_url=url) as client:
            assert client.post("/api/live", json={"channels": 9}).status_code == (422 if enabled else 404)
            for _ in range(600):
                actors = client.get("/api/system").json()["actors"]
                run = {each["name"] for each in actors if each["pid"] and each["state"] == "ready"}
                if run >= {"media-1", "speech"}:
                    return psutil.Process(process.pid).memory_full_info().uss, run
                time.sleep(0.05)
        pytest.fail("the service did not become ready")
    finally:
        process.kill()
        process.communicate()


def test_a_service_without_live_sessions_has_no_process_and_no_memory_for_them(tmp_path: Path) -> None:
    with_live, actors = at_rest(tmp_path / "with", enabled=True)
    without, less = at_rest(tmp_path / "without", enabled=False)
    assert actors == less == {"media-1", "speech"}, "and a service with them has one from the first session on"
    assert without < 1.02 * with_live


async def test_nothing_of_a_refused_socket_is_read(tmp_path: Path) -> None:
    async def nothing(*_: Any) -> Any:
        pytest.fail("it was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(nothing, Access(Tokens([TOKEN])), configuration(tmp_path))
    for headers, status in (([], 401), ([(b"origin", b"http://evil.example")], 403)):
        sent.clear()
        scope: Any = {
            "type": "websocket",
            "path": SOCKETS[0],
            "headers": [(b"host", b"127.0.0.1:8000"), *headers],
            "subprotocols": [],
            "client": ("127.0.0.1", 5),
        }
        await guard(scope, nothing, send)
        assert [message["type"] for message in sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert sent[0]["status"] == status


def test_websockets_are_loaded_when_one_comes() -> None:
    code = "import sys, whisper_service.web.server; sys.exit('wsproto' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=False)
    assert loaded.returncode == 0
