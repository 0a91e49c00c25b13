"""The host names of the service, the origin of requests, and the addresses that need no token."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whisper_service.config.schema import Config, SecuritySettings, ServerSettings
from whisper_service.config.tokens import read_tokens
from whisper_service.web import page
from whisper_service.web.security.auth import Access, Tokens
from whisper_service.web.security.guard import Guard, HostNames
from whisper_service.web.security.headers import STRICT

pytestmark = pytest.mark.anyio
LATIN = st.text(st.characters(max_codepoint=255))


async def ask(
    headers: list[tuple[str, str]], *, method: str = "GET", path: str = "/api/system", config: Config | None = None
) -> tuple[int, dict[str, str], str | None]:
    """Return status, headers, and the path that the application saw. None: the request did not pass."""
    config = config or Config()
    seen: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive() -> Any:
        raise AssertionError("the body is not the guard's to read")

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope: Any = {"type": "http", "method": method, "path": path, "headers": raw, "client": ("192.0.2.1", 1)}
    await Guard(app, Access(Tokens(read_tokens(config.security))), config)(scope, receive, send)
    start = sent[0]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return (
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        seen[0] if seen else None,
    )


LOCAL = HostNames([], local=True, token_required=False)


@pytest.mark.parametrize(
    "name", ["localhost", "LocalHost", "localhost.", "127.0.0.1", "127.9.9.9", "[::1]", "[0:0:0:0:0:0:0:1]"]
)
def test_its_own_names(name: str) -> None:
    assert LOCAL.allow(name)


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "[::]",
        "192.0.2.1",
        "localhost..",
        "localhosts",
    ],
)
def test_other_names(name: str) -> None:
    assert not LOCAL.allow(name)


def test_names_that_are_allowed() -> None:
    names = HostNames(["Whisper.Example.org", "*.lan."], local=True, token_required=False)
    for name in ("whisper.example.org", "WHISPER.example.org.", "a.lan", "a.b.lan", "localhost"):
        assert names.allow(name), name
    for name in ("x.whisper.example.org", "example.org", "lan", "evil-lan", "a.lan.evil.example"):
        assert not names.allow(name), name
    assert HostNames(["*"], local=True, token_required=False).allow("evil.example")


def test_for_other_machines_an_address_is_a_name_that_nobody_can_rebind() -> None:
    names = HostNames([], local=False, token_required=False)
    for name in ("192.0.2.1", "[2001:db8::1]", "localhost", socket.gethostname()):
        assert names.allow(name), name
    assert not names.allow("evil.example")
    assert not names.allow("192.0.2.1.evil.example")


def test_where_a_token_is_asked_any_name_will_do_unless_some_are_listed() -> None:
    assert HostNames([], local=False, token_required=True).allow("whisper.example.org")
    assert not HostNames(["whisper.example.org"], local=False, token_required=True).allow("evil.example")
    assert not HostNames([], local=True, token_required=True).allow("evil.example")


@given(LATIN)
@example("localhost:99999")
@example("localhost:\xb2")
@example("[::1]]")
@example("")
async def test_any_host_header_is_answered_and_only_local_ones_are_let_in(host: str) -> None:
    status, headers, seen = await ask([("host", host)])
    assert status in (200, 400, 421)
    assert (seen is None) == (status != 200)
    assert status != 200 or re.fullmatch(r"(?i)(localhost|127\.\d+\.\d+\.\d+|\[[0:]*1\])\.?(:\d+)?", host, re.ASCII)
    assert headers.keys() >= {name.decode() for name in STRICT}


@pytest.mark.parametrize(
    "hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"], ["evil.example", "localhost"]]
)
async def test_there_is_exactly_one_host(hosts: list[str]) -> None:
    assert (await ask([("host", host) for host in hosts]))[0] == 400


@given(LATIN, st.one_of(st.none(), LATIN), st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "TRACE"]))
async def test_an_origin_that_is_not_ours_changes_nothing(origin: str, site: str | None, method: str) -> None:
    headers = [("host", "localhost:8000"), ("origin", origin)]
    headers += [] if site is None else [("sec-fetch-site", site)]
    status, _, _ = await ask(headers, method=method)
    assert status == (200 if site == "same-origin" else 403)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8000", "http://localhost:8000", 200),
        ("LOCALHOST:8000", "http://localhost:8000", 200),
        ("localhost", "https://localhost", 200),
        ("localhost:443", "https://localhost", 200),
        ("localhost:80", "http://localhost", 200),
        ("localhost", "http://localhost:80", 200),
        ("localhost:80", "https://localhost", 403),
        ("localhost:8000", "http://localhost:8001", 403),
        ("localhost:8000", "http://localhost", 403),
        ("localhost", "null", 403),
        ("localhost", "localhost", 403),
    ],
)
async def test_ports_that_a_scheme_stands_for(host: str, origin: str, status: int) -> None:
    assert (await ask([("host", host), ("origin", origin)], method="POST"))[0] == status


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "navigate", 200),
        ("cross-site", "no-cors", 403),
        ("cross-site", "cors", 403),
        ("same-site", "no-cors", 403),
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
    ],
)
async def test_another_page_may_lead_here_but_draw_nothing_in(site: str, mode: str, status: int) -> None:
    headers = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)]
    assert (await ask(headers))[0] == status


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/jobs", "/api/jobs"),
        ("/a/b/api/jobs", "/api/jobs"),
        ("/a/b", "/"),
        ("/a/b/", "/"),
        ("/a/bc", "/a/bc"),
        ("/a", "/a"),
        ("/x/a/b/y", "/x/a/b/y"),
    ],
)
async def test_a_proxy_may_take_the_root_path_away_or_not(path: str, seen: str) -> None:
    config = Config(server=ServerSettings(root_path="/a/b"))
    assert (await ask([("host", "localhost")], path=path, config=config))[2] == "/a/b" + seen


@pytest.mark.parametrize(
    "path",
    [
        *(route.replace("{job_id:str}", "01abc-_") for route in page.ROUTES),
        "/login",
        "/static/app.js",
        "/static/dist/assets/a.js",
        "/api/health/live",
    ],
)
async def test_the_page_itself_is_open(path: str) -> None:
    config = Config(security=SecuritySettings(token="correct-horse-battery-staple"))
    assert (await ask([("host", "localhost")], path=path, config=config))[0] == 200


@given(st.text(st.sampled_from("/.%tstaicpe\\n\0")).map("/".__add__))
@example("/static/../api/jobs")
@example("//static/app.js")
@example("/static")
@example("/t/a/b")
@example("/api/login/")
@example("/models\n")
@example("/api/health/live/../ready")
async def test_nothing_else_is(path: str) -> None:
    config = Config(security=SecuritySettings(token="correct-horse-battery-staple"))
    status, headers, _ = await ask([("host", "localhost")], path=path, config=config)
    opened = path == "/" or path.startswith("/static/") or (path.startswith("/t/") and "/" not in path[3:])
    assert status == (404 if not path.isprintable() else 401) or opened
    assert status != 401 or headers["www-authenticate"] == "Bearer"
