"""What is around the API: the guard, the pages, the documentation, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.integration.webclient import Running, running
from whisper_service.config import resource
from whisper_service.domain import Problem
from whisper_service.service import Readiness
from whisper_service.web.app import openapi_json

pytestmark = pytest.mark.anyio


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as up:
        yield up


async def raw(web: Running, request: str) -> bytes:
    """An answer to bytes that no well-behaved client would send."""
    host, _, port = web.url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(request.encode())
        return await stream.receive()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:80", "", "user@127.0.0.1", "127.0.0.1:99999999", "127.0.0.1:x", "[::1", "a b", "0.0.0.0"],
)
async def test_foreign_names_are_not_answered(web: Running, host: str) -> None:
    answer = await raw(web, f"GET /api/system HTTP/1.1\r\nhost: {host}\r\n\r\n")
    assert int(answer.split()[1]) in (400, 421), answer
    assert b"disk_free" not in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "127.8.9.1", "[::1]:9", "[::1]"])
async def test_own_names_are_answered(web: Running, host: str) -> None:
    answer = await raw(web, f"GET /api/health/live HTTP/1.1\r\nhost: {host}\r\nx-forwarded-host: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"sec-fetch-site": "same-origin"}, 202),
        ({"sec-fetch-site": "none"}, 202),
        ({"sec-fetch-mode": "cors"}, 202),
        ({"origin": "SELF"}, 202),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://evil.example", "sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "file://"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
    ],
)
async def test_pages_of_other_sites_change_nothing(web: Running, headers: dict[str, str], status: int) -> None:
    headers = {name: web.url if value == "SELF" else value for name, value in headers.items()}
    answer = await web.client.post("/api/jobs", files={"file": ("a.wav", b"{}")}, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    if status == 403:
        assert answer.json()["code"] == "cross_site"
        assert answer.json()["hint"]
        assert not list(web.service.intake.root.iterdir())


@pytest.mark.parametrize("path", ["/", "/api/state", "/schema", "/nope", "/static/app.js"])
async def test_browsers_are_kept_strict_everywhere(web: Running, path: str) -> None:
    answer = await web.client.get(path, headers={"origin": "http://evil.example"})
    policy = answer.headers["content-security-policy"]
    for rule in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/schema"])
async def test_pages_fit_the_policy(web: Running, path: str) -> None:
    page = (await web.client.get(path)).text
    assert "<script>" not in page
    assert "style=" not in page
    assert "<style" not in page
    assert "onclick" not in page
    assert "//" not in page.replace("<!doctype html>", ""), "nothing comes from anywhere else"


async def test_the_start_page_and_its_parts(web: Running) -> None:
    page = await web.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for name, kind in {"app.js": "text/javascript", "app.css": "text/css", "icon.svg": "image/svg+xml"}.items():
        assert f"static/{name}" in page.text
        part = await web.client.get(f"/static/{name}")
        assert part.status_code == 200
        assert part.headers["content-type"].startswith(kind)
        assert part.content == (resource("static") / name).read_bytes()


async def test_the_documentation_needs_no_network(web: Running) -> None:
    document = await web.client.get("/schema/openapi.json")
    assert document.status_code == 200
    assert document.content == openapi_json()
    page = (await web.client.get("/schema")).text
    for path, item in document.json()["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in page
    for name in document.json()["components"]["schemas"]:
        assert f'id="{name}"' in page


async def test_state_is_jobs_system_and_a_place_in_the_log(web: Running) -> None:
    made = (await web.client.post("/api/jobs", files={"file": ("a.wav", b"{}")})).json()
    state = (await web.client.get("/api/state")).json()
    assert [job["id"] for job in state["jobs"]["jobs"]] == [made["id"]]
    assert state["seq"] >= 1
    assert {actor["name"] for actor in state["system"]["actors"]} == {"speech", "media-1"}
    system = (await web.client.get("/api/system")).json()
    assert system.keys() == state["system"].keys()


async def test_health(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await web.client.get("/api/health/live")).status_code == 200
    problem = Problem("model_unavailable", "There is no model.", "Install one.")
    for readiness, status in [(Readiness(ready=True), 200), (Readiness(ready=False, problems=(problem,)), 503)]:
        monkeypatch.setattr(web.service, "readiness", lambda said=readiness: said)
        answer = await web.client.get("/api/health/ready")
        assert answer.status_code == status
        assert [p["code"] for p in answer.json()["problems"]] == [p.code for p in readiness.problems]
