"""A service with a token: what passes with it and without it, and the login of browsers."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from testkit.event_stream import events
from testkit.scripted_actors import script
from testkit.service import Running, running
from whisper_service.web.app import openapi_json

pytestmark = pytest.mark.anyio

TOKEN = "correct-horse-battery-staple"
BEARER = {"authorization": f"Bearer {TOKEN}"}
TUS = {"tus-resumable": "1.0.0"}
OPEN = {"/api/login", "/api/logout", "/api/health/live"}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, security={"token": TOKEN}) as up:
        yield up


def operations() -> list[tuple[str, str]]:
    paths = json.loads(openapi_json())["paths"]
    return [(method.upper(), path.replace("{", "").replace("}", "")) for path, item in paths.items() for method in item]


async def test_without_the_token_nothing_is_said_and_nothing_done(web: Running) -> None:
    others = [("GET", path) for path in ("/schema", "/schema/openapi.json", "/metrics", "/nope", "/v1/models", "/asr")]
    for method, path in [*operations(), *others]:
        if path in OPEN:
            continue
        for headers in (
            {},
            {"authorization": f"Bearer {TOKEN}x"},
            {"authorization": f"Basic {TOKEN}"},
            {"cookie": "whisper_service=1"},
        ):
            answer = await web.client.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            said = answer.json()
            if path == "/inference":
                assert isinstance(said["error"], str)
            elif path.startswith(("/v1/", "/openai/")):
                assert said["error"].keys() == {"message", "type", "param", "code"}
                assert said["error"]["code"] == "invalid_api_key"
            else:
                assert said["code"] == "unauthorized"
                assert "/login" in said["hint"]
    assert await web.service.parts.store.jobs() == []
    assert not list(web.service.uploads.root.iterdir())


async def test_the_page_and_the_question_whether_it_lives_are_open(web: Running) -> None:
    for path in ("/", "/login", "/static/app.css", "/api/health/live", "/api/login"):
        assert (await web.client.get(path)).status_code == 200, path


async def test_with_the_token_programs_do_everything(web: Running) -> None:
    made = await web.client.post("/api/jobs", files={"file": ("a.wav", script(chunks=1))}, headers=BEARER)
    assert made.status_code == 202
    for path in ("/api/jobs", "/api/state", "/schema", made.headers["location"]):
        assert (await web.client.get(path, headers=BEARER)).status_code == 200
    async with web.client.stream("GET", f"/api/stream/{made.json()['id']}", headers=BEARER) as stream:
        assert [event async for event in events(stream)][-1].kind == "end"


async def test_a_browser_logs_in_listens_and_logs_out(web: Running) -> None:
    client = web.client
    assert (await client.get("/api/login")).json() == {"token_required": True, "logged_in": False}
    wrong = await client.post("/api/login", json={"token": TOKEN[:-1]})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthorized")
    assert "set-cookie" not in wrong.headers
    right = await client.post("/api/login", json={"token": TOKEN})
    assert right.status_code == 204
    cookie = right.headers["set-cookie"]
    for mark in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age="):
        assert mark.lower() in cookie.lower()
    assert "secure" not in cookie.lower(), "it came over http"
    assert TOKEN not in cookie
    assert (await client.get("/api/login")).json()["logged_in"] is True
    assert (await client.get("/api/state")).status_code == 200
    async with client.stream("GET", "/api/events") as stream:
        assert (await anext(events(stream))).kind == "hello"
    assert (await client.post("/api/logout")).status_code == 204
    assert not client.cookies
    assert (await client.get("/api/state")).status_code == 401


async def test_the_page_without_scripts_logs_in_too(web: Running) -> None:
    page = await web.client.get("/login")
    assert 'action="api/login"' in page.text
    wrong = await web.client.post("/api/login", data={"token": "<b>wrong</b>"})
    assert wrong.status_code == 401
    assert 'role="alert"' in wrong.text
    assert "<b>" not in wrong.text
    right = await web.client.post("/api/login", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert (await web.client.get("/api/state")).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"token": 1}', b'{"token": ""}', b"\xff", b'{"token": "' + b"x" * 5000 + b'"}']
)
async def test_a_login_that_is_none(web: Running, body: bytes) -> None:
    answer = await web.client.post("/api/login", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (413, 422)
    assert answer.json()["code"] in ("too_large", "invalid_request")


async def test_who_guesses_has_to_wait_and_who_is_inside_goes_on(web: Running) -> None:
    await web.client.post("/api/login", json={"token": TOKEN})
    async with httpx.AsyncClient(base_url=web.url) as guesser:
        answers = [await guesser.post("/api/login", json={"token": f"guess {number}"}) for number in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].json()["code"] == "too_many_tries"
        assert (await guesser.get("/api/state", headers=BEARER)).status_code == 429
        assert (await guesser.get("/v1/models", headers=BEARER)).json()["error"]["code"] == "too_many_tries"
        forged = {"x-forwarded-for": "203.0.113.9"}
        assert (await guesser.post("/api/login", json={"token": "guess"}, headers=forged)).status_code == 429
    assert (await web.client.get("/api/state")).status_code == 200


async def test_a_trusted_proxy_says_who_is_there(tmp_path: Path) -> None:
    security = {"token": TOKEN, "trusted_proxies": ("127.0.0.1",)}
    async with running(tmp_path, security=security) as web:
        for number in range(10):
            headers = {"x-forwarded-for": "203.0.113.9, 127.0.0.1"}
            await web.client.post("/api/login", json={"token": f"guess {number}"}, headers=headers)
        last = await web.client.post("/api/login", json={"token": TOKEN}, headers={"x-forwarded-for": "203.0.113.9"})
        assert last.status_code == 429
        other = {"x-forwarded-for": "203.0.113.10", "x-forwarded-proto": "https"}
        let_in = await web.client.post("/api/login", json={"token": TOKEN}, headers=other)
        assert let_in.status_code == 204
        assert "secure" in let_in.headers["set-cookie"].lower()


async def test_the_token_is_in_no_log(web: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await web.client.post("/api/login", json={"token": TOKEN})
        await web.client.post("/api/login", data={"token": TOKEN})
        await web.client.post("/api/login", content=f'{{"token": "{TOKEN}"'.encode())
        await web.client.get("/api/state", headers=BEARER)
        await web.client.get("/api/state", headers={"authorization": TOKEN})
        await web.client.get("/nope", headers=BEARER)
    ours = [record for record in caplog.records if record.name.startswith(("whisper", "uvicorn"))]
    assert ours
    assert TOKEN not in caplog.text
    assert all(TOKEN not in str(vars(record)) for record in ours)


async def test_no_secret_is_in_any_answer(tmp_path: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    async with running(tmp_path, security={"token": TOKEN}, webhooks={"secret": secret}) as web:
        asked = [
            path
            for method, path in operations()
            if method == "GET" and path not in ("/api/events",) and "_id" not in path
        ]
        assert {"/api/settings", "/api/logs", "/api/diagnostics", "/api/state", "/api/system", "/metrics"} <= set(asked)
        for path in asked:
            answer = await web.client.get(path, headers=BEARER)
            assert answer.status_code < 500, path
            content = answer.content
            if content[:2] == b"PK":
                with ZipFile(BytesIO(content)) as archive:
                    content = b"".join(archive.read(name) for name in archive.namelist())
            assert TOKEN.encode() not in content, path
            assert secret.encode() not in content, path
            assert secret.removeprefix("whsec_").encode() not in content, path


async def test_without_a_token_nobody_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        assert (await web.client.get("/api/login")).json() == {"token_required": False, "logged_in": False}
        answer = await web.client.post("/api/login", json={"token": "whatever it is"})
        assert answer.status_code == 204
        assert "set-cookie" not in answer.headers


async def test_as_many_uploads_as_are_allowed_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, server={"max_uploads": 1}) as web:
        part = TUS | {"upload-offset": "0", "content-type": "application/offset+octet-stream"}
        async with web.service.uploads.receive("a.wav"):
            refused = await web.client.post("/api/jobs", files={"file": ("b.wav", script(chunks=1))})
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_uploads")
            assert refused.headers["retry-after"] == "5"
            begun = await web.client.post("/api/uploads", headers=TUS | {"upload-length": "3"})
            refused = await web.client.patch(begun.headers["location"], content=b"abc", headers=part)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        for _ in range(2):
            answer = await web.client.post("/api/jobs", files={"file": ("b.wav", script(chunks=1))})
            assert answer.status_code == 202
        assert (await web.client.patch(begun.headers["location"], content=b"abc", headers=part)).status_code == 204


@pytest.mark.parametrize(
    "variables", [{}, {"WHISPER_SERVICE_SECURITY__TOKEN": "short"}, {"WHISPER_SERVICE_SECURITY__TOKEN_FILE": "missing"}]
)
def test_it_does_not_start_unprotected(tmp_path: Path, variables: dict[str, str]) -> None:
    command = [sys.executable, "-m", "whisper_service", "--host", "0.0.0.0", "--port", "0"]
    command += ["--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | variables)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("whisper_service: ")
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
